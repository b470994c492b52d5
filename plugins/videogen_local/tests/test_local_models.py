"""Folders, pulled models and the hub, without torch: what a folder is, and what is refused before it is loaded."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from local_rig import client, model
from videogen_core import (
    Client,
    ConfigurationError,
    ModelNotFoundError,
    NoRouteError,
    ProviderUnavailableError,
    VideogenError,
)
from videogen_core.cli import main
from videogen_local import hub, models
from videogen_local.library import Library


def tensors(path: Path, count: int = 8) -> None:
    """A safetensors file with one tensor of zeros."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a Wan pipeline."""
    place = tmp_path / "My-Model"
    components = {
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "transformer_2": [None, None],
    }
    place.mkdir()
    (place / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", **components}))
    for name in ("transformer", "vae", "text_encoder"):
        (place / name).mkdir()
        (place / name / "config.json").write_text("{}")
        tensors(place / name / "model.safetensors")
    for name in ("tokenizer", "scheduler"):
        (place / name).mkdir()
        (place / name / f"{name}_config.json").write_text("{}")
    return place


def test_a_folder_is_a_model_with_the_rules_of_its_class(folder: Path, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        assert videogen.check("a boat", model=model(folder), duration=5, resolution="480p", aspect_ratio="16:9") == []
        (violation,) = videogen.check("a boat", model=model(folder), duration=5.1)
        assert violation.nearest == 5
        (violation,) = videogen.check("a boat", model=model(folder), options={"local": {"num_frames": 80}})
        assert violation.nearest == 81
        quote = videogen.estimate("a boat", model=model(folder))
        assert not quote.known, "nobody said what an hour costs"


def test_capital_letters_of_a_path_do_not_matter_unless_two_folders_differ_in_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    with client(tmp_path / "home") as videogen:
        assert videogen.check("a boat", model=f"local/{str(folder).lower()}") == []
        shutil.copytree(folder, folder.with_name("my-MODEL"))
        with pytest.raises(ModelNotFoundError, match="small letters") as caught:
            videogen.check("a boat", model=model(folder.with_name("MY-model")))
    assert "providers.local.models" in (caught.value.hint or "")


def test_a_folder_can_be_given_a_name(folder: Path, tmp_path: Path) -> None:
    with client(tmp_path / "home", models={"boats": str(folder)}) as videogen:
        assert "local/boats" in {spec.id for spec in videogen.models(provider="local")}
        assert videogen.check("a boat", model="local/boats") == []
    for wrong, said in (
        ({"boats": str(tmp_path)}, "is no pipeline"),
        ("boats", "no table"),
        ({"boats": 3}, "no table"),
    ):
        with client(tmp_path / "home", models=wrong) as videogen:
            assert said in (videogen.workspace.registry.readiness("local") or "")


def damage(folder: Path, how: str) -> None:
    index = folder / "model_index.json"
    weights = folder / "transformer" / "model.safetensors"
    table = json.loads(index.read_text())
    match how:
        case "no index":
            index.unlink()
        case "no json":
            index.write_text("{")
        case "a list":
            index.write_text("[]")
        case "no class":
            index.write_text("{}")
        case "another kind":
            index.write_text(json.dumps({**table, "_class_name": "StableDiffusionPipeline"}))
        case "a pickle":
            weights.rename(weights.with_name("model.bin"))
        case "no weights":
            weights.unlink()
        case "no tokenizer":
            shutil.rmtree(folder / "tokenizer")
        case "an empty scheduler":
            next((folder / "scheduler").iterdir()).unlink()
        case "deep nesting":
            index.write_text("[" * 100_000)
        case "deep nesting of a component":
            (folder / "vae" / "config.json").write_text('{"a":' + "[" * 100_000)
        case "deep corrections":
            (folder / "videogen.toml").write_text("title = " + "[" * 100_000)
        case "code":
            (folder / "transformer" / "transformer.py").write_text("open('/tmp/never', 'w')")
        case "another library":
            index.write_text(json.dumps({**table, "vae": ["antigravity", "Vae"]}))
        case "corrections":
            (folder / "videogen.toml").write_text("[family]\nsteps = 'many'\n")
        case "unknown corrections":
            (folder / "videogen.toml").write_text("stepps = 3\n")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no index", "is no pipeline: it has neither"),
        ("no json", "cannot be read"),
        ("a list", "holds no table"),
        ("no class", "names no pipeline class"),
        ("another kind", "StableDiffusionPipeline, which is no pipeline that makes video"),
        ("a pickle", "model.bin, a pickle"),
        ("no weights", "has no weights"),
        ("no tokenizer", r"tokenizer is missing or empty: the tokenizer \(T5TokenizerFast\)"),
        ("an empty scheduler", "scheduler is missing or empty"),
        ("deep nesting", "cannot be read"),
        ("deep nesting of a component", "cannot be read"),
        ("deep corrections", "videogen.toml"),
        ("code", "Python code of its own"),
        ("another library", "Python code of its own"),
        ("corrections", "videogen.toml"),
        ("unknown corrections", "videogen.toml"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(folder: Path, tmp_path: Path, how: str, said: str) -> None:
    if how == "another library":
        pytest.importorskip("diffusers", reason="where diffusers is not installed, nothing of it can be loaded")
    damage(folder, how)
    with client(tmp_path / "home") as videogen, pytest.raises(ModelNotFoundError, match=said):
        videogen.check("a boat", model=model(folder))


def test_a_folder_may_correct_what_its_class_says(folder: Path, tmp_path: Path) -> None:
    text = 'title = "Boats"\nlicense = { name = "MIT" }\n[family]\nsize = [64, 64]\ndefault_frames = 9\nsteps = 7\n'
    (folder / "videogen.toml").write_text(text)
    with client(tmp_path / "home", models={"boats": str(folder)}) as videogen:
        (spec,) = (spec for spec in videogen.models(provider="local") if spec.id == "local/boats")
    assert (spec.title, spec.license and spec.license.name, spec.options["steps"].default) == ("Boats", "MIT", 7)
    assert spec.sizes["64p"]["1:1"] == (64, 64)
    assert spec.default.duration == 0.5


def test_questions_import_neither_torch_nor_diffusers(folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys, videogen
from videogen_core import Client
with Client(home={str(tmp_path / "home")!r}) as c:
    name = {model(folder)!r}
    c.models(); c.check("a", model=name); c.estimate("a", model=name)
    try:
        c.route("a", model=[name, "sandbox"]).explain()
    except Exception:
        pass
heavy = {{"torch", "diffusers", "transformers", "huggingface_hub", "numpy"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_torch_it_says_what_to_install(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_missing", lambda second: models._NEEDED)
    with client(tmp_path / "home") as videogen:
        with pytest.raises((ConfigurationError, NoRouteError), match="torch") as caught:
            videogen.generate("a boat", model=model(folder))
        assert "pip install 'videogen-local[torch]'" in str(caught.value)


# --- the hub


class Hub(types.SimpleNamespace):
    """Hugging Face's hub, as its client shows it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder, asked=[], fetched=[], error=None, sha="a" * 40, cut=False)
        self.utils = types.SimpleNamespace(disable_progress_bars=lambda: None)

    def HfApi(self, token: str | None) -> Hub:  # noqa: N802
        return self

    def model_info(self, repo: str, revision: str | None, files_metadata: bool) -> Any:
        self.asked.append(repo)
        if self.error is not None:
            raise self.error
        files = [p for p in sorted(self.folder.rglob("*")) if p.is_file()]
        siblings = [
            types.SimpleNamespace(rfilename=str(p.relative_to(self.folder)), size=p.stat().st_size) for p in files
        ]
        return types.SimpleNamespace(
            id="Owner/Boats", sha=self.sha, tags=["license:mit"], gated=False, siblings=siblings
        )

    def hf_hub_download(self, repo: str, name: str, *, revision: str, local_dir: Path, token: str | None) -> None:
        assert revision == self.sha
        self.fetched.append(name)
        (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
        data = (self.folder / name).read_bytes()
        (local_dir / name).write_bytes(data[:-1] if self.cut else data)


@pytest.fixture
def the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name, text in (("vae/model.bin", "pickle"), ("run.py", "code"), ("vae/model.fp16.safetensors", "x")):
        (folder / name).write_text(text)
    (folder / "samples").mkdir()
    (folder / "samples" / "clip.mp4").write_text("x")
    found = Hub(folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", found)  # type: ignore[arg-type]
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DIFFUSERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return found


def test_a_model_is_pulled_listed_used_and_deleted(
    the_hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", "pull", "owner/boats"]) == 2, "it asks, and nobody is there to answer"
    assert "licence mit" in capsys.readouterr().err
    assert the_hub.fetched == []
    assert main(["local", "pull", "owner/boats", "--yes", "--json"]) == 0
    pulled = json.loads(capsys.readouterr().out)
    assert (pulled["model"], pulled["revision"], pulled["license"]) == ("local/owner/boats", "a" * 40, "mit")
    assert not any(name.endswith((".bin", ".py", ".mp4", ".fp16.safetensors")) for name in the_hub.fetched)
    assert {"model_index.json", "vae/model.safetensors"} <= set(the_hub.fetched)
    assert main(["local", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == [pulled]
    with Client(home=tmp_path / "home") as videogen:
        (spec,) = (spec for spec in videogen.models(provider="local") if spec.id == "local/owner/boats")
        assert spec.vendor["revision"] == "a" * 40
        assert videogen.check("a boat", model="local/Owner/Boats") == []
    count = len(the_hub.fetched)
    assert main(["local", "pull", "owner/boats", "--yes"]) == 0
    assert len(the_hub.fetched) == count, "it is here"
    assert main(["local", "rm", "owner/boats"]) == 0
    assert not Path(pulled["folder"]).exists()
    assert main(["local", "rm", "owner/boats"]) == 2
    assert "was not pulled" in capsys.readouterr().err


def test_a_model_that_is_not_here_says_what_to_pull_and_downloads_nothing(the_hub: Hub, tmp_path: Path) -> None:
    with Client(home=tmp_path / "home") as videogen, pytest.raises(ModelNotFoundError, match="licence mit") as caught:
        videogen.generate("a boat", model="local/owner/boats")
    assert "GB to download" in caught.value.message
    assert caught.value.hint == "Run: videogen local pull owner/boats"
    assert the_hub.fetched == []


def test_offline_mode_is_obeyed(the_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with Client(home=tmp_path / "home") as videogen, pytest.raises(ModelNotFoundError, match="Offline mode is on"):
        videogen.generate("a boat", model="local/owner/boats")
    assert main(["local", "pull", "owner/boats", "--yes"]) == 2
    assert the_hub.asked == []


def test_what_arrives_short_is_not_taken_for_whole(the_hub: Hub, tmp_path: Path) -> None:
    the_hub.cut = True
    assert main(["local", "pull", "owner/boats", "--yes"]) == 4
    assert Library(tmp_path / "home" / "providers" / "local", {}).pulled() == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("GatedRepoError", ModelNotFoundError),
        ("RepositoryNotFoundError", ModelNotFoundError),
        ("HfHubHTTPError", ProviderUnavailableError),
    ],
)
def test_the_hub_s_refusals_are_told_in_our_words(the_hub: Hub, name: str, kind: type[VideogenError]) -> None:
    the_hub.error = type(name, (Exception,), {})("token hf_abcdef")
    with pytest.raises(kind) as caught:
        hub.look("owner/boats", {"HF_TOKEN": "hf_abcdef"})
    assert "hf_abcdef" not in str(caught.value)


def test_what_lies_in_the_hub_s_cache_is_found(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "hub" / "models--Owner--Boats" / "snapshots" / ("b" * 40)
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("b" * 40)
    found = Library(tmp_path / "own", {"HF_HOME": str(tmp_path / "cache")}).find("owner/boats")
    assert found is not None
    assert (found.folder, found.revision) == (str(snapshot), "b" * 40)
