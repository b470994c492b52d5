"""The cache key: whatever decides what comes out changes it, and nothing else does."""

from __future__ import annotations

import hashlib
import string
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

import strategies as our
from videogen_core.cachekey import cache_key, is_cacheable
from videogen_core.capabilities import check, resolve
from videogen_core.request import Media, Task, VideoRequest
from videogen_core.spec import Defaults, Mode, ModelSpec, OptionSpec
from videogen_core.states import CacheUse

SHA = hashlib.sha256(b"boat").hexdigest()
SPEC = ModelSpec(
    id="acme/paper",
    modes=(
        Mode(
            tasks=tuple(Task),
            durations=(4.0, 8.0),
            resolutions=("720p",),
            reference_images=2,
            default=Defaults(duration=8),
        ),
    ),
    seed=2**32,
    options={
        "turbo": OptionSpec(type="boolean", default=False),
        "strength": OptionSpec(type="number"),
        "look": OptionSpec(type="object"),
    },
    vendor={"name": "paper-001"},
    source="a test",
    as_of=date(2026, 11, 1),
)
REQUEST = VideoRequest.make("a boat", duration=8, resolution="720p", aspect_ratio="16:9", audio=True, seed=7)


def key(request: VideoRequest = REQUEST, spec: ModelSpec = SPEC, account: str = "me") -> str:
    found = cache_key(request, spec, account=account)
    assert found is not None
    assert len(found) == 64
    return found


def changed(**changes: Any) -> VideoRequest:
    return msgspec.structs.replace(REQUEST, **changes)


def options(**given: Any) -> VideoRequest:
    return changed(options={"acme": given})


def seen(sha256: str = SHA, **facts: Any) -> Media:
    return Media(**{"path": "boat.png", **facts}, sha256=sha256)


OTHER: dict[str, Any] = {
    "prompt": "a boat ",
    "task": Task.UPSCALE_VIDEO,
    "duration": 8.000001,
    "resolution": "1080p",
    "aspect_ratio": "9:16",
    "audio": False,
    "fps": 24.0,
    "seed": 8,
    "count": 2,
    "image": seen(),
    "last_frame": seen(),
    "reference_images": (seen(),),
    "video": seen(),
    "negative_prompt": "rain",
    "camera": ("push in",),
    "options": {"acme": {"turbo": True}},
}


@pytest.mark.promise("C1")
def test_every_field_of_a_request_counts() -> None:
    assert set(OTHER) == set(VideoRequest.__struct_fields__)
    keys = [key(), *(key(changed(**{name: value})) for name, value in OTHER.items())]
    assert len(set(keys)) == len(keys)


@pytest.mark.promise("C1")
@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(SPEC, id="blue/paper"),
        msgspec.structs.replace(SPEC, id="acme/paper-fast"),
        msgspec.structs.replace(SPEC, vendor={"name": "paper-002"}),
        msgspec.structs.replace(SPEC, sizes={"720p": {"16:9": (1248, 704)}}),
        msgspec.structs.replace(SPEC, options={"turbo": OptionSpec(type="boolean", default=True)}),
    ],
    ids=["provider", "offer", "revision", "pixels", "default of an option"],
)
def test_what_the_offer_is_counts(other: ModelSpec) -> None:
    assert key(spec=other) != key()


@pytest.mark.promise("C1")
def test_the_account_counts_and_is_not_in_the_key() -> None:
    assert key(account="me") != key(account="you") != key(account="")
    assert key(account="\ud800")  # an odd environment variable


def test_what_the_offer_costs_and_how_long_it_takes_does_not_count() -> None:
    later = msgspec.structs.replace(SPEC, title="Paper", aliases=("old",), as_of=date(2027, 1, 1), prices=())
    assert key(spec=later) == key()


@pytest.mark.promise("C1")
def test_a_default_written_out_is_the_default() -> None:
    assert key(options(turbo=False)) == key()
    assert key(options(turbo=True)) != key()
    assert key(changed(options={"zenith": {"turbo": True}})) == key(), "that is not sent to this provider"
    left_out = resolve(SPEC, VideoRequest.make("a boat")).request
    assert key(left_out) == key(resolve(SPEC, VideoRequest.make("a boat", duration=8, resolution=720)).request)


@pytest.mark.promise("C1")
def test_an_input_is_its_bytes_wherever_they_are() -> None:
    image = key(changed(image=seen()))
    same = [
        seen(path="elsewhere.png"),
        seen(path=None, url="https://a.example/boat.png?token=secret"),
        seen(SHA.upper()),
        seen(width=10, size=4, mime_type="image/png"),
        Media(data=b"boat"),
        Media(data=b"boat", sha256="f" * 64),  # the bytes count, not what is said of them
    ]
    assert {key(changed(image=media)) for media in same} == {image}
    assert key(changed(image=seen("0" * 64))) != image
    assert key(changed(image=seen(), last_frame=seen("0" * 64))) != key(
        changed(image=seen("0" * 64), last_frame=seen())
    )
    two = (seen(), seen("0" * 64))
    assert key(changed(reference_images=two)) != key(changed(reference_images=two[::-1]))


@pytest.mark.promise("C1")
@pytest.mark.parametrize(
    "media",
    [
        Media(url="https://a.example/boat.png"),
        Media(path="boat.png"),
        seen(""),
        seen("0" * 63),
        seen("boat.png"),
    ],
    ids=lambda media: media.label + (media.sha256 or ""),
)
def test_an_input_that_nobody_looked_into_has_no_key(media: Media) -> None:
    for field in ("image", "last_frame", "video"):
        assert cache_key(changed(**{field: media}), SPEC, account="") is None
    assert cache_key(changed(reference_images=(seen(), media)), SPEC, account="") is None


