"""The request: every wrong argument is refused helpfully, every right one has one spelling."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from videogen_core.errors import InvalidMediaError, RequestError
from videogen_core.request import Media, Task, VideoRequest

make = VideoRequest.make
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


class Hostile:
    """Raises whatever one does with it."""

    def _never(self, *args: Any) -> Any:
        raise ZeroDivisionError("hostile")

    __repr__ = __str__ = __float__ = __index__ = __len__ = __iter__ = __bool__ = __fspath__ = _never

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError("hostile")


class Foreign(Hostile):
    """The same, but hypothesis can print it."""

    def __repr__(self) -> str:
        return "Foreign()"


class Text(str):
    """A subclass whose own words must not get through."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ZeroDivisionError("hostile")


def short(value: Any) -> str:
    """What a case is called."""
    return ascii(value[:20])[1:-1] if isinstance(value, str) else type(value).__name__


def endless() -> Iterator[str]:
    return itertools.repeat("push in")


ITSELF: dict[str, Any] = {}
ITSELF["acme"] = {"again": ITSELF}

WRONG: list[tuple[str, Any, str]] = [
    ("prompt", 5, "expected text, got int"),
    ("prompt", b"boat", "expected text, got bytes"),
    ("prompt", ["boat"], "expected text, got list"),
    ("prompt", "x" * 10_000_000, "10,000,000 characters is more than any model takes"),
    ("prompt", "a\x00b", "NUL"),
    ("prompt", "boat \ud83d", "surrogate pair at position 5"),
    ("negative_prompt", 3.0, "expected text"),
    ("task", "text2video", "'text2video' is not a task"),
    ("task", 3, "3 is not a task"),
    ("duration", 0, "positive number of seconds"),
    ("duration", -8, "positive number of seconds"),
    ("duration", float("nan"), "got nan"),
    ("duration", float("inf"), "got inf"),
    ("duration", True, "got True"),
    ("duration", "eight", "got 'eight'"),
    ("duration", [8], "positive number of seconds"),
    ("duration", 10**400, "positive number of seconds"),
    ("duration", 86_400, "below 86,400"),
    ("fps", 0, "frames per second"),
    ("fps", False, "frames per second"),
    ("fps", 1000, "below 1,000"),
    ("resolution", "big", "'720p' or '4k'"),
    ("resolution", "1280x720", "'720p' or '4k'"),
    ("resolution", "0720p", "'720p' or '4k'"),
    ("resolution", "\u0667\u0662\u0660p", "'720p' or '4k'"),
    ("resolution", 0, "'720p' or '4k'"),
    ("resolution", True, "got True"),
    ("resolution", 10**5000, "'720p' or '4k'"),
    ("aspect_ratio", "wide", "'16:9'"),
    ("aspect_ratio", "16:0", "'16:9'"),
    ("aspect_ratio", "0:9", "'16:9'"),
    ("aspect_ratio", (16, 9), "got (16, 9)"),
    ("aspect_ratio", 1.78, "got 1.78"),
    ("audio", 1, "True or False, got 1"),
    ("audio", "yes", "got 'yes'"),
    ("seed", -1, "from 0"),
    ("seed", 2**63, "from 0"),
    ("seed", 1.5, "whole number"),
    ("seed", True, "got True"),
    ("seed", "7", "whole number"),
    ("seed", float("nan"), "got nan"),
    *(
        (field, Hostile(), field)
        for field in ("prompt", "duration", "seed", "audio", "resolution", "camera", "options")
    ),
    ("count", 0, "from 1 to 1000"),
    ("count", 1001, "from 1 to 1000"),
    ("count", True, "got True"),
    ("camera", 7, "list of moves, got int"),
    ("camera", ["push in", ""], "expected moves"),
    ("camera", [None], "expected moves"),
    ("camera", {"push in", "pan left"}, "list of moves, got set"),
    ("camera", endless(), "more than 1000"),
    ("options", "fast", "a dict per provider"),
    ("options", {"acme": 1}, "a dict per provider"),
    ("options", {1: {"a": 1}}, "keys are text, got 1"),
    ("options", {"acme": {"a": {2: 3}}}, "options.acme.a: keys are text"),
    ("options", {"acme": {"a": float("nan")}}, "options.acme.a: NaN"),
    ("options", {"acme": {"a": [1, float("inf")]}}, "options.acme.a[1]: NaN"),
    ("options", {"acme": {"a": Decimal("0.5")}}, "options.acme.a: Decimal is not plain data"),
    ("options", {"acme": {"a": b"bytes"}}, "bytes is not plain data"),
    ("options", {"acme": {"a": Path("/x")}}, "is not plain data"),
    ("options", {"acme": {"a": {1, 2}}}, "set is not plain data"),
    ("options", {"acme": {"a": "half \ud800"}}, "options.acme.a: it holds half of a surrogate pair"),
    ("options", {"acme": {"a": 2**70}}, "64 bits"),
    ("options", ITSELF, "too large or too deeply nested"),
    ("options", {"acme": {"a": [0] * 200_000}}, "too large or too deeply nested"),
]

