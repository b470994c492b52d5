"""The plugin against the emulated Google when things go wrong: blocks, refusals, lost answers, bad credentials.

The names of the tests say which case of the plan they are.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.genai import errors

from veo_emulation import _clients as _clients, _served as _served, emulator as emulator, google as google
from veo_pictures import clip, picture
from videogen_core import (
    AuthenticationError,
    Client,
    ContentPolicyError,
    DownloadError,
    GenerationFailedError,
    Job,
    JobCancelledError,
    JobTimeoutError,
    MissingCredentialsError,
    ModelRetiredError,
    PermissionDeniedError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
    RequestError,
    ResultExpiredError,
    SubmissionUnknownError,
    VideogenError,
)
from videogen_core.testing import Fault, Script, ServerThread
from videogen_veo.emulator import VeoEmulator
from videogen_veo.emulator.files import StoredFile
from videogen_veo.failures import failure
from videogen_veo.plugin import VeoProvider

FAST, OMNI = "veo-3.1-fast", "gemini-omni-1.1-flash"
SHORT: dict[str, Any] = {"duration": 4, "audio": False}
SMALL: dict[str, Any] = {"duration": 3, "resolution": "360p"}
OF = {FAST: SHORT, OMNI: SMALL}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("ALLOW_PRIVATE_ADDRESSES", "1"), ("POLL_INTERVAL", "0.05"), ("PROBE_IN_PROCESS", "1")):
        monkeypatch.setenv(f"VIDEOGEN_{name}", value)
    return tmp_path / "home"


@pytest.fixture
def videogen(google: ServerThread, home: Path) -> Iterator[Client]:
    with Client(home=home, patience=0.5, submit_timeout=5) as client:
        yield client


def fails(client: Client, model: str, **wanted: Any) -> ProviderError:
    """The error that a generate ends with."""
    with pytest.raises(ProviderError) as caught:
        client.generate("a boat", model=model, **{**OF[model], **wanted})
    error = caught.value
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()
    assert error.provider == "veo"
    return error


def cost(client: Client) -> Decimal | None:
    (job,) = client.jobs()
    return job.cost


# --- the five ways of a content block


@pytest.mark.parametrize(
    ("model", "script", "category", "charged"),
    [
        (FAST, Script(ending="blocked", code="create"), "video_safety", False),
        (OMNI, Script(ending="blocked", code="create"), "video_safety", False),
        (FAST, Script(ending="blocked"), "video_safety", False),
        (FAST, Script(ending="blocked", code="filtered"), "child", False),
        (OMNI, Script(ending="blocked"), None, False),
        (OMNI, Script(ending="blocked", code="SAFETY"), None, None),
        (OMNI, Script(ending="blocked", code="PROHIBITED_CONTENT"), None, None),
        (OMNI, Script(ending="blocked", code="step"), None, None),
    ],
)
def test_13_14_15_a_content_block_is_one_however_it_shows(
    google: ServerThread, videogen: Client, model: str, script: Script, category: str | None, charged: bool | None
) -> None:
    google.script(script)
    error = fails(videogen, model)
    assert (type(error), error.code, error.charged) == (ContentPolicyError, category, charged)
    assert error.hint
    assert google.count("create") == 1, "not tried again"
    assert cost(videogen) == Decimal(google.stats()["charged"])


def test_13_support_codes_are_explained_and_the_words_kept(google: ServerThread, videogen: Client) -> None:
    words = "Veo could not generate videos: the input image violates the usage guidelines. Support codes: 15236754"
    google.script(Script(ending="blocked", code="filtered", message=words))
    error = fails(videogen, FAST)
    assert words in error.message
    assert (error.code, cost(videogen)) == ("celebrity", Decimal(0))
    assert "well-known person" in (error.hint or "")


def test_13_an_unknown_support_code_is_a_block_all_the_same(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="blocked", message="It was refused. Support codes: 11111111, 29310472"))
    assert fails(videogen, FAST).code == "unknown,celebrity"


def test_the_filter_of_sound_says_to_try_again(google: ServerThread, videogen: Client) -> None:
    words = "We encountered an issue with the audio for your prompt, which the safety filter did not let pass."
    google.script(Script(ending="blocked", message=words))
    assert "the same request often succeeds" in (fails(videogen, FAST).hint or "")


def test_a_block_with_a_code_is_explained_by_it_whatever_else_it_names(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="blocked", message="The audio violates the safety rules. Support codes: 62263041"))
    assert (fails(videogen, FAST).hint or "").startswith("It is about something dangerous")


def test_14_googles_own_trouble_is_no_block_whatever_its_words(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="failed", code="13", message="The safety service is not available."))
    assert type(fails(videogen, FAST)) is GenerationFailedError


def test_14_an_error_without_words_of_policy_is_a_wrong_request(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="failed", code="3", message="Unsupported resolution."))
    error = fails(videogen, FAST)
    assert (type(error), error.charged) == (RejectedRequestError, False)


@pytest.mark.parametrize("code", ["", "8", "14"])
def test_14_googles_own_trouble_is_not_charged(google: ServerThread, videogen: Client, code: str) -> None:
    google.script(Script(ending="failed", code=code))
    error = fails(videogen, FAST)
    assert (type(error), error.charged, cost(videogen)) == (GenerationFailedError, False, Decimal(0))


@pytest.mark.parametrize("code", ["", "incomplete", "budget_exceeded", "requires_action"])
def test_an_interaction_that_ends_badly_says_how(google: ServerThread, videogen: Client, code: str) -> None:
    google.script(Script(ending="failed", code=code))
    error = fails(videogen, OMNI)
    assert type(error) is GenerationFailedError
    assert error.code == (code or "internal_error")
    assert cost(videogen) == Decimal(google.stats()["charged"]), "its tokens were counted"


def test_15_no_tokens_for_an_uploaded_video_is_a_matter_of_region(
    google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(2))
    google.script(Script(ending="empty"))
    error = fails(videogen, OMNI, video=tmp_path / "mine.mp4", duration=None)
    assert (type(error), error.code) == (ContentPolicyError, "region")
    assert "EEA" in (error.hint or "")


def test_15_paid_tokens_without_a_video_are_no_block(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="empty", code="shape"))
    error = fails(videogen, OMNI)
    assert (type(error), error.charged) == (ProviderProtocolError, True)
    assert cost(videogen) == Decimal(google.stats()["charged"]) > 0


# --- creates


@pytest.mark.parametrize("model", [FAST, OMNI])
def test_16_a_limit_is_waited_out_and_one_job_is_made(
    google: ServerThread, home: Path, tmp_path: Path, model: str
) -> None:
    google.inject(Fault("refusal", on="create", at="before", code="rate_limited"))
    with Client(home=home) as videogen:
        videogen.generate("a boat", model=model, output=tmp_path / "boat.mp4", **OF[model])
    assert (google.count("create"), google.created) == (2, 1)


def test_16_a_limit_that_lasts_is_told_with_the_wait(google: ServerThread, videogen: Client) -> None:
    google.inject(Fault("refusal", on="create", at="before", code="rate_limited", retry_after="30", times=None))
    error = fails(videogen, FAST)
    assert (type(error), error.retry_after, google.created) == (RateLimitError, 30, 0)


@pytest.mark.parametrize("model", [FAST, OMNI])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=500, on="create"),
        Fault("status", status=503, on="create"),
        Fault("reset", on="create"),
        Fault("empty", on="create"),
        Fault("html", on="create"),
        Fault("no_id", on="create"),
    ],
    ids=str,
)
def test_17_a_lost_answer_is_unknown_and_never_sent_again(
    google: ServerThread, videogen: Client, model: str, fault: Fault
) -> None:
    google.inject(fault)
    with pytest.raises(SubmissionUnknownError):
        videogen.generate("a boat", model=model, **OF[model])
    assert (google.count("create"), google.created) == (1, 1)
    (job,) = videogen.jobs(status="unknown")
    videogen.resume()
    assert (google.count("create"), videogen.job(job.id).status) == (1, "unknown")


@pytest.mark.parametrize("model", [FAST, OMNI])
def test_22_a_model_that_is_gone_says_so_and_names_another(google: ServerThread, videogen: Client, model: str) -> None:
    google.inject(Fault("refusal", on="create", at="before", code="not_found"))
    error = fails(videogen, model)
    assert (type(error), error.status_code, cost(videogen)) == (ModelRetiredError, 404, Decimal(0))
    if model == FAST:
        assert "Use gemini-omni-1.1-flash" in (error.hint or "")


def test_22_a_model_that_is_gone_falls_over_to_the_next(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.inject(Fault("refusal", on="create", at="before", code="not_found"))
    result = videogen.generate("a boat", model=[FAST, "veo-3.1-lite"], output=tmp_path / "boat.mp4", **SHORT)
    assert [attempt.offer for attempt in result.attempts] == ["veo/veo-3.1-fast", "veo/veo-3.1-lite"]


def test_22_another_thing_that_is_gone_is_not_the_model() -> None:
    spec = VeoProvider().models()[0]
    error = errors.ClientError(404, {"error": {"code": "not_found", "message": "Interaction v1_a was not found."}})
    assert type(failure(error, action="submit", spec=spec)) is RejectedRequestError
    told = {"error": {"message": "Publisher Model `projects/p/locations/l/publishers/google/models/m` was not found."}}
    error = errors.ClientError(404, told)
    assert type(failure(error, action="submit", spec=spec)) is ModelRetiredError


# --- polls


@pytest.mark.parametrize("model", [FAST, OMNI])
def test_a_long_answer_that_comes_slowly_is_waited_for(
    google: ServerThread, videogen: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    for module in ("operations", "interactions"):
        monkeypatch.setattr(f"videogen_veo.{module}._POLL_SECONDS", 0.5)
    google.inject(Fault("slow", on="poll", seconds=0.25, size=2_500, times=None))
    to: Any = {"veo": {"delivery": "inline"}} if model == OMNI else {}
    videogen.generate("a boat", model=model, output=tmp_path / "boat.mp4", timeout=60, options=to, **OF[model])
    assert google.count("create") == 1


@pytest.mark.parametrize("model", [FAST, OMNI])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, on="poll", at="before"),
        Fault("reset", on="poll"),
        Fault("html", on="poll"),
        Fault("empty", on="poll"),
        Fault("refusal", on="poll", at="before", code="invalid_request"),
        Fault("refusal", on="poll", at="before", code="unavailable[]"),
    ],
    ids=str,
)
def test_18_19_a_poll_that_fails_loses_nothing(
    google: ServerThread, videogen: Client, tmp_path: Path, model: str, fault: Fault
) -> None:
    google.inject(fault)
    videogen.generate("a boat", model=model, output=tmp_path / "boat.mp4", **OF[model])
    assert (google.count("create"), google.created) == (1, 1)


def test_19_done_without_an_answer_is_asked_for_a_few_times(google: ServerThread, home: Path) -> None:
    google.script(Script(ending="empty"))
    with Client(home=home) as videogen:
        error = fails(videogen, FAST)
        assert type(error) is ProviderProtocolError
        (job,) = videogen.jobs()
        assert job.provider_job_id, "its name is kept"
    assert 3 <= google.count("poll") <= 20


def test_19_an_answer_without_clips_is_a_failure(google: ServerThread, videogen: Client) -> None:
    google.script(Script(ending="empty", code="response"))
    assert type(fails(videogen, FAST)) is GenerationFailedError


def test_23_a_deadline_leaves_the_job_to_be_resumed(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.script(Script(running=1.0))
    with pytest.raises(JobTimeoutError) as caught:
        videogen.generate("a boat", model=OMNI, output=tmp_path / "boat.mp4", timeout=0.3, **SMALL)
    assert videogen.job(str(caught.value.job_id)).wait(timeout=60).path == tmp_path / "boat.mp4"
    assert google.created == 1


def test_23_omni_is_cancelled_when_asked_to_be(google: ServerThread, videogen: Client) -> None:
    google.script(Script(running=60))
    job = videogen.submit("a boat", model=OMNI, **SMALL)
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=10)
    assert google.jobs()[0]["state"] == "cancelled"


def test_23_an_interaction_that_is_over_says_so_when_it_is_cancelled(
    google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    job = videogen.submit("a boat", model=OMNI, output=tmp_path / "boat.mp4", **SMALL)
    _store_clip(job)
    with pytest.raises(RequestError, match="is not running"):
        job.cancel()
    assert job.wait(timeout=30).path == tmp_path / "boat.mp4"


def test_a_precondition_of_an_input_is_not_one_of_the_account() -> None:
    spec = VeoProvider().models()[0]
    for message, kind in (
        ("Billing is not enabled for this project.", PermissionDeniedError),
        ("The File abc is not in an ACTIVE state and usage is not allowed.", RejectedRequestError),
    ):
        told = {"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": message}}
        assert type(failure(errors.ClientError(400, told), action="submit", spec=spec)) is kind


def test_23_veo_says_that_it_cannot_be_cancelled(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    google.script(Script(polls=1))
    job = videogen.submit("a boat", model=FAST, output=tmp_path / "boat.mp4", **SHORT)
    with pytest.raises(RequestError, match="Veo cannot cancel; the job goes on at Google and is charged"):
        job.cancel()
    assert job.wait(timeout=30).cost == Decimal("0.40")
    assert google.count("cancel") == 0


# --- credentials


@pytest.mark.parametrize("model", [FAST, OMNI])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthorized", AuthenticationError),
        ("API_KEY_INVALID", AuthenticationError),
        ("forbidden", PermissionDeniedError),
        ("FAILED_PRECONDITION", PermissionDeniedError),
    ],
)
def test_21_refused_credentials(
    google: ServerThread, videogen: Client, model: str, code: str, kind: type[ProviderError]
) -> None:
    google.inject(Fault("refusal", on="create", at="before", code=code))
    error = fails(videogen, model)
    assert (type(error), error.charged, google.count("create")) == (kind, False, 1)
    assert "test-key" not in repr(error.to_dict())


def test_21_a_wrong_key_is_not_repeated(google: ServerThread, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIzaSy-wrong-and-long-enough")
    with Client(home=home) as videogen:
        error = fails(videogen, OMNI)
    assert type(error) is AuthenticationError
    assert "wrong-and-long-enough" not in str(error) + repr(error.to_dict())


def test_21_a_service_account_that_google_does_not_know(
    google: ServerThread, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    (tmp_path / "stranger.json").write_text(json.dumps({**told, "client_email": "stranger@elsewhere.example"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "stranger.json"))
    with Client(home=home) as videogen:
        error = fails(videogen, FAST)
    assert (type(error), google.count("create")) == (AuthenticationError, 0)
    (tmp_path / "stranger.json").write_text('{"type": "service_account", "project_id": "p"}')
    with Client(home=home) as videogen, pytest.raises(MissingCredentialsError, match="Vertex AI cannot be used"):
        videogen.generate("a boat", model=FAST, **SHORT)


def test_a_token_that_cannot_be_asked_for_is_asked_for_again(
    google: ServerThread, videogen: Client, home: Path, tmp_path: Path
) -> None:
    job = videogen.submit("a boat", model=FAST, output=tmp_path / "boat.mp4", **SHORT)
    google.inject(Fault("reset", on="other", match="oauth2/token"))
    with Client(home=home) as another:  # which has no token yet
        assert another.job(job.id).wait(timeout=60).path == tmp_path / "boat.mp4"
    google.inject(Fault("reset", on="other", match="oauth2/token", times=None))
    with Client(home=home, patience=0.5) as another:
        error = fails(another, FAST)
    assert (type(error), google.count("create")) == (ProviderUnavailableError, 1)
    assert "could not be asked for a token" in error.message


@pytest.mark.parametrize("model", [FAST, OMNI])
def test_the_token_is_there_before_a_create_is_begun(
    google: ServerThread, home: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Fetched amid a create it would use up its time, and nobody would know whether the create was sent."""
    monkeypatch.delenv("GEMINI_API_KEY")
    google.inject(Fault("hang", on="other", match="oauth2/token", seconds=2))
    with Client(home=home, submit_timeout=1.5) as videogen:
        videogen.submit("a boat", model=model, **OF[model])
    assert (google.count("create"), google.created) == (1, 1)


