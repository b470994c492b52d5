"""What is known of Runway's traps, one test each, against the emulator."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

import videogen_core
from runway_rig import CLIP, PICTURE, Runway, picture, rigged, served
from videogen_core import (
    AuthenticationError,
    ConfigurationError,
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidMediaError,
    JobCancelledError,
    MissingCredentialsError,
    ModelNotFoundError,
    ModelRetiredError,
    PermissionDeniedError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RejectedRequestError,
    RequestError,
    SubmissionUnknownError,
    UnsupportedRequestError,
    VideogenError,
)
from videogen_core.outcomes import Answer
from videogen_core.testing import Clip, Fault, Refusal, Script, ServerThread, make_clip
from videogen_runway.account import at_once
from videogen_runway.plugin import RunwayProvider
from videogen_runway.tasks import checked_id, created


@pytest.fixture(scope="module")
def vendor() -> Iterator[ServerThread]:
    yield from served()


@pytest.fixture
def runway(vendor: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runway:
    return rigged(vendor, tmp_path, monkeypatch)


# --- what is sent, and what it costs


def test_01_text_to_video_is_said_in_pixels_and_whole_seconds(runway: Runway) -> None:
    with runway.client() as client:
        quote = client.estimate(model="gen-4.5", duration=5, aspect_ratio="16:9")
        client.submit("A boat", model="gen-4.5", duration=5, aspect_ratio="16:9")
    assert quote.amount == Decimal("0.60")
    assert runway.endpoint == "/v1/text_to_video"
    assert runway.body == {"model": "gen4.5", "promptText": "A boat", "duration": 5, "ratio": "1280:720"}
    assert isinstance(runway.body["duration"], int)


def test_02_a_first_frame_has_an_endpoint_and_sizes_of_its_own(runway: Runway) -> None:
    with runway.client() as client:
        client.submit("A boat", model="gen-4.5", image=PICTURE, aspect_ratio="21:9")
    assert (runway.endpoint, runway.body["ratio"]) == ("/v1/image_to_video", "1584:672")
    assert runway.body["promptImage"].startswith("data:image/png;base64,")


def refused(runway: Runway, **arguments: Any) -> UnsupportedRequestError:
    """The error of a request that never leaves."""
    with pytest.raises(UnsupportedRequestError) as caught:
        runway.generate(**arguments)
    assert runway.vendor.stats()["requests"] == 0
    return caught.value


def test_03_a_square_takes_an_image(runway: Runway) -> None:
    assert "aspect_ratio" in {violation.field for violation in refused(runway, aspect_ratio="1:1").violations}


def test_04_gen_4_turbo_takes_an_image(runway: Runway) -> None:
    assert "it does image_to_video" in refused(runway, model="gen4_turbo").message


@pytest.mark.parametrize(("audio", "price"), [(False, "1.60"), (True, "3.20")])
def test_05_first_and_last_frame_are_sent_in_order(runway: Runway, audio: bool, price: str) -> None:
    asked = {"model": "runway/veo-3.1", "image": PICTURE, "last_frame": picture(600), "duration": 8, "audio": audio}
    with runway.client() as client:
        assert client.estimate(**asked).amount == Decimal(price)
        client.submit("A boat", **asked)
    assert [frame["position"] for frame in runway.body["promptImage"]] == ["first", "last"]
    assert runway.body["audio"] is audio


def test_06_a_last_frame_alone_or_five_seconds_of_veo_never_leave(runway: Runway) -> None:
    refused(runway, model="runway/veo-3.1", last_frame=PICTURE, duration=8)
    refused(runway, model="runway/veo-3.1", duration=5)


def test_07_an_emoji_counts_twice(runway: Runway) -> None:
    with runway.client() as client:
        assert client.check("🚤" * 500, model="gen-4.5") == []
        (violation,) = client.check("🚤" * 500 + "!", model="gen-4.5")
    assert (violation.field, violation.value) == ("prompt", 1001)


def test_08_an_edit_by_seedance_takes_no_size(runway: Runway) -> None:
    clip = {"model": "seedance-2.5", "video": clip_of(480), "duration": None}
    refused(runway, **clip, aspect_ratio="16:9")
    with runway.client() as client:
        client.submit("In the rain", **{k: v for k, v in clip.items() if k != "duration"})
    assert (runway.endpoint, runway.body["mode"], runway.body["duration"]) == ("/v1/video_to_video", "edit", "auto")
    assert "promptVideo" in runway.body
    assert "ratio" not in runway.body


def clip_of(side: int) -> bytes:
    return make_clip(Clip(duration=2, width=side, height=side, fps=4))


@pytest.mark.parametrize(
    ("asked", "price"),
    [
        ({"model": "seedance-2.5", "duration": 4, "resolution": "480p"}, "0.80"),
        ({"model": "seedance-2.0-mini", "duration": 4}, "0.64"),
        ({"model": "aleph-2", "video": CLIP}, "0.56"),
    ],
)
def test_09_the_least_charge(runway: Runway, asked: dict[str, Any], price: str) -> None:
    with runway.client() as client:
        assert client.estimate(**asked).amount == Decimal(price)


def test_10_an_unknown_price_is_not_nothing_and_what_runway_expects_is_told(runway: Runway) -> None:
    heard: list[str] = []
    runway.vendor.script(Script(polls=2))
    with runway.client() as client:
        assert client.estimate(model="kling-4", duration=5).amount is None
        asked = runway.arguments(model="kling-4", duration=5)
        result = client.generate("A boat", **asked, on_event=lambda event: heard.append(event.message))
    assert any("Runway charges at most $0.50; the catalogue has no price" in message for message in heard)
    assert result.cost == Decimal("0.50")


# --- answers that are lost


@pytest.mark.parametrize(
    "fault",
    [Fault("reset", on="create"), Fault("close", on="create", part="body"), Fault("status", on="create", status=503)],
    ids=["reset", "cut", "503"],
)
def test_11_12_a_create_without_an_answer_is_not_sent_again(runway: Runway, fault: Fault) -> None:
    runway.vendor.inject(fault)
    with pytest.raises(SubmissionUnknownError):
        runway.generate(model=["runway/gen-4.5", "runway/veo-3.1-fast"], duration=4)
    assert (runway.vendor.count("create"), runway.vendor.created) == (1, 1)


def test_12_a_poll_that_fails_is_asked_again(runway: Runway) -> None:
    runway.vendor.inject(Fault("status", on="poll", status=503, times=2, retry_after="0"))
    assert runway.generate().cost == Decimal("0.24")
    assert runway.vendor.count("create") == 1


def test_a_redirected_create_is_not_followed(runway: Runway) -> None:
    runway.vendor.inject(Fault("redirect", on="create", at="before", status=307, location=f"{runway.vendor.url}/v1/x"))
    with pytest.raises(SubmissionUnknownError):
        runway.generate()
    assert runway.vendor.stats()["requests"] == 1


def test_an_endless_or_packed_answer_is_not_read(runway: Runway) -> None:
    runway.vendor.inject(Fault("endless", on="poll", size=2**27), Fault("gzip_bomb", on="poll"))
    assert runway.generate().cost == Decimal("0.24")
    assert runway.vendor.count("poll") == 3


def test_an_id_that_is_no_uuid_is_told(runway: Runway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runway.emulator.vendor, "_new_id", lambda number, chance: "task_0042")
    heard: list[str] = []
    with pytest.raises(SubmissionUnknownError):
        runway.generate(on_event=lambda event: heard.append(event.message))
    assert any("task_0042" in message for message in heard)
    with pytest.raises(ProviderProtocolError, match="holds no id"):
        created(Answer(provider="runway", status=200, body=b'{"id": null}'))


# --- how tasks go


def test_13_a_throttled_task_is_queued(runway: Runway) -> None:
    runway.vendor.change(concurrency=1)
    runway.vendor.script_all(Script(running=0.3, times=None))
    seen: list[str] = []
    with runway.client() as client:
        first = client.submit("A boat", **runway.submitted(output=None))
        result = client.generate("A kite", **runway.arguments(), on_event=lambda event: seen.append(str(event.status)))
        first.wait(timeout=20)
    assert result.cost == Decimal("0.24")
    assert "queued" in seen
    assert "failed" not in seen


@pytest.mark.parametrize("code", ["SAFETY.INPUT.TEXT", "INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", "SAFETY"])
def test_14_a_blocked_input_is_paid_for_and_goes_nowhere_else(runway: Runway, code: str) -> None:
    runway.vendor.script(Script(polls=1, ending="blocked", code=code, charged=True))
    with pytest.raises(ContentPolicyError) as caught:
        runway.generate(model=["gen-4.5", "seedance-2.0"], duration=5)
    error = caught.value
    assert (error.code, error.charged, error.retryable) == (code, True, False)
    assert runway.vendor.count("create") == 1
    with runway.client() as client:
        assert client.jobs()[0].cost == Decimal("0.60")


@pytest.mark.parametrize(("code", "charged"), [("SAFETY.INPUT.TEXT", True), ("SAFETY.OUTPUT.VIDEO", None)])
def test_14_without_a_cost_the_code_tells_whether_it_is_charged(
    runway: Runway, code: str, charged: bool | None
) -> None:
    runway.emulator.tells_cost = False
    runway.vendor.script(Script(polls=1, ending="blocked", code=code))
    with pytest.raises(ContentPolicyError) as caught:
        runway.generate()
    assert caught.value.charged is charged


def test_15_another_makers_outage_falls_back_and_is_free(runway: Runway) -> None:
    runway.vendor.script(Script(polls=1, ending="failed", code="THIRD_PARTY.UNAVAILABLE"))
    result = runway.generate(model=["seedance-2.0-mini", "gen-4.5"], duration=4)
    assert [attempt.cost for attempt in result.attempts] == [Decimal(0), Decimal("0.48")]


def test_16_a_failure_without_reason_and_cost_is_the_servers(runway: Runway) -> None:
    runway.emulator.tells_cost = False
    runway.vendor.script(Script(polls=1, ending="failed", code="none"))
    with pytest.raises(ProviderUnavailableError) as caught:
        runway.generate()
    assert (caught.value.code, caught.value.charged, caught.value.retryable) == (None, None, True)


def test_a_success_that_cannot_be_read_is_no_failure(runway: Runway, monkeypatch: pytest.MonkeyPatch) -> None:
    links = type(runway.emulator)._links
    answers: list[Any] = [None, {"url": "https://example.com/a.mp4"}, [7]]
    monkeypatch.setattr(
        runway.emulator, "_links", lambda job: answers.pop() if answers else links(runway.emulator, job)
    )
    assert runway.generate().path.exists()
    assert (answers, runway.vendor.created) == ([], 1)


def test_a_code_that_is_new_is_a_failure_that_is_not_repeated(runway: Runway) -> None:
    runway.vendor.script(Script(polls=1, ending="failed", code="MOON.PHASE.01"))
    with pytest.raises(GenerationFailedError, match=r"MOON\.PHASE\.01") as caught:
        runway.generate()
    assert not caught.value.retryable


def test_17_a_success_without_cost_or_with_half_credits(runway: Runway) -> None:
    runway.emulator.tells_cost = False
    assert runway.generate(model="kling-4", duration=5).cost is None
    runway.emulator.tells_cost = True
    result = runway.generate(model="wan-3-prime", resolution="480p", duration=3, output=None)
    assert result.cost == Decimal("0.204")


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault("refusal", code="insufficient_credits"), InsufficientCreditsError, "not have enough credits"),
        (Fault("status", status=401), AuthenticationError, "Unauthorized"),
        (Fault("status", status=403), PermissionDeniedError, "403"),
        (Fault("status", status=422), RejectedRequestError, "422"),
    ],
    ids=["credits", "401", "403", "422"],
)
def test_18_refusals(runway: Runway, fault: Fault, kind: type[VideogenError], says: str) -> None:
    import msgspec

    runway.vendor.inject(msgspec.structs.replace(fault, on="create", at="before"))
    with pytest.raises(kind, match=says):
        runway.generate()
    assert (runway.vendor.count("create"), runway.vendor.created) == (1, 0)


def test_18_too_little_balance(runway: Runway) -> None:
    runway.emulator.balance = 10
    with pytest.raises(InsufficientCreditsError):
        runway.generate()


def test_18_a_body_that_is_wrong_names_the_field(runway: Runway, tmp_path: Path) -> None:
    catalog = tmp_path / "videogen.toml"
    catalog.write_text('[override."runway/gen-4.5"]\nprompt = { max = 9999 }\n')
    with runway.client(catalog=str(catalog)) as client, pytest.raises(RejectedRequestError, match="promptText"):
        client.generate("a" * 1200, **runway.arguments())


def test_18_a_gateways_page(runway: Runway) -> None:
    runway.vendor.inject(Fault("status", on="poll", status=502, body="html", times=1))
    assert runway.generate().cost == Decimal("0.24")


def test_18_a_model_that_is_gone(runway: Runway, tmp_path: Path) -> None:
    catalog = tmp_path / "videogen.toml"
    catalog.write_text('[override."runway/gen-4.5"]\nvendor = { id = "gen4.4" }\n')
    with runway.client(catalog=str(catalog)) as client, pytest.raises(ModelRetiredError):
        client.generate("A boat", **runway.arguments())


def test_a_header_that_is_missing_is_for_the_user_to_set(runway: Runway, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: object) -> None:
        raise Refusal(400, "version", "X-Runway-On-Behalf-Of is required.")

    monkeypatch.setattr(runway.emulator, "authorize", refuse)
    with pytest.raises(ConfigurationError, match="RUNWAYML_CUSTOM_HEADERS"):
        runway.generate()
    with runway.client() as client:
        (job,) = client.jobs()
    assert (str(job.status), runway.vendor.created) == ("failed", 0)


# --- cancelling


def test_19_a_cancelled_task_is_known_from_our_record(runway: Runway) -> None:
    runway.vendor.script(Script(running=60))
    with runway.client() as client:
        job = client.submit("A boat", **runway.submitted())
        job.cancel()
        with pytest.raises(RequestError, match="ended already"):
            job.cancel()
        assert str(job.status) == "cancelled"
        with pytest.raises(JobCancelledError):
            job.wait(timeout=5)
    assert runway.vendor.count("cancel") == 1


def test_a_clip_that_is_ready_is_not_deleted_by_a_cancel(runway: Runway) -> None:
    with runway.client() as client:
        job = client.submit("A boat", **runway.submitted())
        with pytest.raises(RequestError, match="over at Runway"):
            job.cancel()
        assert job.wait(timeout=20).path.exists()
    assert runway.vendor.count("cancel") == 0


def test_20_a_task_that_runway_cancels_ends_the_wait(runway: Runway) -> None:
    runway.vendor.script(Script(polls=1, ending="cancelled"))
    with pytest.raises(JobCancelledError):
        runway.generate()


# --- inputs


def test_21_a_large_picture_is_uploaded(runway: Runway) -> None:
    with runway.client() as client:
        client.submit("A boat", model="gen-4.5", image=picture(1600, 1300, noise=True))
    assert runway.body["promptImage"].startswith("runway://")
    place, store = runway.vendor.journal("upload")
    assert (place.credentials, store.credentials) == (True, False)  # no key to where the file goes


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/a.png",
        "https://192.0.2.7/a.png",
        "https://localhost/a.png",
        f"https://example.com/{'a' * 2030}",
    ],
    ids=["http", "IP", "no name", "long"],
)
def test_21_addresses_that_runway_would_not_fetch(runway: Runway, address: str) -> None:
    with pytest.raises((InvalidMediaError, UnsupportedRequestError)):
        runway.generate(image=address)
    assert runway.vendor.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("address", "says"), [("http://example.com/a.mp3", "https, runway and data"), (7, "expected an address")]
)
def test_21_so_are_the_addresses_among_the_options(runway: Runway, address: Any, says: str) -> None:
    with pytest.raises(InvalidMediaError, match=says):
        runway.generate(model="runway/wan-3", options={"runway": {"reference_audio": [address]}})
    assert runway.vendor.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("model", "kind"), [("runway/gemini-omni-1.1-flash", {}), ("runway/seedance-2.0", {"type": "video"})]
)
def test_a_reference_video_is_said_in_each_models_way(runway: Runway, model: str, kind: dict[str, str]) -> None:
    options = {"runway": {"reference_videos": ["https://example.com/a.mp4"]}}
    with runway.client() as client:
        client.submit("A boat", model=model, options=options)
    assert runway.body["referenceVideos"] == [{"uri": "https://example.com/a.mp4", **kind}]


def test_an_option_that_an_endpoint_lacks_is_refused(runway: Runway) -> None:
    options = {"runway": {"reference_audio": ["https://example.com/a.mp3"]}}
    with pytest.raises(RequestError, match="takes it for text_to_video only, this is image_to_video"):
        runway.generate(model="runway/wan-3", image=PICTURE, options=options)
    assert runway.vendor.stats()["requests"] == 0


def test_21_an_address_is_sent_as_it_is(runway: Runway) -> None:
    with runway.client() as client:
        client.submit("A boat", model="gen-4.5", image="https://example.com/a.png")
    assert runway.body["promptImage"] == "https://example.com/a.png"


def test_22_a_store_that_fails_gets_a_new_place(runway: Runway) -> None:
    runway.vendor.inject(Fault("status", on="upload", status=503, match="/store/"))
    with runway.client() as client:
        client.submit("A boat", model="gen-4.5", image=picture(1600, 1300, noise=True))
    assert runway.body["promptImage"] == "runway://00000002"
    assert (runway.vendor.count("upload"), runway.vendor.count("create")) == (4, 1)


def test_23_an_expired_address_is_asked_for_again_and_never_logged(
    runway: Runway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    runway.vendor.script(Script(expired=1))
    assert runway.generate().path.exists()
    assert runway.vendor.count("download") == 2
    assert "signature=" not in caplog.text
    assert runway.emulator.key not in caplog.text


# --- the key


def test_24_a_key_with_a_line_break_works(runway: Runway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWAYML_API_SECRET", f" {runway.emulator.key}\n")
    assert runway.generate().cost == Decimal("0.24")


@pytest.mark.parametrize("key", ["", "  \n", "two words"])
def test_24_no_key_is_seen_before_any_request(runway: Runway, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("RUNWAYML_API_SECRET", key)
    with pytest.raises(MissingCredentialsError, match="RUNWAYML_API_SECRET"):
        RunwayProvider().check_ready({"RUNWAYML_API_SECRET": key}, {})
    with pytest.raises(VideogenError, match="RUNWAYML_API_SECRET"):
        runway.generate()
    assert runway.vendor.stats()["requests"] == 0


@pytest.fixture
def dotenv(runway: Runway, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the settings, which the environment lacks."""
    monkeypatch.chdir(runway.folder)
    lines = [f"{name}={value}" for name, value in runway.vendor.environment.items()]
    for name in runway.vendor.environment:
        monkeypatch.delenv(name)
    path = runway.folder / ".env"
    path.write_text("\n".join([*lines, "RUNWAYML_CUSTOM_HEADERS='X-Runway-On-Behalf-Of: acme'", ""]))
    path.chmod(0o600)
    return path