WRONG_MEDIA: list[tuple[Any, str]] = [
    ("", "the path is empty"),
    ("   ", "the path is empty"),
    (b"", "the bytes are empty"),
    (7, "expected a path, an http(s) URL, a data URI, bytes or a PIL image, got int"),
    (["boat.png"], "got list"),
    ("data:image/png;base64,@@@", "cannot be decoded"),
    ("data:image/png;base64", "cannot be decoded"),
    ("data:image/png;base64,", "the data URI is empty"),
    ("boat\x00.png", "not valid text"),
    ("boat\ud800.png", "not valid text"),
    ("A" * 40_000, "40,000 characters are no path or URL"),
    (Media(), "exactly one of path, url and data"),
    (Media(path="a.png", url="https://a.example/b.png"), "exactly one"),
    (SimpleNamespace(mode="RGB", save=lambda *a, **k: None), "the bytes are empty"),
    (Image.new("CMYK", (2, 2)), "this Image cannot be read (OSError)"),
    (Hostile(), "this Hostile cannot be read (ZeroDivisionError)"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG, ids=short)
def test_a_wrong_argument_is_refused_by_name_with_what_is_wrong(field: str, value: Any, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(**{field: value})
    assert field in caught.value.message
    assert words in caught.value.message
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(("value", "words"), WRONG_MEDIA, ids=short)
@pytest.mark.parametrize("field", ["image", "last_frame", "video", "reference_images"])
def test_a_wrong_input_is_refused_by_name(field: str, value: Any, words: str) -> None:
    arguments: dict[str, Any] = {field: [value] if field == "reference_images" else value}
    with pytest.raises(InvalidMediaError, match=rf"^{field}") as caught:
        make(**arguments)
    assert words in caught.value.message
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("value", ["boat.png", b"png", Path("boat.png"), {"a.png": 1}, {"a.png"}, 7])
def test_reference_images_are_a_list(value: Any) -> None:
    with pytest.raises(RequestError, match="expected a list of images"):
        make(reference_images=value)


# By name, because hypothesis cannot print the worst of them.
ODD: dict[str, Any] = {
    "foreign": Foreign(), "text": Text("720p"), "object": object(), "class": type, "function": len, "path": Path("x"),
    "empty view": memoryview(b"x")[:0], "range": range(3), "half a picture": SimpleNamespace(save=1, mode=2),
    "fraction": Fraction(1, 3), "false float": SimpleNamespace(__float__=3),
}  # fmt: skip
anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(),
        st.decimals(), st.fractions(), st.dates(), st.from_regex(r"data:[a-z/;]*(base64)?,.*"),
        st.sampled_from(sorted(ODD)).map(lambda name: ODD[name]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.text(), inner, max_size=3),
        st.dictionaries(st.just("acme"), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
        st.builds(iter, st.lists(inner, max_size=2)),
    ),
    max_leaves=5,
)  # fmt: skip
FIELDS = list(VideoRequest.__struct_fields__)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=3))
def test_no_python_object_gets_past_as_another_error(arguments: dict[str, Any]) -> None:
    try:
        request = make(**arguments)
    except RequestError as error:
        str(error).encode()
    else:
        assert msgspec.json.decode(msgspec.json.encode(request), type=VideoRequest) == request
        assert len(request.fingerprint()) == 64


@pytest.mark.parametrize(
    ("field", "value", "normal"),
    [
        ("resolution", "4K", "4k"),
        ("resolution", " 1080P ", "1080p"),
        ("resolution", "2160p", "4k"),
        ("resolution", "UHD", "4k"),
        ("resolution", "FullHD", "1080p"),
        ("resolution", "1440p", "2k"),
        ("resolution", 720, "720p"),
        ("resolution", Text("720p"), "720p"),
        ("resolution", "Auto", "auto"),
        ("aspect_ratio", "16x9", "16:9"),
        ("aspect_ratio", "9/16", "9:16"),
        ("aspect_ratio", "016:09", "16:9"),
        ("aspect_ratio", "adaptive", "auto"),
        ("duration", 8, 8.0),
        ("duration", "8", 8.0),
        ("duration", Decimal("7.5"), 7.5),
        ("duration", Fraction(1, 2), 0.5),
        ("seed", 7.0, 7),
        ("seed", 0, 0),
        ("count", None, 1),
        ("camera", "Push  In", ("push in",)),
        ("camera", (move for move in ["pan left", "shake"]), ("pan left", "shake")),
        ("negative_prompt", "", None),
        ("prompt", None, ""),
        ("prompt", "👩‍👩‍👧 a boat", "👩‍👩‍👧 a boat"),
        ("options", {"acme": {"a": (1, 2), "b": None}, "blue": {}}, {"acme": {"a": [1, 2], "b": None}}),
    ],
    ids=short,
)
def test_values_have_one_spelling(field: str, value: Any, normal: Any) -> None:
    made = getattr(make(**{field: value}), field)
    assert made == normal
    assert type(made) is type(normal)


