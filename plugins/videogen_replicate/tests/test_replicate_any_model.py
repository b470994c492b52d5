"""Models that the catalogue does not list, from their schema to a clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from videogen_core import (
    AsyncClient,
    AuthenticationError,
    BudgetExceededError,
    MissingCredentialsError,
    ModelNotFoundError,
    ModelSpec,
    ProviderProtocolError,
    Span,
    Task,
    UnsupportedRequestError,
)
from videogen_core.testing import Fault, ServerThread
from videogen_replicate.emulator import ReplicateEmulator
from videogen_replicate.emulator.models import Model, Parameter, Rate, models
from videogen_replicate.emulator.schemas import shown_model
from videogen_replicate.plugin import ReplicateProvider
from videogen_replicate.schemas import spec_of

pytestmark = pytest.mark.anyio
Clients = Callable[..., AsyncClient]
LAGOON = "replicate/emulated/lagoon"
TODAY = date(2026, 11, 21)


def described(name: str, **changes: Any) -> dict[str, Any]:
    return {**shown_model(models()[name], delivery="https://replicate.delivery"), **changes}


def read(name: str, **changes: Any) -> ModelSpec:
    return spec_of(described(name, **changes), name, today=TODAY)


def made_up(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> ModelSpec:
    """A model with these parameters."""
    schemas = {
        "Input": {"type": "object", "properties": properties, "required": required or []},
        "Output": {"type": "string", "format": "uri"},
        **more,
    }
    version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": schemas}}}
    told = {"is_official": True, "description": "Makes videos.", "latest_version": version}
    return spec_of(told, "somebody/clips", today=TODAY)


# --- 20: what a schema says


def test_choices_behind_a_reference() -> None:
    (mode,) = read("minimax/hailuo-2.3").modes
    assert mode.durations == (6.0, 10.0)
    assert mode.resolutions == ("768p", "1080p")
    assert mode.tasks == (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
    assert read("minimax/hailuo-2.3").default.duration == 6


def test_a_range() -> None:
    spec = read("kwaivgi/kling-v3-video")
    assert spec.modes[0].durations == Span(min=3, max=15, step=1)
    assert spec.vendor["fields"]["resolution"] == "mode"
    assert spec.vendor["values"]["resolution"] == {"720p": "standard", "1080p": "pro"}
    assert spec.default.resolution == "1080p"


def test_what_was_replaced_is_skipped() -> None:
    assert read("kwaivgi/kling-v2.5-turbo-pro").vendor["fields"]["image"] == "start_image"
    assert set(read("luma/ray-2-720p").options) == {"loop", "concepts"}


def test_a_required_input_leaves_only_the_tasks_that_have_it() -> None:
    assert read("minimax/hailuo-2.3-fast").tasks == (Task.IMAGE_TO_VIDEO,)
    assert read("kwaivgi/kling-v3-motion-control").tasks == (Task.ANIMATE_CHARACTER,)
    assert read("runwayml/gen4-aleph").tasks == (Task.EDIT_VIDEO,)


def test_resolution_and_shape_in_one_parameter() -> None:
    spec = read("wan-video/wan-2.5-t2v")
    assert spec.vendor["size"]["720p"] == {"16:9": "1280*720", "9:16": "720*1280"}
    assert spec.default.resolution == "720p"


def test_a_model_of_the_community_is_called_by_the_version_that_was_read() -> None:
    spec = read("emulated/harbour")
    assert (spec.vendor["official"], spec.vendor["version"]) == (False, models()["emulated/harbour"].version)
    assert "official" not in read("emulated/lagoon").vendor


def test_a_model_that_makes_pictures_is_refused() -> None:
    with pytest.raises(ModelNotFoundError, match="makes no videos"):
        read("emulated/portrait")


@pytest.mark.parametrize(
    ("changes", "video"),
    [
        ({"default_example": {"output": ["https://replicate.delivery/a.webm?x=1"]}}, True),
        ({"default_example": {"output": "https://replicate.delivery/a.png"}}, False),
        ({"default_example": None, "description": "Turns text into video"}, True),
        ({"default_example": {"output": None}, "description": "Turns text into speech"}, False),
    ],
)
def test_whether_it_is_a_video_is_told_by_its_example_else_by_its_words(changes: dict[str, Any], video: bool) -> None:
    name = "emulated/portrait"
    if video:
        assert read(name, **changes).id == f"replicate/{name}"
    else:
        with pytest.raises(ModelNotFoundError):
            read(name, **changes)


def test_no_version_means_that_it_cannot_be_called() -> None:
    with pytest.raises(ModelNotFoundError, match="no version"):
        read("emulated/lagoon", latest_version=None)


@pytest.mark.parametrize(
    ("told", "allowed", "words"),
    [
        ({"type": "integer", "minimum": -1, "maximum": 15, "default": -1}, Span(min=1, max=15, step=1), {}),
        ({"type": "number", "minimum": 1, "maximum": 5, "default": 2}, Span(min=1, max=5), {}),
        ({"enum": ["5", "10"], "type": "string", "default": "5"}, (5.0, 10.0), {"5": "5", "10": "10"}),
        ({"anyOf": [{"$ref": "#/components/schemas/seconds"}, {"type": "null"}]}, (4.0, 8.0), {}),
        ({"type": "integer"}, (), {}),
        ({"enum": ["short", "long"], "type": "string"}, (), {}),
    ],
)
def test_lengths(told: dict[str, Any], allowed: object, words: dict[str, Any]) -> None:
    spec = made_up({"prompt": {"type": "string"}, "duration": told}, seconds={"type": "integer", "enum": [4, 8]})
    assert spec.modes[0].durations == allowed
    assert spec.vendor["values"].get("duration", {}) == words
    assert ("duration" in spec.options) == (allowed == ())


def test_shapes_in_words_and_names_of_resolutions() -> None:
    spec = made_up(
        {
            "resolution": {"type": "string", "enum": ["768P", "2K"], "default": "2K"},
            "aspect_ratio": {"type": "string", "enum": ["portrait", "landscape", "as it likes"]},
        }
    )
    assert spec.modes[0].resolutions == ("768p", "2k")
    assert spec.vendor["values"]["resolution"] == {"768p": "768P", "2k": "2K"}
    assert spec.modes[0].aspect_ratios == ("9:16", "16:9")
    assert spec.default.resolution == "2k"


def test_options_keep_type_range_choices_and_default() -> None:
    spec = made_up(
        {
            "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5, "description": "How much."},
            "style": {"enum": ["ink", "oil"], "type": "string", "default": "chalk"},
            "weights": {"type": "string", "format": "uri"},
            "mode": {"type": "string", "enum": ["fast", "pro"]},
        },
        required=["weights"],
    )
    strength = spec.options["strength"]
    assert (strength.type, strength.min, strength.max, strength.default) == ("number", 0, 1, 0.5)
    assert (spec.options["style"].choices, spec.options["style"].default) == (("ink", "oil"), None)
    assert spec.options["weights"].required
    assert "mode" in spec.options


ADDRESS = {"type": "string", "format": "uri"}
FAR = {"e": {"$ref": "#/components/schemas/f"}, "f": {"allOf": [{"$ref": "#/components/schemas/g"}]}}
FAR |= {
    "g": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/h"}]},
    "h": {"type": "integer", "enum": [1, 2]},
}


@pytest.mark.parametrize(
    ("told", "type_", "choices"),
    [
        ({"type": ["integer", "null"], "minimum": 1}, "integer", ()),
        ({"enum": [1, 2]}, "integer", (1, 2)),
        ({"enum": [0.5, 1]}, "number", (0.5, 1)),
        ({"enum": ["ink", None]}, "string", ("ink",)),
        ({"const": "ink"}, "string", ("ink",)),
        ({"type": "string", "enum": "abc"}, "string", ()),
        ({"allOf": [{"$ref": "#/components/schemas/e"}], "default": 1}, "integer", (1, 2)),
        ({"allOf": None, "type": "boolean"}, "boolean", ()),
        ({"type": "number", "minimum": 5, "maximum": 10**400}, "number", ()),
    ],
)
def test_an_odd_way_to_say_it(told: dict[str, Any], type_: str, choices: tuple[Any, ...]) -> None:
    option = made_up({"odd": told}, **FAR).options["odd"]
    assert (option.type, option.choices) == (type_, choices)


@pytest.mark.parametrize(
    "told",
    [
        True,
        7,
        {"$ref": "#/components/schemas/missing"},
        {"$ref": "#/components/schemas/circle"},
        {"$ref": "#/components/schemas/many"},
    ],
)
def test_a_parameter_that_makes_no_sense_is_left_alone_unless_it_is_needed(told: Any) -> None:
    circle = {"allOf": [{"$ref": "#/components/schemas/circle"}]}
    many = {"allOf": [{"$ref": "#/components/schemas/more"}] * 3000}
    more = {"allOf": [{"$ref": "#/components/schemas/e"}] * 3000}
    schemas = {"circle": circle, "many": many, "more": more, **FAR}
    assert "odd" not in made_up({"prompt": {"type": "string"}, "odd": told}, **schemas).options
    with pytest.raises(ValueError):  # noqa: PT011 - `discover` says it to the user
        made_up({"odd": told}, required=["odd"], **schemas)


def test_files_in_a_list_may_be_referred_to() -> None:
    for items in ({"$ref": "#/components/schemas/file"}, {"anyOf": [ADDRESS, {"type": "null"}]}):
        spec = made_up({"reference_images": {"type": "array", "items": items, "maxItems": 3}}, file=ADDRESS)
        assert (spec.tasks[-1], spec.modes[0].reference_images) == (Task.REFERENCE_TO_VIDEO, 3)


@pytest.mark.parametrize(
    "told",
    [
        {"type": "integer", "minimum": 9, "maximum": 3},
        {"type": "number", "minimum": 0, "maximum": 0.5},
        {"type": "integer", "enum": [["5"], {"5": 5}]},
    ],
)
def test_a_length_that_cannot_be_is_none(told: dict[str, Any]) -> None:
    assert made_up({"prompt": {"type": "string"}, "duration": told}).modes[0].durations == ()


@pytest.mark.parametrize(
    ("type_", "default"),
    [("boolean", "yes"), ("number", "NaN"), ("integer", 1.5), ("integer", True), ("string", 5), ("integer", 99)],
)
def test_a_default_that_the_parameter_does_not_take_is_not_sent(type_: str, default: Any) -> None:
    option = made_up({"odd": {"type": type_, "default": default, "maximum": 10}}).options["odd"]
    assert option.default is None


def test_no_size_is_nothing_by_nothing_and_no_seed_is_below_none() -> None:
    spec = made_up({"size": {"enum": ["00*00", "1280*720"]}, "seed": {"type": "integer", "maximum": -1}})
    assert spec.modes[0].resolutions == ()
    assert "size" in spec.options
    assert spec.seed == 2**31 - 1


def test_what_has_no_version_of_its_own_is_called_by_name() -> None:
    told = described("emulated/lagoon", is_official=None)
    assert "official" not in spec_of(told, "emulated/lagoon", today=TODAY).vendor


def test_a_long_schema_is_read_at_once() -> None:
    many = {f"p{n}": {"type": "string", "description": "x" * 100} for n in range(10_000)}
    assert len(made_up(many).options) == 10_000


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[1]", b"", b"[" * 100_000, b'{"latest_version": {"openapi_schema": []}}', b'{"latest_version": 7}'],
)
async def test_an_answer_that_is_no_model(client: Clients, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    from starlette.responses import Response

    from videogen_replicate import emulator

    monkeypatch.setattr(emulator, "JSONResponse", lambda *_, **__: Response(body, media_type="application/json"))
    monkeypatch.setattr(emulator, "shown_model", lambda *_, **__: None)
    async with client() as videogen:
        with pytest.raises((ProviderProtocolError, ModelNotFoundError)):
            await videogen.route("A boat", model=LAGOON)


def test_a_model_without_a_prompt_takes_none() -> None:
    spec = made_up({"video": {"type": "string", "format": "uri"}}, required=["video"])
    assert (spec.prompt.max, spec.tasks) == (0, (Task.EDIT_VIDEO,))


@pytest.mark.parametrize("name", sorted(name for name, model in models().items() if not model.picture))
def test_every_schema_can_be_read(name: str) -> None:
    spec = read(name)
    assert spec.modes[0].tasks
    assert spec.as_of == TODAY


# --- 21: from a name to a clip


async def test_a_clip_of_a_model_that_nobody_lists(client: Clients, emulator: ReplicateEmulator) -> None:
    options = {"replicate": {"strength": 7}}
    async with client() as videogen:
        result = await videogen.generate(
            "A boat", model=LAGOON, duration=3, resolution="480p", aspect_ratio="1:1", audio=False, options=options
        )
    (create,) = emulator.journal.entries("create")
    assert create.path == "/v1/models/emulated/lagoon/predictions"
    assert json.loads(create.body)["input"] == {
        "prompt": "A boat",
        "duration": 3,
        "resolution": "480p",
        "aspect_ratio": "1:1",
        "generate_audio": False,
        "prompt_optimizer": True,
        "strength": 7,
    }
    assert (result.model, result.provider, result.cost) == ("emulated/lagoon", "replicate", None)
    assert (result.videos[0].width, result.videos[0].height) == (480, 480)
    assert len([entry for entry in emulator.journal.entries() if entry.path.startswith("/v1/models/emulated/l")]) == 2


async def test_one_that_is_called_by_version(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        await videogen.generate(
            "A boat", model="replicate/emulated/harbour", image="https://example.com/boat.png", fps=16
        )
    body = json.loads(emulator.journal.entries("create")[0].body)
    assert body["version"] == models()["emulated/harbour"].version
    assert body["input"]["fps"] == 16


async def test_the_schema_is_fetched_once_and_everything_is_checked(
    client: Clients, emulator: ReplicateEmulator
) -> None:
    async with client() as videogen:
        (unknown,) = await videogen.check("A boat", model=LAGOON, options={"replicate": {"strenght": 1}})
        assert "strength" in unknown.message
        (high,) = await videogen.check("A boat", model=LAGOON, options={"replicate": {"strength": 11}})
        assert high.nearest == 10
        quote = await videogen.estimate("A boat", model=LAGOON)
        assert (quote.amount, quote.known) == (None, False)
        with pytest.raises(UnsupportedRequestError):
            await videogen.generate("A boat", model=LAGOON, duration=30)
    async with client() as videogen:
        route = await videogen.route("A boat", model=LAGOON)
        assert route.chosen.offer == LAGOON
        assert "unknown" in route.explain()
    assert emulator.journal.counts()["requests"] == 1


async def test_the_user_gives_it_a_price(client: Clients, vendor: ServerThread, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(f'[override."{LAGOON}"]\nprices = [{{ amount = 0.02, unit = "second" }}]\n')
    async with client(catalog=path) as videogen:
        result = await videogen.generate("A boat", model=LAGOON, duration=3, resolution="480p", max_cost="0.06")
    assert result.cost == Decimal(vendor.stats()["charged"]) == Decimal("0.06")


async def test_what_is_not_there_or_is_no_video(client: Clients, emulator: ReplicateEmulator) -> None:
    async with client() as videogen:
        for name, said in (("nobody/nothing", "nobody/nothing"), ("emulated/portrait", "makes no videos")):
            with pytest.raises(ModelNotFoundError, match=said):
                await videogen.route("A boat", model=f"replicate/{name}")
        count = emulator.journal.counts()["requests"]
        for name in ("replicate/no-owner", "replicate/a/b/c", "replicate/../x"):
            with pytest.raises(ModelNotFoundError):
                await videogen.route("A boat", model=name)
    assert emulator.journal.counts()["requests"] == count


async def test_a_refused_token_and_a_schema_that_makes_no_sense(
    client: Clients, vendor: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client() as videogen:
        vendor.inject(Fault("status", on="other", status=401))
        with pytest.raises(AuthenticationError):
            await videogen.route("A boat", model=LAGOON)
        from videogen_replicate import emulator

        monkeypatch.setattr(emulator, "shown_model", lambda *args, **more: {"latest_version": {"id": 1}})
        with pytest.raises(ProviderProtocolError, match="schema"):
            await videogen.route("A boat", model=LAGOON)
    monkeypatch.delenv("REPLICATE_API_TOKEN")
    async with client() as videogen:
        with pytest.raises(MissingCredentialsError, match="REPLICATE_API_TOKEN"):
            await videogen.route("A boat", model=LAGOON)


# --- what changed against the catalogue


@pytest.mark.usefixtures("vendor")
def test_refresh_lays_the_catalogue_beside_what_replicate_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    from videogen_core import plugins
    from videogen_core.cli import main

    point = EntryPoint("replicate", "videogen_replicate.plugin", plugins.GROUP)
    monkeypatch.setattr(plugins, "_entry_points", lambda: (point,))
    assert main(["models", "--provider", "replicate", "--refresh", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    outlines = {spec.id for spec in ReplicateProvider().models() if spec.outline}
    assert told["asked"] == 40 + len(outlines)
    # where the catalogue is narrower on purpose, or wider than a schema can say
    assert {offer: said for offer, said in told["changed"].items() if offer not in outlines} == {
        "replicate/bytedance/seedance-2.0": [
            "durations: new: 1, 2, 3",
            "options: new: reference_videos, reference_audios",
        ],
        "replicate/bytedance/seedance-2.0-fast": ["durations: new: 1, 2, 3"],
    }
    # the emulator invents no schema that nobody has seen
    assert outlines <= told["changed"].keys()
    assert told["completed"] == {}


# --- models whose price is known and whose schema is not


def invented(*inputs: str, **changes: Any) -> Model:
    """A model as it may be; nobody has seen what it takes."""
    named = {name: Parameter.of(words) for name, words in (each.split(": ") for each in inputs)}
    return Model(**{"name": "minimax/h3", "input": {"prompt": Parameter.of("text*"), **named}, **changes})


H3 = "replicate/minimax/h3"
LIKELY = invented(
    "first_frame_image: file",
    "duration: 4..15 = 6",
    "resolution: 768P|2K = 768P",
    sound=True,
    heights={"768P": 768, "2K": 1440},
    prices=(Rate(usd="0.08", per="second", when={"resolution": "768P"}), Rate(usd="0.13", per="second")),
)


def test_the_rows_that_are_to_be_read_live() -> None:
    outlines = {spec.id.removeprefix("replicate/"): spec for spec in ReplicateProvider().models() if spec.outline}
    assert outlines.keys() >= {
        *("minimax/h3", "wan-video/wan-2.7-t2v", "wan-video/wan-2.7-i2v", "lightricks/ltx-2.3-fast"),
        *("lightricks/ltx-2.3-pro", "vidu/q3-pro", "vidu/q3-turbo", "prunaai/p-video"),
    }
    assert all(price.source and price.as_of for spec in outlines.values() for price in spec.prices)


async def test_from_an_outline_to_a_clip_at_the_price_of_the_row(
    client: Clients, emulator: ReplicateEmulator, vendor: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast("dict[str, Model]", models()), "minimax/h3", LIKELY)
    async with client() as videogen:
        result = await videogen.generate("A boat", model="minimax-h3", duration=4, resolution="768p", max_cost="0.32")
        quote = await videogen.estimate("A boat", model="hailuo-3", duration=5, resolution="2k")
    (create,) = emulator.journal.entries("create")
    assert create.path == "/v1/models/minimax/h3/predictions"
    assert json.loads(create.body)["input"] == {"prompt": "A boat", "duration": 4, "resolution": "768P"}
    assert (result.model, result.cost) == ("hailuo-3", Decimal("0.32"))
    assert Decimal(vendor.stats()["charged"]) == Decimal("0.32")
    assert (quote.amount, quote.source, quote.as_of) == (
        Decimal("0.65"),
        "a note of September 2026",
        date(2026, 9, 30),
    )


async def test_an_outline_whose_schema_is_otherwise_than_its_price(
    client: Clients, monkeypatch: pytest.MonkeyPatch, vendor: ServerThread
) -> None:
    odd = invented("num_frames: 16..64 = 24", "resolution: 720p|1080p = 720p")
    monkeypatch.setitem(cast("dict[str, Model]", models()), "minimax/h3", odd)
    async with client() as videogen:
        quote = await videogen.estimate("A boat", model=H3)
        assert (quote.amount, quote.notes[0]) == (
            None,
            f"The price of {H3} is unknown: its list has none for this request. You can add one in videogen.toml.",
        )
        with pytest.raises(BudgetExceededError, match="price is unknown"):
            await videogen.generate("A boat", model=H3, max_cost="1")
    assert vendor.stats()["created"] == 0


async def test_an_outline_that_replicate_does_not_have_or_that_nobody_may_ask_for(
    client: Clients, vendor: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client() as videogen:
        with pytest.raises(ModelNotFoundError, match="in the catalogue, and replicate has no model of that name"):
            await videogen.generate("A boat", model=H3)
    monkeypatch.delenv("REPLICATE_API_TOKEN")
    async with client() as videogen:
        for ask in (videogen.check, videogen.estimate, videogen.generate):
            with pytest.raises(MissingCredentialsError, match="What replicate/minimax/h3 takes is in no catalogue"):
                await ask("A boat", model=H3)
    assert vendor.stats()["created"] == 0
