"""Which models there are, and the method that Omni models do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from .answers import GoogleRefusal
from .models import OMNI, VEO, omni_model, only_interactions, unknown_model

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Listing"]


class Listing:
    """The lists of models of both backends."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[BaseRoute]:
        """Lists, single models, and ``generateContent``, which is refused."""
        route = self._emulator.route
        publisher = "/{version}/publishers/google/models"
        project = "/{version}/projects/{project}/locations/{location}/publishers/google/models"
        return [
            *(
                route("create", "POST", f"{parent}/{{model}}:{method}", self._generate_content)
                for parent in ("/{version}/models", publisher, project)
                for method in ("generateContent", "streamGenerateContent")
            ),
            route("list", "GET", "/{version}/models", self._gemini),
            route("other", "GET", "/{version}/models/{model}", self._gemini_model),
            *(route("list", "GET", parent, self._vertex) for parent in (publisher, project)),
            *(route("other", "GET", f"{parent}/{{model}}", self._vertex_model) for parent in (publisher, project)),
            route("other", "POST", "/", self._pathless, auth=False),
        ]

    async def _pathless(self, request: Request) -> Response:
        # where an address is given, the SDK forgets a project that it would have had from the environment
        raise GoogleRefusal(404, "not_found", "Not Found. Pass project and location to genai.Client, both.")

    async def _generate_content(self, request: Request) -> Response:
        name = request.path_params["model"]
        backend = "gemini" if "/publishers/" not in request.url.path else "vertex"
        if name in VEO:
            raise GoogleRefusal(400, "invalid_request", f"The model {name} does not support generateContent.")
        omni_model(name, backend)
        raise GoogleRefusal(400, "invalid_request", only_interactions(name))

    async def _gemini(self, request: Request) -> Response:
        names = [name for name, model in OMNI.items() if "gemini" in model.backends]
        return JSONResponse({"models": [_gemini_shape(name) for name in names]})

    async def _gemini_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        omni_model(name, "gemini")
        return JSONResponse(_gemini_shape(name))

    async def _vertex(self, request: Request) -> Response:
        return JSONResponse({"publisherModels": [_vertex_shape(name) for name in _on_vertex()]})

    async def _vertex_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in _on_vertex():
            raise unknown_model(name)
        return JSONResponse(_vertex_shape(name))


def _on_vertex() -> list[str]:
    return [*VEO, *(name for name, model in OMNI.items() if "vertex" in model.backends)]


def _gemini_shape(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": ["createInteraction"]}


def _vertex_shape(name: str) -> dict[str, Any]:
    stage = "PUBLIC_PREVIEW" if "preview" in name or "lite" in name else "GA"
    return {"name": f"publishers/google/models/{name}", "versionId": "default", "launchStage": stage}
