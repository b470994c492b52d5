"""Hailuo, on the API that answers 200 whatever happens: what is sent, what its answers mean, and what they cost."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minimax_bench import (
    Heard,
    _served as _served,
    asked,
    body,
    client,
    emulator as emulator,
    picture,
    vendor as vendor,
    videogen as videogen,
)
from videogen_core import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RejectedRequestError,
    RequestError,
    ResultExpiredError,
    SubmissionUnknownError,
)
from videogen_core.testing import Fault, Script, ServerThread
from videogen_minimax.emulator import MinimaxEmulator
from videogen_minimax.plugin import MinimaxProvider

CREATE, QUERY, RETRIEVE = "POST /v1/video_generation", "GET /v1/query/video_generation", "GET /v1/files/retrieve"
HAILUO: dict[str, Any] = {"model": "hailuo-2.3", "duration": 6, "resolution": "768p"}


def test_a_clip_of_text_takes_three_calls_in_order(vendor: ServerThread, videogen: Client) -> None:
    result = videogen.generate("A boat", **HAILUO, output="boat.mp4")
    assert [call.partition("/files/")[0] for call in asked(vendor)[:3]] == [
        CREATE,
        QUERY,
        RETRIEVE.partition("/files")[0],
    ]
    assert asked(vendor)[3].startswith("GET /files/")
    assert body(vendor) == {
        "model": "MiniMax-Hailuo-2.3",
        "prompt": "A boat",
        "duration": 6,
        "resolution": "768P",
        "prompt_optimizer": True,
    }
    assert (result.cost, result.path and result.path.read_bytes()[4:8]) == (Decimal("0.28"), b"ftyp")
    assert vendor.stats()["charged"] == "0.28"


def test_first_and_last_frame_keep_their_mime_types(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", model="hailuo-02", image=picture("JPEG"), last_frame=picture("WEBP"))
    sent = body(vendor)
    for field, kind, data in (
        ("first_frame_image", "image/jpeg", picture("JPEG")),
        ("last_frame_image", "image/webp", picture("WEBP")),
    ):
        assert sent[field] == f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_an_address_is_passed_on_as_it_is(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", model="hailuo-2.3-fast", image="https://pictures.example/a.png?x=1")
    assert body(vendor)["first_frame_image"] == "https://pictures.example/a.png?x=1"


def test_a_character_goes_into_a_list_in_a_list(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("She waves", model="s2v-01", reference_images=[picture("JPEG")])
    sent = body(vendor)
    (subject,) = sent["subject_reference"]
    assert subject["type"] == "character"
    assert [image[:23] for image in subject["image"]] == ["data:image/jpeg;base64,"]
    assert sent.keys() & {"duration", "resolution", "first_frame_image"} == set()


def test_the_01_family_is_told_no_duration(vendor: ServerThread, videogen: Client) -> None:
    videogen.submit("A boat", model="i2v-01-director", image=picture(), duration=6, resolution="720p")
    assert body(vendor).keys() & {"duration", "resolution"} == set()
    (violation,) = videogen.check("A boat", model="i2v-01-director", image=picture(), duration=5)
    assert violation.field == "duration"
    assert len(vendor.journal("create")) == 1


def test_options_are_sent(vendor: ServerThread, videogen: Client) -> None:
    options = {"prompt_optimizer": False, "fast_pretreatment": True, "aigc_watermark": True}
    heard = Heard()
    videogen.generate("A boat", **HAILUO, options={"minimax": options}, output="boat.mp4", on_event=heard)
    assert body(vendor).items() >= options.items()
    assert heard.of("warning") == ["options.minimax.fast_pretreatment plays no part without prompt_optimizer."]


# --- refusals -----------------------------------------------------------------------------------------------------

REFUSED: dict[str, type[ProviderError]] = {
    "1004": AuthenticationError,
    "1008": InsufficientCreditsError,
    "1026": ContentPolicyError,
    "1028": InsufficientCreditsError,
    "1042": RejectedRequestError,
    "2013": RejectedRequestError,
    "2038": PermissionDeniedError,
    "2049": AuthenticationError,
    "2056": InsufficientCreditsError,
    "2061": PermissionDeniedError,
    "2067": InsufficientCreditsError,
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_code_inside_a_200_is_a_typed_error(vendor: ServerThread, videogen: Client, code: str) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code=code))
    with pytest.raises(ProviderError) as caught:
        videogen.generate("A boat", **HAILUO)
    error = caught.value
    assert type(error) is REFUSED[code]
    assert (error.code, error.status_code, error.request_id) == (code, 200, "req-000001")
    assert (error.charged, error.retryable) == (False, False)
    assert len(vendor.journal("create")) == 1
    (job,) = videogen.jobs()
    assert (job.status, job.cost) == ("failed", 0)


def test_a_refused_key_is_told_about_regions(vendor: ServerThread, videogen: Client) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code="2049"))
    with pytest.raises(AuthenticationError, match="works in its own region only"):
        videogen.generate("A boat", **HAILUO)


@pytest.mark.parametrize("code", ["1002", "1039", "1041", "2045", "2046", "2047"])
def test_a_limit_is_waited_out_once(vendor: ServerThread, videogen: Client, code: str) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code=code))
    videogen.submit("A boat", **HAILUO)
    first, second = vendor.journal("create")
    assert second.time - first.time >= 14.9  # seconds of the vendor's, which says nothing itself
    assert vendor.created == 1


def test_a_limit_that_stays_is_told(vendor: ServerThread, tmp_path: Path) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code="1002", times=None))
    with client(tmp_path, patience=40) as videogen, pytest.raises(RateLimitError, match="rate limit"):
        videogen.submit("A boat", **HAILUO)
    assert vendor.created == 0


LOST = {
    "read timeout": Fault("hang", on="create", seconds=30),
    "500": Fault("status", on="create", status=500),
    "1000": Fault("refusal", on="create", code="1000"),
    "1001": Fault("refusal", on="create", code="1001"),
    "1013": Fault("refusal", on="create", code="1013"),
    "1024": Fault("refusal", on="create", code="1024"),
    "1033": Fault("refusal", on="create", code="1033"),
    "a code that nobody knows": Fault("refusal", on="create", code="4711"),
    "no id": Fault("no_id", on="create"),
}


@pytest.mark.parametrize("loss", LOST)
def test_an_outcome_that_is_not_known_is_never_sent_again(vendor: ServerThread, tmp_path: Path, loss: str) -> None:
    vendor.inject(LOST[loss])
    limit = {"submit_timeout": 1.2} if loss == "read timeout" else {}
    with client(tmp_path, **limit) as videogen:
        with pytest.raises(SubmissionUnknownError, match=r"platform\.minimax\.io"):
            videogen.generate("A boat", **HAILUO)
        (job,) = videogen.jobs()
        assert (job.status, job.money) == ("unknown", "held")
    assert (len(vendor.journal("create")), vendor.created) == (1, 1)


@pytest.mark.parametrize("vendor_keys", [{"api": "v1"}, {"model": "MiniMax-Hailuo-9"}, {"model": "M", "api": "v9"}])
def test_a_row_that_says_too_little_is_refused_and_not_lost(
    vendor: ServerThread, videogen: Client, vendor_keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = MinimaxProvider().models()
    changed = tuple(msgspec.structs.replace(row, vendor=vendor_keys) for row in rows)
    monkeypatch.setattr(MinimaxProvider, "models", lambda self: changed)
    with client(Path("other")) as other, pytest.raises(ConfigurationError, match=r"row|APIs"):
        other.submit("A boat", **HAILUO)
    assert vendor.journal() == []


def test_a_person_attaches_what_was_lost(vendor: ServerThread, videogen: Client) -> None:
    vendor.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError):
        videogen.generate("A boat", **HAILUO, output="boat.mp4")
    (job,), (made,) = videogen.jobs(), vendor.jobs()
    with pytest.raises(ProviderError, match="task_id not found"):
        job.settle(attach="123456789012345")
    job.settle(attach=made["id"])
    assert job.wait(timeout=60).path is not None
    assert vendor.created == 1


# --- polls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (Script(ending="failed", code="1027"), ContentPolicyError, "1027"),
        (Script(ending="blocked", code="1026"), ContentPolicyError, "1026"),
        (Script(ending="failed", code="1033"), GenerationFailedError, "1033"),
        (Script(ending="failed"), GenerationFailedError, None),
        (Script(ending="failed", code="Failed"), GenerationFailedError, None),
    ],
    ids=["fail-1027", "fail-1026", "fail-1033", "fail-0", "failed"],
)
def test_a_task_that_fails_costs_nothing(
    vendor: ServerThread, videogen: Client, script: Script, kind: type[ProviderError], code: str | None
) -> None:
    vendor.script(script)
    with pytest.raises(ProviderError) as caught:
        videogen.generate("A boat", **HAILUO)
    assert (type(caught.value), caught.value.code, caught.value.charged) == (kind, code, False)
    assert videogen.jobs()[0].cost == 0


def test_every_word_of_a_task_is_understood(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(throttled=40, queued=40, running=40))
    job, seen = videogen.submit("A boat", **HAILUO, output="boat.mp4"), []
    for _ in range(4):
        seen.append(job.refresh().status)
        vendor.advance(40)
    assert seen == ["queued", "queued", "running", "succeeded"]


def test_unknown_is_asked_again(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(running=60, word="Unknown"))
    heard = Heard()
    videogen.generate("A boat", **HAILUO, output="boat.mp4", on_event=heard)
    assert "MiniMax says 'Unknown', which is new to this plugin" in heard.of("progress")


@pytest.mark.parametrize("fault", [Fault("status", on="poll", status=500), Fault("refusal", on="poll", code="1024")])
def test_trouble_while_polling_is_passed_over(vendor: ServerThread, videogen: Client, fault: Fault) -> None:
    vendor.inject(fault)
    assert videogen.generate("A boat", **HAILUO, output="boat.mp4").cost == Decimal("0.28")
    assert vendor.created == 1


def test_success_without_a_file_is_a_clear_failure(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(ending="empty"))
    with pytest.raises(GenerationFailedError, match="succeeded, and names no file"):
        videogen.generate("A boat", **HAILUO, timeout=30)


def test_an_address_without_a_scheme_and_a_number_for_a_file(
    vendor: ServerThread, videogen: Client, emulator: MinimaxEmulator
) -> None:
    emulator.bare_urls = True
    assert videogen.generate("A boat", **HAILUO, output="boat.mp4").path is not None
    (retrieved,) = [entry for entry in vendor.journal("poll") if entry.path == "/v1/files/retrieve"]
    assert retrieved.query.removeprefix("file_id=").isdecimal()


def test_an_address_that_has_expired_is_asked_for_again(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(expired=1))
    videogen.generate("A boat", **HAILUO, output="boat.mp4")
    assert [call for call in asked(vendor) if call == RETRIEVE] == [RETRIEVE] * 2
    downloads = vendor.journal("download")
    assert [entry.status for entry in downloads] == [403, 200]
    assert not any(entry.credentials for entry in downloads)
    assert {entry.origin for entry in downloads} == {"delivery"}


def test_a_file_that_is_gone_is_said_to_be_gone(vendor: ServerThread, videogen: Client) -> None:
    vendor.change(retention=100.0)
    job = videogen.submit("A boat", **HAILUO, output="boat.mp4")
    assert job.refresh().status == "succeeded"
    vendor.advance(1000)
    with pytest.raises(ResultExpiredError):
        job.wait(timeout=30)


def test_a_file_that_was_gone_when_first_asked_for_is_paid_for_all_the_same(
    vendor: ServerThread, videogen: Client
) -> None:
    vendor.change(retention=100.0)
    job = videogen.submit("A boat", **HAILUO, output="boat.mp4")
    vendor.advance(1000)
    with pytest.raises(ResultExpiredError, match="no longer has the result"):
        job.wait(timeout=30)
    assert (job.status, job.cost, job.artifact) == ("succeeded", Decimal("0.28"), "expired")


@pytest.mark.parametrize("why", [None, {"status_code": None, "status_msg": None}, {"status_code": "1027"}])
def test_a_task_that_failed_has_failed_however_little_it_says(
    vendor: ServerThread, videogen: Client, emulator: MinimaxEmulator, monkeypatch: pytest.MonkeyPatch, why: Any
) -> None:
    vendor.script(Script(ending="failed"))
    shown = emulator.legacy.shown
    monkeypatch.setattr(emulator.legacy, "shown", lambda *of: {**shown(*of), "base_resp": why})
    with pytest.raises(ContentPolicyError if why and "status_msg" not in why else GenerationFailedError):
        videogen.generate("A boat", **HAILUO, timeout=30)
    assert videogen.jobs()[0].cost == 0


def test_it_cannot_be_cancelled(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(queued=60))
    job = videogen.submit("A boat", **HAILUO, output="boat.mp4")
    with pytest.raises(RequestError, match="V1 API, which has this model, cannot cancel"):
        job.cancel()
    assert vendor.journal("cancel") == []
    assert job.wait(timeout=60).path is not None


def test_a_job_is_resumed_on_the_api_that_made_it(vendor: ServerThread, tmp_path: Path) -> None:
    vendor.script(Script(running=60, times=2))
    with client(tmp_path) as videogen:
        hailuo = videogen.submit("A boat", **HAILUO, output=tmp_path / "v1.mp4")
        newer = videogen.submit("A boat", model="hailuo-3", duration=4, output=tmp_path / "v2.mp4")
        handles = [dict(job.record.attempt.handle) for job in (hailuo, newer)]
        assert json.loads(json.dumps(handles)) == [{"api": "v1"}, {"api": "v2"}]
    vendor.advance(60)
    with client(tmp_path) as videogen:
        assert {result.model for result in videogen.resume() if not isinstance(result, Exception)} == {
            "hailuo-2.3",
            "hailuo-3",
        }
    polls = {entry.path for entry in vendor.journal("poll")}
    assert polls == {
        "/v1/query/video_generation",
        "/v1/files/retrieve",
        f"/v2/query/video_generation/{newer.provider_job_id}",
    }
