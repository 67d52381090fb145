"""Requests about the project: its state, settings and classes."""

from collections.abc import AsyncIterator, Iterable

from anyio import sleep, to_thread
from fastapi import HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent

from fact_clip.core import InputError
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.store.history import CHANGED_ACTIONS, ConflictError, Person
from fact_clip_app.store.project import BLIND
from fact_clip_app.web import project_answers
from fact_clip_app.web.access import Asker, Served, check_owner
from fact_clip_app.web.guard import EVENTS
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.engine import reads_names
from fact_clip_app.workspace.workspace import Workspace

router = api_router()

EVENT_SECONDS = 0.25
"""Seconds between two checks for changes."""


@router.get("/state")
def state(workspace: Served, person: Asker) -> answers.State:
    """Return everything but the segments."""
    workspace.encode(workspace.project.videos())
    return project_answers.state(workspace, person.annotator)


@router.get(EVENTS.removeprefix("/api"), response_class=EventSourceResponse)
async def events(workspace: Served) -> AsyncIterator[ServerSentEvent]:
    """Return an endless stream that says when anything has changed."""
    last_stamp = ""
    while not workspace.is_closed:
        stamp = await to_thread.run_sync(project_answers.stamp, workspace)
        if stamp != last_stamp:
            last_stamp = stamp
            yield ServerSentEvent(data={"stamp": stamp}, event="change")
        await sleep(EVENT_SECONDS)


@router.post("/settings")
def settings(workspace: Served, body: request_bodies.NewSettings) -> answers.State:
    """Change settings of decoding, the model, or whether people label blindly."""
    if body.model is not None:
        if body.model not in ("", *workspace.project.runs()):
            raise InputError("model", f"no model {body.model!r} in this project")
        workspace.engine.model(body.model)
    if body.blind is not None:
        _set_blind(workspace, body.blind, body.person)
    for key, value in body.model_dump(include={"model", "adjust"}, exclude_none=True).items():
        workspace.project.set(key, value)
    return state(workspace, body.person)


def _set_blind(workspace: Workspace, blind: bool, person: Person) -> None:
    """Switch Blind on, which makes a person its owner, or off, which its owner alone can do."""
    owner = workspace.project.blind_owner
    if owner is None and not blind:
        return
    if not person.annotator:
        raise InputError("blind", "it needs an owner", "type your name first")
    if owner in (None, person.annotator):
        workspace.project.set(BLIND, person.annotator if blind else False)
    elif not blind:
        check_owner(workspace, person)


@router.put("/actions")
def actions(workspace: Served, body: request_bodies.NewActions) -> answers.State:
    """Replace the actions."""
    check_owner(workspace, body.person)
    replaced = workspace.project.actions()
    if replaced and body.revision != project_answers.revision_of(replaced):
        raise ConflictError(CHANGED_ACTIONS)
    stored = {action.name: action for action in replaced}
    actions = {action.name: action.applied_to(stored) for action in body.actions}
    _check_names(workspace, actions)
    workspace.history.set_actions(list(actions.values()), replaced)
    return state(workspace, body.person)


@router.post("/actions")
def change_actions(workspace: Served, body: request_bodies.ActionChange) -> answers.State:
    """Add, change, merge, delete or move actions, as one step of the project."""
    _check_names(workspace, body.new_names)
    if body.changes_labels and workspace.project.blind_owner is not None:
        message = "Blind is on: classes with their labels stay as they are until it is switched off"
        raise HTTPException(403, message)
    body.apply(workspace.history, workspace.engine.background)
    return state(workspace, body.person)


def _check_names(workspace: Workspace, names: Iterable[str]) -> None:
    """Raise an InputError for names that the model cannot take."""
    model = workspace.engine.model()
    if model is not None and reads_names(model):
        new_names = [name for name in names if name not in model.vocabulary.background]
        model.choose(new_names or None)


@router.post("/actions/{word}")
def step_actions(
    workspace: Served, word: request_bodies.Word, body: request_bodies.Signed
) -> answers.State:
    """Undo or redo the last step of a person that is one of the project."""
    workspace.history.step(None, body.person, back=word == "undo")
    return state(workspace, body.person)
