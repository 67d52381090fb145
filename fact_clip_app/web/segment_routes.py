"""Requests that segment a file and keep nothing."""

from typing import Annotated, Any
from urllib.parse import unquote

from anyio import move_on_after, sleep
from fastapi import HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from fact_clip.core import InputError
from fact_clip_app.api import answers
from fact_clip_app.web import project_answers
from fact_clip_app.web.access import Asker, Repeated, Segmenting, Served, check_drafts
from fact_clip_app.web.guard import is_inside
from fact_clip_app.web.received_files import receive_upload
from fact_clip_app.web.route_options import UPLOAD, api_router
from fact_clip_app.workspace.jobs import BusyError
from fact_clip_app.workspace.workspace import Workspace

router = api_router()

POLL_SECONDS = 0.06
"""Seconds between two checks whether a segmentation is ready."""

SEGMENTATION: Any = {
    "response_model": answers.Segmentation,
    "responses": {202: {"model": answers.Computation}},
}


@router.post("/segment", **UPLOAD, **SEGMENTATION)
async def segment(
    workspace: Served,
    request: Request,
    person: Asker,
    name: str = "",
    uri: str = "",
    action: Repeated = None,
    wait: Annotated[float, Query(ge=0, le=60)] = 20.0,
) -> Response:
    """Segment a file by the model in use, and keep nothing.

    The file is the body of the request, called `name`, or the file at the address `uri` in a store
    that the server allows. `action` may be repeated: the names of the candidates, instead of the
    classes of the model. If the segmentation takes longer than `wait` seconds, the answer is the
    id of its job, with which `segmented` returns the result.
    """
    if workspace.engine.model() is None:
        raise HTTPException(409, "there is no model; start the page with one, or train one")
    check_drafts(workspace, person)
    upload = None
    if uri:
        _check_store(workspace, uri)
    else:
        upload = await receive_upload(workspace, request, name)
    try:
        job = workspace.segment(upload, uri, action)
    except BusyError:
        if upload is not None:
            upload.path.unlink()
        raise
    with move_on_after(wait):
        while not job.is_over:
            await sleep(POLL_SECONDS)
    return segmented(workspace, job)


def _check_store(workspace: Workspace, uri: str) -> None:
    """Raise an InputError if an address is not in a store that the server allows.

    Stores may read "%2e%2e" and backslashes as a way out of the folder, so these count as well.
    """
    parts = unquote(uri).replace("\\", "/").split("/")
    is_allowed = any(is_inside(uri, store) for store in workspace.options.stores)
    if ".." in parts or not is_allowed:
        fix = "start the page with --store and its folder"
        raise InputError("uri", "this store is not allowed", fix)


@router.get("/segment/{job}", **SEGMENTATION)
def segmented(workspace: Served, job: Segmenting) -> Response:
    """Return the segments of a job, which are forgotten then, or its progress (202)."""
    if not job.is_over:
        body = {"job": job.owner, **(project_answers.job(workspace, job) or {})}
        return JSONResponse(body, 202, {"location": f"/api/segment/{job.owner}"})
    workspace.segmentings.pop(job.owner, None)  # a different request may have forgotten it
    if isinstance(job.error, InputError):
        raise job.error
    if job.segmentation is None:
        raise HTTPException(500, job.error)
    return JSONResponse(job.segmentation.to_dict())


@router.delete("/segment/{job}")
def cancel_segmenting(workspace: Served, job: Segmenting) -> answers.Empty:
    """Stop the job of a segmentation, and forget it."""
    workspace.queue.cancel(lambda candidate: candidate is job)
    workspace.segmentings.pop(job.owner, None)
    return {}
