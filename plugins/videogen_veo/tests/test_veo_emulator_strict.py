"""What the emulator of Google's video APIs refuses, and in whose words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google import genai
from google.genai import _interactions, errors, types

from veo_emulation import (
    FAST,
    OMNI,
    PNG,
    PROJECT,
    SMALL,
    _clients as _clients,
    _served as _served,
    clip_of,
    emulator as emulator,
    gemini as gemini,
    google as google,
    image_part,
    omni,
    once,
    veo,
    vertex as vertex,
    vertex_client,
    vertex_global as vertex_global,
    video_part,
)
from videogen_core.testing import ServerThread

IMAGE = types.Image(image_bytes=PNG, mime_type="image/png")
LITE, FULL = "veo-3.1-lite-generate-001", "veo-3.1-generate-001"
TEXT = {"type": "text", "text": "a cat"}


def reference(kind: str = "asset") -> types.VideoGenerationReferenceImage:
    return types.VideoGenerationReferenceImage(image=IMAGE, reference_type=kind)


def body(**more: Any) -> dict[str, Any]:
    """Fields that the SDK itself would not write."""
    return {"http_options": types.HttpOptions(extra_body=more, timeout=60_000)}


SOURCE = types.Video(video_bytes=b"whatever", mime_type="video/mp4")

# what is asked for, and what the message names
VEO: dict[str, tuple[dict[str, Any], str]] = {
    "duration": ({"duration_seconds": 5}, "durationSeconds"),
    "resolution": ({"resolution": "360p"}, "resolution"),
    "resolution of lite": ({"model": LITE, "resolution": "4k"}, "resolution"),
    "aspect": ({"aspect_ratio": "1:1"}, r"aspectRatio"),
    "seed below": ({"seed": -1}, "seed"),
    "seed above": ({"seed": 2**32}, "seed"),
    "count 0": ({"number_of_videos": 0}, "sampleCount"),
    "count 5": ({"number_of_videos": 5}, "sampleCount"),
    "fps": ({"fps": 30}, "fps"),
    "enhance": ({"enhance_prompt": False}, "enhancePrompt"),
    "people": ({"person_generation": "everyone"}, "personGeneration"),
    "storage": ({"output_gcs_uri": "https://bucket/x"}, "storageUri"),
    "quality": (body(parameters={"compressionQuality": "worst"}), "compressionQuality"),
    "unknown parameter": (body(parameters={"frames": 9}), "unknown field `frames`"),
    "unknown field": (body(safety=1), "unknown field `safety`"),
    "wrong type": (body(parameters={"durationSeconds": "4"}), "durationSeconds"),
    "wrong type of audio": (body(parameters={"generateAudio": "no"}), "generateAudio"),
    "no prompt": ({"prompt": None}, "instances"),
    "blank prompt": ({"prompt": ""}, "prompt"),
    "long prompt": ({"prompt": "a " * 1025}, "1024"),
    "four references": ({"reference_images": [reference()] * 4, "duration_seconds": 8}, "at most 3"),
    "references of lite": ({"model": LITE, "reference_images": [reference()], "duration_seconds": 8}, "at most 0"),
    "style": ({"reference_images": [reference("style")], "duration_seconds": 8}, "asset"),
    "short with references": ({"reference_images": [reference()], "duration_seconds": 6}, "durationSeconds"),
    "references without prompt": ({"prompt": None, "reference_images": [reference()], "duration_seconds": 8}, "prompt"),
    "references and image": ({"reference_images": [reference()], "image": IMAGE, "duration_seconds": 8}, "do not go"),
    "last frame alone": ({"last_frame": IMAGE}, "lastFrame"),
    "last frame and references": (
        {"reference_images": [reference()], "last_frame": IMAGE, "duration_seconds": 8},
        "do not go",
    ),
    "video and references": (
        {"reference_images": [reference()], "video": SOURCE, "duration_seconds": None},
        "do not go",
    ),
    "video and image": ({"video": SOURCE, "image": IMAGE, "duration_seconds": None}, "video"),
    "video and duration": ({"video": SOURCE, "duration_seconds": 8}, "7"),
    "no image": ({"image": types.Image(image_bytes=b"GIF89a", mime_type="image/png")}, "no valid image/png"),
    "another image": ({"image": types.Image(image_bytes=PNG, mime_type="image/jpeg")}, "no valid image/jpeg"),
    "webp": ({"image": types.Image(image_bytes=PNG, mime_type="image/webp")}, "mimeType"),
    "no mime type": ({"image": types.Image(gcs_uri="gs://my-bucket/a.png")}, "mimeType"),
    "two images in one": (
        {"image": types.Image(image_bytes=PNG, gcs_uri="gs://my-bucket/a.png", mime_type="image/png")},
        "exactly one",
    ),
    "neither": ({"image": types.Image(mime_type="image/png")}, "exactly one"),
    "no such object": ({"image": types.Image(gcs_uri="gs://my-bucket/a.png", mime_type="image/png")}, "no such object"),
    "video of another kind": (
        {"video": types.Video(uri="gs://my-bucket/a.mov", mime_type="video/mov"), "duration_seconds": None},
        "mimeType",
    ),
    "no such video": (
        {"video": types.Video(uri="gs://my-bucket/a.mp4", mime_type="video/mp4"), "duration_seconds": None},
        "no such object",
    ),
    "long video": (
        {"video": types.Video(video_bytes=clip_of(31), mime_type="video/mp4"), "duration_seconds": None},
        "1 to 30",
    ),
    "base64": (
        body(instances=[{"prompt": "x", "image": {"bytesBase64Encoded": "%%%", "mimeType": "image/png"}}]),
        "Base64",
    ),
    "mask": (body(instances=[{"prompt": "x", "mask": {"maskMode": "INSERT"}}]), "unknown field `mask`"),
    "two instances": (body(instances=[{"prompt": "x"}, {"prompt": "y"}]), "exactly one"),
    "a forbidden prompt": ({"prompt": "something forbidden"}, "Support codes"),
}


@pytest.mark.parametrize("case", VEO)
def test_veo_refuses(google: ServerThread, vertex: genai.Client, case: str) -> None:
    asked, message = VEO[case]
    with pytest.raises(errors.ClientError, match=message) as refused:
        veo(vertex, **asked)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    assert google.created == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"person_generation": "allow_all"}, "allowlist"), ({"output_gcs_uri": "gs://a-forbidden-bucket/x"}, "bucket")],
)
def test_veo_has_no_right(vertex: genai.Client, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ClientError, match=message) as refused:
        veo(vertex, **asked)
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


def omni_format(**more: Any) -> dict[str, Any]:
    return {"response_format": {**SMALL, **more}}


OMNI_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a bare number": (omni_format(duration="8"), "no duration"),
    "a number": ({"extra_body": {"response_format": {"type": "video", "duration": 8}}}, "duration"),
    "too short": (omni_format(duration="2.5s"), "from 3s to 15s"),
    "too long": (omni_format(duration="15.1s"), "from 3s to 15s"),
    "too long for 1.1": ({**omni_format(duration="11s"), "model": "gemini-omni-1.1-flash"}, "from 3s to 10s"),
    "no type": ({"extra_body": {"response_format": {"duration": "8s", "type": None}}}, "type"),
    "another type": ({"response_format": {"type": "text"}}, "type"),
    "two formats": ({"response_format": [SMALL, SMALL]}, "exactly one"),
    "resolution": (omni_format(resolution="480p"), "resolution"),
    "aspect": (omni_format(aspect_ratio="1:1"), "aspect_ratio"),
    "delivery": (omni_format(delivery="post"), "delivery"),
    "a bucket without a project": (omni_format(delivery="uri", gcs_uri="gs://my-bucket"), "gcs_uri"),
    "unknown field": ({"extra_body": {"negative_prompt": "dogs"}}, "unknown field `negative_prompt`"),
    "unknown field of the format": ({"extra_body": {"response_format": {"fps": 24}}}, "unknown field `fps`"),
    "task": ({"task": "upscale"}, "upscale"),
    "background without store": ({"store": False}, "store=true"),
    "streaming": ({"extra_body": {"stream": True}}, "streaming"),
    "system instruction": ({"system_instruction": "be brief"}, "system_instruction is not supported"),
    "safety settings": ({"extra_body": {"safety_settings": []}}, "safety_settings is not supported"),
    "temperature": ({"task": None, "generation_config": {"temperature": 1.0}}, "temperature"),
    "seed": ({"task": None, "generation_config": {"seed": -1}}, "seed"),
    "unknown earlier one": ({"previous_interaction_id": "v1_nothing", "task": "edit"}, "Invalid interaction name"),
    "earlier one for a new clip": ({"given": [image_part(), TEXT]}, "1 images and 0 videos"),
    "no prompt": ({"given": " "}, "needs a prompt"),
    "no image": ({"task": "image_to_video"}, "0 images"),
    "three images": ({"given": [image_part()] * 3 + [TEXT], "task": "image_to_video"}, "3 images"),
    "no clip": ({"task": "edit"}, "0 videos"),
    "two clips": ({"given": [video_part(clip_of(1))] * 2 + [TEXT], "task": "edit"}, "2 videos"),
    "a long clip": ({"given": [video_part(clip_of(16)), TEXT], "task": "edit"}, "at most 15 seconds"),
    "a long reference": ({"given": [video_part(clip_of(4)), TEXT], "task": "reference_to_video"}, "at most 3 seconds"),
    "base64": ({"given": [{**image_part(), "data": "%%"}, TEXT], "task": None}, "Base64"),
    "another image": ({"given": [image_part(PNG, "image/webp"), TEXT], "task": None}, "no valid image/webp"),
    "gif": ({"given": [image_part(b"GIF89a", "image/gif"), TEXT], "task": None}, "mime_type"),
    "no clip at all": ({"given": [video_part(b"not a clip"), TEXT], "task": "edit"}, "no video"),
    "no mime type": ({"given": [{"type": "image", "data": image_part()["data"]}, TEXT], "task": None}, "mime_type"),
    "no such file": (
        {"given": [{"type": "image", "uri": "https://generativelanguage.googleapis.com/v1beta/files/x"}], "task": None},
        "no such file",
    ),
    "both": ({"given": [{**image_part(), "uri": "gs://my-bucket/a.png"}, TEXT], "task": None}, "exactly one"),
    "sound": ({"given": [{"type": "audio", "data": "aaaa"}, TEXT], "task": None}, "type"),
    "a forbidden prompt": ({"given": "something forbidden"}, "Support codes"),
}


@pytest.mark.parametrize("case", OMNI_CASES)
def test_omni_refuses(google: ServerThread, gemini: genai.Client, case: str) -> None:
    asked, message = OMNI_CASES[case]
    with pytest.raises(_interactions.BadRequestError, match=message) as refused:
        omni(gemini, asked.get("given", "a cat"), **{key: asked[key] for key in asked if key != "given"})
    assert refused.value.body["error"]["code"] == "invalid_request"
    assert google.created == 0


def test_the_longest_clip_is_for_text_or_one_image(gemini: genai.Client) -> None:
    assert omni(gemini, **omni_format(duration="15s")).id
    assert omni(gemini, [image_part(), TEXT], task="image_to_video", **omni_format(duration="15s")).id
    with pytest.raises(_interactions.BadRequestError, match="from 3s to 10s"):
        omni(gemini, [image_part(), image_part(), TEXT], task="image_to_video", **omni_format(duration="15s"))


def test_an_extension_ends_at_forty_seconds(gemini: genai.Client) -> None:
    made = omni(gemini, [video_part(clip_of(9.5)), TEXT], task="extend", **omni_format(duration="10s"))
    for duration, fits in (("10s", True), ("10s", True), ("3s", False)):
        asked = {"previous_interaction_id": made.id, "task": "extend", **omni_format(duration=duration)}
        if fits:
            made = omni(gemini, "more", **asked)
            continue
        with pytest.raises(_interactions.BadRequestError, match="40 seconds"):
            omni(gemini, "more", **asked)


def test_an_address_needs_a_bucket_on_vertex(vertex_global: genai.Client) -> None:
    with pytest.raises(_interactions.BadRequestError, match="gcs_uri"):
        omni(vertex_global, **omni_format(delivery="uri"))
    with pytest.raises(_interactions.PermissionDeniedError, match="bucket") as refused:
        omni(vertex_global, **omni_format(delivery="uri", gcs_uri="gs://a-forbidden-bucket"))
    assert refused.value.body["error"]["code"] == "permission_denied"


# --- models, places and methods --------------------------------------------------------------------------------------


def over_http(client: genai.Client, method: str, path: str, said: dict[str, Any] | None = None) -> Any:
    """A request that the SDK sends, to a path that none of its methods has any more."""
    return client._api_client.request(method, path, said or {}, None)


Call = Callable[[genai.Client], Any]


@pytest.mark.parametrize("model", ["veo-3.1-generate-preview", FULL, FAST, "veo-3.0-generate-001"])
def test_veo_has_left_the_gemini_api(google: ServerThread, gemini: genai.Client, model: str) -> None:
    with pytest.raises(errors.ClientError, match=f"{model} is no longer available") as refused:
        over_http(gemini, "POST", f"models/{model}:predictLongRunning", {"instances": [{"prompt": "x"}]})
    assert refused.value.status == "NOT_FOUND"
    with pytest.raises(errors.ClientError) as refused:
        over_http(gemini, "GET", f"models/{model}/operations/abc")
    assert refused.value.code == 404


@pytest.mark.parametrize("model", ["veo-3.0-generate-001", "veo-3.1-fast-generate-preview"])
def test_older_models_have_left_vertex(vertex: genai.Client, model: str) -> None:
    with pytest.raises(errors.ClientError, match="is no longer available") as refused:
        veo(vertex, model=model)
    assert refused.value.code == 404


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gemini-omni-flash-preview", "is no longer available"),
        ("gemini-omni-1.1-flash-preview", "was not found"),
        ("gemini-omni-9", "was not found"),
    ],
)
def test_models_that_the_gemini_api_has_not(gemini: genai.Client, model: str, message: str) -> None:
    with pytest.raises(_interactions.NotFoundError, match=message) as refused:
        omni(gemini, model=model)
    assert refused.value.body["error"]["code"] == "not_found"


def test_models_are_somewhere(google: ServerThread) -> None:
    with vertex_client("global") as client:
        with pytest.raises(errors.ClientError, match="not served in global") as refused:
            veo(client)
        assert refused.value.status == "NOT_FOUND"
        with pytest.raises(_interactions.NotFoundError, match="was not found"):
            omni(client, model="gemini-omni-1.1-flash")  # its id there ends in -preview
    with vertex_client("us-central1") as client, pytest.raises(_interactions.NotFoundError, match="only served in"):
        omni(client)
    with pytest.raises(_interactions.BadRequestError, match="does not support the Interactions API"):
        omni(vertex_client("global"), model=FAST)


def test_omni_speaks_one_protocol(gemini: genai.Client, vertex: genai.Client, vertex_global: genai.Client) -> None:
    calls: list[Call] = [
        lambda client: client.models.generate_content(model=OMNI, contents="a cat"),
        lambda client: list(client.models.generate_content_stream(model=OMNI, contents="a cat")),
    ]
    for client in (gemini, vertex_global):
        for call in calls:
            with pytest.raises(errors.ClientError, match="only supports Interactions API") as refused:
                call(client)
            assert refused.value.code == 400
    with pytest.raises(errors.ClientError, match="only supports Interactions API"):
        veo(vertex, model=OMNI)
    with pytest.raises(errors.ClientError, match="does not support generateContent"):
        vertex.models.generate_content(model=FAST, contents="a cat")


def test_operations_are_asked_for_in_one_way(google: ServerThread, vertex: genai.Client) -> None:
    name = veo(vertex).name
    path = name.removeprefix(f"projects/{PROJECT}/locations/us-central1/")  # the SDK adds that itself
    for method, tail in (("GET", ""), ("POST", ":cancel")):
        with pytest.raises(errors.ClientError) as refused:
            over_http(vertex, method, f"{path}{tail}")
        assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as refused:
        vertex.operations.get(types.GenerateVideosOperation(name=f"{name}0"))
    assert refused.value.code == 404
    fetch = f"{path.partition('/operations/')[0]}:fetchPredictOperation"
    with pytest.raises(errors.ClientError, match="does not belong"):
        over_http(vertex, "POST", fetch, {"operationName": name.replace(PROJECT, "other-project")})
    assert google.jobs()[0]["polls"] == 0


def test_interactions_belong_to_one_place(gemini: genai.Client, vertex_global: genai.Client) -> None:
    made = omni(gemini)
    with pytest.raises(_interactions.BadRequestError, match="Invalid interaction name"):
        vertex_global.interactions.get(made.id)
    with pytest.raises(_interactions.BadRequestError, match="Invalid interaction name"):
        gemini.interactions.cancel("v1_nothing")
    stored = gemini.interactions.create(model=OMNI, input="a cat", store=False, response_format=SMALL)
    assert stored.status == "completed"


def test_a_client_that_forgot_its_project_is_told(google: ServerThread) -> None:
    # the SDK drops a project that it has from the environment when it has an address
    with genai.Client(enterprise=True, location="us-central1", http_options=once()) as client:
        with pytest.raises(errors.ClientError, match="Pass project and location") as refused:
            veo(client)
        assert refused.value.code == 404


def test_no_other_version(google: ServerThread) -> None:
    with genai.Client(enterprise=False, http_options=types.HttpOptions(api_version="v2")) as client:
        with pytest.raises(errors.ClientError) as refused:
            client.models.get(model=OMNI)
        assert refused.value.code == 404
