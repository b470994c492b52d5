"""Calls to a vendor's API: what an answer must be, what it means, and what a failure shows."""

from __future__ import annotations

import gzip
import pickle
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from loopback import RESET, Answer as Script, Request, head, serving, whole
from videogen_core import errors, transport
from videogen_core.calls import MAX_ANSWER, call, get_with_retry
from videogen_core.errors import ProviderProtocolError, ProviderUnavailableError
from videogen_core.outcomes import Answer, accepted, error_for_status, usable_id
from videogen_core.secret import Secret
from videogen_core.strict_json import MAX_BRACKETS, MAX_DEPTH

CANARY = "sk-canary/7f3a+9b1c=="
REFUSED = (400, 401, 402, 403, 404, 405, 413, 415, 422, 429)
LEFT_OPEN = (*range(100, 104), *range(200, 209), *range(300, 309), 408, 409, 410, 418, 425, 499, *range(500, 512), 529)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(script: Script, *, method: str = "POST", **parts: Any) -> Answer:
    """One call to a server that answers so."""
    with serving(a=script) as server:
        async with transport.client(trust_env=False) as http:
            return await call(http, method, f"{server.url}/a", provider="acme", action="submit", **parts)


def answer(body: bytes, status: int = 200, **headers: str) -> Answer:
    return Answer(provider="acme", status=status, headers=headers, body=body)


# --- what an answer must be


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_an_answer_is_read_as_it_is() -> None:
    body = b'{"id": "job-1", "new": [1.50, null, {"deep": true}], "id": "job-2"}'
    date = "Fri, 20 Nov 2026 12:00:00 GMT"
    found = await ask(whole(body, X_Request_Id="r-1", Date=date, retry_after=7), json={"prompt": "x"})
    assert (found.status, found.ok, found.request_id, found.retry_after) == (200, True, "r-1", 7.0)
    assert found.date == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert found.json() == {"id": "job-2", "new": [1.5, None, {"deep": True}]}
    assert found.text == body.decode()
    assert found.id(found.json()["id"]) == "job-2"
    assert repr(found) == "Answer(provider='acme', status=200)"


class Job(msgspec.Struct):
    id: str
    cost: Decimal | None = None


@pytest.mark.promise("P1")
def test_a_shape_can_be_asked_for() -> None:
    found = answer(b'{"id": "j", "cost": 0.10, "unknown": {"kept": "in text"}}').json(Job)
    assert (found.id, str(found.cost)) == ("j", "0.10")
    with pytest.raises(ProviderProtocolError, match=r"Expected `str`, got `int` - at `\$\.id`"):
        answer(b'{"id": 3}').json(Job)


GARBAGE = {
    "empty": b"",
    "space": b"  \n",
    "html": b"<html><body>502</body></html>",
    "cut": b'{"id": "jo',
    "more": b'{"id": "a"} {"id": "b"}',
    "nan": b'{"cost": NaN}',
    "infinity": b'{"cost": -Infinity}',
    "too large a number": b'{"cost": 1e999}',
    "digits": b"1" * 5_000,
    "latin-1": b'{"id": "caf\xe9"}',
    "overlong": b'{"id": "\xc0\xaf"}',
    "surrogate bytes": b'{"id": "\xed\xa0\x80"}',
    "half a pair": b'{"id": "\\ud800"}',
    "bom": b'\xef\xbb\xbf{"id": "a"}',
    "utf-16": '{"id": "a"}'.encode("utf-16"),
    "control": b'{"id": "a\x00b"}',
    "single quotes": b"{'id': 'a'}",
    "comma": b'{"id": "a",}',
    "comment": b'{"id": "a"} // x',
    "deep": b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
    "very deep": b"[" * 90_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "many": b"[" + b"{}," * MAX_BRACKETS + b"{}]",
}


@pytest.mark.promise("P1")
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_protocol_error(body: bytes) -> None:
    for kind in (Any, Job, dict[str, int]):
        with pytest.raises(ProviderProtocolError) as caught:
            answer(body, **{"x-request-id": "r-1"}).json(kind)
        error = caught.value
        assert (error.provider, error.status_code, error.request_id) == ("acme", 200, "r-1")
        assert (error.accepted, error.retryable) == (None, True)
        assert error.__cause__ is None


