"""The vendor's webhooks: genuine ones are understood, and whatever else a stranger sends is refused in one way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pytest

from videogen_core import Provider, WebhookError

from .rig import Rig
from .suite import Suite

__all__ = ["Notices"]

Delivery = tuple[Mapping[str, str], bytes]


class Notices(Suite):
    """Where the provider has ``notice``."""

    async def test_a_genuine_delivery_names_its_job(self, rig: Rig) -> None:
        """As the emulator signs it."""
        headers, body = await _delivery(rig)
        notice = rig.provider.notice(headers, body, rig.environment, {})
        job = rig.creates[0].job
        assert notice.provider_job_id in (job, None), f"The delivery is about {job}, not {notice.provider_job_id}."

    async def test_any_other_delivery_is_refused(self, rig: Rig) -> None:
        """`WebhookError` and no other exception: unsigned, changed, old, garbage, of other encodings.

        Where the vendor signs nothing, so that no delivery can be told from another: what comes without the reference
        of the very attempt, or with a wrong one.
        """
        headers, body = await _delivery(rig)
        if not rig.provider.signed_webhooks:
            assert not headers, "The emulator signs deliveries, so signed_webhooks is not False."
            await self._counts_only_with_its_reference(rig, body)
        for what, forged in _forged(headers, body, signed=rig.provider.signed_webhooks):
            try:
                rig.provider.notice(*forged, rig.environment, {})
            except WebhookError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"A delivery that is {what} raises {type(error).__name__}, not WebhookError."
                ) from error
            raise AssertionError(f"A delivery that is {what} is taken for genuine.")

    async def _counts_only_with_its_reference(self, rig: Rig, body: bytes) -> None:
        async with rig.client() as client:
            before = len(rig.emulator.journal.entries())
            for reference in (None, "0" * 32):
                with pytest.raises(WebhookError):
                    await client.webhook(rig.provider.name, headers={}, body=body, reference=reference)
            assert len(rig.emulator.journal.entries()) == before, (
                "A delivery without its reference had the vendor asked."
            )


async def _delivery(rig: Rig) -> Delivery:
    """A genuine delivery about a job that is done."""
    if type(rig.provider).notice is Provider.notice:
        pytest.skip("the provider takes no webhooks")
    async with rig.client() as client:
        await rig.submit(client)
    body = rig.emulator.webhook_body(rig.jobs[0])
    signed = rig.emulator.webhook_headers("msg_1", int(time.time()), body)
    return {name.lower(): value for name, value in signed.items()}, body


def _forged(headers: Mapping[str, str], body: bytes, *, signed: bool) -> Iterator[tuple[str, Delivery]]:
    if signed:
        yield "unsigned", ({}, body)
        yield "changed", (headers, body + b" ")
    yield "empty", (headers, b"")
    yield "no text", (headers, b"\xff\xfe")
    for name, value in headers.items():
        yield f"without {name}", ({k: v for k, v in headers.items() if k != name}, body)
        for other in ("", "v1", "v1,a,b", "v1,!!!", "Ω", "-1", "9" * 40, value[::-1] + "x"):
            yield f"signed with {name}: {other[:20]}", ({**headers, name: other}, body)
