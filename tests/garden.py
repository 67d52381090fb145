"""A data set as a stranger may bring one: a garden, twelve classes, names with an own pattern, features of sensors.

Nothing of it is known to the package. A frame shows its verb, object and tool as a direction each, with slow noise on
top and a style for each person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

BACKGROUND = "no action"
CLASSES = (
    "plant rose", "plant fern", "plant tulip", "plant hedge",
    "water rose using can", "water fern using can", "water tulip using hose", "water hedge using hose",
    "trim rose using shears", "trim hedge using shears", "trim fern using knife", "trim tulip using knife",
)  # fmt: skip
GRAMMAR = "[using {tool}]"
"""How their last part is written, after "{verb} {object}"."""

NEVER_LABELLED = "trim tulip using shears"
"""An action of the videos that no label names: its frames are "?". Verb, object and tool occur in other actions."""

FPS, DIM, PEOPLE, VIDEOS = 15, 24, 4, 20


def parts(name: str) -> list[str]:
    """Verb, object and, where there is one, the tool."""
    action, _, tool = name.partition(" using ")
    return [*action.split(), *([tool] if tool else [])]


def write_garden(root: Path, seed: int = 0) -> dict[str, list[str]]:
    """Write mapping, features and labels, without splits; the actions of each video, frame by frame."""
    rng = np.random.default_rng(seed)
    words = sorted({word for name in CLASSES for word in parts(name)})
    drawn = rng.standard_normal((len(words), DIM))
    direction = dict(zip(words, 4 * drawn / np.linalg.norm(drawn, axis=1, keepdims=True), strict=True))
    style = 0.3 * rng.standard_normal((PEOPLE, DIM))
    for folder in ("features", "groundTruth"):
        (root / folder).mkdir(parents=True)
    names = (BACKGROUND, *CLASSES)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(names)))
    evidence = {BACKGROUND: np.zeros(DIM)}
    evidence |= {name: sum(direction[word] for word in parts(name)) for name in (*CLASSES, NEVER_LABELLED)}
    actions = {}
    for number in range(VIDEOS):
        person = number % PEOPLE
        frames = _plan(rng)
        rows = np.stack([evidence[name] for name in frames])
        slow = uniform_filter1d(rng.standard_normal(rows.shape), 31, axis=0) * 1.5
        rows = uniform_filter1d(rows, 7, axis=0) + slow + rng.standard_normal(rows.shape) + style[person]
        name = f"person{person + 1}_video{number // PEOPLE + 1}"
        np.save(root / "features" / f"{name}.npy", rows.astype(np.float32))
        labels = ["?" if one == NEVER_LABELLED else one for one in frames]
        (root / "groundTruth" / f"{name}.txt").write_text("\n".join(labels) + "\n")
        actions[name] = frames
    return actions


def _plan(rng: np.random.Generator) -> list[str]:
    """A dozen actions of one to five seconds, in any order, with pauses."""
    frames: list[str] = [BACKGROUND] * int(rng.integers(10, 30))
    chosen: NDArray[np.str_] = rng.permutation([*CLASSES, NEVER_LABELLED])
    for name in chosen[:12].tolist():
        frames += [name] * int(rng.integers(1 * FPS, 5 * FPS))
        if rng.random() < 0.5:
            frames += [BACKGROUND] * int(rng.integers(8, 30))
    return frames
