"""No key leaves by any door: keys are planted everywhere, everything goes wrong, and every sink is searched.

A vendor on loopback echoes the keys in its errors, headers and addresses. Searched are logs at DEBUG, exceptions with
their chains and local variables, every public object in every form, the bytes of the ledger and of every other file,
events, and what the command line prints.
"""

from __future__ import annotations

import base64
import copy
import importlib.metadata
import io
import json
import logging
import os
import pickle
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from rich.pretty import pretty_repr

import videogen_core.plugins
from loopback import RESET, Answer, Loopback, head, whole
from vendor import clip
from videogen_core import Client, ProviderError, RequestError, VideogenError
from videogen_core.cli import main

# One per place that a key may come from. Long enough that no part of one occurs by chance.
CANARIES = {
    "environment": "sk-env/4Qz+Yw9TtKp3Vb7NcX2==",
    "dotenv": "sk-dot/8Rm+Hd5JfWs1Lg6PeA4==",
    "settings": "sk-set/2Bn+Uk7GvZx9Mq3CyD8==",
    "header": "sk-hdr/6Ta+Oj4EiRu8Fw1SlN5==",
}
SIGNATURE = "X-Sig-9dK2mQ7vB4xR1tZ8wL5c"  # of an output's address: a secret too, though nobody configured it
KEYS = [*CANARIES.values(), SIGNATURE]


def needles(key: str) -> set[bytes]:
    """The spellings that are searched for, made without the library's own help."""
    raw = key.encode()
    found = {raw, quote(key, safe="").encode(), quote_plus(key).encode(), quote(key, safe="").lower().encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"x" * shift + raw).rstrip(b"=")
            found.add(coded[4 if shift else 0 : -3])
    return found | {json.dumps(key)[1:-1].encode(), key[3:-4].encode()}


NEEDLES = {needle: key for key in KEYS for needle in needles(key)}


def search(what: object, place: str) -> None:
    """Fail when one of the keys occurs."""
    data = what if isinstance(what, bytes) else str(what).encode("utf-8", "surrogatepass")
    for needle, key in NEEDLES.items():
        at = data.find(needle)
        assert at < 0, f"{place} shows {key[:6]}…: …{data[max(at - 150, 0) : at + 60]!r}…"


# --- a plugin as one would write it, and a vendor that echoes what it should not

