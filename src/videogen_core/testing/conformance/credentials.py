"""Keys: said to be missing by name, refused in words, and nowhere to be seen."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator

import pytest

from videogen_core import AuthenticationError, MissingCredentialsError, PermissionDeniedError, VideogenError
from videogen_core.secret import spellings

from ..faults import Fault
from .refusals import sound
from .rig import KEY, Rig
from .suite import Suite

__all__ = ["Credentials"]

WRONG = "cfm-0wrong0Hs5Jp1Yc6Gf2Mk"
_REFUSED = (AuthenticationError, PermissionDeniedError)


class Credentials(Suite):
    """What a user without the right key is told, and what nobody is."""

    def test_a_missing_key_is_named(self, rig: Rig) -> None:
        """`check_ready` names the variable, with nothing but settings to look at."""
        _needs_key(rig)
        with pytest.raises(MissingCredentialsError) as caught:
            rig.provider.check_ready({}, {})
        said = str(caught.value)
        assert any(name in said for name in rig.own), f"The error names none of {', '.join(rig.own)}: {said}"
        rig.provider.check_ready(rig.environment, {})

    def test_offers_without_a_key_are_not_ready(self, rig: Rig) -> None:
        """They are listed, said to be not ready, and refused by the router with the variable's name."""
        _needs_key(rig)
        for name in rig.own:
            rig.patch.delenv(name)
        with rig.sync_client() as client:
            ready = client.models(ready=True, provider=rig.name)
            assert not ready, f"Without a key {ready[0].id} is called ready: does check_ready look at the environment?"
            for case in self.clips():
                (refused,) = client.route(**rig.arguments(case)).rejected
                named = any(name in refused.message for name in rig.own)
                assert named, f"{case.id} is refused without naming a variable to set: {refused.message}"

    def test_one_key_is_enough_for_some_offer(self, rig: Rig) -> None:
        """With the emulator's variables every live offer is ready, but for those that are known in outline only."""
        with rig.sync_client() as client:
            ready = {spec.id for spec in client.models(ready=True, provider=rig.name)}
        missing = [spec.id for spec in self.live() if spec.id not in ready and not spec.outline]
        assert not missing, f"With Emulator.environment() set, {', '.join(missing)} is not ready."

    async def test_a_wrong_key_is_refused_in_words(self, rig: Rig) -> None:
        """The error is of the right class and sends nothing twice."""
        _wrong_key(rig)
        async with rig.client() as client:
            with pytest.raises(VideogenError) as caught:
                await rig.generate(client)
        error = caught.value
        assert isinstance(error, _REFUSED), f"A wrong key raised {type(error).__name__}: {error.message}"
        assert rig.created == 0, "A job was made with a wrong key: does the emulator check it?"
        assert error.hint, "The error has no hint: what is to be checked or set?"
        sound(error)
        assert WRONG not in _all_of(error), "The wrong key shows in the error."

    async def test_ping_checks_the_key(self, rig: Rig) -> None:
        """Free, and it raises when the key is wrong."""
        if not await rig.overrides("ping"):
            pytest.skip("no free check is known for this provider")
        async with rig.client() as client:
            said = await client.ping(rig.name)
        assert said.strip(), "ping() says nothing; it returns a line to show."
        assert rig.created == 0, "ping() has made a job, which costs money."
        _wrong_key(rig)
        async with rig.client() as client:
            with pytest.raises(_REFUSED) as caught:
                await client.ping(rig.name)
        assert WRONG not in _all_of(caught.value), "The wrong key shows in the error of ping()."

    async def test_the_key_shows_nowhere(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Not in logs, errors, pickles, files or on the terminal, whatever goes wrong."""
        caplog.set_level(logging.DEBUG)
        errors = []
        for faults in _EVERYTHING:
            rig.vendor.calm()
            rig.vendor.inject(*faults)
            async with rig.client(submit_timeout=5.0) as client:
                try:
                    await rig.generate(client, timeout=3.0, overwrite=True)
                except VideogenError as error:
                    errors.append(error)
        printed = capfd.readouterr()
        sinks = {"the log": caplog.text, "standard output": printed.out, "standard error": printed.err}
        sinks |= {f"the error {type(error).__name__}": _all_of(error) for error in errors}
        sinks |= {f"the file {name}": text for name, text in _files(rig)}
        leaks = [sink for sink, text in sinks.items() if any(spelling in text for spelling in spellings(KEY))]
        assert not leaks, f"The key shows in {', '.join(leaks)}."

    def test_the_command_line_shows_no_key(self, rig: Rig) -> None:
        """A wrong one included."""
        _wrong_key(rig)
        done = rig.videogen("generate", *rig.command_arguments(), f"--output={rig.output()}", "--json")
        assert done.returncode != 0, "A wrong key made a clip."
        assert WRONG not in done.stdout + done.stderr, "The command line shows the wrong key."


_EVERYTHING: tuple[tuple[Fault, ...], ...] = (
    (),
    (Fault("status", on="create", status=401, at="before"),),
    (Fault("status", on="create", status=400, at="before"),),
    (Fault("reset", on="create"),),
    (Fault("html", on="create"),),
    (Fault("status", on="poll", status=403, at="before"),),
    (Fault("invalid_json", on="poll", times=3),),
    (Fault("status", on="download", status=400, times=None),),
)


def _needs_key(rig: Rig) -> None:
    if not any(KEY in value for value in rig.own.values()):
        pytest.skip("Emulator.environment() has no key, so none is needed")


def _wrong_key(rig: Rig) -> None:
    wrong = rig.suite.wrong_environment(rig.own, WRONG)
    if wrong == rig.own:
        pytest.skip("Emulator.environment() has no key; see Suite.wrong_environment")
    rig.environment |= wrong
    for name, value in wrong.items():
        rig.patch.setenv(name, value)


def _all_of(error: BaseException) -> str:
    """Everything of an error that a crash report may show, the local variables of its frames included."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format()) + repr(error) + str(error) + repr(pickle.dumps(error))


def _files(rig: Rig) -> Iterator[tuple[str, str]]:
    for path in rig.folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes().decode("latin-1")
