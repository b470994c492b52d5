"""The emulator harness: scripts, clock, classes, journal, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from acme.emulator import AcmeEmulator
from emulated import CREATE, KEY, acme, create, listen, made, poll, server, web
from videogen_core.testing import (
    Clip,
    Clock,
    Emulator,
    EmulatorError,
    Fault,
    Refusal,
    Script,
    ServerThread,
    read_form,
    serve,
    serve_process,
)
from videogen_core.testing.lifecycle import state_of

__all__ = ["acme", "server"]  # fixtures


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