PLUGIN = '''
    """Talks HTTP with a key, as the documentation shows."""

    from datetime import date
    from decimal import Decimal

    from videogen_core import (
        Context, JobStatus, MissingCredentialsError, ModelSpec, Output, Provider, Session, Snapshot, Submission,
        hookimpl,
    )
    from videogen_core.calls import call
    from videogen_core.provider import Found
    from videogen_core.request import Task
    from videogen_core.spec import Defaults, Mode, OptionSpec, Price


    class Leaky(Provider):
        name, title, setup = "leaky", "Leaky", "Set LEAKY_API_KEY."
        reconcile = "by_ref"

        def models(self):
            mode = Mode(tasks=(Task.TEXT_TO_VIDEO,), durations=(1.0,), resolutions=("240p",), aspect_ratios=("16:9",))
            anything = OptionSpec(type="object")
            return (ModelSpec(
                id="leaky/paper", modes=(mode,), default=Defaults(duration=1.0), options={"extra": anything},
                prices=(Price(amount=Decimal("0.1")),), source="tests", as_of=date(2026, 11, 20),
            ),)

        def check_ready(self, environment, settings):
            if settings["fault"] == "check_ready":
                raise RuntimeError(f"{environment['LEAKY_API_KEY']} is odd, and so is https://u:{settings['token']}@h/")
            if not environment.get("LEAKY_API_KEY"):
                raise MissingCredentialsError("LEAKY_API_KEY is not set.")

        def account(self, environment, settings):
            if settings["fault"] == "account":
                raise RuntimeError(f"no account for {settings['token']}")
            return environment["LEAKY_API_KEY"]

        def connect(self, context: Context):
            if context.settings["fault"] == "connect":
                raise RuntimeError(f"cannot connect with {context.environment['LEAKY_API_KEY']}")
            return Talk(context)


    class Talk(Session):
        def __init__(self, context):
            self.base, self.fault = context.settings["base"], context.settings["fault"]
            self.context = context
            self.http = context.http(
                trust_env=False,
                headers={
                    "x-api-key": context.environment["LEAKY_API_KEY"],
                    "authorization": f"Bearer {context.settings['token']}",
                    "x-second": context.environment["LEAKY_SECOND_TOKEN"],
                },
            )

        def blow(self, where):
            if self.fault == where:
                raise RuntimeError(
                    f"401 for https://u:{self.context.settings['token']}@api.example/v1"
                    f"?key={self.context.environment['LEAKY_API_KEY']}"
                )

        async def ask(self, path, **parts):
            return await call(self.http, "POST", self.base + path, provider="leaky", action=path.strip("/"), **parts)

        async def prepare(self, call):
            self.blow("prepare")
            return {}

        async def submit(self, call):
            self.blow("submit")
            answer = await self.ask("/submit", json={"prompt": call.request.prompt}, timeout=3)
            if not answer.ok:
                raise answer.error(code=answer.headers.get("x-code"))
            job = answer.id(answer.json()["id"])
            return Submission(provider_job_id=job, handle={}, request_id=answer.request_id, reply=answer.text)

        async def poll(self, job):
            self.blow("poll")
            answer = await self.ask("/poll")
            if not answer.ok:
                error = answer.error()
                error.retryable = False
                raise error
            data = answer.json()
            if data["status"] == "failed":
                return Snapshot(status=JobStatus.FAILED, message=data["message"], error=answer.error(data["message"]))
            if data["status"] == "running":
                return Snapshot(status=JobStatus.RUNNING, message=data["message"], poll_after=60.0)
            return Snapshot(
                status=JobStatus.SUCCEEDED, message=data["message"],
                outputs=(Output(url=data["url"], headers={"x-api-key": self.context.environment["LEAKY_API_KEY"]}),),
            )

        async def find(self, call, started_at):
            self.blow("find")
            return ()

        async def cancel(self, job):
            self.blow("cancel")
            answer = await self.ask("/cancel")
            raise answer.error()

        async def ping(self):
            self.blow("ping")
            answer = await self.ask("/ping")
            raise answer.error()

        async def close(self):
            await self.http.aclose()


    @hookimpl
    def videogen_provider():
        return Leaky()
'''

ECHO = " and ".join(f"Incorrect API key provided: {key}" for key in CANARIES.values())
ECHOED = json.dumps({"error": ECHO, "message": ECHO, "encoded": base64.b64encode(ECHO.encode()).decode()}).encode()


def plainly(status: str, body: bytes = ECHOED) -> Answer:
    """An answer that echoes the keys, in its headers too."""
    echoes = {
        "x_request_id": f"r-{CANARIES['header']}",
        "x_code": CANARIES["environment"],
        "x_api_key": CANARIES["header"],
    }
    cookie = {"set_cookie": f"session={CANARIES['header']}; HttpOnly", "content_length": len(body)}
    return lambda _: [head(status, **echoes, **cookie), body]


def polled(status: str, url: str = "") -> Answer:
    return plainly("200 OK", json.dumps({"status": status, "message": ECHO, "url": url}).encode())


def behaviour(fault: str, base: str) -> dict[str, Answer]:
    """What the vendor answers on each path, for one kind of fault."""
    signed = f"{base}/clip.mp4?X-Amz-Signature={SIGNATURE}&key={quote(CANARIES['environment'], safe='')}"
    answers: dict[str, Answer] = {
        "/submit": plainly("200 OK", b'{"id": "job-1"}'),
        "/poll": polled("succeeded", signed),
        "/clip.mp4": whole(clip(1.0)),
        "/cancel": plainly("409 No"),
        "/ping": plainly("401 No"),
    }
    lost: Answer = lambda _: [RESET]  # noqa: E731
    faults: dict[str, dict[str, Answer]] = {
        "refused": {"/submit": plainly("401 Unauthorized")},
        "invalid": {"/submit": plainly("422 No")},
        "down": {"/submit": plainly("500 Oops", b"<html>" + ECHOED)},
        "lost": {"/submit": lost},
        "no id": {"/submit": plainly("200 OK")},
        "garbage": {"/submit": plainly("200 OK", ECHO.encode())},
        "bad id": {"/submit": plainly("200 OK", json.dumps({"id": f"a b {ECHO}"}).encode())},
        "failed": {"/poll": polled("failed")},
        "poll refused": {"/poll": plainly("403 No")},
        "poll garbage": {"/poll": plainly("404 No", ECHO.encode())},
        "running": {"/poll": polled("running")},
        "gone": {"/clip.mp4": plainly("403 Expired")},
        "odd": {"/clip.mp4": plainly("418 Teapot")},
        "no clip": {"/clip.mp4": plainly("200 OK")},
        "away": {"/clip.mp4": lambda _: [head("302 F", location=f"ftp://u:{SIGNATURE}@h/?k={SIGNATURE}")]},
        "user in address": {"/poll": polled("succeeded", f"http://u:{SIGNATURE}@127.0.0.1:9/a?sig={SIGNATURE}")},
    }
    return {**answers, **faults.get(fault, {})}


