"""Veo's protocol: a long-running operation on Vertex AI, asked for by its name."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from videogen_core import (
    Cancellation,
    ConfigurationError,
    GenerationFailedError,
    JobStatus,
    Output,
    ProviderError,
    ProviderJob,
    ProviderProtocolError,
    RejectedRequestError,
    Snapshot,
    Submission,
    SubmitCall,
    Task,
)

from . import policy
from .access import Access
from .clients import Clients, Wire
from .failures import asked, server_fault

if TYPE_CHECKING:
    from google.genai import types

__all__ = ["Operations", "arguments", "snapshot"]

_POLL_SECONDS = 60.0  # that a poll may take without a byte of an answer
_ANSWER_SECONDS = 600.0  # that it may take in all: clips that come inside the answer make it long
_OPTIONS = (
    "person_generation",
    "enhance_prompt",
    "compression_quality",
    "resize_mode",
    "output_gcs_uri",
    "pubsub_topic",
    "labels",
)


class Operations:
    """Creates and polls operations.

    Args:
        clients: Of the session.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def create(self, call: SubmitCall, reach: Access, seconds: float) -> Submission:
        """Start an operation with one request."""
        client = await self._clients.get(reach.backend, reach.location)
        try:
            made = arguments(call, reach.model, call.prepared["inputs"], seconds)
        except ValueError as error:
            raise ConfigurationError(f"Google's SDK does not take the request: {error}") from None
        wire = Wire()
        operation = await asked(
            lambda: client.aio.models.generate_videos(**made), "submit", seconds, spec=call.spec, wire=wire
        )
        if not operation.name:
            raise ProviderProtocolError("Google's operation has no name.", provider="veo", model=call.spec.id)
        name = operation.name
        return Submission(provider_job_id=name, request_id=wire.request_id, reply=name)

    async def look(self, job: ProviderJob) -> Snapshot:
        """Ask for an operation, with a client of the place where it was started."""
        from google.genai import types

        client = await self._clients.get("vertex", str(job.handle.get("location") or ""))
        known = types.GenerateVideosOperation.model_validate({"name": job.provider_job_id})
        options = types.GetOperationConfig(http_options=types.HttpOptions(timeout=int(_POLL_SECONDS * 1000)))
        found = await asked(lambda: client.aio.operations.get(known, config=options), "poll", _ANSWER_SECONDS)
        return snapshot(found, model=job.spec.id)

    async def stop(self, job: ProviderJob) -> Cancellation:
        """Say that it cannot be stopped."""
        return Cancellation(accepted=False, message="Veo cannot cancel; the job goes on at Google and is charged")


def arguments(call: SubmitCall, model: str, inputs: dict[str, Any], timeout: float) -> dict[str, Any]:
    """The arguments of ``generate_videos``: every value of the request, none left to the vendor's defaults.

    Args:
        call: What is asked.
        model: The model's id on Vertex AI.
        inputs: The media by field: ``{"gcs_uri" or "data": ..., "mime_type": ...}``.
        timeout: Seconds for the HTTP request.
    """
    from google.genai import types

    request, options = call.request, call.options
    references = [
        types.VideoGenerationReferenceImage(
            image=_image(inputs[name]), reference_type=types.VideoGenerationReferenceType.ASSET
        )
        for name in inputs
        if name.startswith("reference_images")
    ]
    config = types.GenerateVideosConfig(
        number_of_videos=request.count,
        # the length of an extension is the vendor's to say
        duration_seconds=None if request.task is Task.EXTEND_VIDEO else int(request.duration or 0) or None,
        aspect_ratio=request.aspect_ratio,
        resolution=request.resolution,
        seed=request.seed,
        negative_prompt=request.negative_prompt,
        generate_audio=request.audio,
        last_frame=_image(inputs["last_frame"]) if "last_frame" in inputs else None,
        reference_images=references or None,
        http_options=types.HttpOptions(timeout=int(timeout * 1000)),
        **{name: options[name] for name in _OPTIONS if options.get(name) is not None},
    )
    source = types.GenerateVideosSource(
        prompt=request.prompt or None,
        image=_image(inputs["image"]) if "image" in inputs else None,
        video=_video(inputs["video"]) if "video" in inputs else None,
    )
    return {"model": model, "source": source, "config": config}


def _image(found: dict[str, Any]) -> types.Image:
    from google.genai import types

    return types.Image(gcs_uri=found.get("uri"), image_bytes=found.get("data"), mime_type=found["mime_type"])


def _video(found: dict[str, Any]) -> types.Video:
    from google.genai import types

    return types.Video(uri=found.get("uri"), video_bytes=found.get("data"), mime_type=found["mime_type"])


# --- answers


def snapshot(operation: Any, *, model: str) -> Snapshot:
    """What an operation says; the address of a clip in a bucket is as Google gives it.

    Raises:
        ProviderProtocolError: It has no name, or is done and holds nothing; asking again may help.
    """
    if not operation.name:  # what the SDK makes of an empty body; without this it would be running for ever
        raise ProviderProtocolError(
            "Google's answer about the operation does not name it.", provider="veo", model=model, retryable=True
        )
    if not operation.done:
        return Snapshot(status=JobStatus.RUNNING)
    if operation.error:
        return Snapshot(status=JobStatus.FAILED, error=_failed(operation.error, model))
    response = operation.response
    if response is None:
        raise ProviderProtocolError(
            "Google says that the operation is done, and gives neither clips nor an error.",
            provider="veo",
            model=model,
            retryable=True,
        )
    outputs = tuple(filter(None, (_output(clip) for clip in response.generated_videos or ())))
    reasons = " ".join(str(reason) for reason in response.rai_media_filtered_reasons or ())
    filtered = response.rai_media_filtered_count or 0
    if outputs:
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=outputs, message=f"Filtered: {reasons}" if filtered else "")
    if filtered or reasons:
        return Snapshot(status=JobStatus.FAILED, error=policy.blocked(reasons, model=model))
    # seen in the field after credits were spent, so nobody knows whether it was charged
    empty = GenerationFailedError("Google says that the clips are done, and gives none.", provider="veo", model=model)
    return Snapshot(status=JobStatus.FAILED, error=empty)


def _output(clip: Any) -> Output | None:
    video = clip.video
    if video is None or not (video.uri or video.video_bytes):
        return None
    mime_type = video.mime_type or "video/mp4"
    if video.uri:
        kept_at = video.uri if video.uri.startswith("gs://") else None  # another address may be signed
        return Output(url=video.uri, mime_type=mime_type, kept_at=kept_at)
    data = video.video_bytes
    return Output(data=base64.b64decode(data) if isinstance(data, str) else data, mime_type=mime_type)


def _failed(told: Any, model: str) -> ProviderError:
    """The error of an operation that failed; Veo charges for successes only."""
    told = told if isinstance(told, dict) else {"message": str(told)}
    code, message = told.get("code"), str(told.get("message") or "no reason is given")
    if not server_fault(code) and policy.is_block(message):
        return policy.blocked(message, model=model)
    kind: type[ProviderError] = GenerationFailedError if code != 3 else RejectedRequestError
    hint = None
    if server_fault(code):
        hint = "It is the vendor's trouble and was not charged; the same request may succeed."
    if "output storage uri" in message.lower():
        hint = "Give a bucket: options={'veo': {'output_gcs_uri': 'gs://bucket/folder/'}}."
    return kind(
        f"Google could not make it: {message}",
        provider="veo",
        model=model,
        code=None if code is None else str(code),
        charged=False,
        hint=hint,
    )
