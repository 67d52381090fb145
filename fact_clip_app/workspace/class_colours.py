"""Colours of classes, and the names that mean no action and have no colour."""

from collections.abc import Sequence
from itertools import count

from typing_extensions import TypedDict

from fact_clip.core import NONE_OF_THESE, Names
from fact_clip.core.colours import palette
from fact_clip.datasets.labels import UNLABELLED
from fact_clip_app.store.project import Action
from fact_clip_app.workspace.workspace import Workspace


class Look(TypedDict):
    """The colour and the sign of a name. They are null for background."""

    colour: str | None
    number: str | None


def background_of(workspace: Workspace) -> Names:
    """Return the names that mean no action, including the name for rejected frames."""
    return tuple(dict.fromkeys((*workspace.project.background, NONE_OF_THESE)))


def colours(workspace: Workspace, names: Sequence[str]) -> dict[str, Look]:
    """Return the colour and the sign of each name. Those of an action never change."""
    background = (*background_of(workspace), UNLABELLED)
    actions = {action.name: action for action in workspace.project.actions()}
    taken = {action.colour for action in actions.values()}
    free = (number for number in count() if number not in taken)
    for name in names:
        if name not in actions and name not in background:
            actions[name] = Action(name, next(free))
    hues = palette(max([action.colour for action in actions.values()], default=-1) + 1)
    no_look: Look = {"colour": None, "number": None}
    result = dict.fromkeys([*names, *workspace.project.background], no_look)
    for position, action in enumerate(actions.values(), start=1):
        if action.name in result and action.name not in background:
            colour = action.paint or hues[action.colour]
            sign = action.key.upper() or f"#{position}"
            result[action.name] = {"colour": colour, "number": sign}
    return result
