"""One job from its folder on disk to its clip: plan, load, run, encode, and every step of it told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from ..configs import Dimensions
from ..models import timings_in
from ..orders import Order
from ..plans import Plan
from ..timing import Measured, work as work_of
from . import devices, loading, placing
from .choosing import plans_for
from .encoding import write_mp4
from .errors import JobError, Stopped, failure_of, is_out_of_memory
from .extras import lasting
from .running import Made, run
from .spool import Failure, Spool, State
from .warm import Kept, Warm, key_of

__all__ = ["Reporter", "work"]

_QUIET = 0.2  # seconds between two notes of progress, so that writing them costs nothing
_TAIL = 0.12  # of the time of the steps, for decoding and encoding, until one has been seen
_BEGIN, _END = 0.02, 0.9  # of the progress, where the steps lie


@dataclass
class Reporter:
    """Writes down how a job fares, and asks whether it is to stop.

    Attributes:
        spool: Where.
        job: Which.
        state: As last told.
        stop: Says whether to stop now.
        denoised: Seconds of its steps.
        loaded: Seconds that loading took.
        devices: How many work on it; their seconds add up.
    """

    spool: Spool
    job: str
    state: State
    stop: Callable[[], bool]
    _told: float = 0.0
    _first: float = 0.0
    denoised: float = 0.0
    loaded: float = 0.0
    devices: int = 1
    started: float = field(default_factory=time.monotonic)

    def phase(self, name: str) -> None:
        """Something else begins."""
        self._stop_if_asked()
        if name == "denoising":
            self._first = time.monotonic()
        self.tell(phase=name, **({"progress": _END} if name in ("decoding", "writing") else {}))

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""
        self._stop_if_asked()
        now = time.monotonic()
        self.denoised = now - self._first
        each = self.denoised / max(done, 1)
        self.tell(
            step=done,
            steps=total,
            pace=each,
            progress=max(self.state.progress, _BEGIN + (_END - _BEGIN) * done / total),
            remaining=each * (total - done) + each * total * _TAIL,
            quiet=_QUIET if done < total else 0.0,
        )

    def note(self, text: str) -> None:
        """Something that a person may want to know."""
        self.tell(notes=(*self.state.notes, text))

    def tell(self, *, quiet: float = 0.0, **changes: Any) -> None:
        """Change the record; at most once in ``quiet`` seconds on disk."""
        self.state = self.changed(**changes)
        if time.monotonic() - self._told >= quiet:
            self.spool.tell(self.job, self.state)
            self._told = time.monotonic()

    def changed(self, **changes: Any) -> State:
        """The record with changes, as of now."""
        seconds = (time.monotonic() - self.started) * self.devices
        return msgspec.structs.replace(self.state, seconds=seconds, **changes)

    def _stop_if_asked(self) -> None:
        if self.stop():
            raise Stopped


def work(reporter: Reporter, warm: Warm, order: Order | None = None) -> None:
    """Do a job; whatever becomes of it is on disk afterwards.

    Args:
        reporter: Of the job.
        warm: The pipelines of the device that is to do it.
        order: What is to be made; None = as it stands on disk.

    Raises:
        Stopped: Somebody asked for it; what that means is for the caller to say.
    """
    spool, job = reporter.spool, reporter.job
    try:
        order = order or spool.order(job)
        made = _clip(reporter, order, warm)
        spool.keep(job)
        _learn(reporter, order, warm.device)
        reporter.tell(status="succeeded", phase="", progress=1.0, remaining=0.0, made=made)
    except JobError as error:
        reporter.tell(status="failed", failure=error.failure, remaining=None)
    except Exception as error:
        failure = _no_memory(error, warm.device) if is_out_of_memory(error) else failure_of(error, "running")
        warm.clear()  # after a failure that nobody foresaw, what is loaded may be in any state
        reporter.tell(status="failed", failure=failure, remaining=None)


def _clip(reporter: Reporter, order: Order, warm: Warm) -> dict[str, Any]:
    made, plan = _made(reporter, order, warm)
    reporter.phase("writing")
    about = _about(order, plan, warm.device)
    write_mp4(reporter.spool.draft(reporter.job), made.frames, order.fps, sound=made.sound, about=about)
    return {**about, "frames": len(made.frames)}


def _made(reporter: Reporter, order: Order, warm: Warm) -> tuple[Made, Plan]:
    """The frames, by the first plan that fits; when memory runs out all the same, by the next one, once."""
    plans = plans_for(order, warm.reclaimable(devices.measure(warm.device)))
    inputs = reporter.spool.inputs(reporter.job)
    for number, plan in enumerate(plans[:2]):
        try:
            pipe = _ready(reporter, order, plan, warm)
            return run(pipe, order, inputs, reporter), warm_plan(warm, order, plan)
        except Exception as error:
            if not is_out_of_memory(error) or number + 1 == len(plans[:2]):
                raise
        # outside of the handler, which would keep the frames of the failed call alive, and all their memory
        warm.clear()
        reporter.note(f"{plan.name} ran out of memory on {warm.device}; trying {plans[number + 1].name}.")
    raise AssertionError("no plan")  # a refusal has been raised before


def warm_plan(warm: Warm, order: Order, plan: Plan) -> Plan:
    """The plan that the loaded pipeline is placed by, which may be a slower one that fits as well."""
    kept = warm.get(key_of(order))
    return kept.plan if kept is not None else plan


def _ready(reporter: Reporter, order: Order, plan: Plan, warm: Warm) -> Any:
    """The pipeline, loaded and placed: the one that is there, if it is placed as the plan says."""
    key = key_of(order)
    kept = warm.get(key)
    if kept is not None and kept.plan.name == plan.name:
        warm.make_room(plan, lambda: devices.measure(warm.device), keep=key)
        reporter.tell(plan=plan.name)
        return kept.pipe
    reporter.phase("loading")
    began = time.monotonic()
    kept = None
    warm.drop(key)
    warm.make_room(plan, lambda: devices.measure(warm.device))
    pipe = _loaded(order, warm.device)
    placing.place(pipe, plan, order, warm.device)
    lasting(pipe, order)
    warm.put(key, Kept(pipe=pipe, plan=plan, size=_size(pipe)))
    reporter.loaded += time.monotonic() - began
    reporter.tell(plan=plan.name)
    return pipe


def _loaded(order: Order, device: str) -> Any:
    if not Path(order.folder).is_dir():
        raise JobError(f"The folder {order.folder} is gone.", "Pull or copy the model again.", "gone")
    try:
        return loading.load(order, device)
    except Exception as error:
        if isinstance(error, JobError) or is_out_of_memory(error):
            raise
        told = failure_of(error, "loading")
        raise JobError(told.message, told.hint, told.code) from error


def _size(pipe: Any) -> int:
    """Bytes of all weights; those of offloaded components too."""
    modules = getattr(pipe, "components", {}).values()
    found = {
        id(tensor): tensor.numel() * tensor.element_size()
        for module in modules
        if hasattr(module, "parameters")
        for tensor in module.parameters()
    }
    return sum(found.values())


def _learn(reporter: Reporter, order: Order, device: str) -> None:
    """Remember how quick the device was, unless something made the job quicker or slower than others of its kind."""
    if order.sizes is None or order.cache is not None or order.compile or order.devices > 1:
        return
    numbers, hidden, layers = order.sizes
    size = Dimensions(compression=order.family.compression, hidden=hidden, layers=layers)
    tokens = order.family.compression.tokens(order.frames, order.width, order.height)
    guided = (order.guidance or 0) > 1
    passes = order.family.passes if guided else 1
    seconds = time.monotonic() - reporter.started
    timings_in(reporter.spool.folder.parent).learn(
        Measured(
            model=order.offer,
            device=devices.measure(device).name,
            plan=reporter.state.plan,
            work=work_of(size, numbers, tokens, steps=order.steps, passes=passes),
            steps=reporter.denoised,
            rest=max(seconds - reporter.denoised - reporter.loaded, 0.0),
        )
    )


def _no_memory(error: BaseException, device: str) -> Failure:
    first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return Failure(
        message=f"Memory ran out on {device}, with the plan that fits and with the next smaller one: {first}",
        hint="Ask for fewer frames or a smaller size, close other programs that use the device, or set the option plan "
        "to a smaller one.",
        code="out_of_memory",
    )


def _about(order: Order, plan: Plan, device: str) -> dict[str, Any]:
    """What made a clip, so that it can be made again."""
    names = ("torch", "diffusers", "transformers")
    return {
        "offer": order.offer,
        "revision": order.revision,
        "prompt": order.prompt,
        "seed": order.seed,
        "steps": order.steps,
        "guidance": order.guidance,
        "size": [order.width, order.height],
        "plan": plan.name,
        "device": device,
        "precision": str(loading.precision(device)).removeprefix("torch."),
        "versions": {name: version(name) for name in names},
        **({"cache": order.cache} if order.cache else {}),
        **({"attention": order.attention} if order.attention else {}),
        **({"devices": order.devices} if order.devices > 1 else {}),
        **({"loras": [[Path(lora.path).name, lora.scale] for lora in order.loras]} if order.loras else {}),
    }
