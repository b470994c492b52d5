"""Who may ask: API keys, and access tokens that the emulator's own token server gives to its service account."""

from __future__ import annotations

import atexit
import base64
import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from .answers import GoogleRefusal, api_key_invalid

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["PROJECT", "Auth", "credentials_file"]

PROJECT = "emulated-project"
_EMAIL = f"emulator@{PROJECT}.iam.gserviceaccount.com"
_TOKEN_PATH = "/oauth2/token"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCE = "https://oauth2.googleapis.com/token"  # google-auth claims this one, wherever it sends the request
_SCOPES = "https://www.googleapis.com/auth/"
_CLOUD = f"{_SCOPES}cloud-platform"
_KNOWN = frozenset({_CLOUD, f"{_SCOPES}cloud-platform.read-only", f"{_SCOPES}devstorage.read_only",
                    f"{_SCOPES}devstorage.read_write", f"{_SCOPES}devstorage.full_control"})  # fmt: skip
_FOLDER = "videogen-veo-emulator-"
_LIFE = 3600  # real seconds, since the client goes by its own clock


@cache
def _key_pair() -> tuple[str, str]:
    """A private and a public key as PEM, made once in a process."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@cache
def _folder() -> Path:
    """Where the files of this process lie until it ends; what processes that were killed left is removed here."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        with suppress(OSError, ValueError):
            if left.stat().st_mtime < time.time() - _LIFE and not _lives(int(left.name.split("-")[-2])):
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a child that was forked ends, too
        shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def credentials_file(api_url: str) -> Path:
    """A service account's file whose token server is the emulator at that address."""
    private, _ = _key_pair()
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": hashlib.sha256(private.encode()).hexdigest()[:40],
        "private_key": private,
        "client_email": _EMAIL,
        "client_id": "100000000000000000001",
        "token_uri": f"{api_url}{_TOKEN_PATH}",
        "universe_domain": "googleapis.com",
    }
    path = _folder() / f"{hashlib.sha256(api_url.encode()).hexdigest()[:12]}.json"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(account, file)
    return path


class _Claims(msgspec.Struct):
    """What is asked of a signed assertion."""

    iss: str
    aud: str
    exp: int
    iat: int
    scope: str = ""


class _Token(msgspec.Struct):
    """What an access token says; it vouches for itself, so that it outlives a restart of the emulator."""

    until: float
    scopes: list[str]
    generation: int


class _Denied(Exception):  # noqa: N818 - an answer, not a mistake
    """The token server says no."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


class Auth:
    """The token server, and the check of every request."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator
        self._generation = 0

    def routes(self) -> list[BaseRoute]:
        """The token server's one path."""
        return [self._emulator.route("other", "POST", _TOKEN_PATH, self._token, auth=False)]

    def expire_tokens(self) -> None:
        """Make every access token that was given so far an expired one."""
        self._generation += 1

    # --- the token server

    async def _token(self, request: Request) -> Response:
        try:
            claims = self._verified(parse_qs((await request.body()).decode("utf-8", "replace")))
            scopes = claims.scope.split()
            if not scopes or not set(scopes) <= _KNOWN:
                raise _Denied("invalid_scope", f"{claims.scope!r} is not a valid scope string.")
        except _Denied as denied:
            return JSONResponse({"error": denied.error, "error_description": str(denied)}, 400)
        token = self._signed(_Token(until=time.time() + _LIFE, scopes=scopes, generation=self._generation))
        return JSONResponse({"access_token": token, "expires_in": _LIFE - 1, "token_type": "Bearer"})

    def _verified(self, form: dict[str, list[str]]) -> _Claims:
        from google.auth import jwt

        if form.get("grant_type") != [_GRANT] or len(form.get("assertion", ())) != 1:
            raise _Denied("unsupported_grant_type", "Expected one JWT assertion.")
        try:
            own = f"{self._emulator.api_url}{_TOKEN_PATH}"
            said: Any = jwt.decode(form["assertion"][0], certs=_key_pair()[1], audience=[_AUDIENCE, own])  # type: ignore[no-untyped-call]
            claims = msgspec.convert(dict(said), _Claims)
        except (ValueError, msgspec.ValidationError) as error:
            raise _Denied("invalid_grant", f"Invalid JWT: {error}") from error
        if claims.iss != _EMAIL:
            raise _Denied("invalid_grant", "Invalid grant: account not found.")
        return claims

    def _signed(self, token: _Token) -> str:
        said = base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")
        return f"ya29.{said}.{self._signature(said)}"

    def _signature(self, said: str) -> str:
        return hmac.new(f"{self._emulator.key}/{_key_pair()[1]}".encode(), said.encode(), hashlib.sha256).hexdigest()

    def _scopes(self, text: str) -> list[str] | None:
        """Of an access token; None = it is none of ours, or no longer one."""
        kind, _, rest = text.partition(".")
        said, _, signature = rest.partition(".")
        if kind != "ya29" or not hmac.compare_digest(signature.encode(), self._signature(said).encode()):
            return None
        token = msgspec.json.decode(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)), type=_Token)
        return token.scopes if token.until > time.time() and token.generation == self._generation else None

    # --- the check

    def check(self, request: Request) -> None:
        """Let a request pass that brings what its API asks for.

        Raises:
            GoogleRefusal: 400, 401 or 403.
        """
        path = request.url.path
        if "/storage/v1/" in path:
            self._check_storage(request)
        elif "/projects/" in path or "/publishers/" in path:
            self._check_vertex(request)
        elif request.headers.get("x-goog-api-key") != self._emulator.key:
            raise api_key_invalid()

    def _check_vertex(self, request: Request) -> None:
        key = request.headers.get("x-goog-api-key")
        if key is None:
            self._check_bearer(request, {_CLOUD})
        elif request.url.path.endswith(":fetchPredictOperation"):
            raise _unauthenticated("API keys are not supported by this API. Expected OAuth2 access token or other "
                                   "authentication credentials that assert a principal.")  # fmt: skip
        elif key != self._emulator.key:
            raise api_key_invalid()

    def _check_storage(self, request: Request) -> None:
        # google-cloud-storage drops its credentials where STORAGE_EMULATOR_HOST is set; nobody else is let in so
        if "authorization" in request.headers or "gccl/" not in request.headers.get("x-goog-api-client", ""):
            needed = {_CLOUD, f"{_SCOPES}devstorage.read_write", f"{_SCOPES}devstorage.full_control"}
            if request.method == "GET":
                needed |= _KNOWN
            self._check_bearer(request, needed)

    def _check_bearer(self, request: Request, needed: set[str]) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        scopes = self._scopes(token) if kind == "Bearer" else None
        if scopes is None:
            raise _unauthenticated("Request had invalid authentication credentials. Expected OAuth 2 access token, "
                                   "login cookie or other valid authentication credential.")  # fmt: skip
        if not needed & set(scopes):
            raise GoogleRefusal(
                403, "forbidden", "Request had insufficient authentication scopes.",
                reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            )  # fmt: skip


def _unauthenticated(message: str) -> GoogleRefusal:
    return GoogleRefusal(401, "unauthorized", message)
