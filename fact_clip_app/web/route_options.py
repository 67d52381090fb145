"""What routes declare: the router that all share, and options for files and errors."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from fact_clip_app.api import answers
from fact_clip_app.web.access import authorise

_FILE = {"type": "string", "format": "binary"}
BINARY = {"application/octet-stream": {"schema": _FILE}}
_FORM = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
_BODY = {"content": {**BINARY, "multipart/form-data": {"schema": _FORM}}}

UPLOAD: Any = {"openapi_extra": {"requestBody": _BODY}}
"""Options of a route that takes a file, raw or in a form."""

DOWNLOAD: Any = {"response_class": Response, "responses": {200: {"content": BINARY}}}
"""Options of a route that answers with a file."""

_FAULT = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
_CODES = (400, 401, 403, 404, 408, 409, 413, 500, 503, 507)
FAULTS: dict[int | str, Any] = {
    "default": {"model": answers.Fault, "description": "An error"},
    # building a model for each would take a second
    **{code: {"content": _FAULT} for code in _CODES},
}


def api_router() -> APIRouter:
    """Return a router for paths below /api, which only browsers and programs with access reach."""
    return APIRouter(
        prefix="/api",
        dependencies=[Depends(authorise)],
        responses=FAULTS,
        generate_unique_id_function=lambda route: route.name,
    )
