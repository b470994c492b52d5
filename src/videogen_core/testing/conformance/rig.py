"""What a test works with: clients, the vendor, and what each of them knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from videogen_core import (
    AsyncClient,
    AsyncJob,
    Client,
    Media,
    Provider,
    Result,
    Session,
    SubmitCall,
    VideoRequest,
)
from videogen_core.capabilities import resolve
from videogen_core.engine.sessions import Sessions

from ..clips import owner
from ..emulator import Emulator
from ..faults import Fault
from ..journal import Entry
from ..lifecycle import Script
from ..server import ServerThread
from ..vendor import VendorJob
from .cases import Case
from .unwired import Answers, Workshop

if TYPE_CHECKING:
    from .suite import Suite

__all__ = ["KEY", "Rig"]

KEY = "cfm-7Qx2mZk9Lw4Tn8Rb3Vd6"
"""The key that the emulators of these tests take; long and odd enough to be found wherever it leaks to."""
CHILD_SECONDS = 60.0


class Rig:
    """The bench of one test.

    Args:
        suite: Whose test it is.
        vendor: The emulator, served; None where the suite has a workshop.
        folder: The test's own.
        patch: Undone when the test ends.
        test: Its name.
    """

    def __init__(
        self, suite: Suite, vendor: ServerThread | None, folder: Path, patch: pytest.MonkeyPatch, test: str = ""
    ) -> None:
        self.suite = suite
        self._vendor = vendor
        self._test = test
        self.folder = folder
        self.patch = patch
        self.home = folder / "home"
        self.notes: list[str] = []
        self._paths = [str(Path(path).absolute()) for path in sys.path if path]  # before anybody changes the folder
        self.own = {} if vendor is None else dict(vendor.emulator.environment())
        make = suite.workshop
        self._workshop = None if make is None else make(self.home)
        self._answers: Answers | None = None
        self.environment = {
            **self.own,
            "VIDEOGEN_HOME": str(self.home),
            "VIDEOGEN_CONFIG_DIR": str(folder / "config"),
            "VIDEOGEN_ALLOW_PRIVATE_ADDRESSES": "1",
            "VIDEOGEN_PROBE_IN_PROCESS": "1",
        }

    def note(self, text: str) -> None:
        """Something that a test left out, and why."""
        self.notes.append(text)

    # --- the provider

    @property
    def provider(self) -> Provider:
        """A fresh instance."""
        return self.suite.new_provider()

    @property
    def name(self) -> str:
        """Adapter id."""
        return self.provider.name

    @property
    def module(self) -> str:
        """Of the provider's class, which is where its hook is looked for."""
        return type(self.provider).__module__

    def client(self, **overrides: Any) -> AsyncClient:
        """An async client with this provider alone."""
        return AsyncClient(plugins=[self.provider], **overrides)

    def sync_client(self, **overrides: Any) -> Client:
        """The same, sync."""
        return Client(plugins=[self.provider], **overrides)

    async def session(self, client: AsyncClient) -> Session:
        """A session of the provider's own; close it."""
        return Sessions(client.settings, client.workspace.registry).get(self.name)

    async def overrides(self, method: str) -> bool:
        """Whether the provider's session has a method of its own in the place of `Session`'s."""
        async with self.client() as client:
            session = await self.session(client)
            await session.close()
        return getattr(type(session), method) is not getattr(Session, method)

    # --- requests

    @property
    def case(self) -> Case:
        """The cheapest request of all, without inputs where that can be."""
        found = self.suite.clips()
        assert found, "The provider has no live offer, so there is nothing to test."
        return min(found, key=lambda case: (len(case.inputs), case.size))

    def arguments(self, case: Case | None = None, **more: Any) -> dict[str, Any]:
        """Of ``generate``: prompt, media and all."""
        case = case or self.case
        chosen: dict[str, Any] = {"prompt": case.prompt, **case.arguments}
        for name in case.inputs:
            if name == "reference_images":
                numbers = range(case.references)
                chosen[name] = [self.suite.media(self, case.spec, case.task, name, number) for number in numbers]
            else:
                chosen[name] = self.suite.media(self, case.spec, case.task, name, 0)
        return {**chosen, **more}

    def output(self, name: str = "clip.mp4") -> Path:
        """Where a clip is to go."""
        return self.folder / name

    async def generate(self, client: AsyncClient, case: Case | None = None, **more: Any) -> Result:
        """Make a clip."""
        return await client.generate(**{"output": str(self.output()), "timeout": 60.0, **self.arguments(case, **more)})

    async def submit(self, client: AsyncClient, case: Case | None = None, **more: Any) -> AsyncJob:
        """Start one."""
        return await client.submit(**{"output": str(self.output()), **self.arguments(case, **more)})

    async def only_job(self, client: AsyncClient) -> AsyncJob:
        """The one job of the ledger."""
        jobs = await client.jobs()
        assert len(jobs) == 1, f"{len(jobs)} jobs are on record, one was expected"
        return jobs[0]

    async def call(self, session: Session) -> SubmitCall:
        """The cheapest create as the session is given it, prepared."""
        case = self.case
        arguments = {name: value for name, value in self.arguments(case).items() if name != "model"}
        request = resolve(case.spec, VideoRequest.make(**arguments)).request

        async def read(media: Media) -> bytes:
            return media.data or b""

        call = SubmitCall(spec=case.spec, request=request, client_ref=uuid.uuid4().hex, timeout=10.0, read=read)
        return replace(call, prepared=await session.prepare(call))

    # --- money

    async def limit(self, client: AsyncClient, case: Case | None = None) -> None:
        """Set a budget, so that holds can be seen; not for a clip of unknown price, which a budget keeps out."""
        if (await client.estimate(**self.arguments(case))).known:
            await client.set_budget("all", limit=1_000_000, period="total", timezone="UTC")

    async def booked(self, client: AsyncClient) -> tuple[Decimal, Decimal]:
        """USD of the budget that are held, and that are settled; nothing without one."""
        budgets = await client.budgets()
        return (budgets[0].held, budgets[0].settled) if budgets else (Decimal(0), Decimal(0))

    # --- the vendor, or the workshop in its place

    @property
    def unwired(self) -> bool:
        """Whether there is a workshop, and no vendor."""
        return self._vendor is None

    @property
    def vendor(self) -> ServerThread:
        """The emulator, served. Where there is none, the test ends here, as one that is excused."""
        if self._vendor is not None:
            return self._vendor
        why = self.suite.excused.get(self._test, "")
        assert why, (
            f"{self._test} needs a vendor's emulator. Where it cannot be asked of a provider without a wire, say so: "
            f'excused = {{"{self._test}": "why"}} in the suite.'
        )
        pytest.skip(why)

    @property
    def workshop(self) -> Workshop:
        """Where the clips are made; only without a vendor."""
        assert self._workshop is not None, "the suite has no workshop"
        return self._workshop

    def close(self) -> None:
        """Let go of what the test has held."""
        if self._workshop is not None:
            self._workshop.let_go()

    @property
    def charges(self) -> bool:
        """Whether the other side says by itself what it charges."""
        return not self.unwired and type(self.emulator).price is not Emulator.price

    def hold(self, **script: Any) -> None:
        """Let the next job not end before `let_go`; ``script`` is how a vendor is told."""
        self.workshop.hold() if self.unwired else self.script(**script)

    def let_go(self, seconds: float) -> None:
        """Let held jobs end; for a vendor, so many seconds pass."""
        self.workshop.let_go() if self.unwired else self.vendor.advance(seconds)

    def end(self, **script: Any) -> None:
        """Let the next job end badly."""
        if self.unwired and script.get("ending") == "failed" and not script.get("charged"):
            self.workshop.spoil()
        else:
            self.script(**script)

    @property
    def going(self) -> list[str]:
        """The jobs that have not ended, in words."""
        if self.unwired:
            return [f"job {entry.job}" for entry in self.creates if not self.workshop.ended(entry.job)]
        now = self.emulator.clock.now()
        return [made.look(now)[0] for made in self.jobs if made.cancelled is None]

    async def over(self) -> None:
        """Wait until the workshop has nothing left to do."""
        while self.going:  # noqa: ASYNC110 - a folder on disk tells nobody that it has changed
            await anyio.sleep(0.02)

    @property
    def leftovers(self) -> list[str]:
        """What is kept for jobs that are over."""
        return self.workshop.leftovers() if self.unwired else self.emulator.leftovers()

    async def lose(self, *faults: Fault, times: int | None = 1, hidden: bool = False) -> None:
        """Lose answers to creates; ``faults`` are how a vendor does it, the others how it goes without one."""
        if not self.unwired:
            self.vendor.inject(*faults)
            return
        if self._answers is None:
            async with self.client() as client:
                session = await self.session(client)
                await session.close()
            self._answers = Answers(type(session), self.name, self.patch)
        self._answers.lose(times=times, hidden=hidden)

    def calm(self) -> None:
        """From now on all goes well."""
        if not self.unwired:
            self.vendor.calm()
        elif self._answers is not None:
            self._answers.lose(times=0)

    @property
    def emulator(self) -> Emulator:
        """The vendor itself."""
        return self.vendor.emulator

    @property
    def jobs(self) -> list[VendorJob]:
        """What it has made for the plugin and has not forgotten, oldest first."""
        if self.unwired:
            return [self.workshop.made(entry) for entry in self.creates if entry.created]
        known = self.emulator.vendor.jobs
        return [known[entry.job] for entry in self.creates if entry.created and entry.job in known]

    @property
    def creates(self) -> list[Entry]:
        """The creates that it got."""
        return self.workshop.creates() if self.unwired else self.emulator.journal.entries("create")

    @property
    def created(self) -> int:
        """How many jobs were made."""
        return sum(entry.created for entry in self.creates)

    @property
    def charged(self) -> Decimal:
        """USD that it took for them."""
        return sum((self.emulator.vendor.charged(job) for job in self.jobs), Decimal(0))

    def made(self, entry: Entry) -> VendorJob:
        """The job that a create made, as the other side has it."""
        return self.workshop.made(entry) if self.unwired else self.emulator.vendor.jobs[entry.job]

    def create_of(self, provider_job_id: str | None) -> Entry:
        """The create that made a job, whose id as the plugin has it holds the emulator's."""
        theirs = provider_job_id or ""
        found = [entry for entry in self.creates if entry.created and entry.job in theirs]
        assert found, f"The id {theirs!r} of the job holds none of the emulator's: is it the vendor's own?"
        return max(found, key=lambda entry: len(entry.job))

    def script(self, **script: Any) -> None:
        """Say how the next job goes."""
        self.emulator.vendor.add_scripts(Script(**script))

    def script_all(self, **script: Any) -> None:
        """Say how all jobs go; without a word they are done when they are first asked for."""
        self.emulator.vendor.script = Script(**{"times": None, **script})

    def one_create(self, of: str = "") -> None:
        """Check that there was one create and one job."""
        sent, made = len(self.creates), self.created
        assert (sent, made) == (1, 1), (
            f"{of or 'one clip'}: {sent} creates were sent and {made} jobs made, one of each was expected. "
            "Session.submit sends exactly one request that can create a job; a vendor SDK's own retries must be off."
        )

    def whose(self, path: Path | None) -> dict[str, Any]:
        """Which vendor's job a clip is of."""
        assert path is not None, "the result has no path"
        assert path.exists(), f"{path} is not there"
        if self.unwired:
            return {"job": self.workshop.owner(path.read_bytes())}
        return owner(path.read_bytes())

    # --- other processes

    def command(self, *arguments: str) -> list[str]:
        """``videogen`` with these arguments."""
        child = f"{__package__}.child"
        return [sys.executable, "-m", child, self.name, self.module, str(self.suite.speed), *arguments]

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Run ``videogen`` in a process of its own."""
        return subprocess.Popen(self.command(*arguments), env=self.child_environment(), text=True, **more)

    def videogen(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.child_environment(),
            text=True,
            capture_output=True,
            timeout=CHILD_SECONDS,
            check=False,
        )

    def child_environment(self) -> dict[str, str]:
        """The variables of a process that imports what this one can."""
        return {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(self._paths)}

    def command_arguments(self, case: Case | None = None) -> list[str]:
        """A request as the command line writes it; media become files."""
        found: list[str] = []
        for name, value in self.arguments(case).items():
            if name == "prompt":
                found.append(value)
            elif name == "options":
                for provider, options in value.items():
                    found += [f"--option={provider}.{key}={json.dumps(each)}" for key, each in options.items()]
            elif name == "audio":
                found.append("--audio" if value else "--no-audio")
            elif name == "reference_images":
                found += [f"--reference-image={self._file(f'{name}{n}', each)}" for n, each in enumerate(value)]
            else:
                found.append(f"--{name.replace('_', '-')}={self._file(name, value)}")
        return found

    def _file(self, name: str, value: Any) -> str:
        if not isinstance(value, bytes):
            return str(value)
        path = self.folder / f"{name}.media"
        path.write_bytes(value)
        return str(path)
