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
        """`WebhookError` and no other exception: unsigned, changed, old, garbage, of other encodings."""
        for what, (headers, body) in _forged(*await _delivery(rig)):
            try:
                rig.provider.notice(headers, body, rig.environment, {})
            except WebhookError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"A delivery that is {what} raises {type(error).__name__}, not WebhookError."
                ) from error
            raise AssertionError(f"A delivery that is {what} is taken for genuine.")


async def _delivery(rig: Rig) -> Delivery:
    """A genuine delivery about a job that is done."""
    if type(rig.provider).notice is Provider.notice:
        pytest.skip("the provider takes no webhooks")
    async with rig.client() as client:
        await rig.submit(client)
    body = rig.emulator.webhook_body(rig.jobs[0])
    signed = rig.emulator.webhook_headers("msg_1", int(time.time()), body)
    return {name.lower(): value for name, value in signed.items()}, body


def _forged(headers: Mapping[str, str], body: bytes) -> Iterator[tuple[str, Delivery]]:
    yield "unsigned", ({}, body)
    yield "changed", (headers, body + b" ")
    yield "empty", (headers, b"")
    yield "no text", (headers, b"\xff\xfe")
    for name, value in headers.items():
        yield f"without {name}", ({k: v for k, v in headers.items() if k != name}, body)
        for other in ("", "v1", "v1,a,b", "v1,!!!", "Ω", "-1", "9" * 40, value[::-1] + "x"):
            yield f"signed with {name}: {other[:20]}", ({**headers, name: other}, body)