def test_21_a_token_that_google_no_longer_takes_is_replaced(
    emulator: VeoEmulator, google: ServerThread, videogen: Client
) -> None:
    videogen.submit("a boat", model=FAST, **SHORT)
    emulator.auth.expire_tokens()
    assert type(fails(videogen, FAST)) is AuthenticationError
    videogen.submit("a boat", model=FAST, **SHORT)
    assert google.created == 2


# --- files


def test_26_a_file_that_has_expired_says_so(google: ServerThread, videogen: Client, tmp_path: Path) -> None:
    job = videogen.submit("a boat", model=OMNI, output=tmp_path / "boat.mp4", **SMALL)
    while job.status != "succeeded":
        job.refresh()
    google.advance(49 * 3600)  # the Files API keeps a clip for two days
    try:
        with pytest.raises(ResultExpiredError, match="no longer has the result"):
            job.wait(timeout=30)
    finally:
        google.advance(-49 * 3600)
    assert job.cost == Decimal(google.stats()["charged"])


def test_26_a_file_that_expired_before_anybody_asked_is_paid_for(
    google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    job = videogen.submit("a boat", model=OMNI, output=tmp_path / "boat.mp4", **SMALL)
    _store_clip(job)
    google.advance(49 * 3600)
    try:
        with pytest.raises(ResultExpiredError, match="no longer has the result"):
            job.wait(timeout=30)
    finally:
        google.advance(-49 * 3600)
    assert (job.status, job.cost) == ("succeeded", Decimal(google.stats()["charged"]))
    polls = google.count("poll")
    videogen.resume()
    assert google.count("poll") == polls, "it is over"


def _store_clip(job: Job) -> None:
    """Have Google store the clip of a job, without the job's being asked for."""
    from google import genai

    with genai.Client(enterprise=False) as client:
        for _ in range(200):
            if client.interactions.get(str(job.provider_job_id)).status == "completed":
                return
    raise AssertionError("it never ends")


def test_a_clip_that_google_could_not_store_is_a_failure_that_may_be_charged(
    google: ServerThread, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = StoredFile.resource
    monkeypatch.setattr(StoredFile, "resource", lambda file: {**shown(file), "state": "FAILED"})
    error = fails(videogen, OMNI)
    assert (type(error), error.charged) == (GenerationFailedError, True)
    assert cost(videogen) == Decimal(google.stats()["charged"])


def test_a_clip_at_another_address_is_fetched_without_the_key(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = emulator.files.deliver

    def elsewhere(file_id: str, data: bytes, job: Any) -> str:
        deliver(file_id, data, job)
        return f"{google.delivery_url}/delivered/{file_id}?alt=media"

    monkeypatch.setattr(emulator.files, "deliver", elsewhere)
    monkeypatch.setattr("videogen_veo.emulator.files._LOOKS", -1)
    result = videogen.generate("a boat", model=OMNI, output=tmp_path / "boat.mp4", **SMALL)
    assert (result.path, result.videos[0].url) == (tmp_path / "boat.mp4", None)
    (download,) = [entry for entry in google.journal() if entry.kind == "download"]
    assert (download.origin, download.credentials) == ("delivery", False)


def test_a_clip_in_a_bucket_that_may_not_be_read_is_not_lost(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    to: Any = {"veo": {"output_gcs_uri": "gs://mine/out/"}}
    job = videogen.submit("a boat", model=FAST, output=tmp_path / "boat.mp4", options=to, **SHORT)
    google.inject(Fault("status", status=403, on="download", times=None))
    with pytest.raises(DownloadError, match=r"gs://mine/out/\d+/sample_0\.mp4") as caught:
        job.wait(timeout=30)
    assert not isinstance(caught.value, ResultExpiredError), "Vertex AI writes as its own account, we read as ours"
    assert (job.status, job.cost) == ("succeeded", Decimal("0.40"))
    emulator.faults.clear()
    assert job.wait(timeout=30).path == tmp_path / "boat.mp4"


@pytest.mark.parametrize(
    ("model", "wrong", "why"),
    [
        (OMNI, {"options": {"veo": {"output_gcs_uri": "gs://mine/"}}}, "the Gemini API knows no buckets"),
        (OMNI, {"image": "gs://mine/boat.png"}, "the Gemini API knows no buckets"),
        (FAST, {"options": {"veo": {"output_gcs_uri": "mine/"}}}, "is no gs:// address"),
        (FAST, {"image": "gs://mine/boat"}, "does not tell what it is"),
        (FAST, {"options": {"veo": {"resize_mode": "CROP"}}}, "it is for a first frame"),
    ],
)
def test_what_depends_on_the_api_is_refused_before_anything_is_sent(
    google: ServerThread, videogen: Client, model: str, wrong: dict[str, Any], why: str
) -> None:
    with pytest.raises(RequestError, match=why):
        videogen.generate("a boat", model=model, **{**OF[model], **wrong})
    assert google.count("create") == 0
    assert cost(videogen) in (None, Decimal(0))


def test_an_upload_that_fails_leaves_nothing(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(2))
    google.inject(Fault("status", status=403, on="upload", at="before", skip=1, times=None))
    fails(videogen, OMNI, video=tmp_path / "mine.mp4", duration=None)
    assert (google.count("create"), emulator.leftovers()) == (0, [])


def test_a_refused_create_removes_what_was_uploaded(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, tmp_path: Path
) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(2))
    google.inject(Fault("refusal", on="create", at="before", code="forbidden"))
    fails(videogen, OMNI, video=tmp_path / "mine.mp4", duration=None)
    assert emulator.leftovers() == []


def test_large_pictures_go_by_the_files_api(
    emulator: VeoEmulator, google: ServerThread, videogen: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videogen_veo.inputs._INLINE", 100)
    job = videogen.submit("a boat", model=OMNI, image=picture(1), **SMALL)
    (create,) = google.journal("create")
    assert "/files/" in json.loads(create.body)["input"][0]["content"][0]["uri"]
    job.wait(timeout=30)
    assert emulator.leftovers() == []


def test_no_secret_hangs_on_an_error_about_credentials(
    google: ServerThread, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crash reports follow the chain of an exception and show the variables of its frames."""
    told = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    path = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    key = told["private_key"].splitlines()[3]
    for change in ({"client_email": "stranger@elsewhere.example"}, {"token_uri": None, "type": "unheard_of"}):
        path.write_text(json.dumps({**told, **change}))
        with Client(home=home) as videogen, pytest.raises(VideogenError) as caught:
            videogen.generate("a boat", model=FAST, **SHORT)
        assert key not in "".join(_frames(caught.value))


def _frames(error: BaseException | None) -> Iterator[str]:
    """The variables of an exception's frames, and of those of what it came from."""
    if error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename != __file__:
                yield repr(traceback.tb_frame.f_locals)
            traceback = traceback.tb_next
        yield from _frames(error.__cause__)
        yield from _frames(error.__context__)
