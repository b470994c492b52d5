"""MiniMax-H3, on the API of tasks: roles, refusals with real statuses, what was counted, lists and cancels."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from minimax_bench import (
    _served as _served,
    asked,
    body,
    client,
    picture,
    vendor as vendor,
    videogen as videogen,
)
from videogen_core import (
    AuthenticationError,
    Client,
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    JobCancelledError,
    ProviderError,
    RateLimitError,
    RejectedRequestError,
    RequestError,
    SubmissionUnknownError,
)
from videogen_core.testing import Clip, Fault, Script, ServerThread, make_clip
from videogen_minimax import v2

H3: dict[str, Any] = {"model": "hailuo-3", "duration": 4}
LIST = "/v2/query/video_generation"


def roles(vendor: ServerThread) -> list[tuple[str, str | None]]:
    return [(item["type"], item.get("role")) for item in body(vendor)["content"]]


# --- what is sent -------------------------------------------------------------------------------------------------


def test_text_needs_a_shape_and_gets_the_usual_one(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", model="hailuo-3", duration=5)
    assert body(vendor) == {
        "model": "MiniMax-H3",
        "content": [{"type": "text", "text": "A boat"}],
        "resolution": "768P",
        "duration": 5,
        "ratio": "16:9",
    }
    (violation,) = videogen.check("A boat", model="hailuo-3", aspect_ratio="adaptive")
    assert violation.field == "aspect_ratio"


def test_frames_have_their_roles(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", **H3, image=picture("JPEG"), last_frame=picture("WEBP"))
    assert roles(vendor) == [("text", None), ("image_url", "first_frame"), ("image_url", "last_frame")]
    sent = body(vendor)
    assert [item["image_url"]["url"][:16] for item in sent["content"][1:]] == ["data:image/jpeg;", "data:image/webp;"]
    assert (sent["ratio"], sent["duration"], sent["resolution"]) == ("adaptive", 4, "768P")


def test_a_last_frame_may_stand_alone(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", **H3, last_frame=picture())
    assert roles(vendor) == [("text", None), ("image_url", "last_frame")]


def test_frames_and_references_exclude_each_other(vendor: ServerThread, videogen: Client) -> None:
    with pytest.raises(RequestError, match="inputs: reference_to_video takes"):
        videogen.submit("A boat", **H3, image=picture(), reference_images=[picture("WEBP")])
    assert vendor.journal() == []


def test_references_of_every_kind(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit(
        "A boat",
        **H3,
        task="reference_to_video",
        reference_images=[picture(), picture("WEBP")],
        video="https://clips.example/a.mp4",
        options={"minimax": {"reference_audio": ["https://sounds.example/a.mp3"]}},
    )
    images = [("image_url", "reference_image")] * 2
    others = [("video_url", "reference_video"), ("audio_url", "reference_audio")]
    assert roles(vendor) == [("text", None), *images, *others]
    assert body(vendor)["ratio"] == "adaptive"


def test_sounds_go_with_references_only(vendor: ServerThread, videogen: Client) -> None:
    for sounds, request in (
        (["https://sounds.example/a.mp3"], {}),
        (["rain.mp3"], {"reference_images": [picture()]}),
    ):
        with pytest.raises(RequestError, match=r"options\.minimax\.reference_audio"):
            videogen.submit("A boat", **H3, **request, options={"minimax": {"reference_audio": sounds}})
    assert vendor.journal("create") == []


def test_a_seed_is_sent_when_it_is_asked_for(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", **H3, seed=2**32 - 1)
    assert body(vendor)["seed"] == 2**32 - 1


def test_h3_max_says_how_far_the_prompt_is_expanded(vendor: ServerThread, videogen: Client) -> None:
    options = {"minimax": {"prompt_expansion_mode": "quality"}}
    videogen.submit("A boat", model="hailuo-3-max", resolution="480p", options=options)
    sent = body(vendor)
    assert sent["extra"] == {"prompt_expansion_mode": "quality"}
    assert sent.keys() == {"model", "content", "resolution", "duration", "ratio", "extra"}


def test_a_request_of_more_than_64_mib_is_refused_here(vendor: ServerThread, videogen: Client) -> None:
    noise = picture("PNG") + bytes(26_000_000)
    with pytest.raises(RequestError, match="a request has at most 67,108,864"):
        videogen.submit("A boat", **H3, image=noise, last_frame=noise)
    assert vendor.journal() == []


# --- made once more, in 2K ----------------------------------------------------------------------------------------


def base(seconds: float = 5.0, width: int = 1344, height: int = 768) -> bytes:
    return make_clip(Clip(duration=seconds, width=width, height=height, fps=4))


def test_regeneration_sends_the_clip_with_what_it_was_made_of(vendor: ServerThread, videogen: Client) -> None:
    source = base()
    result = videogen.generate(
        "A boat", model="hailuo-3", task="upscale_video", video=source, image=picture(), output="2k.mp4"
    )
    (create,) = vendor.journal("create")
    assert create.path == "/v2/video_regeneration"
    assert create.body.startswith('{"model":"MiniMax-H3","content":[{"type":"text","text":"A boat"},')
    assert (result.cost, vendor.stats()["charged"]) == (Decimal("0.25"), "0.25")
    attempt = result.attempts[0]
    assert (attempt.quote.low, attempt.quote.high) == (Decimal("0.224"), Decimal("0.25"))


def test_regeneration_refuses_a_clip_of_another_make(vendor: ServerThread, videogen: Client) -> None:
    small = base(width=320, height=180)
    with pytest.raises(RejectedRequestError, match="no output of MiniMax-H3 at 768P"):
        videogen.submit("A boat", model="hailuo-3", task="upscale_video", video=small)
    with pytest.raises(RequestError, match="seed: a clip that is made once more takes none"):
        videogen.submit("A boat", model="hailuo-3", task="upscale_video", video="https://a.example/b.mp4", seed=1)
    assert vendor.created == 0


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("2013", 400, RejectedRequestError),
        ("1004", 401, AuthenticationError),
        ("1008", 402, InsufficientCreditsError),
        ("1026", 422, ContentPolicyError),
    ],
)
def test_a_status_with_a_code_in_its_words(
    vendor: ServerThread, videogen: Client, code: str, status: int, kind: type[ProviderError]
) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code=code))
    with pytest.raises(ProviderError) as caught:
        videogen.submit("A boat", **H3)
    error = caught.value
    assert (type(error), error.code, error.status_code) == (kind, code, status)
    assert (error.request_id, error.charged, error.retryable) == ("v2req000001", False, False)
    assert len(vendor.journal("create")) == 1


def test_a_rate_limit_is_waited_out(vendor: ServerThread, videogen: Client) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code="1002"))
    videogen.submit("A boat", **H3)
    assert [entry.status for entry in vendor.journal("create")] == [429, 200]


def test_a_rate_limit_that_stays_is_told(vendor: ServerThread, tmp_path: Path) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code="1002", times=None))
    with client(tmp_path, patience=40) as videogen, pytest.raises(RateLimitError) as caught:
        videogen.submit("A boat", **H3)
    assert (caught.value.code, caught.value.status_code, caught.value.request_id) == ("1002", 429, "v2req000003")


@pytest.mark.parametrize("fault", [Fault("refusal", on="create", code="1000"), Fault("reset", on="create")])
def test_what_may_be_a_lost_create_is_shown_and_not_taken(vendor: ServerThread, videogen: Client, fault: Fault) -> None:
    videogen.submit("Another", model="hailuo-3", duration=5)
    vendor.advance(600)
    videogen.submit("Of another length", model="hailuo-3", duration=6)
    vendor.inject(fault)
    with pytest.raises(SubmissionUnknownError) as caught:
        videogen.generate("A boat", model="hailuo-3", duration=5, output="boat.mp4")
    earlier, longer, lost = (job["id"] for job in vendor.jobs())
    assert lost in str(caught.value)
    assert earlier not in str(caught.value)
    assert longer not in str(caught.value)
    assert vendor.count("create") == 3
    (job,) = videogen.jobs(status="unknown")
    job.settle(attach=lost)
    assert job.wait(timeout=60).cost == Decimal("0.40")


def test_a_list_is_read_to_where_the_create_was(
    vendor: ServerThread, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2, "_PAGE", 2)
    videogen.submit("Long ago", **H3)
    vendor.advance(600)
    vendor.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError):
        videogen.submit("A boat", **H3)
    others = [videogen.submit("Another", **H3) for _ in range(3)]
    before = len(vendor.journal("list"))
    found = [outcome for outcome in videogen.resume(timeout=30) if isinstance(outcome, SubmissionUnknownError)]
    lost = vendor.jobs()[1]["id"]
    assert [lost in str(error) for error in found] == [True]
    assert not any(str(job.provider_job_id) in str(found[0]) for job in others)  # they are known to be of other jobs
    queries = [entry.query for entry in vendor.journal("list")[before:][:3]]
    assert queries == [f"page_num={page}&page_size=2&filter.model=MiniMax-H3" for page in (1, 2, 3)]


# --- tasks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "kind", "code", "cost"),
    [
        (Script(ending="failed"), GenerationFailedError, "1000", "0"),
        (Script(ending="blocked"), ContentPolicyError, "1027", "0"),
        (Script(ending="failed", charged=True), GenerationFailedError, "1000", "0.32"),
        (Script(ending="failed", code="expired"), GenerationFailedError, "expired", "0.32"),  # nobody knows: the hold
        (Script(ending="empty"), GenerationFailedError, None, "0.32"),
    ],
    ids=["failed", "blocked", "charged", "expired", "empty"],
)
def test_a_task_that_ends_badly(
    vendor: ServerThread, videogen: Client, script: Script, kind: type[ProviderError], code: str | None, cost: str
) -> None:
    vendor.script(script)
    with pytest.raises(ProviderError) as caught:
        videogen.generate("A boat", **H3)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert videogen.jobs()[0].cost == Decimal(cost)


def test_the_cost_is_what_minimax_counted(vendor: ServerThread, videogen: Client) -> None:
    clip = make_clip(Clip(duration=2.5, width=320, height=180, fps=8))
    images = [picture("PNG", (300 + number, 300)) for number in range(7)]
    result = videogen.generate(
        "A boat", **H3, task="reference_to_video", reference_images=images, video=clip, output="boat.mp4"
    )
    # 4 s and 3 s of the reference at $0.08, and two images beyond five at $0.04
    assert result.cost == Decimal("0.64") == result.attempts[0].quote.high
    assert vendor.stats()["charged"] == "0.64"


@pytest.mark.parametrize(
    "usage", [{}, None, {"output_seconds": "four"}, {"output_seconds": 4, "input_image_count": 0.5}]
)
def test_a_count_that_cannot_be_read_loses_no_clip(
    vendor: ServerThread, videogen: Client, monkeypatch: pytest.MonkeyPatch, usage: Any
) -> None:
    task = vendor.emulator.tasks.task  # type: ignore[attr-defined]
    monkeypatch.setattr(vendor.emulator.tasks, "task", lambda *of: {**task(*of), "usage": usage})  # type: ignore[attr-defined]
    result = videogen.generate("A boat", **H3, output="boat.mp4")
    assert (result.path is not None, result.cost) == (True, Decimal("0.32"))  # as estimated


def test_a_task_of_another_model_is_not_attached(vendor: ServerThread, videogen: Client, tmp_path: Path) -> None:
    with client(tmp_path / "other") as other:
        strange = other.submit("A boat", model="hailuo-3-max").provider_job_id
    vendor.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError):
        videogen.submit("A boat", **H3)
    (job,) = videogen.jobs()
    with pytest.raises(RejectedRequestError, match="is of the model MiniMax-H3-Max, not MiniMax-H3"):
        job.settle(attach=strange)
    assert job.refresh().status == "unknown"


def test_an_id_stays_within_its_part_of_an_address(vendor: ServerThread, videogen: Client) -> None:
    vendor.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError):
        videogen.submit("A boat", **H3)
    (job,) = videogen.jobs()
    with pytest.raises(ProviderError):
        job.settle(attach="1?page_num=1")
    assert asked(vendor)[-1] == f"GET {LIST}/1?page_num=1"
    assert vendor.journal()[-1].query == ""


def test_a_task_is_forgotten_after_a_week(vendor: ServerThread, videogen: Client) -> None:
    job = videogen.submit("A boat", **H3)
    vendor.advance(7 * 86_400 + 60)
    with pytest.raises(RejectedRequestError, match="invalid task_id") as caught:
        job.refresh()
    assert caught.value.status_code == 404
    assert "seven days" in str(caught.value.hint)


def test_cancelling_what_waits(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(queued=600))
    job = videogen.submit("A boat", **H3)
    job.cancel()
    assert (job.status, job.cost) == ("cancelled", 0)
    with pytest.raises(JobCancelledError):
        job.wait(timeout=10)
    assert asked(vendor)[1:3] == [
        f"GET {LIST}/{job.provider_job_id}",
        f"DELETE /v2/video_generation/{job.provider_job_id}",
    ]


@pytest.mark.parametrize(
    ("script", "said"),
    [(Script(running=600), "cancels only what waits"), (Script(), "the task has succeeded already")],
    ids=["running", "succeeded"],
)
def test_what_does_not_wait_is_never_deleted(vendor: ServerThread, videogen: Client, script: Script, said: str) -> None:
    vendor.script(script)
    job = videogen.submit("A boat", **H3, output="boat.mp4")
    with pytest.raises(RequestError, match=said):
        job.cancel()
    assert vendor.journal("cancel") == []
    vendor.advance(600)
    assert job.wait(timeout=60).path is not None


def test_a_cancel_that_minimax_refuses(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(queued=60, cancel="no"))
    job = videogen.submit("A boat", **H3, output="boat.mp4")
    with pytest.raises(RequestError, match="cannot be cancelled"):
        job.cancel()
    assert job.wait(timeout=60).path is not None


def test_a_task_that_ended_while_it_was_cancelled(
    vendor: ServerThread, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.script(Script(queued=50))
    job = videogen.submit("A boat", **H3)
    put_forward = vendor.emulator.clock.advance
    look = vendor.emulator.vendor.poll
    monkeypatch.setattr(vendor.emulator.vendor, "poll", lambda task: (look(task), put_forward(100))[0])
    job.cancel()
    assert (job.status, job.cost) == ("cancelled", Decimal("0.32"))  # the record is gone; it may be charged
