"""A process that buys clips until its budgets refuse: ``python ledger_load.py LOCATION NUMBER JOBS SEED``.

It prints one line for each job as soon as its outcome is known, so that what it has said is true even if it is killed:
``granted 0.0123 seconds, scope``, ``refused …`` or ``settled …``.
"""

from __future__ import annotations

import random
import sys
import time

from ledgers import accept, begun, event, record, succeed
from videogen_core import BudgetExceededError
from videogen_core.engine.worker import LEASE, Worker
from videogen_core.ledger import open_ledger

# What a job may be: its offer and its tags. The last is within the second, and that within everything.
KINDS = (("blue/boat", {}), ("acme/paper", {}), ("acme/paper", {"team": "ads"}))


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(location: str, place: int, jobs: int, seed: int) -> None:
    ledger, dice = open_ledger(location), random.Random(f"{seed}/{place}")
    worker = Worker(ledger)
    tell("ready")
    sys.stdin.readline()
    for number in range(jobs):
        kind = dice.randrange(len(KINDS))
        offer, tags = KINDS[kind]
        job = record(f"{place}-{number}", tags=tags)
        ledger.create(job, event(job))
        claim = ledger.claim(job.id, worker.id, worker.driver(), LEASE)
        assert claim is not None
        began = time.perf_counter()
        try:
            job, _ = ledger.begin(begun(job, offer=offer), event(job, "submitting"), fence=claim.fence)
        except BudgetExceededError:
            tell("refused", time.perf_counter() - began, kind)
            continue
        tell("granted", time.perf_counter() - began, kind)
        job = ledger.save(accept(job, job.id), event(job, "accepted"), fence=claim.fence)
        ledger.save(succeed(job), event(job, "succeeded"), fence=claim.fence)
        tell("settled", 0, kind)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
