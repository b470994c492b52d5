"""Faults of an emulator: each is on the wire what it claims to be, and a seed decides when it comes."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulated import CREATE, KEY, Heard, acme, create, listen, made, poll, server, web
from videogen_core.clips import probe
from videogen_core.testing import (
    PROFILES,
    Clip,
    EmulatorClient,
    EmulatorError,
    Fault,
    Script,
    ServerThread,
    make_clip,
    owner,
)
from videogen_core.testing.faults import OF_DOWNLOADS, OF_WEBHOOKS, FaultPlan, What

__all__ = ["acme", "server"]  # fixtures


# --- connections ------------------------------------------------------------------------------------------------


def faulty_create(acme: ServerThread, fault: Fault, **how: Any) -> Heard:
    acme.inject(fault)
    return listen(acme.url, "POST", "/v1/videos", CREATE, **how)


@pytest.mark.parametrize(("at", "created"), [("arrival", 0), ("before", 0), ("after", 1)])
@pytest.mark.parametrize(("what", "end"), [("reset", "RST"), ("close", "FIN")])
@pytest.mark.promise("T4")
def test_hanging_up_before_any_answer(acme: ServerThread, what: Any, end: str, at: Any, created: int) -> None:
    heard = faulty_create(acme, Fault(what, at=at))
    assert (heard.data, heard.end, acme.created) == (b"", end, created)
    (entry,) = acme.journal("create")
    assert (entry.created, entry.status, entry.outcome) == (bool(created), 0, "faulty")
    assert create(acme).status_code == 202  # it strikes once


@pytest.mark.parametrize("what", ["reset", "close"])
@pytest.mark.promise("T4")
def test_hanging_up_amid_the_answer(acme: ServerThread, what: Any) -> None:
    end = "RST" if what == "reset" else "FIN"
    head = faulty_create(acme, Fault(what, part="head"))
    assert head.end == end
    assert head.data.startswith(b"HTTP/1.1 202")
    assert b"\r\n\r\n" not in head.data
    headers = faulty_create(acme, Fault(what, part="headers"))
    assert (headers.end, headers.body) == (end, b"")
    assert int(headers.headers["content-length"]) > 0
    body = faulty_create(acme, Fault(what, part="body"))
    assert body.end == end
    assert 0 < len(body.body) < int(body.headers["content-length"])
    whole = faulty_create(acme, Fault(what, part="end"))
    assert whole.end == end
    assert json.loads(whole.body)["status"] == "done"


@pytest.mark.promise("T4")
def test_a_reset_on_arrival_leaves_the_body_unread(acme: ServerThread) -> None:
    acme.inject(Fault("reset", at="arrival"))
    host, _, port = acme.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /v1/videos HTTP/1.1\r\nhost: acme\r\ncontent-length: 1000000\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)  # nothing of the body was ever sent
    assert acme.created == 0


@pytest.mark.promise("T4")
def test_a_vendor_that_is_down_refuses_connections_and_forgets_nothing(acme: ServerThread) -> None:
    job, url = made(acme), acme.url
    with acme.outage(), pytest.raises(httpx.ConnectError):
        web.get(url)
    assert acme.url == url
    assert poll(acme, job)["status"] == "done"


@pytest.mark.promise("T4")
def test_stalls(acme: ServerThread) -> None:
    nothing = faulty_create(acme, Fault("hang"), patience=0.3)
    assert (nothing.data, nothing.end) == (b"", "silence")
    late = faulty_create(acme, Fault("hang", seconds=0.2))
    assert late.seconds >= 0.2
    assert json.loads(late.body)["id"]
    middle = faulty_create(acme, Fault("hang", part="body"), patience=0.3)
    assert middle.end == "silence"
    assert middle.body
    slow = faulty_create(acme, Fault("slow", seconds=0.002, size=8))
    assert slow.seconds >= 0.05
    assert json.loads(slow.body)["id"]
    acme.inject(Fault("slow", seconds=1))
    with pytest.raises(httpx.ReadTimeout):
        web.get(f"{acme.url}/v1/videos/x", headers=KEY, timeout=0.3)


@pytest.mark.promise("T4", "T6")
def test_bodies_of_the_wrong_length(acme: ServerThread) -> None:
    truncated = faulty_create(acme, Fault("truncated"))
    assert len(truncated.body) < int(truncated.headers["content-length"])
    cut = faulty_create(acme, Fault("cut"))
    assert "content-length" not in cut.headers
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(cut.body)
    short = faulty_create(acme, Fault("short_length"))
    assert len(short.body) > int(short.headers["content-length"])
    assert json.loads(short.body)["id"]
    long = faulty_create(acme, Fault("long", size=3_000_000))
    assert len(long.body) == int(long.headers["content-length"]) > 3_000_000
    endless = faulty_create(acme, Fault("endless"), limit=2**22)
    assert endless.end == "limit"
    assert "content-length" not in endless.headers


# --- statuses and bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 402, 408, 409, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("at", "created"), [("before", 0), ("after", 1)])
@pytest.mark.promise("T4")
def test_statuses(acme: ServerThread, status: int, at: Any, created: int) -> None:
    acme.inject(Fault("status", on="create", status=status, at=at))
    answer = create(acme)
    assert (answer.status_code, acme.created) == (status, created)
    assert answer.json()["error"]["message"]


@pytest.mark.promise("T5")
def test_retry_after_in_every_form(acme: ServerThread) -> None:
    wanted = ["1", "90", "date+5", "date-60", "soon, perhaps", "1000000000"]
    acme.inject(*(Fault("status", status=429, at="before", retry_after=text) for text in wanted))
    answers = [create(acme) for _ in wanted]
    told = [answer.headers["retry-after"] for answer in answers]
    assert (told[:2], told[4:]) == (["1", "90"], ["soon, perhaps", "1000000000"])
    for text, answer, seconds in zip(told[2:4], answers[2:4], (5, -60), strict=True):
        gap = parsedate_to_datetime(text) - parsedate_to_datetime(answer.headers["date"])
        assert gap.total_seconds() == seconds


@pytest.mark.promise("T5")
def test_a_burst_ends(acme: ServerThread) -> None:
    acme.inject(Fault("status", status=500, times=3, skip=1))
    assert [create(acme).status_code for _ in range(6)] == [202, 500, 500, 500, 202, 202]


@pytest.mark.promise("T4")
def test_html_and_nothing_with_a_status(acme: ServerThread) -> None:
    acme.inject(Fault("status", status=502, body="html"), Fault("status", status=503, body="nothing"))
    html, nothing = create(acme), create(acme)
    assert (html.status_code, html.headers["content-type"]) == (502, "text/html")
    assert "<h1>" in html.text
    assert (nothing.status_code, nothing.content) == (503, b"")


def test_a_refusal_is_worded_by_the_vendor(acme: ServerThread) -> None:
    acme.inject(Fault("refusal", at="before", code="insufficient_credits", status=402), Fault("refusal", code="E42"))
    answers = [create(acme) for _ in range(2)]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (402, "insufficient_credits"),
        (400, "E42"),
    ]
    assert acme.created == 1


@pytest.mark.promise("T4", "T13")
def test_redirects(acme: ServerThread) -> None:
    acme.inject(Fault("redirect"), Fault("redirect", status=307, location="/v1/elsewhere"))
    private, relative = create(acme), create(acme)
    assert (private.status_code, private.headers["location"][:22]) == (302, "http://169.254.169.254")
    assert (relative.status_code, relative.headers["location"]) == (307, "/v1/elsewhere")


@pytest.mark.promise("T4", "P1")
def test_bodies_that_are_not_what_they_should_be(acme: ServerThread) -> None:
    heard = {what: faulty_create(acme, Fault(what)) for what in _BODIES}
    for what, judge in _BODIES.items():
        assert heard[what].status == 202, what
        assert heard[what].end == "FIN", what
        assert int(heard[what].headers["content-length"]) == len(heard[what].body), what
        assert judge(heard[what]), what
    assert acme.created == len(_BODIES)


@pytest.mark.promise("T17")
def test_an_answer_may_be_changed_at_random_each_size_otherwise(acme: ServerThread) -> None:
    heard = [faulty_create(acme, Fault("mutated", size=size)).body for size in (1, 2, 3, 1)]
    assert len(set(heard)) >= 3


def _fails(body: bytes, error: type[Exception]) -> bool:
    with pytest.raises(error):
        json.loads(body)
    return True


_BODIES: dict[Any, Callable[[Heard], bool]] = {
    "empty": lambda heard: heard.body == b"",
    "html": lambda heard: heard.body.startswith(b"<!DOCTYPE") and heard.headers["content-type"].startswith("text/html"),
    "invalid_json": lambda heard: heard.body.startswith(b'{"id"') and _fails(heard.body, ValueError),
    "nan": lambda heard: b"NaN" in heard.body and json.loads(heard.body)["id"].startswith("acme-"),
    "bad_utf8": lambda heard: _fails(heard.body, UnicodeDecodeError),
    "deep_json": lambda heard: _fails(heard.body, RecursionError),
    "gzip_bomb": lambda heard: len(heard.body) < 2**17 and len(gzip.decompress(heard.body)) == 2**26,
    "wrong_type": lambda heard: heard.headers["content-type"] == "text/html" and "id" in json.loads(heard.body),
    "no_id": lambda heard: "id" not in json.loads(heard.body) and json.loads(heard.body)["status"] == "done",
}


def test_every_fault_is_observed_somewhere_here() -> None:
    """A new kind of fault needs a test that sees it on the wire."""
    from typing import get_args

    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_emulator*.py"))
    assert [what for what in get_args(What) if f'"{what}"' not in text] == []


# --- downloads --------------------------------------------------------------------------------------------------


@pytest.fixture
def link(acme: ServerThread) -> str:
    job = made(acme, seconds=2, size="320x180")
    url: str = poll(acme, job)["videos"][0]["url"]
    return url


def test_a_delivery_is_a_real_clip_that_obeys_the_request(acme: ServerThread, tmp_path: Path) -> None:
    job = made(acme, seconds=2, size="128x96", fps=24, audio=True, n=2)
    links = [video["url"] for video in poll(acme, job)["videos"]]
    for number, url in enumerate(links):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(web.get(url).content)
        facts = probe(path)
        assert (facts.width, facts.height, facts.duration, facts.fps, facts.has_audio) == (128, 96, 2.0, 24.0, True)
        assert owner(path.read_bytes()) == {"job": job, "ref": "", "number": number}
    assert (tmp_path / "0.mp4").read_bytes() != (tmp_path / "1.mp4").read_bytes()


def test_clips_are_the_same_bytes_for_the_same_job() -> None:
    clip = Clip(width=96, height=64)
    assert make_clip(clip, job="a") == make_clip(clip, job="a") != make_clip(clip, job="b")
    assert owner(b"something else") == {}


def test_a_clip_is_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for audio in (False, True):
        shape = Clip(duration=1.5, width=640, height=360, fps=24, audio=audio)
        path.write_bytes(make_clip(shape, job="a"))
        facts = probe(path)
        assert (facts.width, facts.height, facts.fps, facts.has_audio) == (640, 360, 24.0, audio)
        assert facts.duration == pytest.approx(1.5, abs=0.05)
        assert make_clip(shape, job="a") == path.read_bytes()
        assert owner(path.read_bytes()) == {"job": "a"}


def test_deliveries_come_from_another_origin_and_need_no_key(acme: ServerThread, link: str) -> None:
    assert link.startswith(acme.delivery_url)
    assert acme.delivery_url != acme.url
    assert web.get(link).status_code == 200
    assert web.get(link.replace(acme.delivery_url, acme.url)).status_code == 404
    assert web.get(f"{acme.delivery_url}/v1/videos/x", headers=KEY).status_code == 404
    assert web.get(link[:-3]).status_code == 403
    first = acme.journal("download")[0]
    assert (first.origin, first.credentials) == ("delivery", False)
    assert acme.journal("create")[0].credentials


def test_ranges_as_the_standard_has_them(acme: ServerThread, link: str) -> None:
    whole = web.get(link)
    size, etag = len(whole.content), whole.headers["etag"]

    def part(ranges: str, **more: str) -> tuple[int, bytes, str | None]:
        answer = web.get(link, headers={"Range": ranges, **more})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert part("bytes=100-199") == (206, whole.content[100:200], f"bytes 100-199/{size}")
    assert part("bytes=100-") == (206, whole.content[100:], f"bytes 100-{size - 1}/{size}")
    assert part("bytes=-7") == (206, whole.content[-7:], f"bytes {size - 7}-{size - 1}/{size}")
    assert part("bytes=5-", **{"If-Range": etag})[0] == 206
    assert part("bytes=5-", **{"If-Range": '"older"'})[:2] == (200, whole.content)
    assert part(f"bytes={size}-") == (416, b"", f"bytes */{size}")


@pytest.mark.promise("T6")
def test_downloads_that_go_wrong(acme: ServerThread, link: str) -> None:
    whole = web.get(link)
    data, etag = whole.content, whole.headers["etag"]
    asked = {"Range": "bytes=1000-", "If-Range": etag}

    def faulty(what: Any, **changes: Any) -> httpx.Response:
        acme.inject(Fault(what, on="download", **changes))
        return web.get(link, headers=asked)

    ignored = faulty("range_ignored")
    assert (ignored.status_code, ignored.content) == (200, data)
    wrong = faulty("range_wrong")
    assert (wrong.status_code, wrong.headers["content-range"][:10]) == (206, "bytes 500-")
    changed = faulty("etag_changed")
    assert (changed.status_code, len(changed.content)) == (206, len(data) - 1000)
    assert changed.headers["etag"] != etag
    assert changed.content != data[1000:]
    none = faulty("unsatisfiable")
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{len(data)}")
    asked.clear()
    corrupt = faulty("corrupt")
    assert corrupt.headers["etag"] == etag
    assert len(corrupt.content) == len(data)
    assert corrupt.content != data
    for status in (403, 404, 410):
        assert faulty("expired", status=status).status_code == status
    assert web.get(link).content == data


@pytest.mark.promise("T6")
def test_addresses_expire(acme: ServerThread) -> None:
    acme.change(url_lifetime=60, retention=3600)
    acme.script(Script(), Script(expired=2))
    job, stubborn = made(acme), made(acme)
    link = poll(acme, job)["videos"][0]["url"]
    assert web.get(link).status_code == 200
    acme.advance(60)
    assert web.get(link).status_code == 403
    assert web.get(poll(acme, job)["videos"][0]["url"]).status_code == 200
    fresh = [web.get(poll(acme, stubborn)["videos"][0]["url"]).status_code for _ in range(3)]
    assert fresh == [403, 403, 200]
    acme.advance(3600)
    assert poll(acme, job)["videos"] == []


# --- plans ------------------------------------------------------------------------------------------------------


def chosen(seed: int, kinds: list[str]) -> list[str]:
    plan = FaultPlan(seed)
    plan.add(*PROFILES["storm"])
    counts: dict[str, int] = {}
    found = []
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
        fault = plan.choose(kind, counts[kind], "", ("arrival", "before", "after"))
        found.append("" if fault is None else str(fault))
    return found


def test_a_seed_decides_every_fault() -> None:
    kinds = ["create", "poll", "poll", "download"] * 250
    once = chosen(3, kinds)
    assert once == chosen(3, kinds)
    assert once != chosen(4, kinds)
    creates = [fault for kind, fault in zip(kinds, once, strict=True) if kind == "create"]
    assert creates == chosen(3, ["create"] * 250), "what happens in between does not matter"
    assert 0.2 < sum(map(bool, creates)) / len(creates) < 0.5


def test_faults_are_for_whom_they_fit() -> None:
    plan = FaultPlan()
    plan.add(Fault("corrupt"), Fault("status", on="poll", times=None, match="acme-2"))
    assert plan.choose("create", 1, "", ("after",)) is None
    assert plan.choose("poll", 1, "/v1/videos/acme-1", ("after",)) is None
    assert str(plan.choose("poll", 2, "/v1/videos/acme-2", ("after",))) == "status after poll"
    assert str(plan.choose("download", 1, "", ("after",))) == "corrupt after any"
    assert plan.choose("download", 2, "", ("after",)) is None
    for what in OF_DOWNLOADS | OF_WEBHOOKS:
        with pytest.raises(ValueError, match="no fault of"):
            Fault(what, on="create")
    with pytest.raises(ValueError, match="what"):
        Fault("nonsense")  # type: ignore[arg-type]


def test_the_control_plane_says_what_it_does_not_understand(acme: ServerThread) -> None:
    for action, asked in (("/inject", {"profile": "drizzle"}), ("/traits", {"kind": "Z"}), ("/clock", {"speed": -1})):
        with pytest.raises(EmulatorError, match="did not understand"):
            acme._ask(action, asked)
    with pytest.raises(EmulatorError, match="does not answer"):
        EmulatorClient("http://127.0.0.1:9").stats()


def test_a_storm_breaks_a_share_of_requests_and_the_journal_tells_which(acme: ServerThread) -> None:
    acme.inject_profile("storm")
    heard = [listen(acme.url, "POST", "/v1/videos", CREATE, patience=2) for _ in range(60)]
    entries = acme.journal("create")
    assert len(entries) == 60
    broken = [entry for entry in entries if entry.fault]
    assert 8 <= len(broken) <= 35
    assert acme.created == sum(entry.created for entry in entries)
    assert sum(one.data == b"" for one in heard) == sum(
        entry.status == 0 and "head" not in entry.fault for entry in broken
    )
    acme.reset(seed=7)
    acme.inject_profile("storm")
    for _ in range(60):
        listen(acme.url, "POST", "/v1/videos", CREATE, patience=2)
    assert [entry.fault for entry in acme.journal("create")] == [entry.fault for entry in entries]
