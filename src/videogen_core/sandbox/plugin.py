"""The sandbox: a provider that needs no key, costs nothing and draws a placeholder instead of asking a model.

Its "vendor" keeps no state: a job's id is our own reference, and all that a poll needs lies in the handle, so that any
process can take any job up again. Input images go into the handle as small JPEGs; a source clip is read again from its
file or bytes when the job is done.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from videogen_core import (
    AuthenticationError,
    Cancellation,
    ContentPolicyError,
    Context,
    Found,
    GenerationFailedError,
    InsufficientCreditsError,
    JobStatus,
    Media,
    ModelSpec,
    Output,
    PermissionDeniedError,
    Provider,
    ProviderError,
    ProviderJob,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    Task,
    VideoRequest,
    hookimpl,
)
from videogen_core.capabilities import frame_size
from videogen_core.spec import resolution_height

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from .clip import RenderSpec

__all__ = ["FAILURES", "SandboxProvider", "SandboxSession", "videogen_provider"]

Clock = Callable[[], float]
"""Gives seconds since 1970, as `time.time` does."""

FAILURES: dict[str, tuple[type[ProviderError], int | None]] = {
    "authentication": (AuthenticationError, 401),
    "permission": (PermissionDeniedError, 403),
    "insufficient_credits": (InsufficientCreditsError, 402),
    "rate_limit": (RateLimitError, 429),
    "content_policy": (ContentPolicyError, 400),
    "rejected": (RejectedRequestError, 422),
    "generation_failed": (GenerationFailedError, None),
    "unavailable": (ProviderUnavailableError, 503),
    "protocol": (ProviderProtocolError, 200),
}
"""What ``options.sandbox.fail`` may name, with the HTTP status that a vendor would send along."""

_IMAGE_SIDE = 1280
_IMAGE_BYTES = 256 * 1024
_THUMBNAIL = (160, 160)


class SandboxSession(Session):
    """The stateless vendor.

    Args:
        clock: What time it is; decides alone how far a job has got.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._limiter: CapacityLimiter | None = None

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Shrink the images, and look at the source clip; empty when there are neither.

        Raises:
            RejectedRequestError: An input cannot be decoded.
        """
        files = [(name, await call.read(media)) for name, media in call.request.media()]
        if not files:
            return {}
        from anyio import to_thread

        try:
            return await to_thread.run_sync(_prepared, call.spec, call.request, files)
        except ValueError as error:
            raise RejectedRequestError(
                f"The sandbox cannot read an input: {error}.",
                provider=call.spec.provider,
                model=call.spec.id,
                code="unreadable_input",
                accepted=False,
                hint="Pass an image or clip that opens in a viewer.",
            ) from error

    async def submit(self, call: SubmitCall) -> Submission:
        """Accept the job, or do what the options ask.

        Raises:
            ProviderError: ``options.sandbox.fail`` asked for it; not accepted.
            ConnectionResetError: ``options.sandbox.lose_reply`` asked for it; the job exists.
        """
        options = call.options
        if _fails_at_submit(options):
            raise _failure(call.spec, options["fail"], charged=False, accepted=False)
        submission = await self._submission(call, self._clock())
        if options["lose_reply"]:
            raise ConnectionResetError("the sandbox accepted the job and dropped its answer, as lose_reply asked")
        return submission

    async def poll(self, job: ProviderJob) -> Snapshot:
        """How far the job is by the clock; its clips once its time is over."""
        options = job.handle["options"]
        queue, work = float(options["queue"]), float(options["delay"])
        elapsed = max(0.0, self._clock() - job.handle["submitted_at"])
        if elapsed < queue:
            return Snapshot(status=JobStatus.QUEUED, progress=0.0, poll_after=_poll_after(queue - elapsed, queue))
        if elapsed < queue + work:
            left = queue + work - elapsed
            return Snapshot(status=JobStatus.RUNNING, progress=1 - left / work, poll_after=_poll_after(left, work))
        kind = "content_policy" if options["refuse"] else options.get("fail")
        if kind is not None:
            return _failed(_failure(job.spec, kind, charged=options["charged"]), options)
        try:
            return await self._delivered(job)
        except (OSError, ValueError) as error:
            return _failed(_unreadable_source(job.spec, error), options)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        """Stop a job that is not done; the sandbox forgets it and charges nothing."""
        options = job.handle["options"]
        done_at = job.handle["submitted_at"] + float(options["queue"]) + float(options["delay"])
        if self._clock() >= done_at:
            return Cancellation(accepted=False, message="the job was already done")
        return Cancellation(accepted=True, gone=True, cost=Decimal(0), message="stopped before anything was made")

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        """The job whose answer was lost, unless the options say that it cannot be found or was never accepted."""
        if not call.options["findable"] or _fails_at_submit(call.options):
            return ()
        began = started_at.timestamp()
        return (Found(submission=await self._submission(call, began), ours=True, age=self._clock() - began),)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        """The job under an id of the sandbox's; as it keeps nothing, it begins now.

        Raises:
            RejectedRequestError: The id is none of the sandbox's.
        """
        if not provider_job_id.startswith("sb-"):
            raise RejectedRequestError(
                f"The sandbox has no job {provider_job_id!r}.",
                provider=call.spec.provider,
                model=call.spec.id,
                hint="Its ids are sb- and the reference that `videogen jobs --unknown` shows.",
            )
        return replace(await self._submission(call, self._clock()), provider_job_id=provider_job_id)

    async def ping(self) -> str:
        """Always well: there is nothing to reach."""
        return "built in; nothing to reach"

    async def _submission(self, call: SubmitCall, submitted_at: float) -> Submission:
        options = call.options
        # a job that is looked for again comes without what `prepare` made
        prepared = call.prepared or await self.prepare(call)
        first_phase = float(options["queue"] or options["delay"])
        return Submission(
            provider_job_id=f"sb-{call.client_ref}",
            handle={"submitted_at": submitted_at, "options": options, **prepared},
            request_id=f"sb-create-{call.client_ref}",
            poll_after=_poll_after(first_phase, first_phase),
        )

    async def _delivered(self, job: ProviderJob) -> Snapshot:
        """Render in worker threads, no more at once than there are cores."""
        from anyio import CapacityLimiter, to_thread

        self._limiter = self._limiter or CapacityLimiter(os.cpu_count() or 1)
        options, asked = job.handle["options"], job.request.count
        count = min(asked, options.get("outputs", asked))
        outputs = []
        for index in range(count):
            clip = await to_thread.run_sync(_rendered, job, index, limiter=self._limiter)
            outputs.append(Output(data=clip, sha256=hashlib.sha256(clip).hexdigest(), size=len(clip)))
        return Snapshot(
            status=JobStatus.SUCCEEDED,
            progress=1.0,
            message="" if count == asked else f"{count} of {asked} clips were made",
            outputs=tuple(outputs),
            cost=_usd(options["cost"]),
        )


class SandboxProvider(Provider):
    """Placeholder clips for trying things out, tests and demos; always ready.

    Args:
        clock: What its sessions go by.
    """

    name: ClassVar[str] = "sandbox"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "Sandbox (placeholder clips)"
    setup: ClassVar[str] = "Nothing to set up: it is built in, free and needs no key."
    # A list, so that "not found" is no proof and a lost reply can be practised to the end (findable=false).
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_list"
    console: ClassVar[str] = "the sandbox keeps nothing to look at; it calls a job sb- and its reference"
    concurrency: ClassVar[int] = 1000

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock

    def connect(self, context: Context) -> SandboxSession:
        """Open a session; it needs nothing of ``context``."""
        return SandboxSession(self._clock)


@hookimpl
def videogen_provider() -> Provider:
    """The provider, for the core."""
    return SandboxProvider()


# --- time and trouble -------------------------------------------------------------------------------------------


def _poll_after(left: float, phase: float) -> float:
    """Seconds to the next poll: about ten a phase, at most five apart, and one just when it ends."""
    return min(left, max(0.05, min(phase / 10, 5.0)))


def _usd(amount: float) -> Decimal:
    return Decimal(str(amount))


def _fails_at_submit(options: dict[str, Any]) -> bool:
    return options.get("fail") is not None and options["fail_at"] == "submit"


def _failure(spec: ModelSpec, kind: str, *, charged: bool, accepted: bool | None = None) -> ProviderError:
    """The error that the options ask for."""
    error, status_code = FAILURES[kind]
    return error(
        f"The sandbox failed as it was asked to ({kind.replace('_', ' ')}).",
        provider=spec.provider,
        model=spec.id,
        code=kind,
        status_code=status_code,
        charged=charged,
        retry_after=1.0 if kind == "rate_limit" else None,
        accepted=accepted,
        hint=f"Leave out options.{spec.provider}.fail and options.{spec.provider}.refuse.",
    )


def _unreadable_source(spec: ModelSpec, error: Exception) -> ProviderError:
    return GenerationFailedError(
        f"The sandbox could not read the source clip again: {error}.",
        provider=spec.provider,
        model=spec.id,
        code="unreadable_input",
        charged=False,
        hint="Keep the source where it is until the job is done, then submit again.",
    )


def _failed(error: ProviderError, options: dict[str, Any]) -> Snapshot:
    cost = _usd(options["cost"]) if error.charged else Decimal(0)
    return Snapshot(status=JobStatus.FAILED, cost=cost, error=error)


# --- inputs -----------------------------------------------------------------------------------------------------


def _prepared(spec: ModelSpec, request: VideoRequest, files: list[tuple[str, bytes]]) -> dict[str, Any]:
    """What the handle keeps of the inputs: pictures as base64 JPEG, and the facts of a source clip."""
    from .inputs import clip_facts, last_frame

    kept: dict[str, Any] = {}
    for name, data in files:
        if name == "video" and request.task is not Task.EXTEND_VIDEO:
            facts = clip_facts(data)
            kept["source"] = {"width": facts.width, "height": facts.height, "duration": facts.duration}
        elif name == "video":
            kept["image"] = _picture(last_frame(data), _picture_size(spec, request))
        elif name.startswith("reference_images"):
            kept.setdefault("references", []).append(_picture(data, _THUMBNAIL))
        else:
            kept[name] = _picture(data, _picture_size(spec, request))
    return kept


def _picture(data: bytes, size: tuple[int, int]) -> str:
    from .inputs import shrink

    return base64.b64encode(shrink(data, size, limit=_IMAGE_BYTES)).decode()


def _picture_size(spec: ModelSpec, request: VideoRequest) -> tuple[int, int]:
    """The frame's size or, so that handles stay small, the same shape with a longer side of 1280 pixels."""
    width, height = _frame_size(spec, request, {})
    scale = min(1.0, _IMAGE_SIDE / max(width, height))
    return round(width * scale), round(height * scale)


