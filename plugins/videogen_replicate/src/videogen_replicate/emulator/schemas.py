"""A model as the API shows it, with the OpenAPI document of its version."""

from __future__ import annotations

from typing import Any

from .models import Model, Parameter

__all__ = ["document", "shown_model"]

_CREATED = "2026-10-01T12:00:00.123456Z"


def shown_model(model: Model, *, delivery: str) -> dict[str, Any]:
    """The answer to a question for one model.

    Args:
        model: Which.
        delivery: Origin of the files that models make.
    """
    owner, _, name = model.name.partition("/")
    ending = "webp" if model.picture else "mp4"
    made: Any = f"{delivery}/example/output.{ending}"
    return {
        "url": f"https://replicate.com/{model.name}",
        "owner": owner,
        "name": name,
        "description": model.description or f"The emulated {name}.",
        "visibility": "public",
        "is_official": model.official,
        "run_count": 1,
        "default_example": {
            "id": "example0example0example000",
            "model": model.name,
            "version": model.version or "hidden",
            "status": "succeeded",
            "created_at": _CREATED,
            "output": [made] if model.several else made,
        },
        "latest_version": {
            "id": model.version or "hidden",
            "created_at": _CREATED,
            "cog_version": "0.23.1",
            "openapi_schema": document(model),
        },
    }


def document(model: Model) -> dict[str, Any]:
    """The OpenAPI document: lists of choices stand beside the input and are referred to, as cog writes them."""
    schemas: dict[str, Any] = {
        "Input": {
            "type": "object",
            "title": "Input",
            "required": [name for name, each in model.input.items() if each.required],
            "properties": {name: _shown(name, each, place) for place, (name, each) in enumerate(model.input.items())},
        },
        "Output": _output(model),
    }
    schemas |= {
        name: {"enum": list(each.choices), "type": each.type, "title": name, "description": "An enumeration."}
        for name, each in model.input.items()
        if each.choices
    }
    return {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"}, "components": {"schemas": schemas}}


def _output(model: Model) -> dict[str, Any]:
    one = {"type": "string", "title": "Output", "format": "uri"}
    return {"type": "array", "items": {"type": "string", "format": "uri"}, "title": "Output"} if model.several else one


def _shown(name: str, each: Parameter, place: int) -> dict[str, Any]:
    found: dict[str, Any] = {"title": name.replace("_", " ").title(), "x-order": place, "description": f"The {name}."}
    if each.choices:
        found["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
    else:
        found["type"] = each.type
    if each.type == "array":
        found["items"] = {"type": "string", "format": "uri"} if each.file else {"type": "string"}
    elif each.file:
        found["format"] = "uri"
    bounds = ("minItems", "maxItems") if each.type == "array" else ("minimum", "maximum")
    found |= {key: end for key, end in zip(bounds, (each.low, each.high), strict=True) if end is not None}
    if each.default is not None:
        found["default"] = each.default
    if each.deprecated:
        found["deprecated"] = True
    return found
