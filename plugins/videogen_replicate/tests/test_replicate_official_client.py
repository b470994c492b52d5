"""The official client against the emulator, sync and async: it cannot tell it from Replicate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from videogen_core.testing import Script, ServerThread, owner
from videogen_replicate.emulator import ReplicateEmulator

replicate = pytest.importorskip("replicate.client")
pytestmark = [
    pytest.mark.anyio,
    # the client's own models are pydantic.v1's
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pydantic.*"),
]
INPUT = {"prompt": "A boat", "duration": 5, "aspect_ratio": "16:9"}


@pytest.fixture
def official(vendor: ServerThread) -> Iterator[Any]:
    found = replicate.Client(api_token=vendor.emulator.key, base_url=vendor.url)
    yield found
    found._client.close()  # it has no close of its own


def test_a_prediction_from_create_to_clip(official: Any, vendor: ServerThread) -> None:
    vendor.script(Script(polls=2))
    prediction = official.models.predictions.create("google/veo-2", input=INPUT)
    assert (prediction.status, len(prediction.id), prediction.output) == ("starting", 26, None)
    seen = []
    while prediction.status not in ("succeeded", "failed"):
        prediction.reload()
        seen.append(prediction.status)
    assert seen[-1] == "succeeded"
    assert "processing" in seen
    assert prediction.output.startswith(vendor.delivery_url)
    assert prediction.metrics == {"predict_time": 0.0, "total_time": 0.0}


async def test_the_same_async(official: Any, vendor: ServerThread) -> None:
    import httpx

    prediction = await official.models.predictions.async_create("google/veo-2", input=INPUT)
    prediction = await official.predictions.async_get(prediction.id)
    async with httpx.AsyncClient() as http:
        clip = await http.get(prediction.output)
    assert owner(clip.content)["job"] == prediction.id
    await official._async_client.aclose()


def test_a_version_and_a_list_of_outputs(official: Any) -> None:
    model = official.models.get("lightricks/ltx-video")
    schema = model.latest_version.openapi_schema["components"]["schemas"]
    assert schema["length"]["enum"][0] == 97
    prediction = official.predictions.create(version=model.latest_version, input={"prompt": "A boat"})
    prediction.reload()
    assert isinstance(prediction.output, list)


def test_cancel_list_and_errors(official: Any, vendor: ServerThread) -> None:
    from replicate.exceptions import ReplicateError

    vendor.script(Script(running=60))
    prediction = official.models.predictions.create("google/veo-2", input=INPUT)
    prediction.cancel()
    prediction.reload()
    assert prediction.status == "canceled"
    assert [each.id for each in official.predictions.list()] == [prediction.id]
    with pytest.raises(ReplicateError, match="duration") as caught:
        official.models.predictions.create("google/veo-2", input={**INPUT, "duration": 60})
    assert caught.value.status == 422
    with pytest.raises(ReplicateError, match="not be found"):
        official.models.get("nobody/nothing")


def test_files_and_the_secret_of_webhooks(official: Any, emulator: ReplicateEmulator) -> None:
    file = official.files.create(io.BytesIO(b"some bytes"), filename="boat.png")
    assert emulator.leftovers() == [file.id]
    assert official.files.get(file.id).size == 10
    official.files.delete(file.id)
    assert emulator.leftovers() == []
    assert official.webhooks.default.secret().key == emulator.webhook_secret
    assert official.accounts.current().username == "emulated"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "prompt is required"),
        ({**INPUT, "fps": 24}, "not allowed"),
        ({**INPUT, "duration": "5"}, "Expected: integer"),
        ({**INPUT, "image": "boat.png"}, "uri"),
        ({**INPUT, "image": None}, "Expected: string"),
        ({**INPUT, "aspect_ratio": "4:3"}, "one of the following"),
    ],
)
def test_the_emulator_is_as_strict_as_the_schema(official: Any, given: dict[str, Any], why: str) -> None:
    answer = official._client.post("/v1/models/google/veo-2/predictions", json={"input": given})
    told = answer.json()
    assert (answer.status_code, told["title"]) == (422, "Input validation failed")
    assert why in told["invalid_fields"][0]["description"]


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("minimax/hailuo-2.3", {"prompt": "a", "resolution": "1080p", "duration": 10}),
        ("bytedance/seedance-2.0", {"prompt": "a", "last_frame_image": "https://example.com/a.png"}),
        ("google/veo-3.1", {"prompt": "a", "reference_images": ["https://example.com/a.png"], "duration": 4}),
        ("kwaivgi/kling-v3-video", {"prompt": "a" * 2501}),
    ],
)
def test_the_emulator_knows_what_belongs_together(official: Any, model: str, given: dict[str, Any]) -> None:
    answer = official._client.post(f"/v1/models/{model}/predictions", json={"input": given})
    assert answer.status_code == 422
