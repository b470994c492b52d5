"""Gemini Omni's protocol: a stored interaction that works in the background, asked for by its id."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from typing import Any

from videogen_core import (
    Cancellation,
    ContentPolicyError,
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
from .failures import asked

__all__ = ["Interactions", "arguments", "snapshot"]

_POLL_SECONDS = 60.0  # that a poll or a cancel may take without a byte of an answer
_ANSWER_SECONDS = 600.0  # that it may take in all: clips that come inside the answer make it long
_TASKS = {
    Task.TEXT_TO_VIDEO: "text_to_video",
    Task.IMAGE_TO_VIDEO: "image_to_video",
    Task.FIRST_LAST_FRAME: "image_to_video",
    Task.REFERENCE_TO_VIDEO: "reference_to_video",
    Task.EXTEND_VIDEO: "extend",
    Task.EDIT_VIDEO: "edit",
}
_RUNNING = {"queued": JobStatus.QUEUED, "in_progress": JobStatus.RUNNING}
_ENDED_BADLY = {
    "failed": "it failed",
    "incomplete": "it stopped before it was complete",
    "budget_exceeded": "it would have gone over the budget of the project",
    "requires_action": "it waits for an action that videos do not have",
    "requires_continuation": "it stopped in the middle",
}
_MILLION = Decimal(1_000_000)


class Interactions:
    """Creates, polls and cancels interactions.

    Args:
        clients: Of the session.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def create(self, call: SubmitCall, reach: Access, seconds: float) -> Submission:
        """Start an interaction with one request."""
        client = await self._clients.get(reach.backend, reach.location)
        made = arguments(call, reach.model, call.prepared["inputs"], uri=_as_file(call, reach), timeout=seconds)
        wire = Wire()
        found: Any = await asked(
            lambda: client.aio.interactions.create(**made), "submit", seconds, spec=call.spec, wire=wire
        )
        if not found.id:
            raise ProviderProtocolError("Google's interaction has no id.", provider="veo", model=call.spec.id)
        return Submission(
            provider_job_id=found.id,
            request_id=wire.request_id,
            reply=f"{found.id} {found.status}",
        )

    async def look(self, job: ProviderJob) -> Snapshot:
        """Ask for an interaction at the API where it was started."""
        client = await self._client(job)
        found = await asked(
            lambda: client.aio.interactions.get(job.provider_job_id, timeout=_POLL_SECONDS), "poll", _ANSWER_SECONDS
        )
        video = job.request.video
        uploaded = video is not None and not (video.url or "").startswith("interaction://")
        return snapshot(found, model=job.spec.id, tokens=job.spec.vendor.get("tokens"), uploaded=uploaded)

    async def stop(self, job: ProviderJob) -> Cancellation:
        """Cancel an interaction; whether that saves its cost Google does not say, its usage report will."""
        client = await self._client(job)
        try:
            found = await asked(
                lambda: client.aio.interactions.cancel(job.provider_job_id, timeout=_POLL_SECONDS),
                "cancel",
                _POLL_SECONDS,
            )
        except RejectedRequestError as refusal:
            if (refusal.code or "").upper() != "FAILED_PRECONDITION":
                raise
            return Cancellation(accepted=False, message=refusal.message)  # it is over already
        if found.status in ("cancelled", *_RUNNING):
            return Cancellation(accepted=True)
        return Cancellation(accepted=False, message=f"the interaction is {found.status} already")

    async def _client(self, job: ProviderJob) -> Any:
        return await self._clients.get(str(job.handle.get("backend")), str(job.handle.get("location") or ""))


def _as_file(call: SubmitCall, reach: Access) -> bool:
    """Whether the clip is to come as a file: into a bucket, or by the Files API; a long answer is easily lost."""
    asked_for = call.options.get("delivery")
    if asked_for is not None:
        return bool(asked_for == "uri")
    return reach.backend == "gemini" or bool(call.options.get("output_gcs_uri"))


# --- requests


