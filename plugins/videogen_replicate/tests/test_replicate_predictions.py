"""What a prediction says, and what becomes of it: lifecycle, outputs, errors, costs. Parsed without any network."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    JobStatus,
    ProviderError,
    ProviderUnavailableError,
    RejectedRequestError,
)
from videogen_replicate.predictions import created_at, snapshot

MODEL = "replicate/google/veo-3.1"
CLIP = "https://replicate.delivery/xezq/clip.mp4"


def prediction(**changes: Any) -> dict[str, Any]:
    """As the API shows one, with what a test changes."""
    shown = {
        "id": "heat2o3bzn3ahtr6bjfftvbaci",
        "model": "google/veo-3.1",
        "version": "hidden",
        "input": {"prompt": "A boat"},
        "logs": "",
        "data_removed": False,
        "error": None,
        "status": "processing",
        "created_at": "2026-11-20T13:35:45.99397566Z",
        "started_at": "2026-11-20T13:35:46.1Z",
        "urls": {"get": None},
    }
    return {**shown, **changes}


def read(usd_per_second: str | None = None, **changes: Any) -> Any:
    rate = None if usd_per_second is None else Decimal(usd_per_second)
    return snapshot(prediction(**changes), model=MODEL, usd_per_second=rate)


# --- 3, 4: lifecycle


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("starting", JobStatus.QUEUED),
        ("processing", JobStatus.RUNNING),
        ("canceled", JobStatus.CANCELLED),
        ("aborted", JobStatus.CANCELLED),
        ("failed", JobStatus.FAILED),
    ],
)
def test_each_status_has_its_meaning(word: str, status: JobStatus) -> None:
    assert read(status=word).status is status


@pytest.mark.parametrize("word", ["queued", "", None, 7, ["x"]])
def test_a_word_that_is_new_is_waited_out(word: object) -> None:
    found = read(status=word, version=None)
    assert found.status is JobStatus.RUNNING
    assert "new to this plugin" in found.message


@pytest.mark.parametrize(
    ("output", "count"), [(CLIP, 1), ([CLIP], 1), ([CLIP, CLIP], 2), ([CLIP, None, 3, "clip.mp4"], 1)]
)
def test_one_address_or_a_list_of_them(output: object, count: int) -> None:
    found = read(status="succeeded", output=output)
    assert [each.url for each in found.outputs] == [CLIP] * count
    assert all(not each.headers for each in found.outputs)


def test_a_picture_beside_the_clip_is_no_clip() -> None:
    made = ["https://replicate.delivery/cover.png", "https://replicate.delivery/boat.mp4?x=1", "https://a.b/sound.wav"]
    told = {"status": "succeeded", "output": made}
    assert [each.url for each in snapshot(told, model=MODEL).outputs] == [made[1]]
    alone = {"status": "succeeded", "output": made[:1]}
    assert len(snapshot(alone, model=MODEL).outputs) == 1


def test_a_clip_may_come_inline_or_of_another_type() -> None:
    (found,) = read(status="succeeded", output="data:video/webm;base64,AAAA").outputs
    assert (found.data, found.mime_type) == (b"\0\0\0", "video/webm")
    (other,) = read(status="succeeded", output=f"{CLIP[:-4]}.webm?x=1").outputs
    assert other.mime_type == "video/webm"
    assert read(status="succeeded", output="data:video/mp4;base64,###").status is JobStatus.FAILED


def test_aborted_costs_nothing() -> None:
    found = read(status="aborted", version=None, started_at=None)
    assert (found.status, found.cost) == (JobStatus.CANCELLED, 0)


def test_cancelled_before_it_began_costs_nothing_and_afterwards_nobody_says() -> None:
    ended = "2026-11-20T13:36:00Z"
    assert read(status="canceled", started_at=None, completed_at=ended).cost == 0
    assert read(status="canceled", completed_at=ended).cost is None


def test_progress_is_the_last_bar_of_the_logs() -> None:
    assert read(logs="  3%|#  | 1/30\n 60%|###### | 18/30").progress == 0.6
    assert read(logs="no bar").progress is None
    assert read(logs=None).progress is None


# --- 5: errors


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("The input or output was flagged as sensitive. (E005)", ContentPolicyError, "E005"),
        ("Director: unexpected error handling prediction (E1000)", GenerationFailedError, "E1000"),
        ("E1001 out of memory", GenerationFailedError, "E1001"),
        ("Service is temporarily unavailable. (E004)", ProviderUnavailableError, "E004"),
        ("(E003) high demand", ProviderUnavailableError, "E003"),
        ("Invalid input (E006)", RejectedRequestError, "E006"),
        ("NSFW content detected. Try running it again.", ContentPolicyError, None),
        ("The prompt violates our content policy", ContentPolicyError, None),
        ("E1001: a safety margin was exceeded", GenerationFailedError, "E1001"),
        ("list index out of range", GenerationFailedError, None),
        ("something new (E777)", GenerationFailedError, "E777"),
        (None, GenerationFailedError, None),
        ({"message": "it broke"}, GenerationFailedError, None),
        (["a", "b"], GenerationFailedError, None),
    ],
)
def test_errors(text: object, kind: type[ProviderError], code: str | None) -> None:
    error = read(status="failed", error=text).error
    assert (type(error), error.code, error.charged) == (kind, code, None)
    if isinstance(text, str):
        assert text in error.message


def test_what_failed_before_it_began_was_not_charged() -> None:
    found = read(status="failed", error="E9243", started_at=None, completed_at="2026-11-20T13:36:00Z")
    assert (found.cost, found.error.charged) == (0, False)


# --- 6, 7: nothing to fetch


@pytest.mark.parametrize("output", [None, "", [], [None], {}, "clip.mp4"])
def test_succeeded_without_output_is_a_failure(output: object) -> None:
    found = read(status="succeeded", output=output)
    assert found.status is JobStatus.FAILED
    assert "no output" in found.error.message


def test_what_was_removed_has_expired() -> None:
    found = read(status="succeeded", output=None, data_removed=True)
    assert (found.status, found.expired, found.error) == (JobStatus.SUCCEEDED, True, None)


# --- costs


def test_the_time_of_work_is_charged_where_the_hardware_is_known() -> None:
    metrics = {"predict_time": 41.2, "total_time": 43.0}
    assert read("0.001525", status="succeeded", output=CLIP, metrics=metrics).cost == Decimal("0.062830")
    assert read("0.001525", status="failed", error="E1001", metrics=metrics).cost == Decimal("0.062830")
    assert read(status="succeeded", output=CLIP, metrics=metrics).cost is None


@pytest.mark.parametrize(
    "metrics", [None, {}, {"predict_time": None}, {"predict_time": float("nan")}, {"predict_time": "1"}]
)
def test_without_a_time_there_is_no_cost(metrics: object) -> None:
    assert read("0.001525", status="succeeded", output=CLIP, metrics=metrics).cost is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T13:35:45.99397566Z", datetime(2026, 11, 20, 13, 35, 45, 993975, UTC)),
        ("2026-11-20T13:35:45", datetime(2026, 11, 20, 13, 35, 45, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_have_up_to_eight_digits(text: str | None, moment: datetime | None) -> None:
    assert created_at({"created_at": text}) == moment