def _frame_size(spec: ModelSpec, request: VideoRequest, handle: dict[str, Any]) -> tuple[int, int]:
    """Pixels of the result, even; a source clip keeps its shape."""
    source = handle.get("source")
    if source is None:
        size = frame_size(spec, request)
        if size is None:
            raise ValueError(f"no size is known for {request.resolution} at {request.aspect_ratio}")
        return size
    scale = resolution_height(request.resolution or "360p") / min(source["width"], source["height"])
    return 2 * round(source["width"] * scale / 2), 2 * round(source["height"] * scale / 2)


# --- the clip ---------------------------------------------------------------------------------------------------


def _rendered(job: ProviderJob, index: int) -> bytes:
    """One clip of a job; runs in a worker thread and stops when the poll is cancelled."""
    from anyio.from_thread import check_cancelled

    from .render import render

    return render(_render_spec(job, index), tick=check_cancelled)


def _render_spec(job: ProviderJob, index: int) -> RenderSpec:
    from .clip import RenderSpec

    request, handle = job.request, job.handle
    width, height = _frame_size(job.spec, request, handle)
    source = handle.get("source")
    duration = request.duration if source is None else source["duration"]
    if duration is None or request.fps is None:
        raise ValueError("the request lacks its defaults")
    picture = partial(_decoded, handle)
    return RenderSpec(
        prompt=request.prompt,
        width=width,
        height=height,
        fps=request.fps,
        duration=duration,
        audio=bool(request.audio),
        seed=_seed(request) + index,
        first_frame=picture("image"),
        last_frame=picture("last_frame"),
        references=tuple(base64.b64decode(text) for text in handle.get("references", ())),
        source=None if source is None or request.video is None else _read_again(request.video),
        camera=request.camera,
        captions=_captions(request, width, height, duration, index),
    )


