"""What can go wrong with a request, as data: single faults, and profiles of them with probabilities.

The same seed gives the same faults to the same requests: whether the fifth create breaks depends on the seed and on its
being the fifth create, and on nothing that happens in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal, get_args

import msgspec

__all__ = ["OF_DOWNLOADS", "OF_WEBHOOKS", "PROFILES", "At", "Fault", "FaultPlan", "Kind", "What"]

Kind = Literal["create", "poll", "list", "cancel", "upload", "download", "webhook", "other", "any"]
"""What a request is for. ``webhook`` are the requests that the vendor sends."""

At = Literal["arrival", "before", "after"]

What = Literal[
    # the connection
    "reset", "close", "hang", "slow", "truncated", "cut", "short_length", "long", "endless",
    # the status
    "status", "redirect", "expired", "refusal",
    # the body
    "empty", "html", "invalid_json", "nan", "bad_utf8", "deep_json", "gzip_bomb", "wrong_type", "no_id", "mutated",
    # downloads
    "range_ignored", "range_wrong", "etag_changed", "unsatisfiable", "corrupt",
    # webhooks
    "lost", "duplicate", "bad_signature", "unsigned", "stale", "garbage",
]  # fmt: skip

OF_DOWNLOADS: frozenset[What] = frozenset({"range_ignored", "range_wrong", "etag_changed", "unsatisfiable", "corrupt"})
"""Faults that the file server itself commits, see `videogen_core.testing.delivery`."""
OF_WEBHOOKS: frozenset[What] = frozenset({"lost", "duplicate", "bad_signature", "unsigned", "stale", "garbage"})
"""Faults of what the vendor sends, see `videogen_core.testing.webhooks`."""


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    what: What


class Fault(_Named, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong.

    Attributes:
        what: Which; the only positional argument.

            The connection: ``reset`` (RST) and ``close`` (FIN) at ``part``; ``hang`` for ``seconds`` at ``part`` and
            then go on; ``slow``, ``size`` bytes every ``seconds``; ``truncated`` after ``share`` of the body under a
            right Content-Length; ``cut`` there without a Content-Length; ``short_length``, a Content-Length of only
            ``share`` of the body that is sent; ``long``, ``size`` bytes too many, which JSON ignores; ``endless``, a
            body without end (it stops at ``size``).

            The status: ``status``; ``redirect`` to ``location``; ``expired`` as an address that has expired;
            ``refusal``, the vendor's own for ``code``, with whatever status it gives that.

            The body: ``empty``, ``html``, ``invalid_json``, ``nan``, ``bad_utf8``, ``deep_json``, ``gzip_bomb`` (of
            ``size`` bytes), ``wrong_type`` (of the content), ``no_id``, ``mutated`` (bytes or values changed at random;
            each ``size`` gives another one).

            Downloads: ``range_ignored`` (200 and the whole), ``range_wrong`` (206 of another part), ``etag_changed``
            (another file meanwhile), ``unsatisfiable`` (416), ``corrupt`` (4 KiB in the middle are zero).

            Webhooks: ``lost``, ``duplicate``, ``bad_signature``, ``unsigned``, ``stale``, ``garbage``.
        on: Which requests.
        at: ``arrival``: when the headers have come and the body is unread; ``before``: when the request is read but
            not acted on, so that nothing is ever accepted; ``after``: when it has been acted on.
        part: Where in the answer: ``nothing`` of it sent, amid its ``head``, after its ``headers``, amid its ``body``
            (at ``share``), at its ``end``.
        status: The HTTP status of ``status``, ``redirect`` and ``expired``; 0 = 500, 302, 403.
        code: Of a refusal: a word of the harness's, such as ``rate_limited``, or one of the vendor's.
        body: What comes with a status: the ``vendor``'s own error, ``html``, or ``nothing``.
        retry_after: The header as it is sent, such as ``1``, ``soon`` or ``1000000000``; ``date+5`` and ``date-60``
            are written as HTTP dates, so many seconds from the vendor's now.
        seconds: Real seconds; 0 = an hour for ``hang``, a tenth of a second for ``slow``.
        size: Bytes; 0 = what suits the fault.
        share: Of the body, 0 to 1.
        location: Where a redirect leads.
        times: How often; None = for ever.
        skip: How many such requests go well first.
        probability: 0 to 1.
        match: Only requests whose path, query or body hold this text; at ``arrival`` the body is not looked at.
    """

    on: Kind = "any"
    at: At = "after"
    part: Literal["nothing", "head", "headers", "body", "end"] = "nothing"
    status: int = 0
    code: str = "unavailable"
    body: Literal["vendor", "html", "nothing"] = "vendor"
    retry_after: str | None = None
    seconds: float = 0.0
    size: int = 0
    share: float = 0.5
    location: str = "http://169.254.169.254/latest/meta-data/"
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    match: str = ""

    def __post_init__(self) -> None:
        if self.what not in get_args(What):
            raise ValueError(f"what: {self.what!r} is none of {', '.join(get_args(What))}")
        only = "download" if self.what in OF_DOWNLOADS else "webhook" if self.what in OF_WEBHOOKS else self.on
        if self.on not in (only, "any") or (self.on == "webhook" and self.what not in OF_WEBHOOKS):
            raise ValueError(f"{self.what} is no fault of on={self.on!r}")
        if not 0 <= self.probability <= 1 or not 0 <= self.share <= 1:
            raise ValueError("probability and share are numbers from 0 to 1")

    def fits(self, kind: str) -> bool:
        """Whether it can happen to a request of that kind."""
        own = "download" if self.what in OF_DOWNLOADS else "webhook" if self.what in OF_WEBHOOKS else None
        if self.on not in (kind, "any"):
            return False
        return kind == own if own is not None else kind != "webhook"

    def __str__(self) -> str:
        part = "" if self.part == "nothing" else f" ({self.part})"
        return f"{self.what} {self.status or ''}".strip() + f" {self.at} {self.on}{part}"


