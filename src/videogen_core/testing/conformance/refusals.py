"""Creates that the vendor refuses: an error of the right class, nothing charged, nothing sent twice."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass

import pytest

from videogen_core import (
    AuthenticationError,
    ContentPolicyError,
    InsufficientCreditsError,
    PermissionDeniedError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
    VideogenError,
)

from ..faults import Fault
from .rig import KEY, Rig
from .suite import Suite, each

__all__ = ["Refusals", "sound"]


@dataclass(frozen=True)
class _Refused:
    """A status, and the classes that it may mean: the first as HTTP has it, the others as vendors refine it."""

    status: int
    kinds: tuple[type[ProviderError], ...]

    @property
    def id(self) -> str:
        return str(self.status)


_REFUSED = (
    _Refused(
        400,
        (
            RejectedRequestError,
            ContentPolicyError,
            AuthenticationError,
            InsufficientCreditsError,
            PermissionDeniedError,
        ),
    ),
    _Refused(401, (AuthenticationError,)),
    _Refused(402, (InsufficientCreditsError,)),
    _Refused(403, (PermissionDeniedError, AuthenticationError, InsufficientCreditsError, ContentPolicyError)),
    _Refused(404, (RejectedRequestError, PermissionDeniedError)),
    _Refused(422, (RejectedRequestError, ContentPolicyError)),
    _Refused(429, (RateLimitError, InsufficientCreditsError)),
)


class Refusals(Suite):
    """The vendor's plain no."""

    @each("refused", lambda suite: _REFUSED)
    async def test_a_refused_create_costs_nothing(self, rig: Rig, refused: _Refused) -> None:
        """As the vendor words it, before it has acted; only 429 may be sent again."""
        times = None if refused.status == 429 else 1
        rig.vendor.inject(Fault("status", on="create", at="before", status=refused.status, times=times))
        async with rig.client(patience=20.0) as client:
            await rig.limit(client)
            with pytest.raises(VideogenError) as caught:
                await rig.generate(client)
            job = await rig.only_job(client)
            held, settled = await rig.booked(client)
        said = f"A create answered with {refused.status}"
        error = caught.value
        assert isinstance(error, refused.kinds), (
            f"{said} raised {type(error).__name__}: {error.message} Expected {refused.kinds[0].__name__}; "
            "Answer.error() or error_for_status() picks it."
        )
        assert error.charged is not True, f"{said} says that it was charged."
        assert (job.status, rig.created) == ("failed", 0), f"{said} left the job {job.status}: accepted must be False."
        assert refused.status == 429 or len(rig.creates) == 1, f"{said} was sent {len(rig.creates)} times."
        assert held + settled == 0, f"{said}: ${held} held, ${settled} booked."
        assert error.status_code == refused.status, f"{said}: status_code is {error.status_code}."
        sound(error)

    async def test_a_limit_is_waited_out(self, rig: Rig) -> None:
        """429 with ``Retry-After``, and then all is well: one job, and not a moment too early."""
        rig.vendor.inject(Fault("status", on="create", at="before", status=429, retry_after="7"))
        async with rig.client() as client:
            result = await rig.generate(client)
        assert rig.created == 1, f"{rig.created} jobs were made."
        times = [entry.time for entry in rig.creates]
        assert len(times) == 2, f"After a 429 with Retry-After: 7 there were {len(times)} creates, two were expected."
        waited = times[1] - times[0]
        assert waited >= 6.9, (
            f"Retry-After: 7 was not obeyed, {waited:.1f} s were waited. Set retry_after on the error."
        )
        assert rig.whose(result.path)["job"] == rig.creates[1].job

    async def test_an_unreachable_vendor_is_asked_again(self, rig: Rig) -> None:
        """Connection refused: nothing was sent, so it may be sent again, and there is one job."""
        heard: list[str] = []

        def listen(event: object) -> None:
            heard.append(getattr(event, "type", ""))
            if heard[-1] == "retrying" and heard.count("retrying") == 1:
                rig.vendor.start()

        rig.vendor.stop()
        try:
            async with rig.client(patience=600.0) as client:
                try:
                    result = await rig.generate(client, on_event=listen)
                except VideogenError as error:
                    raise AssertionError(
                        f"A vendor that cannot be reached is not asked again: {type(error).__name__}: {error.message} "
                        "Nothing was sent, so raise ProviderUnavailableError with accepted=False; unavailable() does."
                    ) from error
        finally:
            if "retrying" not in heard:
                rig.vendor.start()
        rig.one_create("A vendor that could not be reached at first")
        assert rig.whose(result.path)["job"] == rig.creates[0].job

    async def test_a_vendor_that_stays_away_is_reported(self, rig: Rig) -> None:
        """It ends when patience does, with nothing held."""
        rig.vendor.stop()
        try:
            async with rig.client(patience=1.0) as client:
                with pytest.raises(ProviderUnavailableError) as caught:
                    await rig.generate(client)
                job = await rig.only_job(client)
        finally:
            rig.vendor.start()
        assert job.status == "failed", f"The job is {job.status}; accepted must be False when no connection was made."
        sound(caught.value)


def sound(error: VideogenError) -> None:
    """Check what every error is: worth reading, picklable, plain JSON, and without a key."""
    name = type(error).__name__
    assert len(error.message) > 15, f"{name}: the message says little: {error.message!r}"
    copy = pickle.loads(pickle.dumps(error))
    assert copy.__dict__ == error.__dict__, f"{name} is another one after pickling."
    assert copy.args == error.args, f"{name} is another one after pickling."
    told = json.dumps(error.to_dict())
    for place, text in (
        ("its text", str(error)),
        ("its repr", repr(error)),
        ("to_dict()", told),
        ("pickle", repr(copy)),
    ):
        assert KEY not in text, f"{name}: the key shows in {place}."
