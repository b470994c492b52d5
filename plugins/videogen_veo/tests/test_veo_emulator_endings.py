"""How jobs of the emulated Google end without a clip, and what its faults look like to Google's own SDK."""

from __future__ import annotations

import base64
import io
import json
from decimal import Decimal
from typing import Any, Literal

import pytest
from google import genai
from google.genai import _interactions, errors, types

from veo_emulation import (
    OMNI,
    PNG,
    SMALL,
    _clients as _clients,
    _served as _served,
    anyio_backend as anyio_backend,
    emulator as emulator,
    finished,
    gemini as gemini,
    google as google,
    omni,
    once,
    shape,
    veo,
    vertex as vertex,
    vertex_client,
    vertex_global as vertex_global,
)
from videogen_core.testing import Fault, Script, ServerThread
from videogen_veo.emulator import VeoEmulator

Ending = Literal["failed", "blocked", "cancelled", "empty"]


# --- Veo -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "code", "rpc", "words"),
    [
        ("blocked", "", 3, "Support codes: 64151117"),
        ("blocked", "operation", 3, "Support codes: 64151117"),
        ("failed", "", 13, "internal"),
        ("failed", "8", 8, "internal"),
        ("cancelled", "", 1, "cancelled"),
    ],
)
def test_an_operation_with_an_error(
    google: ServerThread, vertex: genai.Client, ending: Ending, code: str, rpc: int, words: str
) -> None:
    google.script(Script(ending=ending, code=code))
    operation = finished(vertex, veo(vertex))
    assert operation.error["code"] == rpc
    assert words in operation.error["message"]
    assert operation.response is None
    assert google.stats()["charged"] == "0"


def test_an_operation_can_say_why(google: ServerThread, vertex: genai.Client) -> None:
    google.script(Script(ending="blocked", message="No. Support codes: 15236754"))
    assert finished(vertex, veo(vertex)).error == {"code": 3, "message": "No. Support codes: 15236754"}


def test_all_clips_are_filtered_out(google: ServerThread, vertex: genai.Client) -> None:
    google.script(Script(ending="blocked", code="filtered", message="Support codes: 15236754"))
    response = finished(vertex, veo(vertex, number_of_videos=2)).response
    assert response.generated_videos is None
    assert response.rai_media_filtered_count == 2
    assert response.rai_media_filtered_reasons == ["Support codes: 15236754"] * 2
    assert google.stats()["charged"] == "0"


@pytest.mark.parametrize("ending", ["blocked", "succeeded"])
def test_one_of_two_clips_is_filtered_out(google: ServerThread, vertex: genai.Client, ending: Any) -> None:
    google.script(Script(ending=ending, code="filtered", outputs=1))
    response = finished(vertex, veo(vertex, number_of_videos=2)).response
    assert len(response.generated_videos) == response.rai_media_filtered_count == 1
    assert "Support codes" in response.rai_media_filtered_reasons[0]
    assert Decimal(google.stats()["charged"]) == Decimal("0.10") * 4


def test_an_operation_that_is_done_with_nothing(google: ServerThread, vertex: genai.Client) -> None:
    google.script(Script(ending="empty"), Script(ending="empty", code="response"))
    for _ in range(2):
        operation = finished(vertex, veo(vertex))
        assert operation.error is None
        assert not (operation.response and operation.response.generated_videos)
    assert google.stats()["charged"] == "0"
    google.script(Script(ending="empty", code="shape"))
    [lost] = finished(vertex, veo(vertex)).response.generated_videos
    assert (lost.video.uri, lost.video.video_bytes) == (None, None)
    assert Decimal(google.stats()["charged"]) == Decimal("0.40")


def test_a_job_that_is_not_even_made(google: ServerThread, gemini: genai.Client, vertex: genai.Client) -> None:
    google.script(Script(ending="blocked", code="create"), Script(ending="blocked", code="create", message="Never."))
    with pytest.raises(errors.ClientError, match="Support codes") as refused:
        veo(vertex)
    assert refused.value.code == 400
    with pytest.raises(_interactions.BadRequestError, match="Never"):
        omni(gemini)
    assert google.created == 0
    assert veo(vertex).name  # each script is for one create


# --- Omni ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "text", "filtered"])
def test_a_refusal_is_a_completion_with_text(google: ServerThread, gemini: genai.Client, code: str) -> None:
    google.script(Script(ending="blocked", code=code, message="I can't do that."))
    made = gemini.interactions.get(omni(gemini).id)
    assert made.status == "completed"
    assert made.output_video is None
    assert made.output_text == "I can't do that."
    assert "video" not in {each.modality for each in made.usage.output_tokens_by_modality}
    assert 0 < Decimal(google.stats()["charged"]) < Decimal("0.01"), "its tokens alone"