def test_all_settings_may_lie_in_a_dotenv_file(runway: Runway, dotenv: Path) -> None:
    assert runway.generate().cost == Decimal("0.24")
    assert runway.vendor.journal("create")[-1].headers["x-runway-on-behalf-of"] == "acme"


def test_the_sdk_logs_no_signed_address_of_an_input(runway: Runway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with runway.client() as client:
        client.submit("A boat", model="gen-4.5", image="https://example.com/a.png?X-Amz-Signature=0123456789abcdef")
    assert "0123456789abcdef" not in caplog.text


# --- models and ids


@pytest.mark.parametrize(
    ("old", "new"), [("gen3a_turbo", "gen-4-turbo"), ("gen4_aleph", "aleph-2"), ("runway/veo3", "veo-3.1")]
)
def test_25_a_retired_model_says_what_replaces_it(runway: Runway, old: str, new: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"retired(.|\n)*Use {new}"):
        runway.generate(model=old)


@pytest.mark.parametrize("task_id", ["../organization", "", "123", "17f20503-6c24-4c16-946b-35dbbce2af2f/.."])
def test_26_an_id_that_is_none_is_not_asked_for(task_id: str) -> None:
    with pytest.raises(RequestError):
        checked_id(task_id)


def test_27_a_model_that_nobody_knows_yet_is_a_row_away(runway: Runway, tmp_path: Path) -> None:
    catalog = tmp_path / "videogen.toml"
    catalog.write_text(
        """
        [[models]]
        id = "runway/new-thing"
        source = "the changelog"
        as_of = 2026-11-20
        vendor = { id = "gen4.5" }
        default = { duration = 3, resolution = "720p", aspect_ratio = "16:9" }
        modes = [{ tasks = ["text_to_video"], durations = [3], resolutions = ["720p"], aspect_ratios = ["16:9"] }]
        """
    )
    with runway.client(catalog=str(catalog)) as client:
        assert client.estimate(model="new-thing").amount is None
        result = client.generate("A boat", **runway.arguments(model="new-thing", duration=3))
    assert result.cost == Decimal("0.36")


def test_28_a_status_that_is_new_is_running_with_a_word_about_it(runway: Runway) -> None:
    heard: list[str] = []
    runway.vendor.script(Script(polls=2, running=0.1, word="DREAMING"))
    with runway.client() as client:
        client.generate("A boat", **runway.arguments(), on_event=lambda event: heard.append(event.message))
    assert any("DREAMING" in message for message in heard)


# --- outputs that are not one MP4


def test_a_sequence_of_frames_is_an_archive(runway: Runway) -> None:
    result = runway.generate(options={"runway": {"output_format": "png_sequence"}})
    assert [video.path.name for video in result.videos] == ["clip.zip"]
    assert result.cost == Decimal("0.34")  # 12 and 5 for each of 2 s


def test_a_sequence_of_frames_comes_with_its_sound_beside_it(runway: Runway) -> None:
    source = make_clip(Clip(duration=2, width=320, height=180, fps=8, audio=True))
    asked: dict[str, Any] = {"task": "convert_to_hdr", "duration": None, "video": source, "cache": "any"}
    asked["options"] = {"runway": {"output_format": "hdr_exr_sequence"}}
    result = runway.generate(None, model="ruby", **asked)
    assert [video.path.name for video in result.videos] == ["clip.zip", "clip-2.wav"]
    assert [video.has_audio for video in result.videos] == [False, True]
    again = runway.generate(None, model="ruby", **asked, output=str(runway.folder / "again.mp4"))
    assert (again.cached, [video.path.name for video in again.videos]) == (True, ["again.zip", "again-2.wav"])


@pytest.mark.parametrize("form", ["prores", "png_sequence"])
def test_what_is_no_mp4_comes_from_the_cache_as_it_was_stored(runway: Runway, form: str) -> None:
    asked: dict[str, Any] = {"options": {"runway": {"output_format": form}}, "cache": True, "seed": 7}
    (made,) = runway.generate(**asked, output=str(runway.folder / "first.mp4")).videos
    again = runway.generate(**asked, output=str(runway.folder / "second.mp4"))
    assert (again.cached, runway.vendor.created) == (True, 1)
    (copy,) = again.videos
    assert (copy.path.suffix, copy.mime_type, copy.sha256) == (made.path.suffix, made.mime_type, made.sha256)


def test_prores_is_a_mov(runway: Runway) -> None:
    (video,) = runway.generate(
        options={"runway": {"output_format": "prores", "prores_profile": "422"}}, model="gen-4.5"
    ).videos
    assert (video.path.name, video.mime_type, video.duration) == ("clip.mov", "video/quicktime", 2.0)
    assert runway.body["proresProfile"] == "422"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prores_profile": "422"}, "goes with ProRes"),
        ({"output_format": "hdr_prores", "prores_profile": "4444 XQ"}, "not possible with hdr_prores"),
    ],
)
def test_a_profile_goes_with_its_format(runway: Runway, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        runway.generate(options={"runway": options})
    assert runway.vendor.created == 0


# --- the tools


@pytest.mark.parametrize(
    ("asked", "endpoint"),
    [
        ({"model": "enhance-frame-rate", "task": "change_frame_rate", "fps": 29.97}, "/v1/video_upscale"),
        ({"model": "magnific-upscaler-creative", "task": "upscale_video", "resolution": "1k"}, "/v1/video_upscale"),
        ({"model": "ruby", "task": "convert_to_hdr"}, "/v1/video_to_hdr"),
    ],
)
def test_tools_go_to_endpoints_of_their_own(runway: Runway, asked: dict[str, Any], endpoint: str) -> None:
    with runway.client() as client:
        client.submit(None, video=CLIP, **asked)
    assert runway.endpoint == endpoint
    assert runway.body.get("targetFramerate") == ("29_97" if "fps" in asked else None)
    assert "promptText" not in runway.body


def test_a_character_is_animated_by_a_performance(runway: Runway) -> None:
    video = make_clip(Clip(duration=3, width=320, height=180, fps=8))
    heard: list[str] = []
    runway.vendor.script(Script(polls=1))
    with runway.client() as client:
        result = client.generate(
            "He smiles",
            model="act-two",
            task="animate_character",
            image=PICTURE,
            video=video,
            output=str(runway.folder / "clip.mp4"),
            timeout=20,
            on_event=lambda event: heard.append(event.message),
        )
    assert runway.endpoint == "/v1/character_performance"
    assert (runway.body["character"]["type"], runway.body["reference"]["type"]) == ("image", "video")
    (told,) = [number for number, message in enumerate(heard) if "prompt: Runway Act-Two takes none" in message]
    assert told < next(number for number, message in enumerate(heard) if message.startswith("asking runway/act-two"))
    assert result.cost == Decimal("0.15")


# --- one name, several vendors


def test_one_name_means_every_vendors_offer() -> None:
    mine = {spec.name for spec in RunwayProvider().models()}
    elsewhere = {
        "veo-3.1", "veo-3.1-fast", "gemini-omni-1.1-flash", "gemini-omni-flash-preview", "hailuo-3", "hailuo-3-max",
        "seedance-2.0", "seedance-2.0-fast", "kling-2.5-turbo-pro", "wan-3",
    }  # fmt: skip
    assert elsewhere <= mine
    hosted = [spec for spec in RunwayProvider().models() if spec.maker != "Runway"]
    assert hosted
    assert not any(spec.first_party for spec in hosted)


@pytest.mark.anyio
async def test_ping_tells_balance_and_limits(runway: Runway) -> None:
    from videogen_core.engine.sessions import Sessions

    runway.emulator.daily = 50
    runway.vendor.change(concurrency=1)
    async with runway.async_client() as client:
        session = Sessions(client.settings, client.workspace.registry).get("runway")
        said = await session.ping()
        await session.close()
    assert said == (
        "the key works, 1,000,000 credits ($10,000.00) are left, at most $100 a month, "
        "1 at once and 50 a day of each model"
    )


@pytest.mark.anyio
async def test_no_more_at_once_than_the_account_may_have_of_the_model(runway: Runway) -> None:
    runway.vendor.change(concurrency=2)
    runway.vendor.script_all(Script(running=0.2, times=None))
    async with runway.async_client() as client, anyio.create_task_group() as group:
        for number in range(6):
            arguments = runway.arguments(output=str(runway.folder / f"{number}.mp4"))
            group.start_soon(lambda n=number, said=arguments: client.generate(f"A boat, {n}", **said))
    tasks = runway.emulator.vendor.jobs.values()
    assert [task.script.throttled for task in tasks] == [0.0] * 6  # none had to wait at Runway
    assert sum(entry.path == "/v1/organization" for entry in runway.vendor.journal()) == 1


@pytest.mark.parametrize(
    ("told", "most"),
    [
        ({"tier": {"models": {"gen4.5": {"maxConcurrentGenerations": 5}}}}, 5),
        ({"tier": {"models": {"gen4.5": {"maxConcurrentGenerations": None}}}}, None),
        ({"tier": {"models": {"veo3.1": {"maxConcurrentGenerations": 5}}}}, None),
        ({"tier": {"models": []}}, None),
        ({}, None),
    ],
)
def test_the_accounts_limit_of_a_model(told: dict[str, object], most: int | None) -> None:
    assert at_once(Answer(provider="runway", status=200, body=json.dumps(told).encode()), "gen4.5") == most


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_plugin_asks_for_this_core() -> None:
    assert RunwayProvider.plugin_api == videogen_core.PLUGIN_API
