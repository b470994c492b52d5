"""Catalogues: data files whose mistakes are named, and names of every kind that lead to the right offers."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from strategies import TODAY, catalogs_and_requests
from videogen_core.catalog import Catalog, CatalogFile, parse_catalog, read_catalog
from videogen_core.errors import ConfigurationError, ModelNotFoundError, RequestError
from videogen_core.request import Task, VideoRequest
from videogen_core.spec import Lifecycle, Mode, ModelSpec, OptionSpec, Price, Span, Stage

HEAD = 'source = "https://acme.example"\nas_of = 2026-11-01\n'
ROW = """
[[models]]
id = "acme/boat-1"
aliases = ["boat_v1", "Boat Old"]
seed = 4_294_967_295
default = { duration = 8, resolution = "720p" }
prices = [{ amount = 0.1, resolutions = ["720p"] }, { amount = "0.15" }]
vendor = { wire = "boat-1-001", rate = 0.5 }
latency = { typical = 60 }

[[models.modes]]
tasks = ["text_to_video"]
durations = [4, 6, 8]
resolutions = ["720p", "1080p"]
audio = [true, false]

[[models.modes]]
tasks = ["image_to_video"]
durations = { min = 2, max = 10, step = 0.5 }
resolutions = ["720p"]

[models.options.strength]
type = "number"
default = 0.5
choices = [0.25, 0.5]
"""
GOOD = HEAD + ROW


def offer(id_: str, **facts: Any) -> ModelSpec:
    known: dict[str, Any] = {"modes": (Mode(tasks=(Task.TEXT_TO_VIDEO,)),), "source": "a test", "as_of": TODAY}
    return ModelSpec(id=id_, **(known | facts))


def ids(offers: list[ModelSpec]) -> list[str]:
    return [spec.id for spec in offers]


def test_a_row_takes_what_it_does_not_say_from_the_one_it_is_like() -> None:
    twin = '[[models]]\nid = "acme/boat-2"\nlike = "acme/boat-1"\nseed = 7\nvendor = { wire = "boat-2" }\n'
    first, second = parse_catalog(GOOD + twin, origin="acme.toml").models
    assert (second.modes, second.prices, second.default) == (first.modes, first.prices, first.default)
    assert (second.id, second.seed, second.aliases, second.vendor) == ("acme/boat-2", 7, (), {"wire": "boat-2"})
    with pytest.raises(ConfigurationError, match=r"boat-2.*names no row above"):
        parse_catalog(HEAD + twin + ROW, origin="acme.toml")


def test_a_row_is_read_exactly() -> None:
    (spec,) = parse_catalog(GOOD, origin="acme.toml").models
    assert (spec.id, spec.provider, spec.name) == ("acme/boat-1", "acme", "boat-1")
    assert (spec.source, spec.as_of) == ("https://acme.example", date(2026, 11, 1))
    assert spec.modes[0].durations == (4.0, 6.0, 8.0)
    assert spec.modes[1].durations == Span(min=2, max=10, step=0.5)
    assert spec.tasks == (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
    assert [price.amount for price in spec.prices] == [Decimal("0.1"), Decimal("0.15")]
    assert spec.options["strength"] == OptionSpec(type="number", default=0.5, choices=(0.25, 0.5))
    assert type(spec.options["strength"].default) is float
    assert type(spec.vendor["rate"]) is float


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed =", "sede =", "acme/boat-1: Object contains unknown field `sede`"),
        ("durations = [4, 6, 8]", "duration = [4]", "unknown field `duration` - at `$.modes[0]`"),
        ("4_294_967_295", '"many"', "Expected `int | null`, got `str` - at `$.seed`"),
        ('tasks = ["text_to_video"]', 'tasks = ["text"]', "Invalid enum value 'text' - at `$.modes[0].tasks[0]`"),
        ("durations = [4, 6, 8]", "durations = [0]", "duration: 0.0 is not a positive number - at `$.modes[0]`"),
        ("durations = [4, 6, 8]", 'durations = ["8"]', "got `str` - at `$.modes[0].durations[0]`"),
        ("[true, false]", '["true"]', "Expected `bool`, got `str`"),
        ('["720p", "1080p"]', '["720P"]', "resolutions: write '720p' for '720P' - at `$.modes[0]`"),
        ('["720p", "1080p"]', '["big"]', "resolution: expected a name such as '720p'"),
        ("min = 2", "min = 20", "not a span: min=20.0, max=10.0"),
        ("duration = 8,", "duration = 20,", "a span of duration needs a default inside it"),
        ('resolution = "720p" }', 'resolution = "4k" }', "default.resolution 4k is a value of no mode"),
        ('"acme/boat-1"', '"boat-1"', "id 'boat-1': expected provider/name in lower case"),
        ('"acme/boat-1"', '"Acme/Boat"', "expected provider/name in lower case"),
        ("amount = 0.1,", "amount = -1,", "prices are not negative and below 10^9 - at `$.prices[0]`"),
        ('id = "acme/boat-1"\n', "", "a model without id: Object missing required field `id`"),
        ("as_of = 2026-11-01", 'as_of = "soon"', "Invalid RFC3339 encoded date"),
        (HEAD, "as_of = 2026-11-01", "Object missing required field `source`"),
        ("[[models]]", "[models]", "acme.toml: models must be a list of tables"),
        ('id = "acme/boat-1"', "id = ", "acme.toml is not valid TOML"),
        (HEAD, HEAD + "modles = 1\n", "acme.toml: unknown key 'modles'"),
        (HEAD, HEAD + "aliases = 1\n", "acme.toml: [aliases] must map names to str values"),
        (HEAD, HEAD + "aliases = {a = 1}\n", "[aliases] must map names to str values"),
        (HEAD, HEAD + 'override = {"acme/boat-1" = 1}\n', "[override] must map names to dict values"),
        (ROW, ROW + ROW, "acme.toml: the offer acme/boat-1 is defined twice"),
    ],
)
def test_a_mistake_is_named_with_file_model_and_key(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigurationError) as caught:
        parse_catalog(GOOD.replace(old, new, 1), origin="acme.toml")
    assert "acme.toml" in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize("models", [[1], "text", {"id": "a/b"}, [["a"]], 5])
def test_rows_that_are_no_tables(models: Any) -> None:
    with pytest.raises(ConfigurationError, match="models must be a list of tables"):
        read_catalog({"models": models}, origin="videogen.toml")


@pytest.mark.parametrize(
    "facts",
    [
        {"tasks": ()},
        {"audio": ()},
        {"count": 0},
        {"fps": (0.0,)},
        {"tasks": (Task.REFERENCE_TO_VIDEO,)},
        {"allows": ("reference_images",)},
        {"aspect_ratios": ("16x9",)},
        {"resolutions": ("1080p",), "default": {"resolution": "720p"}},
    ],
)
def test_modes_that_nothing_could_ever_reach(facts: dict[str, Any]) -> None:
    mode = {"tasks": ["text_to_video"]} | facts
    with pytest.raises(ConfigurationError, match=r"m\.toml: acme/m: "):
        read_catalog({"source": "s", "as_of": TODAY, "models": [{"id": "acme/m", "modes": [mode]}]}, origin="m.toml")


def test_a_price_on_an_option_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="unknown option 'turbo'"):
        offer("acme/boat", prices=(Price(amount=Decimal(1), options={"turbo": True}),))


SHARED = [
    offer("replicate/acme-boat", model="boat", aliases=("acme/boat",)),
    offer("acme/boat", first_party=True, aliases=("boat-1-001", "Boat_1")),
    offer("blue/boat", aliases=("boat-1-001",)),
    offer("blue/canoe"),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("boat", ["acme/boat", "blue/boat", "replicate/acme-boat"]),
        (" BOAT ", ["acme/boat", "blue/boat", "replicate/acme-boat"]),
        ("acme/boat", ["acme/boat"]),
        ("replicate/boat", ["replicate/acme-boat"]),
        ("replicate/acme/boat", ["replicate/acme-boat"]),
        ("boat_1", ["acme/boat"]),
        ("boat-1-001", ["acme/boat", "blue/boat"]),
        ("blue/boat-1-001", ["blue/boat"]),
        ("mine", ["blue/canoe"]),
        ("the  newest ONE", ["blue/canoe"]),
    ],
)
def test_every_kind_of_name(name: str, found: list[str]) -> None:
    catalog = Catalog(SHARED, aliases={"Mine": "the newest one", "the newest  one": "canoe"})
    assert ids(catalog.lookup(name, today=TODAY)) == found


def test_aliases_in_a_circle_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="The aliases a -> b -> c -> a run in a circle"):
        Catalog(SHARED, aliases={"a": "b", "b": "c", "c": "a"})
    with pytest.raises(ConfigurationError, match="boat -> boat run in a circle"):
        Catalog(SHARED).merged(CatalogFile(aliases={"Boat": "boat"}), origin="videogen.toml")
    long = {f"a{i}": f"a{i + 1}" for i in range(50)} | {"a50": "canoe"}
    assert ids(Catalog(SHARED, aliases=long).lookup("a0", today=TODAY)) == ["blue/canoe"]
    assert ids(Catalog(SHARED, aliases={"boat": "blue/boat"}).lookup("boat", today=TODAY)) == ["blue/boat"]


def test_an_unknown_name_gets_the_closest_ones() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        Catalog(SHARED).lookup("cano", today=TODAY)
    assert caught.value.message == "No installed plugin offers a model named 'cano'."
    assert (caught.value.hint or "").startswith("Did you mean canoe")
    with pytest.raises(ModelNotFoundError) as caught:
        Catalog(SHARED, aliases={"mine": "canoo"}).lookup("mine", today=TODAY, hint="Install videogen-canoe.")
    assert "'mine' (your alias for 'canoo')" in caught.value.message
    assert caught.value.hint == "Did you mean canoe? Install videogen-canoe."
    with pytest.raises(ModelNotFoundError, match="models") as caught:
        Catalog([]).lookup("zzz", today=TODAY)


@pytest.mark.parametrize("name", [None, 5, ["boat"], "x" * 1_000_000, "", "\x00"])
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(RequestError) as caught:
        Catalog(SHARED).lookup(name, today=TODAY)
    assert len(str(caught.value)) < 500


def test_a_retired_model_says_since_when_and_what_replaced_it() -> None:
    life = Lifecycle(retired=date(2026, 7, 30), replaced_by="boat-2", note="Its maker closed.")
    gone = Lifecycle(stage=Stage.RETIRED)
    catalog = Catalog([offer("acme/boat", lifecycle=life), offer("blue/boat", lifecycle=gone)])
    with pytest.raises(ModelNotFoundError) as caught:
        catalog.lookup("boat", today=TODAY)
    assert caught.value.message == "boat (acme/boat) was retired on 2026-07-30. Its maker closed."
    assert caught.value.hint == "Use boat-2."
    assert ids(catalog.lookup("boat", today=date(2026, 7, 29))) == ["acme/boat"]
    with pytest.raises(ModelNotFoundError, match=r"was retired\."):
        Catalog([offer("acme/gone", modes=(), lifecycle=gone)]).lookup("gone", today=TODAY)


@pytest.mark.parametrize(
    ("life", "stage"),
    [
        (Lifecycle(), Stage.GA),
        (Lifecycle(stage=Stage.PREVIEW), Stage.PREVIEW),
        (Lifecycle(deprecated=TODAY), Stage.DEPRECATED),
        (Lifecycle(deprecated=date(2027, 1, 1)), Stage.GA),
        (Lifecycle(deprecated=date(2026, 1, 1), retired=TODAY), Stage.RETIRED),
        (Lifecycle(stage=Stage.DEPRECATED, retired=date(2027, 1, 1)), Stage.DEPRECATED),
    ],
)
def test_dates_that_have_passed_count(life: Lifecycle, stage: Stage) -> None:
    assert life.stage_on(TODAY) is stage


def test_a_users_file_overrides_and_adds() -> None:
    base = Catalog(parse_catalog(GOOD, origin="acme.toml").models)
    text = (
        HEAD
        + """
        models = [{ id = "mine/raft", modes = [{ tasks = ["text_to_video"] }] }]
        aliases = { favourite = "raft" }
        [override."acme/boat-1"]
        seed = 7
        prices = [{ amount = 0.01, unit = "video" }]
    """
    )
    merged = base.merged(parse_catalog(text, origin="videogen.toml"), origin="videogen.toml")
    assert ids(merged.lookup("favourite", today=TODAY)) == ["mine/raft"]
    (old,), (new,) = base.offers, merged.lookup("boat_v1", today=TODAY)
    assert (new.seed, new.prices) == (7, (Price(amount=Decimal("0.01"), unit="video"),))
    assert msgspec.structs.replace(new, seed=old.seed, prices=old.prices) == old
    assert len(base) == 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"acme/boat-2": {}}, "[override.'acme/boat-2'] names no offer."),
        ({"acme/boat-1": {"seed": "x"}}, "videogen.toml: [override]: acme/boat-1: Expected `int | null`, got `str`"),
        ({"acme/boat-1": {"colour": 1}}, "unknown field `colour`"),
    ],
)
def test_an_override_that_does_not_fit(override: dict[str, dict[str, Any]], words: str) -> None:
    base = Catalog(parse_catalog(GOOD, origin="acme.toml").models)
    with pytest.raises(ConfigurationError) as caught:
        base.merged(CatalogFile(override=override), origin="videogen.toml")
    assert words in caught.value.message
    assert "acme/boat-2" not in override or caught.value.hint == "Did you mean acme/boat-1?"


def test_two_offers_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="acme/boat is defined twice"):
        Catalog([offer("acme/boat"), offer("acme/boat")])


@settings(max_examples=200)
@given(catalogs_and_requests, st.randoms())
def test_nothing_depends_on_the_order_of_registration(pair: tuple[Catalog, VideoRequest], random: Any) -> None:
    catalog, _ = pair
    shuffled = list(catalog.offers)
    random.shuffle(shuffled)
    again = Catalog(shuffled)
    assert again.offers == catalog.offers
    for name in ("boat", "reed", *ids(shuffled)):
        assert again.find(name) == catalog.find(name)
        assert again.closest(name + "x") == catalog.closest(name + "x")


@settings(max_examples=200)
@given(catalogs_and_requests)
def test_offers_survive_json(pair: tuple[Catalog, VideoRequest]) -> None:
    for spec in pair[0].offers:
        assert msgspec.json.decode(msgspec.json.encode(spec), type=ModelSpec) == spec


def test_the_schema_exports_as_json_schema() -> None:
    schema = json.loads(json.dumps(msgspec.json.schema(CatalogFile)))
    row = schema["$defs"]["ModelSpec"]
    assert row["required"] == ["id", "source", "as_of"]
    assert row["additionalProperties"] is False
    assert schema["$defs"]["Task"]["enum"] == sorted(Task)


SWITCH = OptionSpec(type="boolean")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fold_it": SWITCH},
        {"fold": OptionSpec(type="string")},
        {"fold": OptionSpec(type="boolean", default=True)},
    ],
)
def test_a_negative_prompt_hangs_on_a_boolean_option_that_is_off(options: dict[str, OptionSpec]) -> None:
    with pytest.raises(ValueError, match="acme/a: negative_prompt names no boolean option that is off by default"):
        offer("acme/a", negative_prompt="fold", options=options)


def test_a_catalogue_names_the_option_that_a_negative_prompt_hangs_on() -> None:
    for default in (None, False):
        assert offer("acme/a", negative_prompt="fold", options={"fold": OptionSpec(type="boolean", default=default)})
    switch = '[models.options.fold]\ntype = "boolean"\n'
    text = GOOD.replace("seed =", 'negative_prompt = "fold"\nseed =')
    (spec,) = parse_catalog(text + switch, origin="acme.toml").models
    assert spec.negative_prompt == "fold"
    with pytest.raises(ConfigurationError, match="negative_prompt names no boolean option"):
        parse_catalog(text, origin="acme.toml")
    schema = msgspec.json.schema(ModelSpec)["$defs"]["ModelSpec"]["properties"]["negative_prompt"]
    assert schema == {"anyOf": [{"type": "boolean"}, {"type": "string"}], "default": False}