def arguments(call: SubmitCall, model: str, inputs: dict[str, Any], *, uri: bool, timeout: float) -> dict[str, Any]:
    """The arguments of ``interactions.create``: one request, every value said.

    Args:
        call: What is asked.
        model: The model's id at this API.
        inputs: The media by field: ``{"uri" or "data": ..., "mime_type": ...}``, or ``{"interaction": id}``.
        uri: Whether the clip is to come as a file instead of inside the answer.
        timeout: Seconds for the HTTP request.
    """
    request, options = call.request, call.options
    generation: dict[str, Any] = {"video_config": {"task": _TASKS[request.task]}}
    if request.seed is not None:
        generation["seed"] = request.seed
    made: dict[str, Any] = {
        "model": model,
        # otherwise the request stays open until the clip is done, and the SDK may send a second one to continue it
        "background": True,
        "store": True,
        "input": [*_media(inputs), {"type": "text", "text": _prompt(call, inputs)}],
        "response_format": _format(call, uri),
        "generation_config": generation,
        "timeout": timeout,
    }
    earlier = inputs.get("video", {}).get("interaction")
    if earlier is not None:
        made["previous_interaction_id"] = earlier
    if options.get("labels"):
        made["labels"] = options["labels"]
    return made


def _format(call: SubmitCall, uri: bool) -> dict[str, Any]:
    request = call.request
    bucket = call.options.get("output_gcs_uri")
    wanted = {
        "aspect_ratio": request.aspect_ratio,
        "resolution": request.resolution,
        "duration": None if request.duration is None else f"{request.duration:.15g}s",
        "delivery": "uri" if uri else "inline",
        "gcs_uri": bucket,
    }
    return {"type": "video", **{name: value for name, value in wanted.items() if value is not None}}


