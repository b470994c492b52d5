"""Answers that are no answers, made of the vendor's own: whatever they say, the plugin says one of our errors."""

from __future__ import annotations

import time
from typing import Any

import anyio

from videogen_core import ProviderError, Session, Snapshot
from videogen_core.engine import answers, watching

from ..faults import Fault
from .rig import Rig
from .suite import Suite

__all__ = ["Parsing"]

_POLLS, _CREATES = 120, 40
_SECONDS = 2.0  # of patience with one answer; reading it takes milliseconds


class Parsing(Suite):
    """The readers of the plugin, and of its vendor's SDK."""

    async def test_a_broken_answer_to_a_poll_is_an_error_of_ours(self, rig: Rig) -> None:
        """Bytes and values changed at random, of a job that runs and of one that is done; then a good one is read."""
        async with rig.client() as client:
            for script in ({"running": 1_000_000.0}, {}):
                rig.vendor.calm()
                rig.script(**script)
                job = await rig.submit(client)
                known = watching.provider_job(job.record, rig.case.spec)
                session = await rig.session(client)
                for number in range(_POLLS // 2):
                    rig.vendor.calm()
                    rig.vendor.inject(Fault("mutated", on="poll", size=number))
                    await _poll(session, known, number)
                rig.vendor.calm()
                assert isinstance(await session.poll(known), Snapshot), "After broken answers a good one is not read."
                await session.close()

    async def test_a_broken_answer_to_a_create_is_never_a_refusal(self, rig: Rig) -> None:
        """The vendor has accepted: without a usable id nobody knows, and each create is sent once."""
        async with rig.client() as client:
            session = await rig.session(client)
            for number in range(_CREATES):
                rig.vendor.calm()
                rig.vendor.inject(Fault("mutated", on="create", size=number))
                before = len(rig.creates)
                await _create(rig, session, number)
                sent = len(rig.creates) - before
                assert sent == 1, f"Broken answer {number}: {sent} creates were sent, one was expected."
            await session.close()


async def _poll(session: Session, job: Any, number: int) -> None:
    began = time.monotonic()
    try:
        answers.snapshot(await session.poll(job))
    except ProviderError:
        pass
    except Exception as error:
        raise AssertionError(
            f"Broken answer {number} to a poll raised {type(error).__name__}: {str(error)[:300]} Raise "
            "ProviderProtocolError for what cannot be read: Answer.json(Type) does, and an SDK's call belongs in a try."
        ) from error
    took = time.monotonic() - began
    assert took < _SECONDS, f"Broken answer {number} to a poll held the plugin for {took:.1f} s."


async def _create(rig: Rig, session: Session, number: int) -> None:
    call = await rig.call(session)
    refused = False
    try:
        with anyio.fail_after(_SECONDS + call.timeout):
            answers.submission(await session.submit(call))
    except ProviderError as error:
        refused = error.accepted is False
    except Exception as error:
        raise AssertionError(
            f"Broken answer {number} to a create raised {type(error).__name__}: {str(error)[:300]} Raise "
            "ProviderProtocolError, whose accepted is None, for what cannot be read. Answer.id() checks the id."
        ) from error
    assert not refused, f"Broken answer {number} to a create that was accepted is called a refusal (accepted=False)."
