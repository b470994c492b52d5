"""The emulator before Runway's own SDK, sync and async, and as strict as the types of that SDK."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import runwayml
import typing_extensions
from runwayml.types import (
    character_performance_create_params,
    image_to_video_create_params,
    text_to_video_create_params,
    video_to_hdr_create_params,
    video_to_video_create_params,
    video_upscale_create_params,
)

from runway_rig import PICTURE, Runway, rigged, served
from videogen_core.testing import Script, ServerThread
from videogen_runway.emulator.rules import ENDPOINTS, rules, table

PROMPT = "A paper boat"
MODULES = {
    "text_to_video": text_to_video_create_params,
    "image_to_video": image_to_video_create_params,
    "video_to_video": video_to_video_create_params,
    "character_performance": character_performance_create_params,
    "video_upscale": video_upscale_create_params,
    "video_to_hdr": video_to_hdr_create_params,
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[ServerThread]:
    yield from served()


@pytest.fixture
def runway(vendor: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runway:
    return rigged(vendor, tmp_path, monkeypatch)


@pytest.fixture
def sdk(runway: Runway) -> Iterator[runwayml.RunwayML]:
    """Runway's SDK, which the emulator's variables lead here."""
    with runwayml.RunwayML(max_retries=0) as client:
        yield client


def shape(task: Any) -> dict[str, Any]:
    """A task as its JSON."""
    found: dict[str, Any] = json.loads(task.to_json())
    return found


# --- the SDK is the client


def test_a_task_goes_its_way(runway: Runway, sdk: runwayml.RunwayML) -> None:
    runway.vendor.run(0)
    runway.vendor.script(Script(throttled=1, queued=1, running=10))
    made = sdk.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=2, ratio="1280:720", seed=7)
    seen = []
    for seconds in (0, 1, 1, 5, 5):
        runway.vendor.advance(seconds)
        seen.append(sdk.tasks.retrieve(made.id))
    runway.vendor.run(1)
    assert [task.status for task in seen] == ["THROTTLED", "PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert [type(task).__name__ for task in seen] == [
        "AwaitableThrottled", "AwaitablePending", "AwaitableRunning", "AwaitableRunning", "AwaitableSucceeded",
    ]  # fmt: skip
    assert shape(seen[3])["progress"] == 0.5
    assert shape(seen[4])["cost"] == {"credits": 24}
    (url,) = shape(seen[4])["output"]
    assert httpx.get(url).content[4:8] == b"ftyp"


@pytest.mark.anyio
async def test_the_async_sdk_works_too(runway: Runway) -> None:
    async with runwayml.AsyncRunwayML(max_retries=0) as sdk:
        made = await sdk.video_to_video.create(
            model="aleph2", video_uri="https://example.com/a.mp4", prompt_text=PROMPT
        )
        task = await sdk.tasks.retrieve(made.id)
    assert (task.status, shape(task)["cost"]) == ("SUCCEEDED", {"credits": 112})


def test_a_deleted_task_is_gone(runway: Runway, sdk: runwayml.RunwayML) -> None:
    runway.vendor.script(Script(running=60))
    made = sdk.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=2, ratio="1280:720")
    sdk.tasks.delete(made.id)
    with pytest.raises(runwayml.NotFoundError, match="Could not find Task"):
        sdk.tasks.retrieve(made.id)
    with pytest.raises(runwayml.NotFoundError):
        sdk.tasks.delete(made.id)


def test_a_finished_task_that_is_deleted_takes_its_clip_with_it(runway: Runway, sdk: runwayml.RunwayML) -> None:
    made = sdk.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=2, ratio="1280:720")
    (url,) = shape(sdk.tasks.retrieve(made.id))["output"]
    sdk.tasks.delete(made.id)
    assert httpx.get(url).status_code == 404


def test_an_upload_can_be_used(runway: Runway, sdk: runwayml.RunwayML) -> None:
    upload = sdk.uploads.create_ephemeral(file=("boat.png", PICTURE))
    assert upload.uri.startswith("runway://")
    sdk.image_to_video.create(model="gen4_turbo", prompt_image=upload.uri, ratio="960:960", duration=2)
    with pytest.raises(runwayml.BadRequestError, match="does not exist or has expired"):
        sdk.image_to_video.create(model="gen4_turbo", prompt_image="runway://none", ratio="960:960")
    assert [entry.origin for entry in runway.vendor.journal("upload")] == ["api", "delivery"]


def test_the_account_is_shown(runway: Runway, sdk: runwayml.RunwayML) -> None:
    sdk.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=5, ratio="1280:720")
    told = sdk.organization.retrieve()
    assert told.credit_balance == 1_000_000 - 60
    assert told.tier.models["gen4.5"].max_concurrent_generations is None
    assert told.usage.models["gen4.5"].daily_generations == 1
    (day,) = sdk.organization.retrieve_usage().results
    assert [(used.model, used.amount) for used in day.used_credits] == [("gen4.5", 60)]


def test_the_daily_limit_is_429_and_the_concurrency_is_not(runway: Runway, sdk: runwayml.RunwayML) -> None:
    runway.emulator.daily = 2
    runway.vendor.change(concurrency=1)
    runway.vendor.script_all(Script(running=60, times=None))
    asked: Any = {"model": "gen4.5", "prompt_text": PROMPT, "duration": 2, "ratio": "1280:720"}
    made = [sdk.text_to_video.create(**asked) for _ in range(2)]
    assert [sdk.tasks.retrieve(task.id).status for task in made] == ["RUNNING", "THROTTLED"]
    with pytest.raises(runwayml.RateLimitError):
        sdk.text_to_video.create(**asked)


# --- as strict as Runway


def wrong(sdk: runwayml.RunwayML, endpoint: str, body: dict[str, Any]) -> list[str]:
    """The fields that a body is refused for."""
    with pytest.raises(runwayml.BadRequestError) as caught:
        sdk.post(f"/v1/{endpoint}", body=body, cast_to=object)
    told: Any = caught.value.body
    assert told["error"]
    assert told["docUrl"]
    return sorted(".".join(map(str, issue["path"])) or issue["message"].split("'")[1] for issue in told["issues"])


FIRST = {"uri": "https://a.b/c", "position": "first"}
TEXT = {"model": "gen4.5", "promptText": PROMPT, "duration": 5, "ratio": "1280:720"}
IMAGE = {"model": "veo3.1", "promptImage": "https://example.com/a.png", "ratio": "1280:720"}
EDIT = {"model": "seedance2_5", "promptVideo": "https://example.com/a.mp4", "promptText": PROMPT, "duration": "auto"}


@pytest.mark.parametrize(
    ("endpoint", "body", "fields"),
    [
        ("text_to_video", {**TEXT, "model": "gen3a_turbo"}, ["model"]),
        ("text_to_video", {**TEXT, "model": "gen4_turbo"}, ["model"]),
        ("text_to_video", {**TEXT, "ratio": "960:960", "duration": 5.5}, ["duration", "ratio"]),
        ("text_to_video", {**TEXT, "duration": "5"}, ["duration"]),
        ("text_to_video", {**TEXT, "duration": 11, "audio": True}, ["audio", "duration"]),
        ("text_to_video", {"model": "gen4.5"}, ["duration", "promptText", "ratio"]),
        ("text_to_video", {**TEXT, "promptText": "🚤" * 501}, ["promptText"]),
        ("text_to_video", {**TEXT, "seed": -1}, ["seed"]),
        ("text_to_video", {**TEXT, "proresProfile": "422"}, ["proresProfile"]),
        ("text_to_video", {**TEXT, "contentModeration": {"publicFigureThreshold": "high"}}, ["contentModeration"]),
        ("image_to_video", {**IMAGE, "promptImage": [{"uri": "https://a.b/c", "position": "last"}]}, ["promptImage"]),
        ("image_to_video", {**IMAGE, "promptImage": [FIRST, FIRST]}, ["promptImage"]),
        ("image_to_video", {**IMAGE, "promptImage": "http://a.b/c"}, ["promptImage"]),
        ("image_to_video", {**IMAGE, "promptImage": "https://192.0.2.1/c"}, ["promptImage"]),
        ("image_to_video", {**IMAGE, "promptImage": "data:video/mp4;base64,AAAA"}, ["promptImage"]),
        ("image_to_video", {**IMAGE, "promptImage": "data:image/png;base64," + "A" * 5_300_000}, ["promptImage"]),
        ("video_to_video", {**EDIT, "mode": "edit", "ratio": "1280:720"}, ["ratio"]),
        ("video_to_video", {**EDIT, "mode": "edit", "duration": 5}, ["duration"]),
        ("video_to_video", {"model": "aleph2", "promptVideo": "https://a.b/c"}, ["promptVideo", "videoUri"]),
        ("video_upscale", {"model": "enhance_frame_rate", "videoUri": "https://a.b/c", "targetFramerate": "61"},
         ["targetFramerate"]),
        ("video_to_hdr", {"model": "ruby", "videoUri": "https://a.b/c", "prompt": "x"}, ["prompt"]),
        ("character_performance", {"model": "act_two", "character": {"type": "image", "uri": "https://a.b/c"}},
         ["reference"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_field_by_field(
    runway: Runway, sdk: runwayml.RunwayML, endpoint: str, body: dict[str, Any], fields: list[str]
) -> None:
    assert wrong(sdk, endpoint, body) == fields
    assert runway.vendor.created == 0


def test_the_version_is_asked_for(runway: Runway) -> None:
    headers = {"Authorization": f"Bearer {runway.emulator.key}"}
    answer = httpx.get(f"{runway.vendor.url}/v1/organization", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "X-Runway-Version is required.")
    assert httpx.get(f"{runway.vendor.url}/v1/organization").status_code == 401


def test_addresses_expire_and_a_poll_gives_new_ones(runway: Runway, sdk: runwayml.RunwayML) -> None:
    made = sdk.text_to_video.create(model="gen4.5", prompt_text=PROMPT, duration=2, ratio="1280:720")
    (old,) = shape(sdk.tasks.retrieve(made.id))["output"]
    runway.vendor.advance(90_000)
    assert httpx.get(old).status_code == 403
    (new,) = shape(sdk.tasks.retrieve(made.id))["output"]
    assert httpx.get(new).status_code == 200


# --- its rules are those of the SDK's types


def unions(endpoint: str) -> dict[str, Any]:
    """The SDK's type of each model's body."""
    names = [name for name in dir(MODULES[endpoint]) if name.endswith("CreateParams")]
    union = getattr(MODULES[endpoint], names[0])
    found = {}
    for kind in typing.get_args(union) or (union,):
        (model,) = typing.get_args(plain(typing_extensions.get_type_hints(kind, include_extras=True)["model"]))
        found[str(model)] = kind
    return found


def plain(hint: Any) -> Any:
    """A type without what is written around it."""
    while typing.get_origin(hint) in (typing_extensions.Required, typing.Annotated):
        hint = typing.get_args(hint)[0]
    return hint


def fields(kind: Any) -> dict[str, tuple[bool, Any]]:
    """Name on the wire -> whether it is required, and its type."""
    found = {}
    for name, hint in typing_extensions.get_type_hints(kind, include_extras=True).items():
        alias, required = name, typing.get_origin(hint) is typing_extensions.Required
        inner = typing.get_args(hint)[0] if required else hint
        if typing.get_origin(inner) is typing.Annotated:
            alias = next((m.alias for m in typing.get_args(inner)[1:] if getattr(m, "alias", None)), name)
        found[alias] = (required, plain(inner))
    return found


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_models_and_fields_are_those_of_the_sdk(endpoint: str) -> None:
    theirs = unions(endpoint)
    assert set(rules(endpoint)) == set(theirs)
    for model, kind in theirs.items():
        ours, wanted = rules(endpoint)[model], fields(kind)
        assert set(ours) == set(wanted) - {"model"}, model
        required = {name for name, (needed, _) in wanted.items() if needed} - {"model"}
        assert {name for name, rule in ours.items() if rule.endswith("!")} == required, model


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_choices_are_those_of_the_sdk(endpoint: str) -> None:
    for model, kind in unions(endpoint).items():
        for name, (_, hint) in fields(kind).items():
            if name == "model" or typing.get_origin(hint) is not typing.Literal:
                continue
            words = rules(endpoint)[model][name].removesuffix(" !").split(" ", 1)
            ours = {
                "ratio": lambda text: {s for g in text.split() for s in table()["ratios"][g]["sizes"].split()},
                "one": lambda text: set(text.split("|")),
                "ints": lambda text: set(map(int, text.split())),
            }[words[0]](words[1])
            assert ours == set(typing.get_args(hint)), f"{model}.{name}"


def test_a_clip_is_what_was_asked_for(runway: Runway) -> None:
    (video,) = runway.generate(model="seedance-2.0-fast", duration=4, resolution="480p", aspect_ratio="9:16").videos
    assert (video.width, video.height, video.duration, video.has_audio) == (496, 864, 4.0, True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
