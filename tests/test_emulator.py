"""The emulator harness: scripts, clock, classes, journal, and that each fault is on the wire what it claims to be."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from acme.emulator import AcmeEmulator
from acme.plugin import AcmeProvider
from videogen_core import Notice, WebhookError
from videogen_core.clips import probe
from videogen_core.testing import (
    PROFILES,
    Clip,
    Clock,
    Emulator,
    EmulatorClient,
    EmulatorError,
    Fault,
    Refusal,
    Script,
    ServerThread,
    make_clip,
    owner,
    read_form,
    serve,
    serve_process,
    sign_webhook,
)
from videogen_core.testing.faults import OF_DOWNLOADS, OF_WEBHOOKS, FaultPlan, What
from videogen_core.testing.lifecycle import state_of

CREATE = {"model": "paper", "prompt": "boat", "seconds": 1, "size": "96x64", "fps": 8, "audio": False, "n": 1}
KEY = {"Authorization": "Bearer test-key"}
web = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False, verify=False)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with serve(AcmeEmulator(seed=7)) as running:
        yield running


@pytest.fixture
def acme(server: ServerThread) -> Iterator[ServerThread]:
    server.reset(seed=7)
    server.run(0)
    server.change(kind="N", list_lag=0.0, poll_every=0.0, concurrency=None, url_lifetime=None, retention=None)
    server.script_all(Script(times=None))
    yield server
    assert server.about()["mistakes"] == []


@dataclass(frozen=True)
class Heard:
    """What a bare socket heard, and how the connection ended."""

    data: bytes
    end: str
    seconds: float

    @property
    def status(self) -> int:
        return int(self.data.split(b" ")[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


def listen(url: str, method: str, path: str, body: object = None, *, limit: int = 2**24, patience: float = 5.0,
           **headers: str) -> Heard:  # fmt: skip
    """Ask over a bare socket, and read until the end, whatever the headers say."""
    sent = b"" if body is None else json.dumps(body).encode()
    named = {"host": "acme", "connection": "close", "content-length": str(len(sent)), **KEY, **headers}
    head = "\r\n".join(
        [f"{method} {path} HTTP/1.1", *(f"{k.replace('_', '-')}: {v}" for k, v in named.items()), "", ""]
    )
    host, _, port = url.removeprefix("http://").partition(":")
    start, data, end = time.monotonic(), b"", "FIN"
    with socket.create_connection((host, int(port)), timeout=patience) as connection:
        try:
            connection.sendall(head.encode() + sent)
            while chunk := connection.recv(65536):
                data += chunk
                if len(data) > limit:
                    end = "limit"
                    break
        except ConnectionResetError:
            end = "RST"
        except TimeoutError:
            end = "silence"
    return Heard(data, end, time.monotonic() - start)


def create(acme: ServerThread, **changes: Any) -> httpx.Response:
    headers = {**KEY, **changes.pop("headers", {})}
    return web.post(f"{acme.url}/v1/videos", json={**CREATE, **changes}, headers=headers)


def poll(acme: ServerThread, job: str) -> dict[str, Any]:
    found: dict[str, Any] = web.get(f"{acme.url}/v1/videos/{job}", headers=KEY).json()
    return found


def made(acme: ServerThread, **changes: Any) -> str:
    job: str = create(acme, **changes).json()["id"]
    return job


# --- lives ------------------------------------------------------------------------------------------------------


def test_a_job_goes_through_its_script_by_the_clock(acme: ServerThread) -> None:
    acme.script(Script(throttled=5, queued=10, running=100))
    job = made(acme)
    seen = [poll(acme, job)]
    for step in (5, 10, 25, 50, 25):
        acme.advance(step)
        seen.append(poll(acme, job))
    assert [one["status"] for one in seen] == ["waiting", "queued", "working", "working", "working", "done"]
    assert [one["progress"] for one in seen] == [0, 0, 0, 0.25, 0.75, 1]
    assert seen[-1]["charge"] == "0.10"


def test_a_job_can_be_counted_in_polls(acme: ServerThread) -> None:
    acme.script(Script(polls=3))
    job = made(acme)
    assert [poll(acme, job)["status"] for _ in range(5)] == ["queued", "working", "working", "done", "done"]


@pytest.mark.parametrize(
    ("script", "status", "videos", "charge", "code"),
    [
        (Script(), "done", 2, "0.20", None),
        (Script(outputs=1), "done", 1, "0.10", None),
        (Script(outputs=3), "done", 3, "0.20", None),
        (Script(ending="empty"), "done", 0, "0", None),
        (Script(ending="failed", code="oom", message="out of memory"), "failed", 0, "0", "oom"),
        (Script(ending="failed", charged=True), "failed", 0, "0.20", "internal"),
        (Script(ending="blocked"), "failed", 0, "0", "content_policy"),
        (Script(ending="cancelled"), "stopped", 0, "0", None),
    ],
)
def test_every_ending(
    acme: ServerThread, script: Script, status: str, videos: int, charge: str, code: str | None
) -> None:
    acme.script(script)
    told = poll(acme, made(acme, n=2))
    assert told["status"] == status
    assert len(told.get("videos", ())) == videos
    assert float(told["charge"]) == float(charge)
    assert told.get("error", {}).get("code") == code
    assert float(acme.stats()["charged"]) == float(charge)


def test_a_word_that_nobody_knows(acme: ServerThread) -> None:
    acme.script(Script(running=10, word="pondering"))
    assert poll(acme, made(acme))["status"] == "pondering"


def test_scripts_find_their_creates(acme: ServerThread) -> None:
    acme.script(Script(ending="failed", match="stormy"), Script(ending="blocked", times=2))
    prompts = ["calm", "stormy", "calm", "calm"]
    assert [poll(acme, made(acme, prompt=prompt))["status"] for prompt in prompts] == [
        "failed",
        "failed",
        "failed",
        "done",
    ]
    assert [job["state"] for job in acme.jobs()] == ["blocked", "failed", "blocked", "succeeded"]


@pytest.mark.parametrize(
    ("cancel", "status", "after"), [("yes", 200, "stopped"), ("no", 409, "working"), ("ignored", 200, "working")]
)
def test_cancelling(acme: ServerThread, cancel: Any, status: int, after: str) -> None:
    acme.script(Script(running=100, cancel=cancel))
    job = made(acme)
    assert web.post(f"{acme.url}/v1/videos/{job}/cancel", headers=KEY).status_code == status
    assert poll(acme, job)["status"] == after


def test_a_vendor_that_forgets_what_was_cancelled(acme: ServerThread) -> None:
    acme.script(Script(running=100, cancel="gone"))
    job = made(acme)
    assert web.post(f"{acme.url}/v1/videos/{job}/cancel", headers=KEY).json()["status"] == "forgotten"
    assert web.get(f"{acme.url}/v1/videos/{job}", headers=KEY).status_code == 404
    assert acme.created == 1


def test_too_many_at_once_are_throttled(acme: ServerThread) -> None:
    acme.change(concurrency=2)
    acme.script_all(Script(running=10, times=None))
    jobs = [made(acme) for _ in range(5)]
    states = []
    for _ in range(3):
        states.append([poll(acme, job)["status"] for job in jobs])
        acme.advance(10)
    assert states == [
        ["working"] * 2 + ["waiting"] * 3,
        ["done"] * 2 + ["working"] * 2 + ["waiting"],
        ["done"] * 4 + ["working"],
    ]


def test_polling_too_often(acme: ServerThread) -> None:
    acme.change(poll_every=5)
    job = made(acme)
    first, second = (web.get(f"{acme.url}/v1/videos/{job}", headers=KEY) for _ in range(2))
    assert (first.status_code, second.status_code, second.headers["retry-after"]) == (200, 429, "5")
    acme.advance(5)
    assert web.get(f"{acme.url}/v1/videos/{job}", headers=KEY).status_code == 200


def test_the_clock_runs_stands_and_is_put_forward() -> None:
    clock = Clock(0)
    start = clock.now()
    time.sleep(0.02)
    assert clock.now() == start
    clock.advance(3600)
    assert clock.now() == start + 3600
    clock.run(1000)
    time.sleep(0.02)
    assert 20 <= clock.now() - start - 3600 < 2000
    assert clock.real(10) == 0.01
    with pytest.raises(ValueError, match="speed"):
        clock.run(-1)


def test_a_vendor_faster_than_life() -> None:
    with serve(AcmeEmulator(speed=1000, script=Script(running=60, times=None))) as fast:
        job = made(fast)
        deadline = time.monotonic() + 5
        while poll(fast, job)["status"] != "done" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert poll(fast, job)["status"] == "done"


def test_states_are_a_function_of_age_and_polls() -> None:
    script = Script(running=10, polls=4)
    assert state_of(script, 100, 0) == ("running", 0.0)
    assert state_of(script, 100, 2) == ("running", 0.5)
    assert state_of(script, 5, 4) == ("running", 0.5)
    assert state_of(script, 10, 4) == ("succeeded", 1.0)


# --- strictness -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tempo": 3}, "unknown field `tempo`"),
        ({"seconds": "1"}, "`$.seconds`"),
        ({"seconds": 3}, "out of range"),
        ({"prompt": None}, "`$.prompt`"),
        ({"ref": "mine"}, "unknown field `ref`"),
        ({"first_frame": "up-nowhere"}, "no upload"),
    ],
)
def test_the_vendor_refuses_what_it_does_not_know(acme: ServerThread, changes: dict[str, Any], words: str) -> None:
    answer = create(acme, **changes)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert acme.created == 0


def test_a_wrong_key_path_or_method_gets_the_vendors_own_error(acme: ServerThread) -> None:
    def answers(*calls: tuple[str, str, dict[str, str]]) -> list[tuple[int, str]]:
        found = [web.request(method, acme.url + path, headers=headers) for method, path, headers in calls]
        return [(each.status_code, each.json()["error"]["code"]) for each in found]

    assert answers(
        ("GET", "/v1/videos/x", {}), ("GET", "/v1/videos/x", KEY), ("GET", "/v2", KEY), ("PUT", "/v1/videos", KEY)
    ) == [(401, "unauthorized"), (404, "not_found"), (404, "not_found"), (405, "not_found")]


# --- classes ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("S1", "S5")
def test_class_a_makes_one_job_for_one_key(acme: ServerThread) -> None:
    acme.change(kind="A", key_lifetime=3600)
    headers = {"Idempotency-Key": "k1"}
    first = made(acme, headers=headers)
    assert made(acme, headers=headers) == first
    assert create(acme, headers=headers, prompt="another").status_code == 409
    assert (acme.created, acme.count("create")) == (1, 3)
    acme.advance(3601)
    assert made(acme, headers=headers) != first


@pytest.mark.promise("S5")
def test_class_b_finds_our_own_id_once_the_lag_is_over(acme: ServerThread) -> None:
    acme.change(kind="B", list_lag=30)
    job = made(acme, ref="mine")

    def found() -> list[str]:
        answer = web.get(f"{acme.url}/v1/videos", params={"ref": "mine"}, headers=KEY)
        return [each["id"] for each in answer.json()["videos"]]

    assert found() == []
    acme.advance(30)
    assert found() == [job]
    assert acme.journal("create")[0].ref == "mine"


@pytest.mark.parametrize(("kind", "echoed"), [("C", True), ("D", False)])
@pytest.mark.promise("S5")
def test_lists_show_jobs_newest_first_in_pages(acme: ServerThread, kind: Any, echoed: bool) -> None:
    acme.change(kind=kind, list_lag=5)
    jobs = [made(acme, prompt=f"p{number}") for number in range(25)]
    acme.advance(5)
    late = made(acme)
    first = web.get(f"{acme.url}/v1/videos", headers=KEY).json()
    second = web.get(f"{acme.url}/v1/videos", params={"before": first["next"]}, headers=KEY).json()
    assert [one["id"] for one in first["videos"] + second["videos"]] == jobs[::-1]
    assert late not in [one["id"] for one in first["videos"]]
    assert [one.get("input", {}).get("prompt") for one in first["videos"][:1]] == (["p24"] if echoed else [None])


def test_class_n_shows_nothing(acme: ServerThread) -> None:
    made(acme)
    assert web.get(f"{acme.url}/v1/videos", headers=KEY).status_code == 404
    assert web.get(f"{acme.url}/v1/videos", params={"ref": "x"}, headers=KEY).status_code == 404


# --- faults: connections ----------------------------------------------------------------------------------------


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


# --- faults: statuses and bodies --------------------------------------------------------------------------------


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

    text = Path(__file__).read_text(encoding="utf-8")
    assert [what for what in get_args(What) if f'"{what}"' not in text] == []


# --- faults: downloads ------------------------------------------------------------------------------------------


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


# --- the journal ------------------------------------------------------------------------------------------------


def test_the_journal_counts_what_was_asked_and_what_was_made(acme: ServerThread) -> None:
    job = made(acme)
    create(acme, seconds=77)
    poll(acme, job)
    poll(acme, "nothing")
    web.get(f"{acme.url}/v3/else", headers=KEY)
    stats = acme.stats()
    assert stats["kinds"] == {"create": 2, "poll": 2, "other": 1}
    assert (stats["requests"], stats["created"], stats["jobs"]) == (5, 1, 1)
    first, second, *_ = acme.journal()
    assert (first.method, first.path, first.created, first.job, first.status) == ("POST", "/v1/videos", True, job, 202)
    assert (second.created, second.job, second.status) == (False, "", 400)
    assert json.loads(first.body) == CREATE
    assert "authorization" not in first.headers
    assert [entry.seq for entry in acme.journal(since=3)] == [4, 5]
    assert [entry.job for entry in acme.journal("poll")] == [job, ""]


def test_every_answer_has_the_vendors_time_and_a_request_id(acme: ServerThread) -> None:
    acme.advance(86_400)
    answer = create(acme)
    assert answer.headers["x-request-id"] == "req-000001"
    ahead = parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
    assert ahead > 80_000


class _Forms(Emulator):
    name = "forms"

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("upload", "POST", "/upload", self._upload, auth=False),
            self.route("poll", "POST", "/models/{model}:ask", self._ask),
            self.route("cancel", "DELETE", "/jobs/{id}", self._delete, auth=False),
        ]

    async def _upload(self, request: Request) -> Response:
        return JSONResponse({name: [p.filename, p.mime_type, p.text] for name, p in (await read_form(request)).items()})

    async def _ask(self, request: Request) -> Response:
        return JSONResponse(request.path_params)

    async def _delete(self, request: Request) -> Response:
        self.vendor.forget(request.path_params["id"])
        return Response(status_code=204)

    def authorize(self, request: Request) -> None:
        if request.query_params.get("key") != self.key:
            raise Refusal(403, "forbidden", "no")


def test_other_vendors_ways() -> None:
    """Multipart uploads, verbs after a colon, keys in the query, and jobs that can be deleted."""
    emulator = _Forms()
    with serve(emulator, two_origins=False) as forms:
        data = bytes(range(256)) + b"\r\n--\r\n"
        answer = web.post(f"{forms.url}/upload", data={"purpose": "x"}, files={"file": ("a.png", data, "image/png")})
        text = data.decode("utf-8", "replace")
        assert answer.json() == {"purpose": ["", "text/plain", "x"], "file": ["a.png", "image/png", text]}
        assert web.post(f"{forms.url}/upload", content=b"--x").status_code == 400
        assert web.post(f"{forms.url}/models/m-1:ask?key=test-key").json() == {"model": "m-1"}
        assert web.post(f"{forms.url}/models/m-1:ask").status_code == 403
        assert [entry.credentials for entry in forms.journal("poll")] == [True, False]
        assert forms.delivery_url == forms.url
        job = emulator.vendor.create(Clip())
        assert [web.delete(f"{forms.url}/jobs/{job.id}").status_code for _ in range(2)] == [204, 404]
        assert forms.created == 1


class _Clumsy(Emulator):
    name = "clumsy"

    def routes(self) -> list[BaseRoute]:
        return [self.route("create", "POST", "/", self._create, auth=False)]

    async def _create(self, request: Request) -> Response:
        return JSONResponse({"answer": 1 // 0})


def test_a_mistake_in_an_emulator_is_not_taken_for_the_vendors() -> None:
    def use() -> None:
        with serve(_Clumsy()) as clumsy:
            assert web.post(clumsy.url).json() == {
                "emulator_mistake": "ZeroDivisionError: integer division or modulo by zero"
            }
            assert clumsy.journal()[0].outcome == "broken"

    with pytest.raises(EmulatorError, match="1 // 0"):
        use()


# --- webhooks ---------------------------------------------------------------------------------------------------

SECRET = AcmeEmulator.webhook_secret


class _Inbox(BaseHTTPRequestHandler):
    """Takes deliveries; the first ones may be answered with an error."""

    got: list[tuple[dict[str, str], bytes]]
    statuses: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.statuses.pop(0) if self.statuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def inbox() -> Iterator[tuple[type[_Inbox], str]]:
    handler = type("Inbox", (_Inbox,), {"got": [], "statuses": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}/hook/token"
        server.shutdown()
        thread.join()


def noticed(headers: dict[str, str], body: bytes) -> Notice:
    """What the plugin makes of a delivery."""
    return AcmeProvider().notice(headers, body, {"ACME_WEBHOOK_SECRET": SECRET}, {})


def arrived(inbox: type[_Inbox], count: int) -> list[tuple[dict[str, str], bytes]]:
    deadline = time.monotonic() + 5
    while len(inbox.got) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(inbox.got) == count
    return inbox.got


@pytest.mark.promise("T15")
def test_a_webhook_tells_of_the_end_and_insists(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    handler, url = inbox
    handler.statuses[:] = [500, 503]
    acme.script(Script(running=60))
    job = made(acme, webhook_url=url)
    time.sleep(0.1)
    assert handler.got == []
    acme.advance(60)
    deliveries = arrived(handler, 3)
    headers, body = deliveries[-1]
    told = noticed(headers, body)
    assert (told.provider_job_id, json.loads(body)["status"], told.delivery_id) == (job, "done", f"msg_{job}")
    assert len({headers["webhook-id"] for headers, _ in deliveries}) == 1
    assert [entry.status for entry in acme.journal("webhook")] == [500, 503, 204]


@pytest.mark.promise("T15")
def test_a_cancelled_job_is_told_of_at_once(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    handler, url = inbox
    acme.script(Script(running=60))
    job = made(acme, webhook_url=url)
    web.post(f"{acme.url}/v1/videos/{job}/cancel", headers=KEY)
    assert json.loads(arrived(handler, 1)[0][1])["status"] == "stopped"


@pytest.mark.parametrize("what", ["bad_signature", "unsigned", "stale", "garbage"])
@pytest.mark.promise("T15")
def test_deliveries_that_are_not_genuine(acme: ServerThread, inbox: tuple[type[_Inbox], str], what: Any) -> None:
    acme.inject(Fault(what, on="webhook"))
    made(acme, webhook_url=inbox[1])
    ((headers, body),) = arrived(inbox[0], 1)
    with pytest.raises(WebhookError):
        noticed(headers, body)


@pytest.mark.promise("T15")
def test_deliveries_that_come_twice_or_never(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    acme.inject(Fault("lost", on="webhook"), Fault("duplicate", on="webhook"))
    lost = made(acme, webhook_url=inbox[1])
    time.sleep(0.1)
    twice = made(acme, webhook_url=inbox[1])
    told = [json.loads(body)["id"] for _, body in arrived(inbox[0], 2)]
    assert told == [twice, twice]
    assert lost not in told


def test_signatures_are_those_of_standard_webhooks() -> None:
    secret = "whsec_dmlkZW9nZW4tdGVzdC1rZXktMDAwMDAwMDA="
    body = b'{"id":"abc","status":"succeeded"}'
    assert sign_webhook(secret, "msg_test_0001", 1700000000, body) == "v1,kG/ORi8tReGn9EtpY3ykl0WCsDz4pFOXWIX1udEnmFk="


# --- on its own, and in numbers ---------------------------------------------------------------------------------


def test_a_vendor_in_a_process_of_its_own() -> None:
    with serve_process("acme.emulator:AcmeEmulator", seed=5, kind="B", speed=0) as acme:
        assert acme.about()["traits"]["kind"] == "B"
        assert acme.about()["seed"] == 5
        acme.script(Script(running=10))
        acme.inject(Fault("reset", on="create"))
        assert listen(acme.url, "POST", "/v1/videos", {**CREATE, "ref": "r"}).end == "RST"
        assert (acme.count("create"), acme.created) == (1, 1)
        acme.advance(10)
        (job,) = acme.jobs()
        assert (job["ref"], job["state"]) == ("r", "succeeded")
        pid = acme.pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_of_its_own_ends_in_order() -> None:
    """With its parent, and when it is told to: what an emulator left to be removed at the end is removed."""
    with serve_process("acme.emulator:AcmeEmulator") as acme:
        pass
    assert acme._process.returncode == 0
    acme = serve_process("acme.emulator:AcmeEmulator")
    os.kill(acme.pid, signal.SIGTERM)
    assert acme._process.wait(5) == 128 + signal.SIGTERM
    acme.stop()


def test_a_script_can_be_taken_before_the_job_is_made(acme: ServerThread) -> None:
    vendor = acme.emulator.vendor
    acme.script(Script(ending="failed", match="boat"), Script(running=5))
    assert vendor.take_script("a boat").ending == "failed"
    taken = vendor.take_script("a boat")
    assert taken.running == 5
    assert vendor.create(Clip(), body={}, script=taken).script is taken
    assert vendor.take_script("a boat") == vendor.script


def test_what_cannot_be_served_says_so() -> None:
    with pytest.raises(EmulatorError, match="does not start"):
        serve_process("acme.emulator:Nothing")


@pytest.mark.promise("T25")
def test_ten_thousand_jobs_are_polled_at_a_steady_rate() -> None:
    """Requests cost the same whether the vendor has ten jobs or ten thousand."""
    emulator = AcmeEmulator(kind="B", speed=0, script=Script(running=10, times=None))
    with serve(emulator) as acme:
        clip = Clip(width=96, height=64)
        jobs = [emulator.vendor.create(clip, ref=f"r{number}", body=CREATE) for number in range(10_000)]
        with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=acme.url, headers=KEY) as http:
            start = time.perf_counter()
            wanted = [jobs[place].id for place in range(0, 10_000, 20)]
            answers = list(pool.map(lambda job: http.get(f"/v1/videos/{job}").json()["status"], wanted))
            rate = len(wanted) / (time.perf_counter() - start)
    assert answers == ["working"] * len(wanted)
    assert rate > 100
