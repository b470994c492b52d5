"""What running a model through videogen costs beside the bare pipeline call, on the processor with random weights.

The pipeline is a tiny Wan with a clip large enough that a step takes tens of milliseconds, as small a step as a real
model's will ever be. Both ways take turns, and CPU time is compared, so that a neighbour's load falls on neither.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .figures import Figure

LIMIT_PERCENT = 2.0
STEPS = 30
_TESTS = Path(__file__).parents[1] / "plugins" / "videogen_local" / "tests"
_OPTIONS = {"steps": STEPS, "width": 96, "height": 96, "num_frames": 33}


def measure(*, repeat: int = 5) -> list[Figure]:
    """Overhead of a job over the bare call, and what a second job spends on loading."""
    if any(find_spec(name) is None for name in ("torch", "diffusers", "videogen_local")):
        note = "torch, diffusers or videogen-local is not installed; this was not measured"
        return [Figure(name="models on this machine", value=0, unit="", note=note)]
    sys.path.insert(0, str(_TESTS))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as home:
        warnings.simplefilter("ignore")
        return _measured(Path(home), repeat)


def _measured(home: Path, repeat: int) -> list[Figure]:
    import msgspec
    import torch

    import tiny  # type: ignore[import-not-found]
    from videogen_core import Client
    from videogen_local.here import loading, running
    from videogen_local.here.spool import Spool, State
    from videogen_local.here.working import Reporter
    from videogen_local.orders import order

    torch.set_num_threads(1)
    folder = tiny.save("wan", home / "wan")
    model, local = f"local/{folder}", {"devices": ["cpu"]}
    with Client(home=home / "videogen", providers={"local": local}) as client:
        (spec,) = client.workspace.planner.offers(model)
        loads = _jobs(client, model)
        (job, *_) = client.jobs()
        # the frames say how long it is
        wanted = order(spec, msgspec.structs.replace(job.record.attempt.request, duration=None), _OPTIONS)
    pipe = loading.load(wanted, "cpu")
    told = running.arguments(pipe, wanted, {})
    pipe.set_progress_bar_config(disable=True)
    spool = Spool(home / "jobs")
    spool.add("bench", wanted, {})

    def bare() -> None:
        with torch.no_grad():
            pipe(**told, generator=torch.Generator("cpu").manual_seed(wanted.seed))

    def ours() -> None:
        running.run(pipe, wanted, {}, Reporter(spool, "bench", State(), lambda: spool.is_cancelled("bench")))

    times = _by_turns(bare, ours, 5 * repeat)  # a percent is less than what one turn differs from the next
    percent = 100 * (statistics.median(o / b for b, o in times) - 1)
    call = statistics.median(b for b, _ in times)
    return [
        Figure(
            name=f"a clip of {STEPS} steps over the bare pipeline call: CPU",
            value=percent,
            unit="%",
            limit=LIMIT_PERCENT,
            baseline=f"the bare call {1000 * call:.0f} ms, {1000 * call / STEPS:.0f} ms a step",
            note="progress of every step on disk, and a look for a cancel; encoding is not in it",
        ),
        Figure(name="second job: loads of its pipeline", value=loads, unit="", limit=0, baseline="the first job: 1"),
        *_switches(wanted, pipe, repeat),
    ]


_CACHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("step cache first_block, threshold 0.1", {"cache": "first_block", "cache_threshold": 0.1}),
    ("step cache taylor_seer", {"cache": "taylor_seer"}),
    ("step cache pyramid_attention", {"cache": "pyramid_attention"}),
)
_LASTING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attention _native_math", {"attention": "_native_math"}),
    ("compiled blocks, once they are", {"compile": True}),
)


class _Nobody:
    """Is told of steps and does nothing with it."""

    def phase(self, name: str) -> None:
        return

    def step(self, done: int, total: int) -> None:
        return


def _switches(wanted: Any, pipe: Any, repeat: int) -> list[Figure]:
    """The CPU time of a clip with each of the options that are to make it quicker, as a share of that without."""
    from msgspec.structs import replace

    from videogen_local.here import extras, loading, running

    figures = []
    for name, options in (*_CACHES, *_LASTING):
        if options.get("compile") and extras.compiler() is None:
            figures.append(Figure(name=name, value=0, unit="", note="there is no C++ compiler; this was not measured"))
            continue
        order = replace(wanted, **options)
        other = pipe
        if "cache" not in options:
            other = loading.load(order, "cpu")
            extras.lasting(other, order)

        def plain() -> None:
            running.run(pipe, wanted, {}, _Nobody())

        def switched(other: Any = other, order: Any = order) -> None:
            running.run(other, order, {}, _Nobody())

        times = _by_turns(plain, switched, repeat)
        usual = statistics.median(usual for usual, _ in times)
        figures.append(
            Figure(
                name=f"{name}: CPU over the plain clip",
                value=statistics.median(quick / usual for usual, quick in times),
                unit="x",
                baseline=f"the plain clip {1000 * usual:.0f} ms",
                note="a tiny model with random weights on the processor: that it acts, not what a GPU gains",
            )
        )
    return figures


def _by_turns(bare: Callable[[], Any], ours: Callable[[], Any], repeat: int) -> list[tuple[float, float]]:
    bare()
    ours()
    found = []
    for _ in range(repeat):
        pair = []
        for way in (bare, ours):
            start = time.process_time()
            way()
            pair.append(time.process_time() - start)
        found.append((pair[0], pair[1]))
    return found


def _jobs(client: Any, model: str) -> int:
    """Loads that a second job makes; the first one makes one."""
    from videogen_local.here import loading

    count: list[int] = []
    usual = loading.load

    def load(order: Any, device: str) -> Any:
        count.append(1)
        return usual(order, device)

    loading.load = load
    try:
        for _ in range(2):
            client.generate("a boat", model=model, options={"local": {"steps": 2}})
    finally:
        loading.load = usual
    return len(count) - 1
