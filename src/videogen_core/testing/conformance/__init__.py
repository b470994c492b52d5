"""The suite of tests that every provider's plugin passes, ours and strangers'.

    from videogen_core.testing.conformance import ProviderSuite, Quoted
    from videogen_acme.plugin import AcmeProvider

    class TestAcme(ProviderSuite):
        provider = AcmeProvider
        quotes = [Quoted("paper", {"duration": 2, "resolution": "720p"}, "0.80")]

It is offline: the plugin talks to the emulator that ``Provider.emulator`` names, over real sockets; or, where it has
nobody to talk to since it makes clips on this machine, the suite has a `Workshop` and no socket at all. What is tested
follows from the catalogue, from the provider's attributes and from the methods that its session overrides; there is no
second list of what it can do, since a second list would let a wrong row pass.
"""

from __future__ import annotations

import inspect

from .catalogue import Catalogue
from .clips import Clips
from .credentials import Credentials
from .deliveries import Deliveries
from .endings import Endings
from .killed import Killed
from .leftovers import Leftovers
from .light import Light
from .lost import Lost
from .manners import Manners
from .modes import Modes
from .notices import Notices
from .parsing import Parsing
from .polls import Polls
from .refusals import Refusals
from .requests import Requests
from .rig import Rig
from .suite import Quoted
from .unwired import Workshop

__all__ = ["ProviderSuite", "Quoted", "Rig", "Workshop"]


class ProviderSuite(
    Light,
    Manners,
    Catalogue,
    Modes,
    Requests,
    Clips,
    Refusals,
    Lost,
    Polls,
    Parsing,
    Endings,
    Killed,
    Deliveries,
    Credentials,
    Leftovers,
    Notices,
):
    """What a provider must do; subclass it, and set ``provider`` and ``quotes``. See `Suite` for what else there is.

    A test that does not hold is marked, not removed: override it, call ``super()``, and put
    ``@pytest.mark.xfail(reason="…")`` on it.
    """

    def test_no_standard_test_is_missing(self) -> None:
        """What a subclass overrides or deletes is marked ``xfail``, with a reason."""
        for name in _standard():
            found = inspect.getattr_static(type(self), name)
            if found is inspect.getattr_static(ProviderSuite, name):
                continue
            marks = [mark for mark in getattr(found, "pytestmark", ()) if mark.name == "xfail"]
            assert any(mark.kwargs.get("reason") for mark in marks), (
                f"{type(self).__name__} overrides {name}. A standard test stays as it is: mark the override with "
                "@pytest.mark.xfail(reason=...), which says what the provider does not do."
            )
        assert self.workshop is not None or not self.excused, (
            f"{type(self).__name__}.excused is for providers without a wire, which have a workshop."
        )
        for name, why in self.excused.items():
            assert name in _standard(), f"{type(self).__name__}.excused: {name} is no standard test."
            assert why.strip(), f"{type(self).__name__}.excused: {name}: why can it not be asked?"


def _standard() -> list[str]:
    return [name for name in dir(ProviderSuite) if name.startswith("test_")]