def _decoded(handle: dict[str, Any], name: str) -> bytes | None:
    text = handle.get(name)
    return None if text is None else base64.b64decode(text)


def _read_again(media: Media) -> bytes:
    """The source clip's bytes.

    Raises:
        OSError: The file is gone.
        ValueError: It is an address.
    """
    if media.data is not None:
        return media.data
    if media.path is None:
        raise ValueError(f"{media.label} is an address")
    return Path(media.path).read_bytes()


def _seed(request: VideoRequest) -> int:
    """The seed, or one made from the prompt: what is not asked to vary does not."""
    if request.seed is not None:
        return request.seed
    return int.from_bytes(hashlib.sha256(request.prompt.encode()).digest()[:4])


def _captions(request: VideoRequest, width: int, height: int, duration: float, index: int) -> tuple[str, ...]:
    """The small lines under the prompt: what the provider was told."""
    facts = [
        request.task.value.replace("_", " "),
        f"{width}x{height}",
        f"{request.fps:g} fps",
        f"{duration:g} s",
        "no seed" if request.seed is None else f"seed {request.seed}",
    ]
    if request.count > 1:
        facts.append(f"clip {index + 1} of {request.count}")
    lines = [" · ".join(facts)]
    if request.camera:
        lines.append(f"camera: {', '.join(request.camera)}")
    if request.negative_prompt:
        lines.append(f"avoid: {request.negative_prompt[:200]}")
    return tuple(lines)
