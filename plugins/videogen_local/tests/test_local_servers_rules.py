"""From a server and its model to an offer, and from a request to frames and pixels; no network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from videogen_core import ConfigurationError, License, ModelSpec, Span, Task, VideoRequest
from videogen_core.capabilities import check, resolve
from videogen_core.request import Media
from videogen_local.families import FAMILIES
from videogen_local.plugin import LocalProvider
from videogen_local.rows import offer_fields
from videogen_local.servers import VARIABLE, are_described as servers_described, offers, recovery
from videogen_local.servers.bodies import frames, size, wanted
from videogen_local.servers.dialects import dialects
from videogen_local.servers.memory import Known, Memory
from videogen_local.servers.rules import offer
from videogen_local.servers.settings import servers


def of(table: Mapping[str, Any], known: Known | None = None, rows: tuple[ModelSpec, ...] = ()) -> ModelSpec:
    """The offer of one server."""
    full = {"url": "http://gpu1:8091", **table}
    server = servers({}, {"servers": {"gpu": full}})["gpu"]
    return offer(server, known or Known(model=server.model or "a/b"), {}, rows)


def row(family: str, name: str, **more: Any) -> ModelSpec:
    """A row of the catalogue of models that run here."""
    fields = {"vendor": {"engine": "here", "pipeline": family, "repo": f"Wan-AI/{name}"}, **more}
    return ModelSpec(
        id=f"local/{name.lower()}", title=name, maker="Wan", source="x", as_of=date(2026, 11, 20),
        **offer_fields(FAMILIES[family]), **fields,
    )  # fmt: skip


def asked(spec: ModelSpec, **arguments: Any) -> VideoRequest:
    """A request with every default written out."""
    return resolve(spec, VideoRequest.make("A boat", **arguments)).request


def test_a_class_that_the_server_names_brings_its_rules() -> None:
    """Frames by its rule, sides by its multiples, its own options; no default that the server did not choose."""
    spec = of({"dialect": "sglang"}, Known(model="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", pipeline="WanPipeline"))
    assert frames(spec, asked(spec, duration=5), {}) == 81
    assert frames(spec, asked(spec, duration=5), {"num_frames": 33}) == 33
    assert spec.output_fps == 16
    wrong = check(spec, VideoRequest.make("A boat", options={"local": {"num_frames": 80}}))
    assert (wrong[0].field, wrong[0].nearest) == ("options.local.num_frames", 81)
    assert all(option.default is None for option in spec.options.values())
    assert {"num_frames", "steps", "guidance_scale", "guidance_scale_2"} <= spec.options.keys()
    assert "plan" not in spec.options  # where it runs is the server's affair


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({f"{VARIABLE}URL": "http://127.0.0.1:9/v1", f"{VARIABLE}MODEL": "any"}, {}),
        ({}, {"servers": {"server": {"url": "http://127.0.0.1:9/v1", "model": "any"}}}),
    ],
)
def test_a_server_is_an_offer_however_it_is_described(
    environment: Mapping[str, str], settings: Mapping[str, Any], tmp_path: Path
) -> None:
    plain = LocalProvider().offers({}, {}, tmp_path)
    assert not servers_described({}, {})
    assert servers_described(environment, settings)
    (more,) = LocalProvider().offers(environment, settings, tmp_path)[len(plain) :]
    assert more.id == "local/server"


def test_one_expert_has_one_scale() -> None:
    spec = of({"dialect": "sglang"}, Known(model="x/y", pipeline="LTXPipeline"))
    assert "guidance_scale_2" not in spec.options
    assert frames(spec, asked(spec, duration=spec.default.duration), {}) in FAMILIES["LTXPipeline"].frames


def test_the_same_model_here_and_there_is_one_model() -> None:
    """By its repository or by ``like``: name, licence and rules are those of the catalogue."""
    terms = License(name="Somebody's", commercial=False)
    known = row("WanPipeline", "Wan2.1-T2V-1.3B-Diffusers", license=terms, model="wan-2.1")
    for table in ({"model": "wan-ai/wan2.1-t2v-1.3b-diffusers"}, {"model": "tuned", "like": "wan-2.1"}):
        spec = of(table, rows=(known,))
        assert (spec.id, spec.name, spec.license) == ("local/gpu", "wan-2.1", terms)
        assert spec.modes[0].durations == known.modes[0].durations
        assert spec.vendor["model"] == table["model"]


def test_whole_seconds_alone_where_frames_cannot_be_told() -> None:
    known = row("WanPipeline", "Wan2.1-T2V-1.3B-Diffusers")
    assert isinstance(known.modes[0].durations, Span)
    spec = of({"dialect": "openai", "like": known.id}, rows=(known,))
    assert spec.modes[0].durations[:3] == (1.0, 2.0, 3.0)  # type: ignore[index]
    assert (spec.seed, spec.negative_prompt, dict(spec.options)) == (None, False, {"height": spec.options["height"],
            "width": spec.options["width"]})  # fmt: skip


def test_what_nobody_knows_can_be_said() -> None:
    spec = of({"sizes": ["1024x576", "576x1024", "768x768"], "seconds": [2, 5], "fps": 12, "tasks": ["image_to_video"]})
    assert spec.tasks == (Task.IMAGE_TO_VIDEO,)
    request = asked(spec, image=b"x", duration=5, resolution="768p")
    assert size(spec, request, {}) == (768, 768)
    assert frames(spec, request, {}) == 60
    assert spec.default.resolution == "576p"


@pytest.mark.parametrize(("name", "tasks"), [("a/Model-I2V-14B", 1), ("a/ti2v-5b", 2), ("a/t2v", 1), ("a/b", 1)])
def test_a_name_may_tell_what_a_model_does(name: str, tasks: int) -> None:
    spec = of({"model": name})
    assert len(spec.tasks) == tasks
    assert (Task.IMAGE_TO_VIDEO in spec.tasks) == ("i2v" in name.lower())


def test_the_shape_may_follow_the_picture() -> None:
    known = row("WanImageToVideoPipeline", "Wan2.1-I2V-14B-480P-Diffusers")
    shapeless = tuple(msgspec.structs.replace(mode, aspect_ratios=()) for mode in known.modes)
    known = msgspec.structs.replace(
        known, modes=shapeless, default=msgspec.structs.replace(known.default, aspect_ratio=None)
    )
    spec = of({"like": known.id}, rows=(known,))
    picture = Media(data=b"x", width=1000, height=500)
    request = msgspec.structs.replace(asked(spec, image=b"x", task="image_to_video"), image=picture)
    assert size(spec, request, {}) == (960, 480)
    assert size(spec, request, {"width": 512}) == (512, 480)


def test_every_field_of_every_dialect_is_one_of_ours() -> None:
    """A mistake in the data file would be a value that is never sent."""
    ours = {"prompt", "model", "size", "seconds", "frames", "fps", "seed", "negative_prompt", "steps", "guidance",
            "guidance_2", "one_guidance", "flow_shift", "audio", "image", "lora", "extra"}  # fmt: skip
    for dialect in dialects().values():
        assert dialect.fields.keys() <= ours
        assert set(dialect.form) <= ours
        assert dialect.source
        assert dialect.as_of is not None
        assert {"guidance", "guidance_2", "one_guidance"} <= dialect.fields.keys() or not dialect.takes("guidance")


def test_values_that_are_not_given_are_not_told() -> None:
    spec = of({"dialect": "openai", "model": "a/b"})
    told = wanted(spec, asked(spec), {}, dialects()["openai"], seed=None, picture=None)
    assert told.values == {"prompt": "A boat", "model": "a/b", "size": "1280x720", "seconds": 4}


def test_no_create_is_ever_sent_again_by_itself() -> None:
    """A job on this machine can be asked for again under its own name; one on a server cannot."""
    for name, way in (("vllm-omni", "by_list"), ("sglang", "by_time"), ("openai", "by_list")):
        allowed = recovery(of({"dialect": name}))
        assert (allowed.idempotency, allowed.reconcile) == (0.0, way)


def test_memory_that_is_damaged_or_of_another_address_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path, "gpu", ("http://gpu1:8091",))
    memory.learn(Known(model="a/b"))
    memory.took("480p", 9.5)
    memory.took("480p", 8.0)
    assert memory.paces() == {"480p": (Decimal("8.0"), Decimal("9.5"))}
    assert Memory(tmp_path, "gpu", ("http://gpu2:8091",)).known() is None
    memory.learn(Known(model="c/d"))
    assert memory.paces() == {}
    (tmp_path / "servers" / "gpu.json").write_bytes(b"{")
    assert memory.known() is None


def test_a_server_may_not_take_the_name_of_a_model(tmp_path: Path) -> None:
    known = row("WanPipeline", "gpu")
    with pytest.raises(ConfigurationError, match="is a model of the catalogue already"):
        offers({}, {"servers": {"gpu": {"url": "http://gpu1:8091", "model": "a/b"}}}, tmp_path, (known,))