class _Armed:
    """A fault and how often it may still strike."""

    def __init__(self, fault: Fault, place: int) -> None:
        self.fault = fault
        self.place = place
        self.skip = fault.skip
        self.left = fault.times


class FaultPlan:
    """Which request meets which fault; the first that fits strikes.

    Args:
        seed: Decides every chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._armed: list[_Armed] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._armed)

    def add(self, *faults: Fault) -> None:
        """Arm faults, behind those that are armed already."""
        for fault in faults:
            self._armed.append(_Armed(fault, self._added))
            self._added += 1

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()
        self._added = 0

    def choose(self, kind: str, ordinal: int, text: str, at: Sequence[At]) -> Fault | None:
        """The fault that a request meets.

        Args:
            kind: What the request is for.
            ordinal: The how-manieth of its kind it is, from 1.
            text: Its path, query and body.
            at: The moments that are asked about.
        """
        for armed in self._armed:
            fault = armed.fault
            if not fault.fits(kind) or fault.at not in at or fault.match not in text:
                continue
            if armed.skip > 0:
                armed.skip -= 1
                continue
            if fault.probability < 1 and self._chance(armed.place, kind, ordinal) >= fault.probability:
                continue
            if armed.left is not None:
                armed.left -= 1
                if armed.left <= 0:
                    self._armed.remove(armed)
            return fault
        return None

    def _chance(self, place: int, kind: str, ordinal: int) -> float:
        return Random(f"{self.seed}/{place}/{kind}/{ordinal}").random()


def _rates(kind: Kind, **chances: float) -> tuple[Fault, ...]:
    """Faults of one kind of request, from ``what_at=probability``."""
    return tuple(
        msgspec.structs.replace(_SHORT[name], on=kind, times=None, probability=chance)
        for name, chance in chances.items()
    )


_SHORT = {
    "reset_arrival": Fault("reset", at="arrival"),
    "reset_before": Fault("reset", at="before"),
    "reset_after": Fault("reset"),
    "reset_head": Fault("reset", part="head"),
    "reset_body": Fault("reset", part="body"),
    "close_after": Fault("close"),
    "hang": Fault("hang", seconds=0.5),
    "error_before": Fault("status", status=500, at="before"),
    "error_after": Fault("status", status=500),
    "unavailable_before": Fault("status", status=503, at="before"),
    "gateway_after": Fault("status", status=504, body="html"),
    "limit": Fault("status", status=429, at="before", retry_after="0"),
    "invalid_json": Fault("invalid_json"),
    "html": Fault("html"),
    "empty": Fault("empty"),
    "truncated": Fault("truncated"),
    "cut": Fault("cut"),
    "short_length": Fault("short_length"),
    "range_ignored": Fault("range_ignored"),
    "range_wrong": Fault("range_wrong"),
    "etag_changed": Fault("etag_changed"),
}

PROFILES: dict[str, tuple[Fault, ...]] = {
    "calm": (),
    # about a third of all requests break, in every way that a network and a vendor have
    "storm": (
        *_rates("create", reset_arrival=0.03, reset_before=0.04, reset_after=0.06, reset_head=0.03, close_after=0.03,
                error_before=0.02, error_after=0.04, gateway_after=0.03, limit=0.04, invalid_json=0.02, empty=0.02),
        *_rates("poll", reset_before=0.04, reset_body=0.03, error_before=0.05, unavailable_before=0.05, limit=0.05,
                invalid_json=0.03, html=0.03, empty=0.02, truncated=0.02),
        *_rates("list", reset_before=0.05, error_before=0.10, limit=0.05, html=0.03),
        *_rates("cancel", reset_after=0.05, error_after=0.05, limit=0.05),
        *_rates("upload", reset_before=0.05, error_before=0.05),
        *_rates("download", reset_body=0.08, truncated=0.06, cut=0.04, short_length=0.03, unavailable_before=0.04,
                range_ignored=0.04, range_wrong=0.03, etag_changed=0.02),
    ),
    "outage": (Fault("status", status=503, at="before", times=None),),
}  # fmt: skip
"""Named sets of faults for ``inject_profile``."""