FAULTS = ["none", "refused", "invalid", "down", "lost", "garbage", "no id", "bad id"]
FAULTS += ["failed", "poll refused", "poll garbage", "running", "gone", "odd", "no clip", "away", "user in address"]
BROKEN_PLUGINS = ["account", "check_ready", "connect", "prepare", "submit", "poll", "find", "cancel", "ping"]


@dataclass
class Scene:
    """A working folder, a vendor, and what was heard."""

    folder: Path
    server: Loopback
    log: io.StringIO
    told: list[object] = field(default_factory=list)

    def behave(self, fault: str) -> None:
        self.server.answers = behaviour(fault, self.server.url)
        place = self.folder / "videogen.toml"
        text = f"""
            allow_private_addresses = true
            timeout = 8
            patience = 0.1
            [providers.leaky]
            base = "{self.server.url}"
            fault = "{fault}"
            token = "{CANARIES["settings"]}"
        """
        place.unlink(missing_ok=True)
        with os.fdopen(os.open(place, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(textwrap.dedent(text))

    def files(self) -> Iterator[Path]:
        """Every file there is, but for those that the keys were planted in."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in (".env", "videogen.toml") and path.suffix not in (".py", ".pyc"):
                yield path


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Keys in the environment, in ``.env`` and in the settings; the plugin installed; all logging at DEBUG."""
    (tmp_path / "leaky_plugin.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(tmp_path)
    points = [*videogen_core.plugins._entry_points()]
    points.append(importlib.metadata.EntryPoint("leaky", "leaky_plugin", videogen_core.plugins.GROUP))
    monkeypatch.setattr(videogen_core.plugins, "_entry_points", lambda: tuple(points))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEAKY_API_KEY", CANARIES["environment"])
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    with os.fdopen(os.open(tmp_path / ".env", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"LEAKY_SECOND_TOKEN={CANARIES['dotenv']}\nECHOED_TOKEN={CANARIES['header']}\n")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    CHILDREN.clear()
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    loggers = [logging.getLogger(name) for name in ("", "httpx", "httpcore", "asyncio", "videogen_core")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    try:
        with Loopback() as server:
            yield Scene(tmp_path, server, log)
    finally:
        sys.modules.pop("leaky_plugin", None)
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- looking at things


def look_at(thing: Any, place: str) -> None:
    """Search a public object in every form that it can take."""
    forms: list[Any] = [repr, str, lambda x: f"{x}", lambda x: pretty_repr([x]), vars, pickle.dumps, copy.deepcopy]
    forms += [
        lambda x: json.dumps(x.to_dict()),
        lambda x: msgspec.json.encode(x, enc_hook=repr),
        lambda x: x._repr_html_(),
    ]
    for form in forms:
        with suppress(TypeError, AttributeError):
            seen = form(thing)
            search(seen if isinstance(seen, bytes) else repr(seen), f"{place} ({type(thing).__name__})")


def look_at_error(error: BaseException, place: str, *, foreign: bool = True) -> None:
    """Search an exception and what it came from: words, attributes, and a crash report with local variables.

    Args:
        foreign: Whether exceptions that are not ours are searched too.
    """
    look_at(error, place)
    for each in chain(error):
        if not foreign and not type(each).__module__.startswith("videogen_core"):
            continue
        search("".join(traceback.format_exception_only(each)) + repr(vars(each)), f"{place}: {type(each).__name__}")
        for frame, _ in traceback.walk_tb(each.__traceback__):
            code = frame.f_code
            # the test and the plugin know the keys
            if code.co_filename != __file__ and not code.co_filename.endswith("leaky_plugin.py"):
                seen = " ".join(f"{name}={value!r}" for name, value in frame.f_locals.items())
                search(seen, f"{place}: variables of {code.co_name} in {code.co_filename}")


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that a traceback would print with it."""
    left = [error]
    while left:
        each = left.pop()
        yield each
        before = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        left += [*([before] if before else []), *getattr(each, "exceptions", ())]


def work(scene: Scene, place: str, *, foreign: bool = True) -> None:
    """One job, with everything that can be asked about it."""

    def attempt(step: str, action: Callable[[], object]) -> VideogenError | None:
        try:  # an exception that is not ours fails the test
            look_at(action(), f"{place}: {step}")
        except VideogenError as error:
            look_at_error(error, f"{place}: {step}", foreign=foreign)
            return error
        return None

    def make() -> object:
        output = scene.folder / f"{place}.mp4"
        return client.generate("a boat", model="leaky/paper", output=output, on_event=scene.told.append, timeout=1.0)

    with Client(home=scene.folder / "home") as client:
        for thing in (client, client.settings, client.settings.environment, client.workspace):
            look_at(thing, place)
        error = attempt("generate", make)
        if foreign:
            complete(error, client)
        attempt("route", lambda: client.route("a boat", model="leaky/paper"))
        attempt("ping", lambda: client.ping("leaky"))
        for job in client.jobs(limit=None):
            look_at(job, place)
            attempt("refresh", job.refresh)
            attempt("cancel", job.cancel)
            attempt("wait", partial(job.wait, timeout=0.5))
            if job.status in ("succeeded", "failed", "cancelled"):
                attempt("events", lambda job=job: list(job.events()))  # type: ignore[misc]
    for event in scene.told:
        look_at(event, f"{place}: event")


def complete(error: VideogenError | None, client: Client) -> None:
    """Fail unless an error tells what is known: the job, the provider, whether it is worth trying again."""
    jobs = client.jobs(limit=1)
    if error is not None and jobs:
        assert error.job_id == jobs[0].id
    if isinstance(error, ProviderError):
        assert (error.provider, error.model) == ("leaky", "leaky/paper")
        assert isinstance(error.retryable, bool)
        assert error.request_id == "r-***" or error.status_code is None


def look_around(scene: Scene, place: str) -> None:
    """Search the logs, the files, and what child processes were given."""
    search(scene.log.getvalue(), f"{place}: log")
    found = list(scene.files())
    assert any(path.name.startswith("ledger") for path in found), "no ledger was written"
    for path in found:
        search(path.read_bytes(), f"{place}: {path.name}")
        search(str(path), f"{place}: name of a file")
    for started in CHILDREN:
        search(started, f"{place}: arguments and environment of a child")


@pytest.mark.promise("T14", "R1", "R2")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_key_shows_whatever_the_vendor_does(scene: Scene, fault: str) -> None:
    scene.behave(fault)
    work(scene, fault)
    look_around(scene, fault)
    sent = " ".join(str(request.headers) for request in scene.server.requests)
    for name in ("environment", "dotenv", "settings"):
        assert CANARIES[name] in sent, "the key did not even reach the vendor"
    assert "receive_response_headers" in scene.log.getvalue(), "nothing was logged, so nothing was tested"


@pytest.mark.promise("T14", "R1", "P2")
@pytest.mark.parametrize("place", BROKEN_PLUGINS)
def test_no_key_shows_whatever_the_plugin_raises(scene: Scene, place: str) -> None:
    scene.behave(place)
    if place == "find":
        scene.server.answers["/submit"] = lambda _: [RESET]
    work(scene, place, foreign=False)
    look_around(scene, place)


@pytest.mark.promise("T14", "R1")
def test_a_plugin_that_cannot_be_loaded_shows_no_key(scene: Scene) -> None:
    scene.behave("none")
    place = scene.folder / "leaky_plugin.py"
    place.write_text("import os\nraise RuntimeError(f\"cannot start with {os.environ['LEAKY_API_KEY']}\")\n")
    with Client(home=scene.folder / "home") as client:
        for plugin in client.workspace.registry.plugins.load_all():
            look_at(plugin, "plugin")
        with pytest.raises(VideogenError) as caught:
            client.generate("a boat", model="leaky/paper")
        look_at_error(caught.value, "plugin", foreign=False)


@pytest.mark.promise("T14", "R1", "P2")
@pytest.mark.parametrize("place", ["connect", "prepare", "submit", "poll", "find", "cancel", "ping"])
def test_no_cause_shows_a_key(scene: Scene, place: str) -> None:
    scene.behave(place)
    if place == "find":
        scene.server.answers["/submit"] = lambda _: [RESET]
    if place == "cancel":
        scene.server.answers["/poll"] = polled("running")
    work(scene, place)


@pytest.mark.promise("T14", "R1")
@pytest.mark.parametrize("fault", ["none", "refused", "lost", "gone"])
def test_the_command_line_shows_no_key(scene: Scene, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.behave(fault)
    monkeypatch.setenv("VIDEOGEN_HOME", str(scene.folder / "home"))
    here = ("-m", "leaky/paper")
    make = ("generate", "a boat", *here, "-o", str(scene.folder / "clip.mp4"), "--timeout", "2")
    said = ""

    def run(*command: str) -> None:
        nonlocal said
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), suppress(SystemExit):
            main(command)
        assert out.getvalue(), command
        search(out.getvalue(), " ".join(command))
        said += out.getvalue()

    run(*make)
    with Client(home=scene.folder / "home") as client:
        made = [job.id for job in client.jobs()]
    assert len(made) == 1
    for extra in ((), ("--json",)):
        run("resume", "--timeout", "1", *extra)
        run("cancel", made[0], *extra)
        run("jobs", made[0], *extra)
        run("jobs", *extra)
        run("doctor", *extra)
    if fault == "none":
        run(*make, "--overwrite", "--json")
        for name in ("models", "plugins", "config", "costs"):
            run(name)
            run(name, "--json")
        for name in ("estimate", "route"):
            run(name, *here)
            run(name, *here, "--json")
    run("doctor", "--online", "--json")
    run(*make, "-O", f"leaky.extra={CANARIES['environment']}")
    assert "leaky" in said
    look_around(scene, "command line")


@pytest.mark.promise("T14", "R1")
@pytest.mark.parametrize(
    "arguments",
    [
        {"options": {"leaky": {"extra": {"deep": [CANARIES["environment"]]}}}},
        {"options": {"leaky": {"api_key": quote(CANARIES["settings"], safe="")}}},
        {"tags": {"owner": CANARIES["dotenv"]}},
        {"idempotency_key": f"job-{CANARIES['environment']}"},
    ],
)
def test_a_key_among_the_options_is_refused(scene: Scene, arguments: dict[str, Any]) -> None:
    scene.behave("none")
    with Client(home=scene.folder / "home") as client:
        client.jobs()  # makes the ledger
        for call in (client.generate, client.submit):
            with pytest.raises(RequestError, match="one of your keys is in it") as caught:
                call("a boat", model="leaky/paper", **arguments)
            search(f"{caught.value} {caught.value.to_dict()}", "options")
    assert scene.server.requests == []
    look_around(scene, "options")


@pytest.mark.promise("R3")
def test_files_are_for_their_owner_alone(scene: Scene) -> None:
    scene.behave("none")
    before = os.umask(0o022)
    try:
        work(scene, "none")
    finally:
        os.umask(before)
    home = scene.folder / "home"
    assert home.stat().st_mode & 0o777 == 0o700
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.promise("R3")
def test_inputs_are_for_their_owner_alone(tmp_path: Path) -> None:
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    before = os.umask(0o022)
    try:
        with Client(home=tmp_path / "new" / "home", ledger=str(tmp_path / "ledger.db")) as client:
            client.generate("a boat", model="sandbox", image=picture.getvalue(), output=tmp_path / "a.mp4", duration=1)
    finally:
        os.umask(before)
    found = [tmp_path / "new" / "home", *(tmp_path / "new" / "home").rglob("*")]
    assert len(found) > 2
    assert {str(path): path.stat().st_mode & 0o077 for path in found} == dict.fromkeys(map(str, found), 0)


# Whatever was started as a child process: its arguments and its environment.
CHILDREN: list[str] = []


def _hear(event: str, details: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        environment = next((each for each in details if isinstance(each, Mapping)), None)
        CHILDREN.append(repr((details, dict(os.environ if environment is None else environment))))


sys.addaudithook(_hear)
