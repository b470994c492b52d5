"""Keys: an opaque type that shows nothing, a mapping whose values never show, and the masking of what is known.

A key that one of them holds is masked wherever this library words something, as long as its holder lives: in every
error (`errors`), and in whatever passes `redaction.redact`.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Never, Self, TypeVar

__all__ = ["MASK", "Sealed", "Secret", "looks_secret", "masked", "spellings"]

T_co = TypeVar("T_co", covariant=True)

MASK = "***"
SHORTEST = 8
"""Characters. What is shorter is no key, and to mask it would blot out ordinary words."""

_alive: dict[int, weakref.ref[Secret]] = {}
_WORD = re.compile(r"[^a-z0-9]+")
_SECRET_WORDS = ("key", "token", "secret", "password", "passwd", "passphrase")
_NAMES_A_PLACE = frozenset({"file", "path", "dir", "name", "url", "uri"})


class Secret:
    """A key. No repr, format, pickle, JSON or traceback with locals shows it; `reveal` gives it.

    Args:
        value: The key.
    """

    __slots__ = ("__weakref__", "_spellings", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._spellings: tuple[str, ...] | None = None
        place = id(self)
        _alive[place] = weakref.ref(self, lambda _: _alive.pop(place, None))

    def reveal(self) -> str:
        """The key itself; hand it on at once, since a local variable shows up in crash reports."""
        return self._value

    def spellings(self) -> tuple[str, ...]:
        """How the key may be written; see the function of that name."""
        if self._spellings is None:
            self._spellings = spellings(self._value)
        return self._spellings

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Secret is not pickled: read it again where it is needed")

    def __getstate__(self) -> Never:
        raise TypeError("a Secret gives no state away")


class Sealed(Mapping[str, T_co]):
    """A mapping whose values never show: not in a repr, a pickle, a copy's state, or a traceback with locals.

    What its secret-looking names hold is masked like a `Secret`.

    Args:
        *layers: Mappings, the strongest first; they are read when asked, so that later changes are seen.
    """

    __slots__ = ("_kept", "_layers")

    def __init__(self, *layers: Mapping[str, T_co]) -> None:
        self._layers = layers
        self._kept: dict[str, Secret] = {}
        for name in self:
            if looks_secret(name):
                self._keep(name)

    def __getitem__(self, key: str) -> T_co:
        if looks_secret(key):
            self._keep(key)
        found = self._found(key)
        if not found:
            raise KeyError(key)  # out here, where no local variable holds a layer
        return found[0]

    def _found(self, key: str) -> tuple[T_co, ...]:
        for layer in self._layers:
            if key in layer:
                return (layer[key],)
        return ()

    def _keep(self, name: str) -> None:
        for value in self._found(name):
            known = self._kept.get(name)
            if isinstance(value, str) and len(value) >= SHORTEST and (known is None or known.reveal() != value):
                self._kept[name] = Secret(value)

    def __iter__(self) -> Iterator[str]:
        return iter({key: None for layer in self._layers for key in layer})

    def __len__(self) -> int:
        return len({key for layer in self._layers for key in layer})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(map(str, self)) or 'nothing'}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("settings and environments may hold keys, so they are not pickled: load them again there")

    def __getstate__(self) -> Never:
        raise TypeError(f"a {type(self).__name__} gives no state away")


def looks_secret(name: object) -> bool:
    """Whether the value of a variable or setting of that name is a key: ``ACME_API_KEY``, ``token``, ``clientSecret``.

    ``…_KEY_FILE`` and its like are not: they say where a key lies.
    """
    words = _WORD.split(str(name).lower())
    return words[-1] not in _NAMES_A_PLACE and any(word.endswith(_SECRET_WORDS) for word in words)


def masked(text: str) -> str:
    """The text with `MASK` in place of every key that is known, in any of its usual spellings."""
    for reference in list(_alive.values()):
        secret = reference()
        for spelling in () if secret is None else secret.spellings():
            if spelling in text:
                text = text.replace(spelling, MASK)
    return text


def spellings(secret: str) -> tuple[str, ...]:
    """How a key may occur, longest first: as it is, URL-encoded, escaped, in base64; none for less than 4 characters.

    Base64 depends on what stands before it, so in all three alignments.
    """
    if len(secret) < 4:  # would mask half of every text
        return ()
    import base64
    import json
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogatepass")
    quoted = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    found = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], *quoted, *(_lower_hex(text) for text in quoted)}
    for shift in range(3):
        plain = bytes(shift) + raw
        whole = len(plain) // 3 * 3  # the characters that only the secret decides
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(plain[:whole]).decode()[0 if shift == 0 else 4 :]
            if len(coded) >= 8:
                found.add(coded)
    return tuple(sorted(found, key=len, reverse=True))


def _lower_hex(quoted: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