def _media(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The images in the order of their roles, then the video."""
    content = []
    for name, found in inputs.items():
        if "interaction" in found:
            continue
        item = {"type": "video" if name == "video" else "image", "mime_type": found["mime_type"]}
        if "uri" in found:
            item["uri"] = found["uri"]
        else:
            item["data"] = base64.b64encode(found["data"]).decode()
        content.append(item)
    return content


def _prompt(call: SubmitCall, inputs: dict[str, Any]) -> str:
    """The prompt, with the roles of the images in front, and behind it what is to be avoided, where that is allowed."""
    request = call.request
    parts = [part for part in (_roles(call, inputs), request.prompt) if part]
    if request.negative_prompt:
        parts.append(f"Avoid: {request.negative_prompt}")
    return "\n".join(parts)


def _roles(call: SubmitCall, inputs: dict[str, Any]) -> str:
    request, roles = call.request, call.spec.vendor.get("roles", {})
    if "_FRAME>" in request.prompt or "<IMAGE_REF_" in request.prompt:
        return ""  # the user has said it
    if request.task is Task.FIRST_LAST_FRAME:
        return str(roles.get("frames", ""))
    one = roles.get("reference") if request.task is Task.REFERENCE_TO_VIDEO else None
    if not one:
        return ""
    named = [one.format(index=index, number=index + 1) for index in range(len(inputs))]
    return f"[# References {' '.join(named)}]"


# --- answers


def snapshot(interaction: Any, *, model: str, tokens: dict[str, str] | None, uploaded: bool = False) -> Snapshot:
    """What an interaction says; the address of a clip that comes as a file is as Google gives it.

    Args:
        interaction: As the SDK reads it.
        model: Offer id.
        tokens: USD per million tokens: ``input``, ``output``, ``video``; None = nobody knows.
        uploaded: Whether a video of the user's own was sent along.

    Raises:
        ProviderProtocolError: It has no status; asking again may help.
    """
    status = interaction.status
    if not status:
        raise ProviderProtocolError(
            "Google's answer about the interaction has no status.", provider="veo", model=model, retryable=True
        )
    cost = _cost(interaction.usage, tokens)
    if status in _RUNNING:
        return Snapshot(status=_RUNNING[status])
    if status == "cancelled":
        return Snapshot(status=JobStatus.CANCELLED, cost=cost)
    if status in _ENDED_BADLY:
        return Snapshot(status=JobStatus.FAILED, cost=cost, error=_failed(interaction, status, model))
    if status != "completed":
        said = f"Google says {str(status)[:80]!r}, which is new to this plugin"
        return Snapshot(status=JobStatus.RUNNING, message=said)
    outputs = tuple(filter(None, (_output(item) for item in _content(interaction) if _kind(item) == "video")))
    if outputs:  # at the price of text, tokens of a clip that are not told to be such would be half of what is charged
        known = cost if _video_tokens(interaction.usage) else None
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=outputs[-1:], cost=known)
    return Snapshot(status=JobStatus.FAILED, cost=cost, error=_without_clip(interaction, model, uploaded))


def _kind(item: Any) -> str:
    return str(getattr(item, "type", "") or "")


def _content(interaction: Any) -> list[Any]:
    """What the model has put out in the last turn, in order; those before it may be told as well."""
    steps = list(interaction.steps or ())
    asked_at = max((place for place, step in enumerate(steps) if _kind(step) == "user_input"), default=-1)
    made = [step for step in steps[asked_at + 1 :] if _kind(step) == "model_output"]
    return [item for step in made for item in getattr(step, "content", None) or ()]


def _output(item: Any) -> Output | None:
    mime_type = getattr(item, "mime_type", None) or "video/mp4"
    if uri := getattr(item, "uri", None):
        return Output(url=uri, mime_type=mime_type, kept_at=uri if uri.startswith("gs://") else None)
    data = getattr(item, "data", None)
    if not data:
        return None
    if isinstance(data, bytes):
        return Output(data=data, mime_type=mime_type)
    try:
        return Output(data=base64.b64decode(data, validate=True), mime_type=mime_type)
    except (ValueError, binascii.Error):
        raise ProviderProtocolError(
            "Google's clip is not the Base64 that it should be.", provider="veo", retryable=True
        ) from None


def _text(interaction: Any) -> str:
    parts = [str(getattr(item, "text", "") or "") for item in _content(interaction) if _kind(item) == "text"]
    return " ".join(part for part in parts if part).strip()


# --- endings without a clip


def _without_clip(interaction: Any, model: str, uploaded: bool) -> ProviderError:
    """Why an interaction is complete and has no clip."""
    usage, text = interaction.usage, _text(interaction)
    if _video_tokens(usage):
        return ProviderProtocolError(
            "Google has charged for a clip, and the answer holds none that this plugin understands.",
            provider="veo",
            model=model,
            charged=True,
            hint="Report it, with the id of the interaction: the plugin may need an update.",
        )
    if uploaded and not text and usage is not None and not usage.total_output_tokens:
        return ContentPolicyError(
            "Google made nothing of the uploaded video and gave no reason.",
            provider="veo",
            model=model,
            code="region",
            charged=False,
            hint="Videos of one's own cannot be edited or extended in the EEA, in Switzerland, in the UK and in some "
            "US states; those that the model has made can.",
        )
    return policy.blocked(text, model=model, charged=None if usage is None else False)


def _failed(interaction: Any, status: str, model: str) -> ProviderError:
    """The error of an interaction that ended badly."""
    told = [*(interaction.errors or ())]
    told += [step.error for step in interaction.steps or () if getattr(step, "error", None) is not None]
    codes = [str(getattr(each, "code", "") or "") for each in told]
    words = " ".join(filter(None, (str(getattr(each, "message", "") or "") for each in told)))
    reason = " ".join(filter(None, (*codes, words)))
    if status == "failed" and policy.is_block(reason):
        return policy.blocked(reason, model=model, charged=None)
    return GenerationFailedError(
        f"Google did not make it: {_ENDED_BADLY[status]}{f' ({reason})' if reason else ''}.",
        provider="veo",
        model=model,
        code=next(filter(None, codes), status),
    )


# --- money


def _video_tokens(usage: Any) -> int:
    by_modality = getattr(usage, "output_tokens_by_modality", None) or ()
    return sum(_count(each.tokens) for each in by_modality if str(each.modality).lower() == "video")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _cost(usage: Any, prices: dict[str, str] | None) -> Decimal | None:
    """What the tokens cost, in USD; None when nobody says how many there were, or what they cost."""
    if usage is None or not prices or usage.total_output_tokens is None:
        return None
    video = _video_tokens(usage)
    other = max(_count(usage.total_output_tokens) - video, 0) + _count(usage.total_thought_tokens)
    counted = ((_count(usage.total_input_tokens), "input"), (other, "output"), (video, "video"))
    return sum((count * Decimal(prices[name]) / _MILLION for count, name in counted), Decimal(0))
