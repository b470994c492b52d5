"""Veo on Vertex AI: long-running operations, strict about what goes in and true to it in what comes out."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, VendorJob

from .answers import GoogleRefusal
from .auth import PROJECT
from .endings import check_prompt, op_error, refused_reason
from .media import Measure, bucket_and_name, decoded, image_type, measured
from .models import EXTENSION, FPS, VeoModel, frame_size, veo_model

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Operations", "VeoOrder"]

_IMAGE_BYTES = 20 * 10**6
_PEOPLE = ("allow_adult", "dont_allow", "disallow")
_SOURCE_SECONDS = 30
_PARENT = "projects/{project}/locations/{location}/publishers/google/models/{model}/operations/"


class Media(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Bytes, or an address in a bucket."""

    bytes_base64_encoded: str | None = None
    gcs_uri: str | None = None
    mime_type: str | None = None


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An image of what is to appear."""

    image: Media
    reference_type: str


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a clip is to be made from."""

    prompt: str | None = None
    image: Media | None = None
    last_frame: Media | None = None
    video: Media | None = None
    reference_images: list[Reference] | None = None


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How it is to be."""

    sample_count: int = 1
    storage_uri: str | None = None
    duration_seconds: int | None = None
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: str = "720p"
    seed: int | None = None
    negative_prompt: str | None = None
    person_generation: str = "allow_adult"
    generate_audio: bool = True
    enhance_prompt: bool = True
    fps: int = FPS
    compression_quality: str | None = None
    resize_mode: str | None = None
    pubsub_topic: str | None = None


class Create(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``:predictLongRunning``."""

    instances: list[Instance]
    parameters: Parameters = Parameters()
    labels: dict[str, str] = {}


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The body of ``:fetchPredictOperation``."""

    operation_name: str


@dataclass(frozen=True, kw_only=True)
class VeoOrder:
    """What the vendor keeps of a job besides its clip."""

    model: str
    prompt: str
    rate: Decimal
    seconds: int
    storage_uri: str | None

    def price(self, job: VendorJob) -> Decimal:
        """USD of all clips asked for."""
        return self.rate * self.seconds * job.count


class Operations:
    """The routes of Veo."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[BaseRoute]:
        """Creates and polls, and what Google has no longer or never had."""
        route = self._emulator.route
        model = "/{version}/projects/{project}/locations/{location}/publishers/google/models/{model}"
        return [
            route("create", "POST", f"{model}:predictLongRunning", self._create),
            route("create", "POST", "/{version}/publishers/google/models/{model}:predictLongRunning", self._create),
            route("poll", "POST", f"{model}:fetchPredictOperation", self._poll),
            route("poll", "GET", f"{model}/operations/{{operation}}", self._nothing),
            route("cancel", "POST", f"{model}/operations/{{operation}}:cancel", self._nothing),
            route("create", "POST", "/{version}/models/{model}:predictLongRunning", self._retired),
            route("poll", "GET", "/{version}/models/{model}/operations/{operation}", self._nothing),
        ]

    async def _nothing(self, request: Request) -> Response:
        raise GoogleRefusal(404, "not_found", f"Requested entity was not found: {request.url.path}")

    async def _retired(self, request: Request) -> Response:
        veo_model(request.path_params["model"], "gemini")
        return await self._nothing(request)

    # --- create

    async def _create(self, request: Request) -> Response:
        path = request.path_params
        name, location = path["model"], path.get("location", "us-central1")
        model = veo_model(name, "vertex")
        if location != model.location:
            raise GoogleRefusal(404, "not_found", f"Publisher Model {name} is not served in {location}.")
        body = await self._emulator.read(request, Create)
        if len(body.instances) != 1:
            raise _wrong("instances", "expected exactly one instance")
        instance, parameters = body.instances[0], body.parameters
        _check_parameters(model, parameters)
        _check_together(model, instance, parameters)
        source = await self._inputs(instance)
        check_prompt(instance.prompt or "")
        script = await self._emulator.take_script(request, "veo")
        prefix = (
            f"projects/{path.get('project', PROJECT)}/locations/{location}/publishers/google/models/{name}/operations/"
        )
        seconds = EXTENSION if instance.video else parameters.duration_seconds or max(model.durations)
        clip = _clip(parameters, seconds + (source.seconds if source else 0.0))
        order = VeoOrder(
            model=name,
            prompt=instance.prompt or "",
            rate=model.prices[parameters.resolution][0 if parameters.generate_audio else 1],
            seconds=seconds,
            storage_uri=parameters.storage_uri,
        )
        job = self._emulator.accept(prefix, clip, order, script, count=parameters.sample_count)
        return JSONResponse({"name": job.id})

    async def _inputs(self, instance: Instance) -> Measure | None:
        """Look at every input; what the source clip is like, if there is one that can be read."""
        images = [(instance.image, "image"), (instance.last_frame, "lastFrame")]
        images += [(each.image, "referenceImages") for each in instance.reference_images or ()]
        for image, what in images:
            if image is not None:
                self._check_image(image, f"instances[0].{what}")
        if instance.video is None:
            return None
        data = self._data(instance.video, "instances[0].video", ("video/mp4",))
        source = await measured(data)
        if source is not None and not 1 <= source.seconds <= _SOURCE_SECONDS:
            raise _wrong("instances[0].video", f"the clip to extend must have 1 to {_SOURCE_SECONDS} seconds")
        return source

    def _check_image(self, image: Media, what: str) -> None:
        data = self._data(image, what, ("image/jpeg", "image/png"))
        if len(data) > _IMAGE_BYTES:
            raise _wrong(what, "the image is too large")
        if image_type(data) != image.mime_type:
            raise _wrong(what, f"the data is no valid {image.mime_type}")

    def _data(self, media: Media, what: str, kinds: tuple[str, ...]) -> bytes:
        if (media.bytes_base64_encoded is None) == (media.gcs_uri is None):
            raise _wrong(what, "exactly one of bytesBase64Encoded and gcsUri is needed")
        if media.mime_type not in kinds:
            raise _wrong(f"{what}.mimeType", f"{media.mime_type!r} is none of {', '.join(kinds)}")
        if media.bytes_base64_encoded is not None:
            return decoded(media.bytes_base64_encoded, f"{what}.bytesBase64Encoded")
        return self._emulator.storage.read(media.gcs_uri or "", f"{what}.gcsUri")

    # --- poll

    async def _poll(self, request: Request) -> Response:
        path = request.path_params
        name = (await self._emulator.read(request, Fetch)).operation_name
        if not name.startswith(_PARENT.format_map(path)):
            raise _wrong("operationName", f"{name[:200]!r} does not belong to this model, project or location")
        if name not in self._emulator.vendor.jobs:
            raise GoogleRefusal(404, "not_found", f"Requested entity was not found: {name[:200]}")
        job, state, _ = self._emulator.vendor.poll(name)
        if state in ("throttled", "queued", "running"):
            return JSONResponse({"name": name} if job.polls % 2 else {"name": name, "done": False})
        answer = await self._succeeded(job) if state == "succeeded" else self._otherwise(job, state)
        return JSONResponse({"name": name, "done": True, **answer})

    async def _succeeded(self, job: VendorJob) -> dict[str, Any]:
        filtered = max(0, job.count - job.outputs)
        videos = [await self._video(job, number) for number in range(job.outputs)]
        response: dict[str, Any] = {"@type": _TYPE, "raiMediaFilteredCount": filtered}
        if filtered:
            response["raiMediaFilteredReasons"] = [refused_reason(job.script)] * filtered
        return {"response": {**response, "videos": videos} if videos else response}

    async def _video(self, job: VendorJob, number: int) -> dict[str, Any]:
        order, data = self._emulator.orders[job.id], await self._emulator.clip(job, number)
        if not order.storage_uri:
            return {"bytesBase64Encoded": base64.b64encode(data).decode(), "mimeType": "video/mp4"}
        folder = int(job.id.rpartition("/")[2], 16) % 10**19
        uri = f"{order.storage_uri.rstrip('/')}/{folder}/sample_{number}.mp4"
        self._emulator.storage.deliver(uri, data, job)
        return {"gcsUri": uri, "mimeType": "video/mp4"}

    def _otherwise(self, job: VendorJob, state: str) -> dict[str, Any]:
        code = job.script.code
        if state == "blocked" and code == "filtered":
            reasons = [refused_reason(job.script)] * job.count
            filtered = {"raiMediaFilteredCount": job.count, "raiMediaFilteredReasons": reasons}
            return {"response": {"@type": _TYPE, **filtered}}
        if state == "empty":
            shape = {"@type": _TYPE, "videos": [{"mimeType": "video/mp4"}] * job.count}
            return {"response": shape} if code == "shape" else {"response": {}} if code == "response" else {}
        return {"error": op_error(job.script, state)}