@pytest.mark.promise("P1")
def test_garbage_in_a_field_that_is_skipped_counts_too() -> None:
    for body in (
        b'{"id": "a", "x": "\xff"}',
        b'{"id": "a", "x": NaN}',
        b'{"id": "a", "x": ' + b"[" * 200 + b"]" * 200 + b"}",
    ):
        with pytest.raises(ProviderProtocolError):
            answer(body).json(Job)


@pytest.mark.promise("P1")
def test_what_is_legal_is_read() -> None:
    legal = [
        b"null",
        b"[]",
        b"-0",
        b'"x"',
        b'{"a": 1e-999}',
        b"12345678901234567890123",
        b'"\\ud83d\\ude00"',
        b' {"a":\t1}\r\n',
    ]
    legal += [b"[" * MAX_DEPTH + b"]" * MAX_DEPTH]
    for body in legal:
        answer(body).json()


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("value", "usable"),
    [
        *(("a", True), ("~" * 512, True), ("projects/x/operations/1-2_3.4:5", True)),
        *(
            ("", False),
            ("a" * 513, False),
            ("a b", False),
            ("a\n", False),
            ("é", False),
            ("a\x7f", False),
            ("\x00", False),
        ),
    ],
)
def test_ids(value: str, usable: bool) -> None:
    assert usable_id(value) is usable
    if not usable:
        with pytest.raises(ProviderProtocolError, match="no usable id"):
            answer(b"{}").id(value)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("value", [None, 7, b"abc", ["a"], {"id": "a"}, True])
def test_an_id_is_text(value: object) -> None:
    with pytest.raises(ProviderProtocolError, match="no usable id"):
        answer(b"{}").id(value)


# --- reading within bounds


