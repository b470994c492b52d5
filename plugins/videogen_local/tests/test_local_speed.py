"""What makes a clip quicker: step caches, other attentions, compiled blocks. Each does something, and is undone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_rig import client, look, model, need_torch
from videogen_core import Client, ConfigurationError, GenerationFailedError, UnsupportedRequestError

need_torch()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries, about themselves
    import numpy as np
    import torch

    import tiny
    from videogen_local.here import extras, loading, running
    from videogen_local.switches import ATTENTIONS

pytestmark = pytest.mark.filterwarnings("ignore")
torch.set_num_threads(1)
STEPS = 8


class Made:
    """What the last clip took.

    Attributes:
        counts: Whether work is counted in pipelines that are loaded from now on.
        loads: Pipelines that were loaded.
        work: Matrices that its denoisers multiplied.
        frames: Its frames, before they were encoded.
        pipe: The pipeline.
        attentions: Backends that attention went through.
    """

    def __init__(self) -> None:
        self.counts = True
        self.loads = 0
        self.work = 0
        self.frames: Any = None
        self.pipe: Any = None
        self.attentions: set[str] = set()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Counts what the pipelines do."""
    from diffusers.models import attention_dispatch

    found = Made()
    load, run = loading.load, running.run

    def multiply(*_: Any) -> None:
        found.work += 1

    def loaded(order: Any, device: str) -> Any:
        found.loads += 1
        pipe = load(order, device)
        for module in loading.denoisers(pipe, order):
            for each in module.modules():
                if found.counts and isinstance(each, torch.nn.Linear):
                    each.register_forward_hook(multiply)
        return pipe

    def ran(pipe: Any, *args: Any) -> Any:
        found.work, found.pipe = 0, pipe
        found.attentions.clear()
        result = run(pipe, *args)
        found.frames = result.frames
        return result

    backends = attention_dispatch._AttentionBackendRegistry._backends
    for name, attend in list(backends.items()):

        def attended(*args: Any, _name: str = name.value, _attend: Any = attend, **more: Any) -> Any:
            found.attentions.add(_name)
            return _attend(*args, **more)

        monkeypatch.setitem(backends, name, attended)
    monkeypatch.setattr(loading, "load", loaded)
    monkeypatch.setattr("videogen_local.here.working.run", ran)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("pipelines")

    def folder(name: str) -> Path:
        return home / name if (home / name).is_dir() else tiny.save(name, home / name)

    return folder


@pytest.fixture
def videogen(tmp_path: Path) -> Iterator[Client]:
    with client(tmp_path / "home") as videogen:
        yield videogen


def generate(videogen: Client, folder: Path, **options: Any) -> Any:
    options = {"local": {"steps": STEPS, **options}}
    result = videogen.generate("a boat", model=model(folder), seed=1, options=options)
    assert result.path is not None
    return look(result.path)


@pytest.mark.parametrize(
    ("name", "cache"),
    [
        ("wan", "first_block"),
        ("wan", "taylor_seer"),
        ("wan", "pyramid_attention"),
        ("ltx", "first_block"),
        ("ltx", "pyramid_attention"),
        ("cogvideox", "faster"),
        ("hunyuan", "taylor_seer"),
        ("ltx-modular", "first_block"),
    ],
)
def test_a_step_cache_skips_work_and_is_gone_with_the_next_clip(
    name: str, cache: str, videogen: Client, folders: Any, made: Made
) -> None:
    more = {"cache_threshold": 1.0} if cache == "first_block" else {}
    folder = folders(name)
    plain = generate(videogen, folder)
    all_work, all_frames = made.work, made.frames
    clip = generate(videogen, folder, cache=cache, **more)
    assert made.work < 0.97 * all_work, f"{made.work} of {all_work}"
    assert clip.about["cache"] == cache
    assert clip.frames == plain.frames
    after = generate(videogen, folder)
    assert "cache" not in after.about
    assert (made.work, made.loads) == (all_work, 1), "the warm pipeline works everything out again"
    assert np.array_equal(made.frames, all_frames)


def test_a_threshold_of_nothing_skips_nothing(videogen: Client, folders: Any, made: Made) -> None:
    generate(videogen, folders("wan"))
    all_work, all_frames = made.work, made.frames
    generate(videogen, folders("wan"), cache="first_block", cache_threshold=0.0)
    assert made.work == all_work
    assert np.array_equal(made.frames, all_frames)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("wan", {"cache": "nonsense"}, "cache"),
        ("wan", {"cache": "faster"}, "cache"),
        ("wan-modular", {"cache": "first_block"}, "cache"),
        ("sana", {"cache": "first_block"}, "cache"),
        ("wan", {"attention": "nonsense"}, "attention"),
        ("wan", {"attention": "flash_hub"}, "attention"),
        ("cogvideox", {"attention": "_native_math"}, "attention"),
        ("cogvideox", {"compile": True}, "compile"),
        ("wan", {"attention": "xformers"}, "xformers"),
    ],
)
def test_what_does_not_work_with_a_model_or_is_not_here_is_refused_before_anything_is_loaded(
    name: str, options: dict[str, Any], said: str, videogen: Client, folders: Any, made: Made
) -> None:
    with pytest.raises((ConfigurationError, UnsupportedRequestError), match=said):
        generate(videogen, folders(name), **options)
    assert made.loads == 0


def test_another_attention_is_used_for_this_clip_and_for_no_other(videogen: Client, folders: Any, made: Made) -> None:
    generate(videogen, folders("wan"))
    usual = made.frames
    assert made.attentions == {"native"}
    clip = generate(videogen, folders("wan"), attention="_native_math")
    assert made.attentions == {"_native_math"}
    assert clip.about["attention"] == "_native_math"
    assert np.abs(made.frames.astype(int) - usual).max() <= 1, "the same sums in another order"
    generate(videogen, folders("wan"))
    assert made.attentions == {"native"}
    generate(videogen, folders("ltx"))
    assert made.attentions == {"native"}, "nor does a model that is loaded later have it"


def test_the_names_of_attentions_are_those_of_the_installed_diffusers_that_are_no_downloads() -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    assert set(ATTENTIONS) == {one.value for one in AttentionBackendName if not one.value.endswith("_hub")}


def test_compiled_blocks_run_and_other_clips_have_plain_ones(videogen: Client, folders: Any, made: Made) -> None:
    if not extras.compiler():
        pytest.skip("there is no C++ compiler here")
    made.counts = False  # what counts would be compiled along
    generate(videogen, folders("wan"))
    usual = made.frames
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    generate(videogen, folders("wan"), compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert made.pipe.transformer.blocks[0]._compiled_call_impl is not None
    assert np.abs(made.frames.astype(int) - usual).max() <= 2
    loads = made.loads
    generate(videogen, folders("wan"))
    assert made.pipe.transformer.blocks[0]._compiled_call_impl is None
    assert made.loads == loads, "both stay loaded"


def test_without_a_compiler_compiling_is_refused_before_anything_is_loaded(
    videogen: Client, folders: Any, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "compiler", lambda: None)
    with pytest.raises(ConfigurationError, match="C\\+\\+ compiler"):
        generate(videogen, folders("wan"), compile=True)
    assert made.loads == 0


def test_an_attention_that_the_model_s_own_way_of_masking_forbids_fails_the_job_with_its_reason(
    videogen: Client, folders: Any
) -> None:
    with pytest.raises(GenerationFailedError, match="attn_mask"):
        generate(videogen, folders("ltx"), attention="_native_flash")
