"""The application: the routers of the API, the files of the page, and what runs around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import fact_clip_app
from fact_clip.core.version import __version__
from fact_clip.report.page import FOLDER, TIMELINE, TIMELINE_STYLE, read_assets
from fact_clip_app.api import answers
from fact_clip_app.web import (
    agreement_routes,
    curve_routes,
    download_routes,
    label_routes,
    project_routes,
    segment_routes,
    training_routes,
    video_routes,
)
from fact_clip_app.web.access import cookie_name, has_cookie, is_token
from fact_clip_app.web.guard import ERRORS, Guard, error_response
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.workspace import Options, Workspace

STATIC = Path(fact_clip_app.__file__).parent / "static"


router = api_router()

ROUTERS = (
    project_routes.router,
    video_routes.router,
    segment_routes.router,
    download_routes.router,
    training_routes.router,
    agreement_routes.router,
    curve_routes.router,
    # The last one, because "/videos/{video}/{word}" also matches the paths of the others.
    label_routes.router,
    router,
)


@router.get("", include_in_schema=False)
def requests_page() -> Response:
    """Return the list of requests."""
    return FileResponse(STATIC / "api.html")


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Any:
    """Return the description of the requests."""
    return request.app.openapi()


def index(request: Request) -> Response:
    """Return the page, and the cookie to a browser whose address has the token."""
    workspace = request.app.state.workspace
    response = FileResponse(STATIC / "index.html", media_type="text/html")
    if has_cookie(request, workspace):
        return response
    if not is_token(request.query_params.get("token", ""), workspace):
        return FileResponse(STATIC / "refused.html", status_code=403, media_type="text/html")
    response.set_cookie(
        cookie_name(request),
        workspace.cookie,
        secure=request.url.scheme == "https",  # behind a proxy
        httponly=True,
        samesite="strict",
    )
    return response


def timeline_script(request: Request) -> Response:
    """Return the scripts of the timeline."""
    return Response(read_assets(*TIMELINE), media_type="text/javascript")


def timeline_style(request: Request) -> Response:
    """Return the style of the timeline."""
    return FileResponse(FOLDER / TIMELINE_STYLE)


def health() -> answers.Health:
    """Return that the server answers."""
    return {"status": "ok"}


def make_app(engine: Engine, options: Options) -> FastAPI:
    """Return the page as an ASGI application."""
    workspace = Workspace(engine, options)
    workspace.begin_to_serve()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            workspace.close()

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(error, workspace.named)

    handlers: Any = dict.fromkeys(ERRORS, answer)
    app = FastAPI(
        title="FACT-CLIP",
        version=__version__,
        routes=[
            *chain.from_iterable(router.routes for router in ROUTERS),
            Route("/", index),
            Route("/static/timeline.js", timeline_script),
            Route("/static/timeline.css", timeline_style),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        lifespan=lifespan,
        exception_handlers=handlers,
        separate_input_output_schemas=False,
        docs_url=None,  # ours are behind the token
        redoc_url=None,
        openapi_url=None,
    )
    app.get("/health", operation_id="health")(health)
    app.add_middleware(Guard, options.host, engine.limits.patience, options.served_as)
    app.state.workspace = workspace
    return app