def test_a_refusal_may_be_charged(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(ending="blocked", charged=True))
    usage = gemini.interactions.get(omni(gemini).id).usage
    tokens = usage.total_input_tokens * Decimal("1.5")
    tokens += (usage.total_output_tokens + usage.total_thought_tokens) * 9
    assert Decimal(google.stats()["charged"]) == tokens / 1_000_000


@pytest.mark.parametrize("code", ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"])
def test_a_block_is_among_the_errors(google: ServerThread, gemini: genai.Client, code: str) -> None:
    google.script(Script(ending="blocked", code=code))
    made = gemini.interactions.get(omni(gemini).id)
    assert made.status == "failed"
    assert [each.code for each in made.errors] == [code]


def test_a_block_is_in_a_step(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(ending="blocked", code="step"))
    made = gemini.interactions.get(omni(gemini).id)
    assert made.status == "failed"
    assert made.steps[-1].error.code == 3
    assert made.steps[-1].error.message.startswith("SAFETY")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("", "failed", "internal_error"),
        ("overloaded", "failed", "overloaded"),
        ("incomplete", "incomplete", None),
        ("budget_exceeded", "budget_exceeded", None),
        ("requires_action", "requires_action", None),
    ],
)
def test_an_interaction_that_failed(
    google: ServerThread, gemini: genai.Client, code: str, status: str, error: str | None
) -> None:
    google.script(Script(ending="failed", code=code))
    made = gemini.interactions.get(omni(gemini).id)
    assert made.status == status
    assert [each.code for each in made.errors or ()] == ([] if error is None else [error])
    assert 0 < Decimal(google.stats()["charged"]) < Decimal("0.01"), "its tokens alone"


def test_an_interaction_that_is_completed_with_nothing(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(ending="empty"), Script(ending="empty", code="shape"))
    made = gemini.interactions.get(omni(gemini).id)
    assert (made.status, made.output_video, made.usage.total_output_tokens) == ("completed", None, 0)
    assert 0 < Decimal(google.stats()["charged"]) < Decimal("0.01"), "its tokens alone"
    made = gemini.interactions.get(omni(gemini).id)
    assert (made.status, made.output_video, made.usage.total_output_tokens) == ("completed", None, 5213)
    assert Decimal(google.stats()["charged"]) > Decimal("0.09")
    with pytest.raises(_interactions.BadRequestError, match="no video"):
        omni(gemini, "more", task="edit", previous_interaction_id=made.id)


def test_other_words(google: ServerThread, gemini: genai.Client) -> None:
    google.script(Script(running=3600, word="pondering"), Script(ending="cancelled"), Script(queued=3600))
    assert gemini.interactions.get(omni(gemini).id).status == "pondering"
    assert gemini.interactions.get(omni(gemini).id).status == "cancelled"
    assert gemini.interactions.get(omni(gemini).id).status == "queued"


# --- faults --------------------------------------------------------------------------------------------------------

