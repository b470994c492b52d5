"""What may be shown: redaction by looks, masking of what is known, and types that show nothing."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import string
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from hypothesis import given, strategies as st
from rich.pretty import pretty_repr

from loopback import head, serving, whole
from videogen_core import errors, load_settings
from videogen_core.redaction import RedactingFilter, cause_of, quiet_http_logging, redact
from videogen_core.secret import Sealed, Secret, looks_secret, masked
from videogen_core.transport import client, fetch_public

CANARY = "sk-canary/7f3a+9b1c=="


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def known() -> Secret:
    return Secret(CANARY)


@pytest.mark.promise("R1")
@pytest.mark.parametrize(
    "text",
    [
        f"GET https://api.example/v1?key={CANARY}&x=1 failed",
        f"https://user:{quote(CANARY, safe='')}@api.example/v1",
        f"https://api.example/cb#access_token={CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"{{'authorization': 'Key {CANARY}'}}",
        f'{{"api_key": "{CANARY}"}}',
        f"x-goog-api-key={CANARY}",
    ],
)
def test_redact_finds_what_looks_like_a_secret(text: str) -> None:
    assert "canary" not in redact(text)


@pytest.mark.promise("R1")
def test_known_secrets_are_masked_in_every_spelling(known: Secret) -> None:
    forms = [CANARY, quote(CANARY), quote(CANARY, safe=""), repr(CANARY), json.dumps(CANARY)]
    forms += [quote(CANARY, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")]
    forms += [base64.b64encode(prefix + CANARY.encode()).decode() for prefix in (b"", b"u:", b"id:", b"user:", b"ab")]
    for form in forms:
        for text in (redact(f"before {form} after"), masked(f"before {form} after")):
            assert "canary" not in text
            assert base64.b64encode(CANARY.encode()[3:15]).decode()[:12] not in text
            assert text.startswith("before")
            assert text.endswith("after")


def test_harmless_text_is_left_alone() -> None:
    for harmless in ("see https://docs.example/a/b.", "the key frame", "a bearer of news", "token count: 12"):
        assert redact(harmless) == harmless


@pytest.mark.promise("R2")
def test_a_secret_is_masked_as_long_as_it_lives() -> None:
    secret = Secret("a-rather-long-key")
    assert masked("it is a-rather-long-key") == "it is ***"
    del secret
    assert masked("it is a-rather-long-key") == "it is a-rather-long-key"
    short = Secret("abc")
    assert masked("abc") == "abc"
    assert short.reveal() == "abc"


@given(st.text(min_size=8, max_size=60), st.binary(max_size=5))
def test_no_key_survives_masking(key: str, before: bytes) -> None:
    secret = Secret(key)
    assert key not in masked(f"<{key}>")
    if (raw := quote(key, safe="", errors="replace")) != key:
        assert raw not in masked(raw)
    assert secret.reveal() == key


@pytest.mark.promise("P1")
@pytest.mark.parametrize("text", ["a" * 65_536, "?" * 65_536, "a://" * 16_384, "key " * 16_384, "token=" * 10_000])
def test_redacting_takes_no_time_whatever_the_text(text: str) -> None:
    began = time.perf_counter()
    redact(text)
    assert time.perf_counter() - began < 1.0


# --- types that show nothing

SHOW: list[Callable[[Any], object]] = [
    repr,
    str,
    lambda thing: f"{thing}",
    lambda thing: f"{thing!s:>40}",
    lambda thing: [thing],
    lambda thing: {"key": thing},
    pretty_repr,
    lambda thing: pretty_repr([thing], expand_all=True),
    lambda thing: json.dumps(thing, default=str),
    lambda thing: msgspec.json.encode(thing, enc_hook=str),
    pickle.dumps,
    lambda thing: thing.__getstate__(),
    vars,
    lambda thing: thing.__reduce_ex__(4),
    copy.copy,
    copy.deepcopy,
]


def shown(thing: Any) -> str:
    """All that the usual ways to look at something give."""
    found = []
    for show in SHOW:
        try:
            found.append(repr(show(thing)))
        except (TypeError, AttributeError) as error:
            found.append(repr(error))
    return "\n".join(found)


@pytest.mark.promise("R1", "R2")
def test_keys_do_not_show(tmp_path: Path) -> None:
    (tmp_path / "videogen.toml").write_text(f'[providers.acme]\napi_key = "{CANARY}"\nheaders = {{ x = "{CANARY}" }}')
    (tmp_path / "videogen.toml").chmod(0o600)
    settings = load_settings(environ={"ACME_KEY": CANARY, "HOME": "/root"}, folder=tmp_path)
    with_address = msgspec.structs.replace(
        settings, ledger=f"postgres://u:{quote(CANARY)}@h/d?password={quote(CANARY)}"
    )
    things = [
        Secret(CANARY),
        Sealed({"key": CANARY}),
        settings,
        settings.environment,
        settings.providers,
        settings.provider("acme"),
        msgspec.structs.asdict(settings),
    ]
    for thing in things:
        assert "canary" not in shown(thing), type(thing)
    assert settings.provider("acme")["api_key"] == settings.environment["ACME_KEY"] == CANARY
    assert copy.deepcopy(settings).provider("acme")["api_key"] == CANARY
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(settings)
    assert "canary" not in repr(with_address) + pretty_repr(with_address) + str(with_address.shown())


@pytest.mark.promise("R1", "R2")
def test_no_traceback_with_local_variables_shows_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACME_KEY", CANARY)
    (tmp_path / ".env").write_text(f"OTHER_KEY={CANARY}")
    (tmp_path / ".env").chmod(0o600)
    settings = load_settings(folder=tmp_path)
    config = f'[providers.acme]\nkey = "{CANARY}"\n'
    broken = {
        "missing": lambda: settings.environment["ACME_SECRET"],
        "missing setting": lambda: settings.provider("acme")["key"],
        "not toml": lambda: _load(tmp_path, f"{config} = 3"),
        "unknown": lambda: _load(tmp_path, f'{config}[acme]\nkey = "{CANARY}"'),
        "wrong": lambda: _load(tmp_path, f"timeout = -1\n{config}"),
        "wrong type": lambda: _load(tmp_path, f"timeout = []\n{config}"),
        "not utf-8": lambda: _load(tmp_path, config.encode() + b"\xff"),
        "no table": lambda: _load(tmp_path, f'providers = "{CANARY}"'),
        "no tables": lambda: _load(tmp_path, f'providers = {{ acme = "{CANARY}" }}'),
        "no catalogue": lambda: _load(tmp_path, f'models = "{CANARY}"\n'),
        "world-readable": lambda: _load(tmp_path, config, mode=0o644),
        "env not utf-8": lambda: _load(tmp_path, "", b"ACME_KEY=" + CANARY.encode() + b"\nB=\xff\n"),
        "env world-readable": lambda: _load(tmp_path, "", b"ACME_KEY=" + CANARY.encode(), mode=0o644),
    }
    for name, load in broken.items():
        try:
            load()
        except (KeyError, errors.ConfigurationError) as error:
            # the test's own frames know the key
            frames = error.__traceback__
            while frames and frames.tb_frame.f_code.co_filename == __file__:
                frames = frames.tb_next
            report = traceback.TracebackException(type(error), error, frames, capture_locals=True)
            assert "canary" not in "".join(report.format()), name
        else:
            pytest.fail(f"{name} was accepted")


def _load(folder: Path, config: str | bytes, dotenv: bytes = b"", mode: int = 0o600) -> None:
    for name, content in (("videogen.toml", config.encode() if isinstance(config, str) else config), (".env", dotenv)):
        (folder / name).write_bytes(content)
        (folder / name).chmod(mode)
    load_settings(folder=folder, environ={})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("ACME_KEY", "ACME_API_KEY", "apikey", "key", "clientSecret", "AWS_ACCESS_KEY_ID")),
        *((name, True) for name in ("REPLICATE_API_TOKEN", "DB_PASSWORD", "RUNWAYML_API_SECRET", "x-api-key")),
        *(
            (name, False)
            for name in ("PATH", "HOME", "region", "concurrency", "ACME_KEY_FILE", "TOKEN_URL", "keyboard")
        ),
    ],
)
def test_what_names_a_secret(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


# --- what is raised


@pytest.mark.promise("P2", "R1")
def test_every_error_masks_known_keys_in_its_words(known: Secret) -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        error = kind(f"the vendor said: bad key {CANARY}", hint=f"is {quote(CANARY, safe='')} right?")
        if isinstance(error, errors.ProviderError):
            error = kind(f"bad key {CANARY}", code=f"no-{CANARY}", request_id=CANARY, hint=CANARY)
        told = [str(error), repr(error), json.dumps(error.to_dict()), repr(pickle.dumps(error)), repr(vars(error))]
        assert "canary" not in "".join(told), name


@pytest.mark.promise("P2", "R1")
def test_a_cause_says_what_happened_without_frames() -> None:
    def vendor_call(key: str) -> None:
        try:
            raise ValueError(f"inner: token={key}")
        except ValueError:
            raise RuntimeError(f"401 for https://api.example/v1?key={key}")  # noqa: B904

    try:
        try:
            vendor_call(CANARY)
        except RuntimeError as error:
            raise errors.ProviderError("It failed.") from cause_of(error)
    except errors.ProviderError as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.TracebackException(type(error), error, frames, capture_locals=True).format())
    assert "canary" not in text
    for part in (
        "builtins.RuntimeError: 401 for https://api.example/v1",
        "builtins.ValueError: inner",
        "in vendor_call",
    ):
        assert part in text


# --- logging


@pytest.mark.anyio
@pytest.mark.promise("R1", "R2")
async def test_no_log_shows_a_signed_url_or_a_header(caplog: pytest.LogCaptureFixture) -> None:
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.NOTSET)
        quiet_http_logging()
        assert [logger.level for logger in loggers] == [logging.WARNING] * 2
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        caplog.set_level(logging.DEBUG)
        answers: dict[str, Any] = {
            "a": lambda _: [head("302 F", location=f"/b?sig={CANARY}", set_cookie=f"session={CANARY}")],
            "b": whole(b"ok", x_api_key=CANARY),
        }
        with serving(**answers) as server:
            await fetch_public(f"{server.url}/a?sig={CANARY}", max_bytes=9, timeout=5, allow_private=True)
            async with client(trust_env=False, headers={"x-api-key": CANARY, "authorization": CANARY}) as http:
                await http.get(f"{server.url}/b")
                with pytest.raises(httpx.LocalProtocolError):
                    await http.get(f"{server.url}/b", headers={"x-api-key": f"{CANARY}\n"})
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert "HTTP Request: GET" in caplog.text
    assert "receive_response_headers" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.promise("R1")
def test_the_filter_redacts_tracebacks(known: Secret) -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed: %s", (f"https://h/?k={CANARY}",), None)
    try:
        raise ValueError(CANARY)
    except ValueError:
        record.exc_info = sys.exc_info()
    assert RedactingFilter().filter(record)
    text = logging.Formatter().format(record)
    assert "canary" not in text
    assert "ValueError" in text


def test_an_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Sealed[str](os.environ, {"ACME_KEY": "from-the-file", "ONLY": "here"})
    assert environment["ACME_KEY"] == "from-the-file"
    monkeypatch.setenv("ACME_KEY", "from-the-shell")
    assert environment["ACME_KEY"] == "from-the-shell"
    assert masked("from-the-shell") == "***"
    assert environment.get("NONE", "") == ""
    assert {"ACME_KEY", "ONLY"} <= set(environment)
    assert "ONLY" in environment
    assert string.ascii_letters not in repr(environment)
