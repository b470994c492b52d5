"""Seeing how far a pipeline is, and stopping it at its next step.

Nearly all pipelines tick a progress bar, whether they call back after each step or not. So theirs is replaced by one
that counts for us, and that raises inside the pipeline when somebody has asked to stop. Some make a clip in sections
and begin a bar for each; what is told goes on counting through all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, Self

from ..orders import Order
from .loading import decoder

__all__ = ["Watch", "watched"]


class Watch(Protocol):
    """Who wants to know. Each method may raise `Stopped`."""

    def phase(self, name: str) -> None:
        """Something else begins."""

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""


class _Count:
    """The steps of one clip, through all its sections.

    Args:
        watch: Who is told.
        sections: How many there are expected to be.
    """

    def __init__(self, watch: Watch, sections: int) -> None:
        self._watch = watch
        self._left = sections
        self._before = self._total = self._done = 0

    def begin(self, total: int) -> None:
        """Another section begins, of so many steps."""
        if not self._before and not self._total:
            self._watch.phase("denoising")
        self._before += self._total
        self._left = max(self._left - 1, 0)
        self._total, self._done = total, 0

    def update(self, count: int = 1) -> None:
        """Steps of it are done."""
        self._done += count
        self._total = max(self._total, self._done)
        whole = self._before + self._total * (1 + self._left)
        self._watch.step(self._before + self._done, whole)

    def called_back(self, pipe: Any, number: int, at: Any, values: dict[str, Any]) -> dict[str, Any]:
        """As diffusers calls back after each step; a section begins with number 0."""
        if number == 0:
            self.begin(len(pipe.scheduler.timesteps))
        self.update()
        return values


class _Bar:
    """In the place of tqdm's, for a pipeline."""

    def __init__(self, count: _Count, iterable: Any, total: int | None) -> None:
        self._count = count
        self._iterable = iterable
        count.begin(total if total is not None else len(iterable) if hasattr(iterable, "__len__") else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._count.update(count)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Whatever else a pipeline writes on its bar is not shown."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


_watching = threading.local()


@contextmanager
def watched(pipe: Any, watch: Watch, order: Order) -> Iterator[dict[str, Any]]:
    """Tell ``watch`` how the pipeline fares within the block.

    Yields:
        Keywords that the call needs for it.
    """
    family = order.family
    count = _Count(watch, family.sections.count(order.frames) if family.sections else 1)

    def bar(iterable: Any = None, total: int | None = None) -> _Bar:
        return _Bar(count, iterable, total)

    with ExitStack() as stack:
        if (decodes := decoder(pipe)) is not None:
            stack.enter_context(_decoding_told(decodes, watch))
        if family.progress == "callback":
            pipe.set_progress_bar_config(disable=True)  # its own would be drawn on the terminal
            yield {"callback_on_step_end": count.called_back}
        elif family.kind == "modular":
            _patch_blocks()
            _watching.bar = bar
            stack.callback(setattr, _watching, "bar", None)
            yield {}
        else:
            pipe.progress_bar = bar
            stack.callback(delattr, pipe, "progress_bar")
            yield {}


@contextmanager
def _decoding_told(decodes: Any, watch: Watch) -> Iterator[None]:
    decode = decodes.decode

    def decoding(*args: Any, **kwargs: Any) -> Any:
        watch.phase("decoding")
        return decode(*args, **kwargs)

    decodes.decode = decoding
    try:
        yield
    finally:
        del decodes.decode


def _patch_blocks() -> None:
    """Modular pipelines tick the bars of their blocks, which are reached through the class; each thread has its own.

    Those of Helios draw a bar of tqdm themselves.
    """
    from diffusers.modular_pipelines.helios import denoise as helios
    from diffusers.modular_pipelines.modular_pipeline import LoopSequentialPipelineBlocks as Blocks

    if hasattr(Blocks, "_videogen"):
        return
    usual, drawn = Blocks.progress_bar, helios.tqdm

    def progress_bar(self: Any, iterable: Any = None, total: int | None = None) -> Any:
        bar = getattr(_watching, "bar", None)
        return usual(self, iterable, total) if bar is None else bar(iterable, total)

    def tqdm(iterable: Any = None, total: int | None = None, **more: Any) -> Any:
        bar = getattr(_watching, "bar", None)
        return drawn(iterable, total=total, **more) if bar is None else bar(iterable, total)

    Blocks.progress_bar, helios.tqdm, Blocks._videogen = progress_bar, tqdm, True
