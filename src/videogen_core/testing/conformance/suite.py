"""What a suite of conformance tests is told, and what its tests are given."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import pytest

from videogen_core import ModelSpec, OptionSpec, Provider, Task, plugins

from ..loading import load_emulator
from ..server import ServerThread
from .cases import Case, clips, default_option_values, live, modes
from .hurry import hurry, only_loopback
from .inputs import clip_within, picture_within
from .rig import KEY, Rig
from .unwired import Workshop, no_wire

__all__ = ["Quoted", "Suite", "each"]

F = TypeVar("F", bound=Callable[..., Any])
_PLAN = "_conformance"
_SERVED: dict[str, tuple[ServerThread, dict[str, Any]]] = {}
"""Emulators by name, each with the traits that it was made with."""


@dataclass(frozen=True)
class Quoted:
    """A price worked out by hand from the vendor's price page.

    Attributes:
        model: Name of the offer at its provider, or its whole id.
        arguments: Of ``estimate``; say every value that the price depends on. Media that the task needs are added;
            without a ``task`` it is text to video, or the first that the offer has.
        amount: USD, as text; a pair where the price is a range.
    """

    model: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    amount: str | tuple[str, str] = "0"

    @property
    def ends(self) -> tuple[Decimal, Decimal]:
        """Lowest and highest."""
        low, high = (self.amount, self.amount) if isinstance(self.amount, str) else self.amount
        return Decimal(low), Decimal(high)

    @property
    def id(self) -> str:
        """For pytest."""
        said = "-".join(f"{value}" for value in self.arguments.values() if isinstance(value, str | int | float))
        return f"{self.model}-{said}"


def each(name: str, cases: Callable[[type[Suite]], Sequence[Any]], *, instead: str = "") -> Callable[[F], F]:
    """Run a test once for each case, which it takes as its argument ``name``.

    Args:
        name: Of the argument.
        cases: Gives the cases of a suite; each has an ``id``, or is one.
        instead: Why the test is skipped when there is none.
    """

    def mark(function: F) -> F:
        setattr(function, _PLAN, (name, cases, instead))
        return function

    return mark


class Suite:
    """The tests of one provider, before there are any: subclass `ProviderSuite` instead.

    Attributes:
        provider: What makes the provider: its class, or a function without arguments. Its ``emulator`` is served.
        quotes: Prices worked out by hand; at least one for each live model that has prices.
        backends: Event loops that the async tests run on.
        free: Whether clips cost nothing here, as with models on the user's own machine. Elsewhere a price of zero is
            taken for a mistake.
        rejects: Statuses from 500 on that the vendor documents as "not accepted", as in ``Answer.error``.
        charges: Endings (``failed``, ``blocked``, ``cancelled``, ``empty``) of which the vendor documents whether they
            are charged. Of the others the plugin reads it off the vendor's answers, or says that nobody knows.
        request_ids: Whether the plugin gets to see the vendor's id of a create's request; not so with some SDKs.
        option_values: Values to try of options whose rows do not list any: free text, lists, objects.
        speed: Vendor seconds per real second. Lower it for a vendor whose addresses or tokens live for a moment only.
        workshop: The class of the `Workshop`, where a provider makes its clips on this machine and so has no vendor to
            emulate. Nothing may be connected to then.
        excused: Standard tests by name, each with the reason why it cannot be asked without a wire; with a workshop
            alone. One that can be is run all the same, and one that cannot and is not named here fails.
    """

    pytestmark: ClassVar[Any] = pytest.mark.anyio

    provider: ClassVar[Callable[[], Provider]]
    quotes: ClassVar[Sequence[Quoted]] = ()
    backends: ClassVar[Sequence[str]] = ("asyncio",)
    free: ClassVar[bool] = False
    rejects: ClassVar[Collection[int]] = ()
    charges: ClassVar[Mapping[str, bool]] = {}
    request_ids: ClassVar[bool] = True
    option_values: ClassVar[Mapping[str, Sequence[Any]]] = {}
    speed: ClassVar[float] = 250.0
    workshop: ClassVar[type[Workshop] | None] = None
    excused: ClassVar[Mapping[str, str]] = {}

    _specs: ClassVar[tuple[ModelSpec, ...] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._specs = None

    # --- what a vendor may need said

    def media(self, rig: Rig, spec: ModelSpec, task: Task, name: str, number: int) -> Any:
        """What is given for an input; the default is a file made here, within the limits of the catalogue.

        For a vendor that takes only what it has made itself, say, or only addresses of a bucket.

        Args:
            rig: The test's bench; what ``rig.emulator.vendor`` is told directly does not count as a create.
            spec: The offer.
            task: The kind of work.
            name: ``image``, ``last_frame``, ``reference_images`` or ``video``.
            number: From 0, for inputs that are several.
        """
        if name == "video":
            return clip_within(spec.video, number)
        return picture_within(spec.image, number + 10 * (name != "image"))

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        """Why one value of the catalogue cannot be tried in one task of an offer; the default is "", it can.

        For what a catalogue cannot say, such as an option that the vendor refuses for one task alone. ``pytest -rA``
        shows the reasons.
        """
        return ""

    def wrong_environment(self, environment: Mapping[str, str], wrong: str) -> dict[str, str]:
        """The variables with a wrong key in them; the default puts it wherever the emulator's own key is."""
        return {name: value.replace(KEY, wrong) for name, value in environment.items()}

    # --- cases

    @classmethod
    def new_provider(cls) -> Provider:
        """A fresh instance."""
        make = inspect.getattr_static(cls, "provider", None)
        if isinstance(make, staticmethod):
            make = make.__func__
        if not callable(make):
            raise TypeError(f"{cls.__name__}: set provider to the Provider class, or to a function that makes one")
        made = make()
        if not isinstance(made, Provider):
            raise TypeError(f"{cls.__name__}: provider made {type(made).__name__}, not a Provider")
        return made

    @classmethod
    def specs(cls) -> tuple[ModelSpec, ...]:
        """The provider's offers."""
        if cls._specs is None:
            cls._specs = tuple(cls.new_provider().models())
        return cls._specs

    @classmethod
    def values_of(cls, spec: ModelSpec, name: str, option: OptionSpec) -> Sequence[Any]:
        """What can be tried of an option."""
        return cls.option_values.get(name) or default_option_values(name, option)

    @classmethod
    def live(cls) -> list[ModelSpec]:
        """Offers that can be used."""
        return live(cls.specs())

    @classmethod
    def clips(cls) -> list[Case]:
        """A cheapest request for each task of each offer."""
        return clips(cls.specs(), cls.values_of)

    @classmethod
    def modes(cls) -> list[Case]:
        """A cheapest request for each task of each mode of each offer."""
        return modes(cls.specs(), cls.values_of)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each test its cases."""
        if "anyio_backend" in metafunc.fixturenames and len(self.backends) > 1:
            metafunc.parametrize("anyio_backend", self.backends)
        name, cases, instead = getattr(metafunc.function, _PLAN, ("", None, ""))
        if cases is None:
            return
        found = list(cases(type(self)))
        if found:
            metafunc.parametrize(name, found, ids=[_name(case) for case in found])
        else:
            skip = pytest.mark.skip(reason=instead or "the provider has nothing of the kind")
            metafunc.parametrize(name, [pytest.param(None, marks=skip)], ids=["none"])

    # --- fixtures

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The event loop."""
        return self.backends[0]

    @pytest.fixture
    def vendor(self, request: pytest.FixtureRequest) -> ServerThread | None:
        """The provider's emulator, served: one for all tests of the process that want it; None with a workshop."""
        if self.workshop is not None:
            return None
        target = self.new_provider().emulator
        assert target, (
            f"{type(self).__name__}: Provider.emulator names no emulator, so there is nothing to test against."
        )
        if target not in _SERVED:
            served = ServerThread(load_emulator(target, {"key": KEY, "speed": self.speed, "seed": 1}))
            served.start()
            _SERVED[target] = served, msgspec.to_builtins(served.emulator.traits)
            request.session.addfinalizer(lambda: _SERVED.pop(target)[0].stop())
        served, traits = _SERVED[target]
        served.emulator.reset(seed=1)
        served.emulator.change(**traits)
        return served

    @pytest.fixture
    def rig(
        self,
        vendor: ServerThread | None,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        request: pytest.FixtureRequest,
    ) -> Iterator[Rig]:
        """What a test works with: the vendor as new, an environment and a home that are nobody's."""
        rig = Rig(self, vendor, tmp_path, monkeypatch, request.node.originalname)
        for name in [name for name in os.environ if name.startswith("VIDEOGEN_")]:
            monkeypatch.delenv(name)
        for name, value in rig.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(plugins, "_entry_points", lambda: ())
        if vendor is None:
            no_wire(monkeypatch)
        else:
            clock = vendor.emulator.clock
            clock.run(self.speed)
            clock.advance(time.time() - clock.now())
            rig.script_all()
            hurry(monkeypatch, clock)
            only_loopback(monkeypatch)
        yield rig
        rig.close()
        for note in rig.notes:
            request.node.add_report_section("call", "conformance", note)
        mistakes = vendor.emulator.mistakes if vendor is not None else ()
        assert not mistakes, f"The emulator has a mistake:\n{mistakes[0]}"


def _name(case: Any) -> str:
    return case.id.partition("/")[2] if isinstance(case, ModelSpec) else str(getattr(case, "id", case))
