"""One Python interface to every video generation model: ``import videogen``.

The same public names as ``videogen_core``, which plugins import from; see there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from videogen_core import *  # noqa: F403
else:
    import videogen_core

    __all__ = list(videogen_core.__all__)

    def __getattr__(name: str) -> object:
        return getattr(videogen_core, name)

    def __dir__() -> list[str]:
        return list(__all__)