REFUSALS = {
    "invalid_request": (400, "INVALID_ARGUMENT", _interactions.BadRequestError, "invalid_request"),
    "content_policy": (400, "INVALID_ARGUMENT", _interactions.BadRequestError, "invalid_request"),
    "insufficient_credits": (400, "FAILED_PRECONDITION", _interactions.BadRequestError, "failed_precondition"),
    "forbidden": (403, "PERMISSION_DENIED", _interactions.PermissionDeniedError, "permission_denied"),
    "not_found": (404, "NOT_FOUND", _interactions.NotFoundError, "not_found"),
    "conflict": (409, "ABORTED", _interactions.ConflictError, "conflict"),
    "rate_limited": (429, "RESOURCE_EXHAUSTED", _interactions.RateLimitError, "too_many_requests"),
    "unavailable": (503, "UNAVAILABLE", _interactions.InternalServerError, "service_unavailable"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_the_harness_words_in_both_shapes(
    google: ServerThread, gemini: genai.Client, vertex: genai.Client, code: str
) -> None:
    status, rpc, family, word = REFUSALS[code]
    google.inject(Fault("refusal", on="create", code=code, times=2))
    with pytest.raises(errors.APIError) as classic:
        veo(vertex)
    assert (classic.value.code, classic.value.status) == (status, rpc)
    with pytest.raises(family) as modern:
        omni(gemini)
    assert (modern.value.status_code, modern.value.body["error"]["code"]) == (status, word)
    delays = [error.get("details", [{}])[0].get("retryDelay") for error in
              (classic.value.details["error"], modern.value.body["error"])]  # fmt: skip
    assert delays == (["1s"] * 2 if status == 429 else [None] * 2)


def test_the_front_end_answers_for_keys_and_tokens(google: ServerThread, gemini: genai.Client) -> None:
    codes = ("unauthorized", "API_KEY_SERVICE_BLOCKED", "API_KEY_INVALID")
    google.inject(*(Fault("refusal", on="create", code=code) for code in codes))
    with pytest.raises(_interactions.AuthenticationError) as refused:
        omni(gemini)
    assert refused.value.body["error"]["status"] == "UNAUTHENTICATED"
    with pytest.raises(_interactions.PermissionDeniedError) as denied:
        omni(gemini)
    assert denied.value.body["error"]["details"][0]["reason"] == "API_KEY_SERVICE_BLOCKED"
    with pytest.raises(_interactions.BadRequestError, match="API key not valid"):
        omni(gemini)


def test_an_error_may_come_in_a_list(google: ServerThread, gemini: genai.Client, vertex: genai.Client) -> None:
    google.inject(Fault("refusal", on="create", code="unavailable[]", times=2))
    with pytest.raises(errors.ServerError) as refused:
        veo(vertex)
    assert refused.value.status == "UNAVAILABLE"  # the SDK unwraps this one
    with pytest.raises(_interactions.InternalServerError) as modern:
        omni(gemini)
    assert isinstance(modern.value.body, list)  # and not this one


def test_a_create_whose_answer_is_lost_made_a_job(google: ServerThread, vertex: genai.Client) -> None:
    google.inject(Fault("status", on="create", status=500))
    with pytest.raises(errors.ServerError) as refused:
        veo(vertex)
    assert refused.value.status == "INTERNAL"
    assert (google.count("create"), google.created) == (1, 1)


def test_the_sdk_itself_repeats_an_interaction(google: ServerThread) -> None:
    google.inject(Fault("status", on="create", status=503))
    with genai.Client(enterprise=False) as client:
        assert omni(client).id
    assert (google.count("create"), google.created) == (2, 2)  # two jobs, and both are paid for


@pytest.mark.parametrize("what", ["empty", "html", "invalid_json"])
def test_polls_that_make_no_sense(google: ServerThread, vertex: genai.Client, what: Any) -> None:
    operation = veo(vertex)
    google.inject(Fault(what, on="poll"))
    if what == "empty":
        assert (vertex.operations.get(operation).name, vertex.operations.get(operation).done) == (None, True)
        return
    with pytest.raises(json.JSONDecodeError):
        vertex.operations.get(operation)
    assert vertex.operations.get(operation).done


def test_a_download_is_led_to_another_origin(google: ServerThread, gemini: genai.Client) -> None:
    made = gemini.interactions.get(omni(gemini, response_format={**SMALL, "delivery": "uri"}).id)
    name = made.output_video.uri.partition(":download")[0].rpartition("/")[2]
    for _ in range(2):
        gemini.files.get(name=name)
    elsewhere = f"{google.delivery_url}/delivered/{name}?alt=media"
    google.inject(Fault("redirect", on="download", location=elsewhere))
    assert shape(gemini.files.download(file=made.output_video.uri))[:3] == (3.0, 640, 360)
    first, second = google.journal("download")
    assert (first.origin, first.status, second.origin) == ("api", 302, "delivery")
    assert second.credentials  # this SDK takes the key along, which nobody should


def test_uploads_meet_faults(google: ServerThread, gemini: genai.Client) -> None:
    google.inject(Fault("refusal", on="upload", code="rate_limited"))
    with pytest.raises(errors.ClientError) as refused:
        gemini.files.upload(file=io.BytesIO(PNG), config={"mime_type": "image/png"})
    assert refused.value.status == "RESOURCE_EXHAUSTED"
    assert google.emulator.leftovers() == []


@pytest.mark.anyio
async def test_the_async_half_raises_the_same(google: ServerThread) -> None:
    google.inject(Fault("refusal", on="create", code="rate_limited", times=2))
    async with genai.Client(enterprise=False, http_options=once()).aio as client:
        with pytest.raises(_interactions.RateLimitError):
            await client.interactions.create(model=OMNI, input="a cat", background=True)
    async with vertex_client().aio as client:
        with pytest.raises(errors.ClientError) as refused:
            await client.models.generate_videos(
                model="veo-3.1-fast-generate-001", source=types.GenerateVideosSource(prompt="a cat")
            )
    assert refused.value.code == 429


def test_a_webhook_tells_of_the_end(emulator: VeoEmulator, gemini: genai.Client) -> None:
    made = omni(gemini, webhook_config={"uris": ["http://127.0.0.1:9/hook"], "user_metadata": {"job": "1"}})
    job = emulator.vendor.jobs[made.id]
    assert job.webhook == "http://127.0.0.1:9/hook"
    assert json.loads(emulator.webhook_body(job)) == {
        "type": "interaction.completed",
        "version": "v1",
        "data": {"id": made.id},
    }


def test_a_clip_says_whose_it_is(google: ServerThread, vertex_global: genai.Client) -> None:
    made = vertex_global.interactions.get(omni(vertex_global).id)
    assert made.id.encode() in base64.b64decode(made.output_video.data)
