"""What a request will cost: price rules applied to a resolved request, itemised, exact, in US dollars.

Money is `Decimal` from the data file to the quote. An unknown price is None, never zero and never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

import msgspec

from .capabilities import Fit, frame_size, resolve
from .errors import RequestError, UnsupportedRequestError
from .request import VideoRequest, shown_value
from .spec import Mode, ModelSpec, Price, Span

__all__ = [
    "STALE_AFTER_DAYS",
    "PriceIndex",
    "Quote",
    "QuoteLine",
    "Tailor",
    "bounds",
    "estimate",
    "max_duration",
    "money",
    "quote",
    "tidy",
    "unfit",
]

STALE_AFTER_DAYS = 180
"""Prices read longer ago than this warn."""

_UNITS = {
    "second": "s",
    "video": "video",
    "image": "input image",
    "input_second": "s of input",
    "prompt_token": "token",
    "megapixel": "megapixel",
    "gpu_second": "GPU s",
}
_BY_SOURCE = ("second", "input_second", "megapixel")  # may depend on how long the source clip is
_ZERO = Decimal(0)
_PER_OUTPUT = ("second", "video", "megapixel", "gpu_second")
_CENT = Decimal("0.01")
_MICRO = Decimal("0.000001")
_PICO = 10**12
_MOST = 10**12  # US dollars, of a limit


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a quote: ``quantity`` x ``unit_price`` = ``low``..``high``, in USD."""

    label: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    low: Decimal
    high: Decimal


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """An itemised estimate; not a promise by the vendor.

    Attributes:
        offer: ``provider/name``.
        amount: The expected charge in ``currency``; None when the price is unknown.
        low: Least it can be.
        high: Most it can be; budgets and ``max_cost`` are held against this.
        currency: Always ``USD``.
        lines: What it is made of.
        as_of: When the oldest price in it was read.
        source: Where.
        notes: Warnings: stale prices, assumptions, why it is unknown.
    """

    offer: str
    amount: Decimal | None
    low: Decimal | None
    high: Decimal | None
    currency: str = "USD"
    lines: tuple[QuoteLine, ...] = ()
    as_of: date | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a price at all."""
        return self.high is not None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; amounts are strings."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def __str__(self) -> str:
        if self.amount is None or self.low is None or self.high is None:
            return "unknown"
        if self.low == self.high:
            return f"${self.amount:f}"
        return f"${self.low:f} to ${self.high:f}"


class _Charge(NamedTuple):
    price: Price
    quantity: tuple[Decimal, Decimal]
    usd: tuple[Decimal, Decimal]


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))


def money(value: Any, *, field: str = "max_cost") -> Decimal | None:
    """A user's amount of US dollars as a `Decimal`.

    Raises:
        RequestError: Not a finite number, or negative.
    """
    if value is None:
        return None
    try:
        amount = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value).strip().removeprefix("$"))
    except Exception as error:  # a foreign object may raise anything
        raise RequestError(
            f"{field}: expected an amount in US dollars, got {shown_value(value)}.", hint=f"Write {field}='1.50'."
        ) from error
    if not amount.is_finite() or not 0 <= amount < _MOST:
        raise RequestError(f"{field}: expected an amount from 0 to {_MOST:,} US dollars, got {shown_value(value)}.")
    return amount


def _applies(price: Price, spec: ModelSpec, request: VideoRequest) -> bool:
    if price.resolutions and request.resolution not in price.resolutions:
        return False
    if price.audio is not None and price.audio != bool(request.audio):
        return False
    if price.durations and request.duration not in price.durations:
        return False
    if price.tasks and request.task not in price.tasks:
        return False
    if not price.options:
        return True
    given = request.options.get(spec.provider, {})
    for name, wanted in price.options.items():
        option = spec.options.get(name)
        if given.get(name, option.default if option else None) != wanted:
            return False
    return True


def _seconds(spec: ModelSpec, request: VideoRequest) -> tuple[Decimal, Decimal] | None:
    """Seconds of output, least and most; from the source clip where the length follows it."""
    if request.duration is not None:
        seconds = _decimal(request.duration)
        return seconds, seconds
    return _source_seconds(spec, request)


def _source_seconds(spec: ModelSpec, request: VideoRequest) -> tuple[Decimal, Decimal] | None:
    clip = request.video
    if clip is None:
        return None
    if clip.duration is not None:
        seconds = _decimal(clip.duration)
        return seconds, seconds
    if spec.video.max_duration is not None:
        return _decimal(spec.video.min_duration or 0.0), _decimal(spec.video.max_duration)
    return None


def _quantity(price: Price, spec: ModelSpec, request: VideoRequest) -> tuple[Decimal, Decimal] | None:
    """How many units the price applies to, least and most; None when that cannot be known."""
    if price.unit == "video":
        return Decimal(1), Decimal(1)
    if price.unit == "image":
        images = Decimal((request.image is not None) + (request.last_frame is not None) + len(request.reference_images))
        return images, images
    if price.unit == "prompt_token":
        return Decimal(len(request.prompt.split())), Decimal(len(request.prompt.encode()))
    if price.unit == "input_second":
        return (Decimal(0), Decimal(0)) if request.video is None else _source_seconds(spec, request)
    seconds = _seconds(spec, request)
    if seconds is None or price.unit == "second":
        return seconds
    if price.unit == "gpu_second":
        if price.gpu_seconds is None:
            return None
        return seconds[0] * price.gpu_seconds[0], seconds[1] * price.gpu_seconds[1]
    size, fps = frame_size(spec, request), request.fps or spec.output_fps
    if size is None or fps is None:
        return None
    per_second = Decimal(size[0] * size[1]) / 1_000_000 * _decimal(fps)
    return seconds[0] * per_second, seconds[1] * per_second


def _charge(price: Price, spec: ModelSpec, request: VideoRequest) -> _Charge | None:
    quantity = _quantity(price, spec, request)
    if quantity is None:
        return None
    low, high = quantity
    if price.round_up:
        low, high = low.to_integral_value(ROUND_CEILING), high.to_integral_value(ROUND_CEILING)
    if request.count > 1 and price.unit in _PER_OUTPUT:
        low, high = low * request.count, high * request.count
    if price.free:
        low, high = max(low - price.free, _ZERO), max(high - price.free, _ZERO)
    cheap, dear = low * (price.amount if price.low is None else price.low), high * price.amount
    if price.minimum is not None:
        cheap, dear = max(cheap, price.minimum), max(dear, price.minimum)
    if price.credit_usd is not None:
        cheap, dear = cheap * price.credit_usd, dear * price.credit_usd
    # Rounded up to a millionth here, so that lines add up to the total and `bounds` and `quote` agree.
    return _Charge(price, (low, high), (tidy(cheap), tidy(dear)))


def _charges(spec: ModelSpec, request: VideoRequest) -> Iterator[_Charge | None]:
    """The charges of a resolved request; a None among them means that the price is unknown."""
    base_found = False
    for price in spec.prices:
        if (price.kind == "base" and base_found) or not _applies(price, spec, request):
            continue
        base_found = base_found or price.kind == "base"
        yield _charge(price, spec, request)
    if not base_found:
        yield None


def bounds(spec: ModelSpec, request: VideoRequest) -> tuple[Decimal, Decimal] | None:
    """The least and the most a resolved request can cost, in USD, or None when unknown: `quote` without its lines."""
    low = high = _ZERO
    for charge in _charges(spec, request):
        if charge is None:
            return None
        low += charge.usd[0]
        high += charge.usd[1]
    return tidy(low), tidy(high)


def unfit(spec: ModelSpec) -> Iterator[tuple[Price, str]]:
    """The prices of an offer that no request can come to, each with why; its modes may have been read elsewhere."""
    for price in spec.prices:
        modes = [mode for mode in spec.modes if not price.tasks or set(price.tasks) & set(mode.tasks)]
        if not modes:
            yield price, f"it does none of {', '.join(price.tasks)}"
            continue
        for field in ("resolutions", "durations"):
            wanted = getattr(price, field)
            if wanted and not any(value in getattr(mode, field) for mode in modes for value in wanted):
                yield price, f"it has none of the {field} {', '.join(map(str, wanted))}"
                break
        else:
            if price.audio is not None and not any(price.audio in mode.audio for mode in modes):
                yield price, "it is never with sound" if price.audio else "it is never silent"
            elif price.unit in ("second", "gpu_second", "megapixel") and not any(map(_is_timed, modes)):
                yield price, "how long its clips are cannot be set, nor told before"


def _is_timed(mode: Mode) -> bool:
    """Whether the length of a clip is known before: it can be set, or follows a source clip."""
    return bool(mode.durations) or any("video" in (*mode.required(task), *mode.allows) for task in mode.tasks)


class PriceIndex:
    """The high end of `bounds` for many offers, in whole millionths of a dollar.

    Conditions that are equal are tested once per request, and a plain rate is multiplied as an integer: exact, and
    many times faster than a `Decimal`. An offer with any other kind of rule is asked through `bounds`.
    """

    def __init__(self, offers: Sequence[ModelSpec]) -> None:
        self._offers = offers
        self._conditions: dict[Any, int] = {}
        self._samples: list[Price] = []  # a price with the conditions of each number
        self._rules = [self._plain_rules(spec) for spec in offers]

    def _plain_rules(self, spec: ModelSpec) -> list[tuple[int, bool, int]] | None:
        """Rules that are only a condition and a rate: the condition's number, whether it is per second, and 10^-12
        dollars a unit. None when the offer has any other kind."""
        rules = []
        for price in spec.prices:
            odd = price.kind != "base" or price.minimum is not None or price.free or price.round_up or price.options
            rate = price.amount * (price.credit_usd or 1) * _PICO
            if odd or price.unit not in ("second", "video") or rate != int(rate):
                return None
            key = price.tasks, price.resolutions, price.durations, price.audio
            number = self._conditions.setdefault(key, len(self._conditions))
            if number == len(self._samples):
                self._samples.append(price)
            rules.append((number, price.unit == "second", int(rate)))
        return rules

    def asking(self, request: VideoRequest) -> Callable[[int], int | None]:
        """What a resolved request costs at most at an offer, by position, in millionths; None when unknown."""
        holds: dict[int, bool] = {}
        seconds = None if request.duration is None else _decimal(request.duration) * 1_000_000
        duration = None if seconds is None or seconds != int(seconds) else int(seconds)
        count = request.count

        def at(position: int) -> int | None:
            rules = self._rules[position]
            if rules is None:
                return _micro(bounds(self._offers[position], request))
            for condition, per_second, rate in rules:
                if condition not in holds:
                    holds[condition] = _applies(self._samples[condition], self._offers[position], request)
                if not holds[condition]:
                    continue
                if not per_second:
                    return -(-rate * count // 1_000_000)
                if duration is None:  # it follows a source clip, or is finer than a microsecond
                    return _micro(bounds(self._offers[position], request))
                return -(-rate * duration * count // 1_000_000_000_000)
            return None

        return at


def _micro(cost: tuple[Decimal, Decimal] | None) -> int | None:
    return None if cost is None else int(cost[1].scaleb(6).to_integral_value(ROUND_CEILING))


def quote(spec: ModelSpec, request: VideoRequest, *, today: date | None = None) -> Quote:
    """Price a request that is already resolved.

    Args:
        spec: The offer.
        request: A request whose defaults are filled in.
        today: To warn of stale prices.
    """
    charges = list(_charges(spec, request))
    known = [charge for charge in charges if charge is not None]
    read, source = min(
        ((c.price.as_of or spec.as_of, c.price.source or spec.source) for c in known), default=(spec.as_of, spec.source)
    )
    if len(known) < len(charges):
        why = "its list has none for this request" if spec.prices else "none is published"
        if any(_applies(price, spec, request) and _quantity(price, spec, request) is None for price in spec.prices):
            why = "how much of what is paid for it will make cannot be told before"
        note = f"The price of {spec.id} is unknown: {why}. You can add one in videogen.toml."
        return Quote(offer=spec.id, amount=None, low=None, high=None, as_of=read, source=source, notes=(note,))
    notes = []
    if today is not None and (today - read).days > STALE_AFTER_DAYS:
        notes.append(f"The price was read on {read}, {(today - read).days} days ago; check it at {source}.")
    if any(c.price.unit in _BY_SOURCE and c.quantity[0] != c.quantity[1] for c in known):
        notes.append("The length of the source clip is not known; the high end is for the longest one allowed.")
    low, high = tidy(sum((c.usd[0] for c in known), _ZERO)), tidy(sum((c.usd[1] for c in known), _ZERO))
    return Quote(
        offer=spec.id,
        amount=high,
        low=low,
        high=high,
        lines=tuple(_line(charge, request) for charge in known if any(charge.usd) or charge.price.kind == "base"),
        as_of=read,
        source=source,
        notes=tuple(notes),
    )


def _line(charge: _Charge, request: VideoRequest) -> QuoteLine:
    price = charge.price
    label = price.label or ("surcharge" if price.kind == "surcharge" else _default_label(price, request))
    return QuoteLine(
        label=label,
        quantity=tidy(charge.quantity[1]),
        unit=_UNITS[price.unit],
        unit_price=tidy(price.amount * (price.credit_usd or 1)),
        low=charge.usd[0],
        high=charge.usd[1],
    )


def _default_label(price: Price, request: VideoRequest) -> str:
    words = [request.resolution] if request.resolution else []
    if request.audio is not None:
        words.append("with audio" if request.audio else "silent")
    if price.unit == "video" and request.duration is not None:
        words.append(f"{request.duration:g} s")
    return " ".join(words) or "video"


def tidy(amount: Decimal) -> Decimal:
    """An amount for people: rounded up to a millionth, with at least two decimals kept: 0.8 -> 0.80."""
    cents = amount.quantize(_CENT, ROUND_CEILING)
    if cents == amount:
        return cents
    return amount.quantize(_MICRO, ROUND_CEILING).normalize()


def estimate(spec: ModelSpec, request: VideoRequest, *, fit: Fit = "exact", today: date | None = None) -> Quote:
    """Resolve a request against an offer and price it.

    Raises:
        UnsupportedRequestError: The model cannot do it.
    """
    return quote(spec, resolve(spec, request, fit).request, today=today)


Tailor = Callable[[ModelSpec, VideoRequest], ModelSpec]
"""Gives an offer the prices and the latency that it has for a resolved request; see `Provider.tailored`."""


def max_duration(
    spec: ModelSpec, request: VideoRequest, budget: Decimal, *, tailor: Tailor | None = None
) -> float | None:
    """The longest clip, in seconds, whose high estimate is within ``budget``; None when none is.

    Raises:
        RequestError: The price of the model is unknown, the budget is no amount, or no length can be chosen.
        UnsupportedRequestError: The model cannot do the rest of the request.
    """
    limit = money(budget, field="max_cost")
    if limit is None:
        raise RequestError("max_cost: say how much the clip may cost.", hint="Write max_cost='1.50'.")
    longest: float | None = None
    priced = False
    for mode in spec.modes:
        for seconds in _durations_down(mode.durations):
            if longest is not None and seconds <= longest:
                break
            try:
                resolved = resolve(spec, msgspec.structs.replace(request, duration=seconds))
            except UnsupportedRequestError:
                continue
            offered = spec if tailor is None else tailor(spec, resolved.request)
            cost = bounds(offered, resolved.request)
            if cost is None:
                continue
            priced = True
            if cost[1] <= limit:
                longest = seconds
                break
    if not priced:
        rest = resolve(spec, msgspec.structs.replace(request, duration=None))  # says what else is wrong
        if rest.request.duration is None:
            raise RequestError(f"{spec.id} takes no duration for {request.task.value}: the length follows its input.")
        raise RequestError(
            f"The price of {spec.id} is unknown, so no length can be said.", hint="Add its price in videogen.toml."
        )
    return longest


def _durations_down(values: tuple[float, ...] | Span) -> Iterator[float]:
    """Every duration from the longest down; a continuous span in tenths of a second."""
    if not isinstance(values, Span):
        yield from sorted(values, reverse=True)
        return
    step = values.step or 0.1
    top = values.min + int((values.max - values.min) / step + 1e-9) * step
    if values.step is None and values.max > top + 1e-9:
        yield values.max
    for index in range(int((values.max - values.min) / step + 1e-9), -1, -1):
        yield round(values.min + index * step, 6)