_TYPE = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"


def _wrong(what: str, why: str) -> GoogleRefusal:
    return GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': {why}.")


def _clip(given: Parameters, seconds: float) -> Clip:
    width, height = frame_size(given.resolution, given.aspect_ratio)
    seed = given.seed or 0
    return Clip(duration=seconds, width=width, height=height, fps=FPS, audio=given.generate_audio, seed=seed)


def _check_parameters(model: VeoModel, given: Parameters) -> None:
    """Refuse what no request to this model may say."""
    checks = {
        "sampleCount": 1 <= given.sample_count <= 4,
        "resolution": given.resolution in model.prices,
        "seed": given.seed is None or 0 <= given.seed < 2**32,
        "fps": given.fps == FPS,
        "compressionQuality": (given.compression_quality or "optimized").lower() in ("optimized", "lossless"),
        "resizeMode": (given.resize_mode or "pad").lower() in ("pad", "crop"),
        "pubsubTopic": given.pubsub_topic is None or given.pubsub_topic.startswith("projects/"),
        "enhancePrompt": given.enhance_prompt,
        "personGeneration": given.person_generation in (*_PEOPLE, "allow_all"),
    }
    for name, right in checks.items():
        if not right:
            raise _wrong(f"parameters.{name}", "the value is not supported by this model")
    if given.person_generation == "allow_all":
        raise GoogleRefusal(403, "forbidden", "personGeneration allow_all is only for projects on the allowlist.")
    if given.storage_uri is not None and "forbidden" in bucket_and_name(given.storage_uri, "parameters.storageUri")[0]:
        raise GoogleRefusal(403, "forbidden", "The service agent may not write to the bucket of storageUri.")