@pytest.mark.parametrize(
    ("inputs", "task"),
    [
        ({}, Task.TEXT_TO_VIDEO),
        ({"image": "a.png"}, Task.IMAGE_TO_VIDEO),
        ({"image": "a.png", "last_frame": "b.png"}, Task.FIRST_LAST_FRAME),
        ({"last_frame": "b.png"}, Task.FIRST_LAST_FRAME),
        ({"reference_images": ["a.png"]}, Task.REFERENCE_TO_VIDEO),
        ({"image": "a.png", "reference_images": ["a.png"]}, Task.REFERENCE_TO_VIDEO),
        ({"reference_images": []}, Task.TEXT_TO_VIDEO),
        ({"video": "a.mp4"}, Task.EDIT_VIDEO),
        ({"video": "a.mp4", "task": "extend_video"}, Task.EXTEND_VIDEO),
        ({"image": "a.png", "task": Task.ANIMATE_CHARACTER}, Task.ANIMATE_CHARACTER),
    ],
)
def test_the_task_follows_from_the_inputs(inputs: dict[str, Any], task: Task) -> None:
    assert make("a boat", **inputs).task is task


ENCODED = base64.b64encode(PIXEL).decode()


@pytest.mark.parametrize(
    ("value", "media"),
    [
        ("boat.png", Media(path="boat.png")),
        (Path("📁/boat 👩‍👩‍👧.png"), Media(path="📁/boat 👩‍👩‍👧.png")),
        ("C:/boat.png", Media(path="C:/boat.png")),
        ("https://a.example/b.png", Media(url="https://a.example/b.png")),
        ("gs://bucket/b.png", Media(url="gs://bucket/b.png")),
        (PIXEL, Media(data=PIXEL)),
        (bytearray(PIXEL), Media(data=PIXEL)),
        (memoryview(PIXEL), Media(data=PIXEL)),
        (f"data:image/png;base64,{ENCODED}", Media(data=PIXEL)),
        (f"DATA:image/png;charset=x;BASE64,{ENCODED[:20]}\n {ENCODED[20:]}", Media(data=PIXEL)),
        ("data:text/plain,a%20boat", Media(data=b"a boat")),
        (Media(url="https://a.example/b.png"), Media(url="https://a.example/b.png")),
    ],
    ids=short,
)
def test_media_come_in_many_forms(value: Any, media: Media) -> None:
    assert make(image=value).image == media


def test_a_pil_image_becomes_a_png() -> None:
    made = make(image=Image.new("RGB", (2, 3))).image
    assert made is not None
    assert (made.data or b"").startswith(b"\x89PNG")


def test_labels_keep_secrets_to_themselves() -> None:
    assert Media(url="https://me:secret@a.example/b.png?sig=secret#x").label == "https://a.example/b.png"
    assert Media(data=b"123").label == "3 bytes"
    assert "secret" not in str(make(image="https://a.example/b.png?sig=secret").given())
    for media in (Media(url="https://me:secret@a.example/b.png?sig=secret#x"), Media(data=b"secret")):
        assert "secret" not in repr(media) + str(media.__rich_repr__())
    for image in ("https://me:secret@a.example/b.png", "gs://me@a/b", Media(url="http://a.example\\@h/")):
        with pytest.raises(InvalidMediaError, match="user name or password"):
            make(image=image)
    assert make(image="https://a.example/@me/b.png?c=d@e").image.label == "https://a.example/@me/b.png"


def test_given_lists_what_was_set_and_no_bytes() -> None:
    request = make("a boat", duration=8, image=PIXEL, options={"acme": {"a": 1}})
    assert request.given() == {
        "prompt": "a boat",
        "task": "image_to_video",
        "duration": 8.0,
        "image": f"{len(PIXEL)} bytes",
        "options": {"acme": {"a": 1}},
    }


def test_a_fingerprint_tells_requests_apart_and_nothing_else() -> None:
    request = make("a boat", duration=8, options={"acme": {"a": 1, "b": 2}})
    assert request.fingerprint() == make("a boat", duration="8", options={"acme": {"b": 2, "a": 1}}).fingerprint()
    assert request.fingerprint() == "4f22c2aa71441de8496162f7981c1d7ca358c4a228181f2c3cbb1486e7845f67"
    different = [
        make("a boat", duration=8),
        make("a boat", image=b"first picture"),
        make("a boat", image=b"other picture"),
        make("a boat", image="https://a.example/b.png?id=1"),
        make("a boat", image="https://a.example/b.png?id=2"),
        make("a boat", last_frame=b"first picture", image=b"other picture"),
        make("a boat", seed=0),
    ]
    assert len({one.fingerprint() for one in different}) == len(different)


def test_a_fingerprint_follows_the_content_once_it_is_known() -> None:
    by_path = make(image=Media(path="a.png", sha256="abc"))
    assert by_path.fingerprint() == make(image=Media(url="https://a.example/a.png", sha256="abc")).fingerprint()
