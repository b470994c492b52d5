"""Seeing how far a pipeline is, and stopping it at its next step.

Some pipelines call back after each step and some do not, but all of them tick a progress bar. So theirs is replaced by
one that counts for us, and that raises inside the pipeline when somebody has asked to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

__all__ = ["Watch", "watched"]


class Watch(Protocol):
    """Who wants to know. Each method may raise `Stopped`."""

    def phase(self, name: str) -> None:
        """Something else begins."""

    def step(self, done: int, total: int) -> None:
        """A denoising step is done."""


class _Bar:
    """In the place of tqdm's, for a pipeline."""

    def __init__(self, watch: Watch, iterable: Any, total: int | None) -> None:
        self._watch = watch
        self._iterable = iterable
        self._total = total if total is not None else len(iterable) if hasattr(iterable, "__len__") else 0
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        self._watch.step(self._done, max(self._total, self._done))

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Whatever else a pipeline writes on its bar is not shown."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


_watching = threading.local()


@contextmanager
def watched(pipe: Any, watch: Watch, *, modular: bool) -> Iterator[None]:
    """Tell ``watch`` how the pipeline fares within the block."""

    def bar(iterable: Any = None, total: int | None = None) -> _Bar:
        watch.phase("denoising")
        return _Bar(watch, iterable, total)

    vae = getattr(pipe, "vae", None)
    if vae is not None:
        decode = vae.decode

        def decoding(*args: Any, **kwargs: Any) -> Any:
            watch.phase("decoding")
            return decode(*args, **kwargs)

        vae.decode = decoding
    if modular:
        _patch_blocks()
        _watching.bar = bar
    else:
        pipe.progress_bar = bar
    try:
        yield
    finally:
        _watching.bar = None
        if vae is not None:
            del vae.decode
        if not modular:
            del pipe.progress_bar


def _patch_blocks() -> None:
    """Modular pipelines tick the bars of their blocks, which are reached through the class; each thread has its own."""
    from diffusers.modular_pipelines.modular_pipeline import LoopSequentialPipelineBlocks as Blocks

    if hasattr(Blocks, "_videogen"):
        return
    usual = Blocks.progress_bar

    def progress_bar(self: Any, iterable: Any = None, total: int | None = None) -> Any:
        bar = getattr(_watching, "bar", None)
        return usual(self, iterable, total) if bar is None else bar(iterable, total)

    Blocks.progress_bar, Blocks._videogen = progress_bar, True
