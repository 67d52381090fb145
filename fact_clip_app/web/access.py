"""The person who makes a request, and what this person may see and change."""

import hmac
from typing import Annotated

from fastapi import Depends, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fact_clip_app.store.history import Person
from fact_clip_app.store.project import VideoEntry
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.workspace import Workspace


async def served_workspace(request: Request) -> Workspace:
    """Return the open project that the application serves."""
    return request.app.state.workspace


Served = Annotated[Workspace, Depends(served_workspace)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def cookie_name(request: Request) -> str:
    """Return the name of the cookie of this server."""
    return f"fact_clip_{request.url.port or 80}"  # cookies are shared by all ports of a host


def has_cookie(request: Request, workspace: Workspace) -> bool:
    """Return whether a request comes from a browser that has opened the address with the token."""
    value = request.cookies.get(cookie_name(request), "")
    return hmac.compare_digest(value.encode(), workspace.cookie.encode())


def is_token(token: str, workspace: Workspace) -> bool:
    """Return whether a text is the token of the project."""
    return bool(token) and hmac.compare_digest(token.encode(), workspace.project.token.encode())


def authorise(workspace: Served, request: Request, bearer: Bearer) -> None:
    """Reject browsers without the cookie, and programs that do not send the token."""
    has_token = bearer is not None and is_token(bearer.credentials, workspace)
    if not has_cookie(request, workspace) and not has_token:
        message = "not let in; open the address that the command line printed"
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


def stored_video(workspace: Served, video: str) -> VideoEntry:
    """Return the video of an id."""
    stored = workspace.project.video(video)
    if stored is None:
        raise HTTPException(404, "no such video")
    return stored


Stored = Annotated[VideoEntry, Depends(stored_video)]
Asker = Annotated[Person, Depends(Person)]  # by the query


def stored_track(workspace: Served, video: Stored, track: int, person: Asker) -> int:
    """Return the id of a track of a video that a person sees."""
    check_seen(workspace, video, track, person)
    if track not in workspace.project.tracks(video.id):
        raise HTTPException(404, "no such track")
    return track


def check_seen(workspace: Workspace, video: VideoEntry, track: int, person: Person) -> None:
    """Raise an HTTPException if a track is hidden from a person."""
    is_blind = workspace.project.blind_owner is not None
    if is_blind and track not in workspace.project.tracks(video.id, person.annotator):
        raise HTTPException(403, "this track is hidden from you")


def check_track(workspace: Workspace, track: int, person: Person) -> None:
    """Raise an HTTPException if a track of any video is hidden from a person."""
    if not workspace.project.sees(track, person.annotator):
        raise HTTPException(403, "this track is hidden from you")


def check_named(workspace: Workspace, person: Person) -> None:
    """Raise an HTTPException if somebody without a name labels a blind project."""
    if workspace.project.blind_owner is not None and not person.annotator:
        raise HTTPException(403, "Blind is on: type your name first")


def check_owner(workspace: Workspace, person: Person) -> None:
    """Raise an HTTPException if something is left to the owner of a blind project."""
    if not workspace.project.owns(person.annotator):
        owner = workspace.project.blind_owner
        message = f"Blind is on: this is left to {owner}, who has switched it on"
        raise HTTPException(403, message)


def segmenting(workspace: Served, job: str) -> Job:
    """Return the job of a segmentation."""
    stored = workspace.segmentings.get(job)
    if stored is None:
        raise HTTPException(404, "no such job")
    return stored


StoredTrack = Annotated[int, Depends(stored_track)]
Segmenting = Annotated[Job, Depends(segmenting)]
Viewer = Annotated[str, Query()]  # who asks, where `annotator` is whose labels are asked for
Repeated = Annotated[list[str] | None, Query()]


def check_drafts(workspace: Workspace, person: Person) -> None:
    """Raise an HTTPException if the model in use has learned labels that are hidden."""
    if not workspace.shows_drafts(person.annotator):
        check_owner(workspace, person)
