"""A process that is killed at the worst moment: what it had begun is finished by the next one."""

from __future__ import annotations

import subprocess
import time

from videogen_core import VideogenError

from .rig import CHILD_SECONDS, Rig
from .suite import Suite

__all__ = ["Killed"]


class Killed(Suite):
    """SIGKILL once the vendor has accepted."""

    async def test_a_killed_process_loses_nothing(self, rig: Rig) -> None:
        """Another process resumes the job: the clip comes, and nothing was paid for twice."""
        rig.hold(running=1_000_000.0)
        command = ["generate", *rig.command_arguments(), f"--output={rig.output()}", "--quiet"]
        child = rig.start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            accepted = _accepted(rig, child)
        finally:
            child.kill()
            printed, _ = child.communicate()
        assert accepted, f"No job was accepted and recorded within {CHILD_SECONDS:g} s. videogen said:\n{printed}"
        rig.let_go(1_000_000)
        async with rig.client() as client:
            (result,) = await client.resume(timeout=60.0)
        if isinstance(result, VideogenError):
            raise AssertionError(
                f"The job of a killed process cannot be resumed: {result} All that poll() needs must be in "
                "Submission.handle, as plain JSON; nothing may be kept in the session."
            ) from result
        rig.one_create("A job whose process was killed")
        assert rig.whose(result.path)["job"] == rig.creates[0].job


def _accepted(rig: Rig, child: subprocess.Popen[str]) -> bool:
    """Wait until the child has a job that the vendor has taken, and that is on record."""
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        if rig.created:
            with rig.sync_client() as client:
                if any(job.provider_job_id for job in client.jobs()):
                    return True
        time.sleep(0.02)
    return False