def bomb(megabytes: int) -> bytes:
    """Zeros that take a thousandth of their size."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024**2)
    return b"".join([*(pack.compress(block) for _ in range(megabytes)), pack.flush()])


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_a_bomb_costs_no_memory() -> None:
    packed = bomb(512)
    tracemalloc.start()
    try:
        with pytest.raises(ProviderProtocolError, match="longer than"):
            await ask(whole(packed, content_encoding="gzip"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024**2


@pytest.mark.anyio
@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([head(), *[b"x" * 100_000] * 30], "longer than"),
        ([head(content_length=10**9), *[b"x" * 100_000] * 30], "longer than"),
        ([head(content_encoding="br"), b"xyz"], "not asked for"),
        ([head(content_encoding="gzip, gzip"), b"xyz"], "not asked for"),
        ([head(content_encoding="gzip"), b"not gzip"], "not compressed as it says"),
        ([head(content_encoding="gzip"), gzip.compress(b'{"id": "a"}')[:-9]], "breaks off"),
    ],
)
async def test_what_cannot_be_read_is_a_protocol_error(script: list[object], message: str) -> None:
    with pytest.raises(ProviderProtocolError, match=message) as caught:
        await ask(lambda _: script)
    assert (caught.value.accepted, caught.value.status_code) == (None, 200)


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_compression_is_not_asked_for_and_understood_all_the_same() -> None:
    with serving(a=whole(gzip.compress(b'{"id": "a"}'), content_encoding="GZip")) as server:
        async with transport.client(trust_env=False) as http:
            found = await call(http, "POST", f"{server.url}/a", provider="acme", action="submit")
    assert found.json() == {"id": "a"}
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert (await ask(whole(zlib.compress(b"[1]"), content_encoding="deflate"))).json() == [1]
    assert (await ask(lambda _: [head("204 No", content_encoding="gzip")])).body == b""
    assert len((await ask(whole(b"x" * MAX_ANSWER))).body) == MAX_ANSWER


@pytest.mark.anyio
@pytest.mark.promise("P1", "S4")
async def test_a_refusal_counts_even_when_its_body_does_not_arrive() -> None:
    broken: list[list[object]] = [
        [head("400 Bad", content_length=100), b"abc", RESET],
        [head("422 Bad", content_encoding="gzip"), b"abc"],
        [head("401 Bad"), *[b"x" * 100_000] * 30],
    ]
    for script in broken:
        assert (await ask(lambda _, script=script: script)).error().accepted is False  # type: ignore[misc]
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(lambda _: [head("200 OK", content_length=100), b"abc", RESET])
    assert caught.value.accepted is None


@pytest.mark.anyio
@pytest.mark.promise("P1")
async def test_the_whole_call_has_a_deadline() -> None:
    for slow in ([head(content_length=100), *[b"x", 0.05] * 100], [5.0]):
        began = time.monotonic()
        with pytest.raises(ProviderUnavailableError) as caught:
            await ask(lambda _, slow=slow: slow, timeout=0.3)  # type: ignore[misc]
        assert time.monotonic() - began < 2.0
        assert caught.value.accepted is None


# --- accepted or not


@pytest.mark.promise("S4", "P1")
def test_what_a_status_says_about_a_create() -> None:
    assert {status: accepted(status) for status in REFUSED} == dict.fromkeys(REFUSED, False)
    assert {status: accepted(status) for status in LEFT_OPEN} == dict.fromkeys(LEFT_OPEN)
    assert accepted(200, has_id=True) is accepted(202, has_id=True) is True
    assert [accepted(status, has_id=True) for status in (302, 500, 409)] == [None] * 3
    assert accepted(400, has_id=True) is False
    assert accepted(503, reject_statuses={503}) is False
    assert accepted(409, reject_statuses=[409]) is False
    assert accepted(200, reject_statuses={200}) is accepted(302, reject_statuses={302}) is None
    assert {accepted(status) for status in range(100, 600) if status not in REFUSED} == {None}


@pytest.mark.promise("S4", "P2")
@pytest.mark.parametrize(
    ("status", "kind", "refused"),
    [
        (400, errors.RejectedRequestError, False),
        (401, errors.AuthenticationError, False),
        (402, errors.InsufficientCreditsError, False),
        (403, errors.PermissionDeniedError, False),
        (404, errors.RejectedRequestError, False),
        (405, errors.RejectedRequestError, False),
        (413, errors.RejectedRequestError, False),
        (415, errors.RejectedRequestError, False),
        (422, errors.RejectedRequestError, False),
        (429, errors.RateLimitError, False),
        (408, errors.ProviderUnavailableError, None),
        (409, errors.ProviderProtocolError, None),
        (302, errors.ProviderProtocolError, None),
        (200, errors.ProviderProtocolError, None),
        (500, errors.ProviderUnavailableError, None),
        (504, errors.ProviderUnavailableError, None),
        (529, errors.ProviderUnavailableError, None),
    ],
)
def test_error_for_status(status: int, kind: type[errors.ProviderError], refused: bool | None) -> None:
    error = error_for_status(
        status, "no: https://x/?key=5ec2e7", provider="veo", model="veo/x", code="C", request_id="r", retry_after=3.0
    )
    assert type(error) is kind
    assert (error.accepted, error.status_code, error.code) == (refused, status, "C")
    assert (error.request_id, error.retry_after) == ("r", 3.0)
    assert "5ec2e7" not in str(pickle.loads(pickle.dumps(error)))
    if status >= 400:
        assert error_for_status(status, "", provider="veo", reject_statuses={status}).accepted is False


@pytest.mark.promise("K6")
def test_a_wrong_clock_is_named_where_signatures_are_refused() -> None:
    for seconds, said in ((3600, "behind"), (-3600, "ahead of"), (30, None)):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        for status in (400, 401, 403):
            hint = answer(b"", status, date=date).error().hint or ""
            assert ("clock is 3" in hint) is (said is not None)
            assert said is None or said in hint
        assert "clock" not in (answer(b"", 500, date=date).error().hint or "")


@pytest.mark.promise("P2")
def test_the_error_of_an_answer_carries_all_it_knows() -> None:
    found = answer(b"slow down " * 1000, 429, **{"retry-after": "12", "request-id": "r-9"}).error(
        code="busy", model="acme/x"
    )
    known = (found.provider, found.model, found.code, found.status_code, found.request_id, found.retry_after)
    assert known == ("acme", "acme/x", "busy", 429, "r-9", 12.0)
    assert len(found.message) < 600
    assert answer(b"", 500).error("their words").message == "acme answered 500: their words"


# --- what a failure shows


@pytest.mark.anyio
@pytest.mark.promise("P2", "R1", "R2")
@pytest.mark.parametrize(
    "fault", ["reset", "stall", "garbage", "header", "unicode", "userinfo", "query", "value", "refused"]
)
async def test_no_failure_shows_what_was_sent(fault: str) -> None:
    keys = [Secret(CANARY)]
    answers: dict[str, Script] = {
        "reset": lambda _: [RESET],
        "stall": lambda _: [2.0],
        "garbage": lambda _: [b"?\r\n\r\n"],
    }
    unsent = fault not in answers
    parts: dict[str, Any] = {"headers": {"x-api-key": CANARY}, "json": {"key": CANARY}, "timeout": 0.3}
    with serving(**answers) as server:
        url = f"{server.url}/{fault}"
        match fault:
            case "header":
                parts["headers"] = {"x-api-key": f"{CANARY}\n"}
            case "unicode":
                parts["headers"] = {"x-api-key": f"{CANARY}é☃"}
            case "userinfo":
                url = f"http://user:{CANARY.replace('/', '_')}@127.0.0.1:{server.port}/"
            case "query":
                url = f"{server.url}/?api_key=canary"
            case "value":
                parts["params"] = {"q": CANARY}
            case "refused":
                url = "http://127.0.0.1:9/"
        async with transport.client(trust_env=False) as http:
            for send in (call, get_with_retry):
                kept = {"attempts": 1} if send is get_with_retry else {}
                args = (http, url) if send is get_with_retry else (http, "POST", url)
                with pytest.raises(ProviderUnavailableError) as caught:
                    await send(*args, provider="acme", action="submit", **kept, **parts)  # type: ignore[operator]
                error = caught.value
                frames = error.__traceback__.tb_next if error.__traceback__ else None
                report = traceback.TracebackException(type(error), error, frames, capture_locals=True)
                assert "canary" not in "".join(report.format())
                assert error.__context__ is None
                assert error.accepted is (False if unsent else None)
                assert error.retryable is (fault in (*answers, "refused"))
    assert len(server.requests) == (0 if unsent else 2)
    assert keys


# --- repeated reads


@pytest.mark.anyio
@pytest.mark.promise("K4", "T5")
async def test_reads_are_repeated_and_retry_after_is_obeyed() -> None:
    times: list[float] = []
    answers: Iterator[list[object]] = iter(
        [[RESET], [head("429 Slow", retry_after=0.3)], [head("503 No", retry_after=0)], [head(), b"ok"]]
    )

    def reply(_: Request) -> list[object]:
        times.append(time.monotonic())
        return next(answers)

    with serving(a=reply) as server:
        async with transport.client(trust_env=False) as http:
            found = await get_with_retry(
                http, f"{server.url}/a", provider="acme", action="list", headers={"x": "1"}, attempts=5, timeout=5
            )
    assert found.text == "ok"
    assert times[2] - times[1] >= 0.3
    assert server.requests[0].headers["x"] == "1"


@pytest.mark.anyio
@pytest.mark.promise("K4", "T5")
async def test_reads_give_up_with_the_last_answer() -> None:
    date, soon = "Fri, 20 Nov 2026 12:00:00 GMT", "Fri, 20 Nov 2026 12:59:00 GMT"
    cases = {
        "later": ([head("429 Slow", retry_after=3600)], 429, 1),
        "never": ([head("429 Slow", retry_after=10**9)], 429, 1),
        "dated": ([head("429 Slow", retry_after=soon, date=date)], 429, 1),
        "late": ([head("429 Slow", retry_after=3)], 429, 1),
        "past": ([head("429 Slow", retry_after=date, date=soon)], 429, 3),
        "down": ([head("500 No", retry_after=0)], 500, 3),
        "gone": ([head("404 No")], 404, 1),
    }
    async with transport.client(trust_env=False) as http:
        for name, (script, status, tries) in cases.items():
            with serving(**{name: lambda _, script=script: script}) as server:
                found = await get_with_retry(
                    http, f"{server.url}/{name}", provider="acme", action="list", attempts=3, timeout=2
                )
            assert (found.status, len(server.requests)) == (status, tries), name
        for slow in ([RESET], [3.0]):
            with serving(a=lambda _, slow=slow: slow) as server, pytest.raises(ProviderUnavailableError):
                await get_with_retry(http, f"{server.url}/a", provider="acme", action="list", attempts=2, timeout=0.6)


@pytest.mark.anyio
async def test_cancellation_goes_through() -> None:
    with serving(a=lambda _: [3.0]) as server:
        async with transport.client(trust_env=False) as http:
            with anyio.move_on_after(0.1) as scope:
                await call(http, "GET", f"{server.url}/a", provider="acme", action="poll")
    assert scope.cancelled_caught


def test_a_client_follows_no_redirect() -> None:
    assert transport.client().follow_redirects is False
    assert isinstance(transport.client(), httpx.AsyncClient)