NESTED: Any = []
NESTED.append(NESTED)


@pytest.mark.promise("C1")
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), b"boat", {1: 2}, {"boat"}, "\ud800", NESTED],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_what_is_not_plain_data_has_no_key(value: Any) -> None:
    assert cache_key(options(look={"a": value}), SPEC, account="") is None


def test_text_is_taken_as_given() -> None:
    composed, decomposed = key(changed(prompt="caf\u00e9")), key(changed(prompt="cafe\u0301"))
    assert composed != decomposed


def test_the_key_is_the_hash_of_this_text() -> None:
    """Another text for the same request would make every cache in the world useless: raise `_VERSION` then."""
    request = changed(image=seen(), camera=("push in",), options={"acme": {"strength": 0.50, "look": {"b": [1, "1"]}}})
    account = hashlib.sha256(b"me").hexdigest()
    text = (
        f'{{"account":"={account}","aspect_ratio":"=16:9","audio":true,"camera":["=push in"],"count":"1",'
        f'"duration":"8","fps":null,"inputs":{{"image":"={SHA}"}},"negative_prompt":null,"offer":"=acme/paper",'
        '"options":{"look":{"b":["1","=1"]},"strength":"5e-1","turbo":false},"output":"=video","pixels":null,'
        '"prompt":"=a boat","resolution":"=720p","revision":{"name":"=paper-001"},"seed":"7","task":"=text_to_video",'
        '"version":"1"}'
    )
    assert key(request) == hashlib.sha256(text.encode()).hexdigest()


# --- numbers --------------------------------------------------------------------------------------------------


@pytest.mark.promise("C1")
@given(st.integers(-(2**63), 2**64), st.integers(0, 6))
def test_a_number_has_one_spelling(number: int, zeros: int) -> None:
    spellings = {
        key(options(strength=number)),
        key(options(strength=Decimal(number))),
        key(options(strength=Decimal(f"{number}.{'0' * zeros}"))),
    }
    if int(float(number)) == number and abs(number) < 2**53:
        spellings.add(key(options(strength=float(number))))
    assert len(spellings) == 1


@pytest.mark.promise("C1")
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_that_one_reads(number: float) -> None:
    assert key(options(strength=number)) == key(options(strength=Decimal(repr(number))))


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8") | st.sampled_from("=-0123456789e."), max_size=6)
trees = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal as plain data: True is not 1, "1" is not 1, and 1 is 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return Decimal(repr(a)) == Decimal(repr(b))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.promise("C1")
@given(trees, trees)
def test_two_values_share_a_key_only_when_they_are_the_same(a: Any, b: Any) -> None:
    assert (key(options(look=a)) == key(options(look=b))) == same(a, b)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.promise("C1")
@given(trees)
def test_the_order_of_names_does_not_count(tree: Any) -> None:
    assert key(options(look=tree, turbo=True)) == key(
        changed(options={"acme": {"turbo": True, "look": shuffled(tree)}})
    )


# --- any offer, any request -----------------------------------------------------------------------------------


@pytest.mark.promise("C1")
@given(our.offers_and_requests, st.sampled_from(["prompt", "seed", "count", "duration", "negative_prompt", "camera"]))
def test_any_resolved_request_is_changed_by_any_change(drawn: tuple[ModelSpec, VideoRequest], field: str) -> None:
    spec, request = drawn
    if check(spec, request):
        return
    request = resolve(spec, request).request
    known = {name: seen() for name in ("image", "last_frame", "video") if getattr(request, name) is not None}
    request = msgspec.structs.replace(
        request, **known, reference_images=tuple(seen() for _ in request.reference_images)
    )
    other: dict[str, Any] = {
        "prompt": f"{request.prompt}.",
        "seed": 7 if request.seed is None else request.seed + 1,
        "count": request.count + 1,
        "duration": (request.duration or 0.0) + 0.5,
        "negative_prompt": f"{request.negative_prompt or ''}.",
        "camera": (*request.camera, "shake"),
    }
    again = msgspec.json.decode(msgspec.json.encode(request), type=VideoRequest)  # as the ledger gives it back
    assert key(again, spec) == key(request, spec)
    assert key(msgspec.structs.replace(request, **{field: other[field]}), spec) != key(request, spec)


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=3), st.integers(0, 3), max_size=3))
def test_what_is_not_sent_is_not_asked(tags: dict[str, int]) -> None:
    assert key(changed(options={"other": tags})) == key()


# --- who may be served ----------------------------------------------------------------------------------------

UNSEEDED_MODEL = msgspec.structs.replace(SPEC, seed=None)


@pytest.mark.promise("C3")
@pytest.mark.parametrize(
    ("seed", "spec", "cache", "answer"),
    [
        (7, SPEC, "seeded", True),
        (0, SPEC, "seeded", True),
        (7, SPEC, "any", True),
        (7, SPEC, "no", False),
        (None, SPEC, "seeded", False),
        (None, SPEC, "any", True),
        (None, SPEC, "no", False),
        (None, UNSEEDED_MODEL, "seeded", False),
        (7, UNSEEDED_MODEL, "seeded", False),
        (None, UNSEEDED_MODEL, "any", True),
    ],
)
def test_without_a_seed_a_clip_is_shared_only_when_asked(
    seed: int | None, spec: ModelSpec, cache: CacheUse, answer: bool
) -> None:
    assert is_cacheable(changed(seed=seed), spec, cache) is answer
