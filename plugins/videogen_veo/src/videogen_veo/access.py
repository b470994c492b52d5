"""Which of Google's two APIs serves a model, with which credentials and where. Looks at settings and files, no network.

Keys follow Google's SDK: ``GOOGLE_API_KEY`` goes before ``GEMINI_API_KEY``, and ``GOOGLE_GENAI_USE_ENTERPRISE`` or
``GOOGLE_GENAI_USE_VERTEXAI`` chooses Vertex AI where a model is on both. What the SDK would work out by itself is
always passed to it, so that nothing in the environment changes between the create and a later poll.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from videogen_core import ConfigurationError, MissingCredentialsError, ModelSpec

__all__ = ["Access", "Backend", "access_to", "account", "api_key", "check_any", "credentials_file", "project"]

Backend = Literal["gemini", "vertex"]
_SIGN_IN = (
    "run `gcloud auth application-default login`, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS"
)
# Where Google's own libraries look, too, to know whether they run on its machines.
_MACHINE = Path("/sys/class/dmi/id/product_name")
_ON_GOOGLE = ("K_SERVICE", "CLOUD_RUN_JOB", "GAE_ENV", "FUNCTION_TARGET", "GCE_METADATA_HOST")


@dataclass(frozen=True)
class Access:
    """How a model is reached.

    Attributes:
        backend: ``gemini`` (the Gemini API, by key) or ``vertex`` (Vertex AI, by OAuth).
        model: Its id there.
        location: Of Vertex AI; empty on the Gemini API.
    """

    backend: Backend
    model: str
    location: str = ""


# --- what there is


def api_key(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str | None:
    """The key of the Gemini API."""
    named = (settings.get("api_key"), environment.get("GOOGLE_API_KEY"), environment.get("GEMINI_API_KEY"))
    return next((key for value in named if (key := str(value or "").strip())), None)


def credentials_file(environment: Mapping[str, str], settings: Mapping[str, Any]) -> Path | None:
    """The file with the credentials for Vertex AI that was named, or that ``gcloud`` has left; None = there is none.

    Raises:
        MissingCredentialsError: A file was named and is not there.
    """
    named = settings.get("service_account_file") or environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        path = Path(str(named)).expanduser()
        if not path.is_file():
            variable = "GOOGLE_APPLICATION_CREDENTIALS"
            if settings.get("service_account_file"):
                variable = "providers.veo.service_account_file"
            raise MissingCredentialsError(f"{variable} names {path}, which is no file.")
        return path
    folder = environment.get("CLOUDSDK_CONFIG") or str(Path(environment.get("HOME") or "~") / ".config" / "gcloud")
    usual = Path(folder).expanduser() / "application_default_credentials.json"
    return usual if usual.is_file() else None


def project(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str | None:
    """The Google Cloud project: as set, else the one that the credentials belong to."""
    found = settings.get("project") or environment.get("GOOGLE_CLOUD_PROJECT")
    if found:
        return str(found)
    path = credentials_file(environment, settings)
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return None
    found = told.get("project_id") or told.get("quota_project_id") if isinstance(told, dict) else None
    return found if isinstance(found, str) else None


def account(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """What tells this account from others: the project, and the key where there is one."""
    try:
        owner = project(environment, settings)
    except MissingCredentialsError:
        owner = None
    return f"{owner or ''} {api_key(environment, settings) or ''}".strip()


def _on_google_cloud(environment: Mapping[str, str]) -> bool:
    """Whether this machine is Google's, and gives out credentials and project by itself."""
    if any(environment.get(name) for name in _ON_GOOGLE):
        return True
    try:
        return _MACHINE.read_text(encoding="utf-8").strip().startswith("Google")
    except OSError:
        return False


def _vertex_lacks(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str | None:
    """What is missing for Vertex AI, as a phrase; None = nothing."""
    if _on_google_cloud(environment):
        return None
    lacks = []
    if project(environment, settings) is None:
        lacks.append("set GOOGLE_CLOUD_PROJECT")
    if credentials_file(environment, settings) is None:
        lacks.append(_SIGN_IN)
    return ", and ".join(lacks) or None


# --- what can be done with it


def check_any(environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Return when some model can be used.

    Raises:
        MissingCredentialsError: None can.
    """
    if api_key(environment, settings) is not None:
        return
    if lacks := _vertex_lacks(environment, settings):
        raise MissingCredentialsError(
            f"Neither the Gemini API nor Vertex AI can be used: set GEMINI_API_KEY for Gemini Omni; for Veo {lacks}."
        )


def access_to(spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> Access:
    """How an offer is reached with the credentials at hand.

    Raises:
        MissingCredentialsError: They do not reach it; the message says which do, and what works without them.
        ConfigurationError: ``providers.veo.backend`` is none of the two.
    """
    wanted = _wanted(environment, settings)
    order: tuple[Backend, ...] = ("vertex", "gemini") if wanted == "vertex" else ("gemini", "vertex")
    for backend in order:
        if model := spec.vendor.get(backend):
            lacks = _lacks(backend, environment, settings)
            if lacks is None:
                return Access(
                    backend, str(model), _location(spec, environment, settings) if backend == "vertex" else ""
                )
    raise MissingCredentialsError(_advice(spec, environment, settings))


def _wanted(environment: Mapping[str, str], settings: Mapping[str, Any]) -> Backend:
    """Which API goes first for a model that is on both."""
    asked = settings.get("backend")
    if asked is not None:
        if asked not in ("gemini", "vertex"):
            raise ConfigurationError(f"providers.veo.backend: {asked!r} is neither 'gemini' nor 'vertex'.")
        return "gemini" if asked == "gemini" else "vertex"
    for name in ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"):
        if name in environment:
            return "vertex" if environment[name].strip().lower() in ("true", "1") else "gemini"
    return "gemini"


def _lacks(backend: Backend, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str | None:
    if backend == "vertex":
        return _vertex_lacks(environment, settings)
    return None if api_key(environment, settings) else "set GEMINI_API_KEY"


def _location(spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The user's location where it has the model, else the model's own."""
    known = [str(location) for location in spec.vendor.get("locations", ())] or ["global"]
    asked = settings.get("location") or environment.get("GOOGLE_CLOUD_LOCATION")
    return str(asked) if asked in known else known[0]


def _advice(spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """What is missing for an offer, as sentences that do not name it, so that several offers can share them."""
    names: dict[Backend, str] = {"gemini": "the Gemini API", "vertex": "Vertex AI"}
    lacks = [
        f"for {name} {_lacks(backend, environment, settings)}"
        for backend, name in names.items()
        if spec.vendor.get(backend)
    ]
    need = f"{'; or '.join(lacks)}."
    if (gone := spec.vendor.get("left_gemini")) is None or api_key(environment, settings) is None:
        return f"{need[:1].upper()}{need[1:]}"
    instead = f" With the Gemini API key at hand, {spec.vendor['instead']} works." if spec.vendor.get("instead") else ""
    return f"It left the Gemini API on {gone}; {need}{instead}"
