"""Gemini Omni: the Interactions API on the Gemini API and on Vertex AI."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import ENDED, Clip, VendorJob

from .answers import GoogleRefusal
from .auth import PROJECT
from .endings import STATUS_WORDS, check_prompt, interaction_errors, refusal_text
from .media import bucket_and_name
from .models import FPS, OmniModel, Usage, frame_size, omni_model, usage_in, video_tokens
from .omni import Asked, Create, asked, look_at, refuse_unsupported

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Interactions", "OmniOrder"]

_THOUGHT_TOKENS = 640
_REFUSAL_TOKENS = 32
_PREFIX = "v1_"


@dataclass(frozen=True, kw_only=True)
class OmniOrder:
    """What the vendor keeps of a job besides its clip.

    Attributes:
        place: Whose it is: the project on Vertex, or ``gemini``.
        storage_uri: The bucket that its clip goes to.
    """

    place: str
    model: str
    asked: Asked
    prompt: str
    reads: Usage
    storage_uri: str | None
    store: bool
    previous: str | None
    labels: dict[str, str]

    def usage(self, job: VendorJob) -> Usage:
        """The tokens that the job takes, as it ends."""
        ending, code = job.script.ending, job.script.code
        made = video_tokens(self.asked.made, self.asked.format.resolution)
        if ending == "succeeded" or (ending == "empty" and code == "shape"):
            return self.reads._replace(video_out=made, thought=_THOUGHT_TOKENS)
        if ending == "blocked":
            return self.reads._replace(text_out=_REFUSAL_TOKENS, thought=_THOUGHT_TOKENS)
        return self.reads

    def price(self, job: VendorJob) -> Decimal:
        """USD of those tokens."""
        return self.usage(job).price


class Interactions:
    """The routes of Omni."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[BaseRoute]:
        """Creates, polls, cancels and deletes, for a key and for a project."""
        route, routes = self._emulator.route, list[BaseRoute]()
        for parent in ("/{version}", "/{version}/projects/{project}/locations/{location}"):
            routes += [
                route("create", "POST", f"{parent}/interactions", self._create),
                route("poll", "GET", f"{parent}/interactions/{{id}}", self._poll),
                route("cancel", "POST", f"{parent}/interactions/{{id}}/cancel", self._cancel),
                route("other", "DELETE", f"{parent}/interactions/{{id}}", self._delete),
            ]
        return routes

    # --- create

    async def _create(self, request: Request) -> Response:
        body = await self._body(request)
        backend, place = _place(request)
        model = _model(request, body, backend)
        previous = self._previous(body, place)
        inputs = await look_at(self._emulator, backend, body)
        wanted = asked(model, backend, body, inputs, None if previous is None else previous.clip.duration)
        self._check_bucket(wanted)
        check_prompt(inputs.text)
        script = await self._emulator.take_script(request, "omni")
        order = OmniOrder(
            place=place,
            model=body.model,
            asked=wanted,
            prompt=inputs.text,
            reads=usage_in(text=inputs.text, images=inputs.images, seconds=wanted.read),
            storage_uri=wanted.format.gcs_uri,
            store=body.store,
            previous=body.previous_interaction_id,
            labels=body.labels,
        )
        job = self._emulator.accept(_PREFIX, self._shape(wanted, body), order, script, webhook=_webhook(body))
        return await self._first_answer(job, body)

    async def _body(self, request: Request) -> Create:
        try:
            refuse_unsupported(msgspec.json.decode(await request.body()))
        except msgspec.DecodeError as error:
            raise GoogleRefusal(400, "invalid_request", f"Invalid JSON: {error}") from error
        return await self._emulator.read(request, Create)

    def _shape(self, wanted: Asked, body: Create) -> Clip:
        width, height = frame_size(wanted.format.resolution, wanted.format.aspect_ratio)
        seed = (body.generation_config.seed or 0) % 2**31
        return Clip(duration=wanted.clip, width=width, height=height, fps=FPS, audio=True, seed=seed)

    def _check_bucket(self, wanted: Asked) -> None:
        uri = wanted.format.gcs_uri
        if uri is not None and "forbidden" in bucket_and_name(uri, "response_format.gcs_uri")[0]:
            raise GoogleRefusal(403, "forbidden", "The service agent may not write to the bucket of gcs_uri.")

    def _previous(self, body: Create, place: str) -> VendorJob | None:
        if body.previous_interaction_id is None:
            return None
        job = self._job(body.previous_interaction_id, place)
        if job.look(self._emulator.clock.now())[0] != "succeeded" or not job.outputs:
            raise GoogleRefusal(400, "invalid_request", "The previous interaction has no video to work from.")
        return job

    async def _first_answer(self, job: VendorJob, body: Create) -> Response:
        """The answer to a create: at once, or when the job has ended."""
        if body.background:
            return JSONResponse({**self._head(job), "status": "in_progress"})
        await self._emulator.clock.until(job.ends)
        job.polls = max(job.polls, job.script.polls)
        shown = await self._shown(job, job.look(self._emulator.clock.now())[0])
        if not body.store:
            self._emulator.vendor.forget(job.id)
        return JSONResponse(shown)

    # --- polls and the rest

    def _job(self, job_id: str, place: str) -> VendorJob:
        job = self._emulator.vendor.jobs.get(job_id)
        order = self._emulator.orders.get(job_id)
        if job is None or not isinstance(order, OmniOrder) or order.place != place:
            raise GoogleRefusal(400, "invalid_request", f"Invalid interaction name: {job_id[:80]}")
        return job

    async def _poll(self, request: Request) -> Response:
        if request.query_params.get("stream", "false") != "false":
            raise GoogleRefusal(400, "invalid_request", "This model does not support streaming.")
        job = self._job(request.path_params["id"], _place(request)[1])
        _, state, _ = self._emulator.vendor.poll(job.id)
        return JSONResponse(await self._shown(job, state))

    async def _cancel(self, request: Request) -> Response:
        job = self._job(request.path_params["id"], _place(request)[1])
        _, stopped = self._emulator.vendor.cancel(job.id)
        if not stopped:
            raise GoogleRefusal(400, "invalid_request", "The interaction is not running.", rpc="FAILED_PRECONDITION")
        return JSONResponse(await self._shown(job, job.look(self._emulator.clock.now())[0]))

    async def _delete(self, request: Request) -> Response:
        self._emulator.vendor.forget(self._job(request.path_params["id"], _place(request)[1]).id)
        return JSONResponse({})

    # --- what an interaction looks like

    def _head(self, job: VendorJob) -> dict[str, Any]:
        order = self._order(job)
        date = datetime.fromtimestamp(job.created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        head: dict[str, Any] = {"object": "interaction", "model": order.model, "created": date, "updated": date}
        if order.store:
            head["id"] = job.id
        if order.previous is not None:
            head["previous_interaction_id"] = order.previous
        if order.labels:
            head["labels"] = order.labels
        return head

    def _order(self, job: VendorJob) -> OmniOrder:
        order = self._emulator.orders[job.id]
        assert isinstance(order, OmniOrder)
        return order

    async def _shown(self, job: VendorJob, state: str) -> dict[str, Any]:
        """A job that is in that state."""
        head = self._head(job)
        if state not in ENDED:
            word = job.script.word if state == "running" else ""
            return {**head, "status": word or ("in_progress" if state == "running" else "queued")}
        if state == "cancelled":
            return {**head, "status": "cancelled"}
        steps: list[dict[str, Any]] = [
            {"type": "user_input", "content": [{"type": "text", "text": self._order(job).prompt}]},
            {"type": "thought", "signature": base64.b64encode(job.id.encode()).decode()},
        ]
        return {**head, **await self._ended(job, state, steps), "usage": _shown_usage(self._order(job).usage(job))}

    async def _ended(self, job: VendorJob, state: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
        code = job.script.code
        if state == "succeeded":
            content = [await self._video(job)] if job.outputs else []
        elif state == "empty":
            content = []
        elif state == "blocked" and code in ("", "text", "filtered"):
            content = [{"type": "text", "text": refusal_text(job.script)}]
        else:
            return {
                "status": code if code in STATUS_WORDS else "failed",
                **interaction_errors(job.script, state, steps),
            }
        output = [{"type": "model_output", "content": content}] if content else []
        return {"status": "completed", "steps": [*steps, *output]}

    async def _video(self, job: VendorJob) -> dict[str, Any]:
        order, data = self._order(job), await self._emulator.clip(job, 0)
        video = {"type": "video", "mime_type": "video/mp4"}
        if order.asked.format.delivery == "inline" and (job.script.code != "uri" or order.place != "gemini"):
            return {**video, "data": base64.b64encode(data).decode()}
        digest = hashlib.sha256(job.id.encode()).digest()
        if order.storage_uri is None:
            name = base64.b32encode(digest)[:12].decode().lower()
            return {**video, "uri": self._emulator.files.deliver(name, data, job)}
        uri = f"{order.storage_uri.rstrip('/')}/{int.from_bytes(digest[:8])}/sample_0.mp4"
        self._emulator.storage.deliver(uri, data, job)
        return {**video, "uri": uri}


def _place(request: Request) -> tuple[str, str]:
    """The backend that a path belongs to, and whose jobs it sees."""
    path = request.path_params
    # with a key and no project, the SDK asks Vertex AI by the same path, in another version
    project = path.get("project", PROJECT if path["version"] == "v1beta1" else None)
    return ("gemini", "gemini") if project is None else ("vertex", project)


def _model(request: Request, body: Create, backend: str) -> OmniModel:
    """The row of a model that is served where it was asked for.

    Raises:
        GoogleRefusal: 404; 400: it cannot do it in that way.
    """
    model = omni_model(body.model, backend)
    if backend == "vertex" and request.path_params.get("location", model.location) != model.location:
        raise GoogleRefusal(404, "not_found", f"The model {body.model} is only served in {model.location}.")
    if body.background and not body.store:
        raise GoogleRefusal(400, "invalid_request", "background=true requires store=true.")
    if body.stream:
        raise GoogleRefusal(400, "invalid_request", "This model does not support streaming.")
    return model


def _webhook(body: Create) -> str:
    return body.webhook_config.uris[0] if body.webhook_config and body.webhook_config.uris else ""


def _shown_usage(usage: Usage) -> dict[str, Any]:
    """Tokens as the API shows them."""
    read = {"text": usage.text_in, "image": usage.images_in, "video": usage.video_in}
    made = {"video": usage.video_out, "text": usage.text_out}
    total_in, total_out = sum(read.values()), sum(made.values())
    return {
        "total_input_tokens": total_in,
        "input_tokens_by_modality": [{"modality": key, "tokens": count} for key, count in read.items() if count],
        "total_output_tokens": total_out,
        "output_tokens_by_modality": [{"modality": key, "tokens": count} for key, count in made.items() if count],
        "total_thought_tokens": usage.thought,
        "total_cached_tokens": 0,
        "total_tool_use_tokens": 0,
        "total_tokens": total_in + total_out + usage.thought,
    }