def _check_together(model: VeoModel, instance: Instance, parameters: Parameters) -> None:
    """Refuse what does not go together."""
    references = instance.reference_images or []
    others = (instance.image, instance.last_frame, instance.video)
    seconds = parameters.duration_seconds
    durations = (EXTENSION,) if instance.video else (8,) if references else model.durations
    if seconds is not None and seconds not in durations:
        raise _wrong("parameters.durationSeconds", f"{seconds} is none of {', '.join(map(str, durations))}")
    if len((instance.prompt or "").split()) > 1024:
        raise _wrong("instances[0].prompt", "it has more than 1024 tokens")
    if not instance.prompt and (references or not (instance.image or instance.video)):
        raise _wrong("instances[0].prompt", "a prompt is needed")
    if len(references) > model.references:
        raise _wrong("instances[0].referenceImages", f"this model takes at most {model.references}")
    if any(each.reference_type.lower() != "asset" for each in references):
        raise _wrong("instances[0].referenceImages", "this model takes only references of the type asset")
    if references and any(others):
        raise _wrong("instances[0].referenceImages", "they do not go with image, lastFrame or video")
    if instance.last_frame and not instance.image:
        raise _wrong("instances[0].lastFrame", "it needs an image to start from")
    if instance.video and (instance.image or instance.last_frame):
        raise _wrong("instances[0].video", "it does not go with image or lastFrame")
    if parameters.resize_mode and not instance.image:
        raise _wrong("parameters.resizeMode", "it needs an image")
