"""The emulator is as strict as MiniMax, in MiniMax's own shapes: asked directly, without the plugin."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minimax_bench import KEY, _served as _served, emulator as emulator, picture, vendor as vendor
from videogen_core.testing import Script, ServerThread
from videogen_minimax.emulator import MinimaxEmulator

V1, V2 = "/v1/video_generation", "/v2/video_generation"
HAILUO = {"model": "MiniMax-Hailuo-2.3", "prompt": "A boat"}
TEXT = {"type": "text", "text": "A boat"}
H3: dict[str, Any] = {"model": "MiniMax-H3", "content": [TEXT], "resolution": "768P", "duration": 5, "ratio": "16:9"}

FRAMED = {**H3, "ratio": "adaptive"}


def data(kind: str = "PNG", size: tuple[int, int] = (640, 360)) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture(kind, size)).decode()}"


def frame(role: str, url: str = "https://pictures.example/a.png") -> dict[str, Any]:
    kind = {"video": "video_url", "audio": "audio_url"}.get(role.rpartition("_")[2], "image_url")
    return {"type": kind, kind: {"url": url}, "role": role}


@pytest.fixture
def api(vendor: ServerThread) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=vendor.url, headers={"Authorization": f"Bearer {KEY}"}) as found:
        yield found


def code(answer: httpx.Response) -> int:
    assert answer.status_code == 200
    return int(answer.json()["base_resp"]["status_code"])


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"model": "MiniMax-Hailuo-9"},
        {"model": "MiniMax-H3"},
        {"duration": 7},
        {"duration": "6"},
        {"duration": 10, "resolution": "1080P"},
        {"resolution": "768p"},
        {"resolution": "512P"},
        {"prompt": "a" * 2001},
        {"prompt": " "},
        {"prompt_optimizer": "yes"},
        {"first_frame_image": "boat.png"},
        {"first_frame_image": "data:image/png;base64,AAAA"},
        {"first_frame_image": data(size=(640, 300))},
        {"first_frame_image": data(size=(1000, 380))},
        {"first_frame_image": data("GIF")},
        {"last_frame_image": data()},
        {"first_frame_image": data(), "last_frame_image": data()},
        {"model": "MiniMax-Hailuo-2.3-Fast"},
        {"model": "MiniMax-Hailuo-02", "first_frame_image": data(), "last_frame_image": data(), "resolution": "512P"},
        {"model": "T2V-01", "duration": 6},
        {"model": "T2V-01", "fast_pretreatment": True},
        {"model": "I2V-01", "first_frame_image": data(), "resolution": "720P"},
        {"model": "S2V-01", "first_frame_image": data()},
        {"model": "S2V-01", "subject_reference": [{"type": "character", "image": [data(), data()]}]},
        {"model": "S2V-01", "subject_reference": [{"type": "dog", "image": [data()]}]},
        {"model": "S2V-01", "subject_reference": {"type": "character", "image": [data()]}},
    ],
)
def test_v1_refuses_with_200_and_2013(api: httpx.Client, vendor: ServerThread, changes: dict[str, Any]) -> None:
    answer = api.post(V1, json={**HAILUO, **changes})
    assert code(answer) == 2013
    assert answer.json()["base_resp"]["status_msg"].startswith("invalid params, ")
    assert answer.json()["task_id"] == ""
    assert answer.headers["trace-id"]
    assert vendor.created == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "A boat"},
        {"model": "MiniMax-Hailuo-2.3"},
        {"resolution": "480P"},
        {"resolution": "768p"},
        {"duration": 3},
        {"duration": 16},
        {"duration": 5.5},
        {"ratio": "adaptive"},
        {"ratio": "2:1"},
        {"seed": 2**32},
        {"extra": {"prompt_expansion_mode": "quality"}},
        {"content": []},
        {"content": [TEXT, TEXT]},
        {"content": [{"type": "text", "text": " "}]},
        {"content": [{"type": "text", "text": "a" * 7001}]},
        {"content": [TEXT, frame("first_frame"), frame("first_frame")]},
        {"content": [TEXT, frame("first_frame"), frame("reference_image")]},
        {"content": [TEXT, *[frame("reference_image")] * 10]},
        {"content": [TEXT, *[frame("reference_video")] * 4]},
        {"content": [TEXT, frame("reference_audio")]},
        {"content": [TEXT, frame("base_video")]},
        {"content": [TEXT, frame("hero_image")]},
        {"content": [TEXT, frame("first_frame", data(size=(640, 250)))]},
        {"content": [TEXT, frame("first_frame", "c:/boat.png")]},
        {"model": "MiniMax-H3-Max", "content": [TEXT, frame("reference_image")]},
        {"model": "MiniMax-H3-Max", "aigc_watermark": True},
        {"model": "MiniMax-H3-Max", "resolution": "2K"},
        {"model": "MiniMax-H3-Max", "duration": 4},
    ],
)
def test_v2_refuses_with_400_and_2013(api: httpx.Client, vendor: ServerThread, changes: dict[str, Any]) -> None:
    answer = api.post(V2, json={**H3, **changes})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (answer.json()["type"], error["type"], error["http_code"]) == ("error", "bad_request_error", "400")
    assert error["message"].endswith("(2013)")
    assert answer.json()["request_id"]
    assert vendor.created == 0


@pytest.mark.parametrize(
    ("headers", "inside", "status"),
    [({}, 1004, 401), ({"Authorization": KEY}, 1004, 401), ({"Authorization": "Bearer other"}, 2049, 401)],
)
def test_a_call_without_its_bearer(vendor: ServerThread, headers: dict[str, str], inside: int, status: int) -> None:
    with httpx.Client(base_url=vendor.url, headers=headers) as api:
        assert code(api.post(V1, json=HAILUO)) == inside
        answer = api.post(V2, json=H3)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].endswith(f"({inside})")


def test_a_prompt_that_is_forbidden(api: httpx.Client) -> None:
    assert code(api.post(V1, json={**HAILUO, "prompt": "forbidden"})) == 1026
    assert api.post(V2, json={**H3, "content": [{"type": "text", "text": "forbidden"}]}).status_code == 422


def test_each_api_knows_its_own_tasks_only(api: httpx.Client) -> None:
    old = api.post(V1, json=HAILUO).json()["task_id"]
    new = api.post(V2, json=H3).json()["task_id"]
    assert old.isdecimal()
    assert new.isdecimal()
    assert code(api.get("/v1/query/video_generation", params={"task_id": new})) == 2013
    assert api.get(f"/v2/query/video_generation/{old}").status_code == 400
    assert [task["id"] for task in api.get("/v2/query/video_generation").json()["items"]] == [new]


def test_v1_says_its_words_in_order(api: httpx.Client, vendor: ServerThread) -> None:
    vendor.script(Script(throttled=30, queued=30, running=30))
    task = api.post(V1, json=HAILUO).json()["task_id"]
    seen = []
    for _ in range(4):
        told = api.get("/v1/query/video_generation", params={"task_id": task}).json()
        seen.append((told["status"], told["file_id"] != "", told["video_width"]))
        vendor.advance(30)
    assert seen == [("Preparing", False, 0), ("Queueing", False, 0), ("Processing", False, 0), ("Success", True, 1366)]


def test_the_address_of_a_clip_works_for_an_hour(api: httpx.Client, vendor: ServerThread) -> None:
    task = api.post(V1, json=HAILUO).json()["task_id"]
    told = api.get("/v1/query/video_generation", params={"task_id": task}).json()
    file = api.get("/v1/files/retrieve", params={"file_id": told["file_id"]}).json()["file"]
    assert file["file_id"] == int(told["file_id"])
    assert file["download_url"].startswith(vendor.delivery_url)
    assert httpx.get(file["download_url"]).status_code == 200
    vendor.advance(3601)
    assert httpx.get(file["download_url"]).status_code == 403


def test_v2_deletes_what_is_over_and_cancels_what_waits(api: httpx.Client, vendor: ServerThread) -> None:
    vendor.script(Script(queued=600), Script(running=600), Script())
    waits, works, done = (api.post(V2, json=H3).json()["task_id"] for _ in range(3))
    answers = [api.delete(f"{V2}/{task}") for task in (waits, works, done)]
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert [answers[0].json()["action"], answers[2].json()["action"]] == ["cancelled", "deleted"]
    assert api.delete(f"{V2}/{waits}").status_code == 400
    assert api.get(f"/v2/query/video_generation/{done}").status_code == 400
    assert api.get(f"/v2/query/video_generation/{waits}").json()["task"]["status"] == "cancelled"


def test_v2_lists_in_pages_and_by_filter(api: httpx.Client) -> None:
    made = [api.post(V2, json={**H3, "duration": 5 + number}).json()["task_id"] for number in range(3)]
    page = api.get("/v2/query/video_generation", params={"page_num": 2, "page_size": 2}).json()
    assert ([task["id"] for task in page["items"]], page["total"]) == ([made[0]], 3)
    none = api.get("/v2/query/video_generation", params={"filter.model": "MiniMax-H3-Max"}).json()
    assert none == {"items": [], "total": 0}
    for wrong in ({"page_size": 0}, {"page_num": "x"}, {"limit": 3}):
        assert api.get("/v2/query/video_generation", params=wrong).status_code == 400


@pytest.mark.parametrize(
    ("path", "request_", "size", "seconds"),
    [
        (V1, HAILUO, (1366, 768), 6),
        (V1, {**HAILUO, "resolution": "1080P"}, (1920, 1080), 6),
        (V1, {**HAILUO, "first_frame_image": data(size=(400, 600)), "duration": 10}, (768, 1152), 10),
        (V1, {"model": "I2V-01", "first_frame_image": data(size=(400, 400))}, (720, 720), 6),
        (V2, H3, (1344, 768), 5),
        (V2, {**H3, "resolution": "2K", "ratio": "9:16", "duration": 15}, (1440, 2560), 15),
        (
            V2,
            {**H3, "content": [TEXT, frame("first_frame", data(size=(400, 300)))], "ratio": "adaptive"},
            (1024, 768),
            5,
        ),
        (V2, {**H3, "model": "MiniMax-H3-Max", "resolution": "480P"}, (832, 480), 5),
    ],
)
def test_a_clip_is_what_was_asked_for(
    api: httpx.Client,
    emulator: MinimaxEmulator,
    path: str,
    request_: dict[str, Any],
    size: tuple[int, int],
    seconds: int,
) -> None:
    assert api.post(path, json=request_).json()["task_id"]
    (job,) = emulator.vendor.jobs.values()
    assert (job.clip.width, job.clip.height, job.clip.duration) == (*size, seconds)
    assert (job.clip.audio, job.clip.fps) == (path == V2, 24)


def test_what_is_no_path_of_it_is_not_found(api: httpx.Client) -> None:
    assert api.post("/v1/v1/video_generation", json=HAILUO).status_code == 404
    assert api.get("/v3/query").status_code == 404
