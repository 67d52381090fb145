"""Films to try the page on, and their classes."""

import numpy as np

from fact_clip.core import InputError
from fact_clip.datasets.benchmarks import NO_ACTION
from fact_clip.datasets.synthetic import draw_actions
from fact_clip.video.write import write_video
from fact_clip_app.store.project import actions_named
from fact_clip_app.workspace.workspace import Workspace

_CLASSES = ("grasp shaft", "tap shaft with mallet", "screw nut with wrench", "place bearing")
_FPS = 15


def fill(workspace: Workspace) -> None:
    """Fill an empty project with SYNTHETIC films and their classes.

    Raises:
        InputError: The project already has videos.
    """
    if workspace.project.videos():
        raise InputError("example", "there are videos already", "begin another project")
    workspace.project.add_actions(actions_named((*_CLASSES, NO_ACTION), (NO_ACTION,)))
    for number in (1, 2, 3):
        rng = np.random.default_rng(number)
        pictures: list[str] = []
        for name in rng.permutation(2 * _CLASSES):
            pictures += _FPS * [NO_ACTION]
            pictures += rng.integers(2 * _FPS, 5 * _FPS) * [name]
        title = f"SYNTHETIC film {number}"
        path = workspace.project.folder / "videos" / f"{title}.mp4"
        workspace.refer(title, write_video(path, draw_actions(pictures, _FPS, number), _FPS), None)
