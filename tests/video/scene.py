"""A rendered workbench: things that are moved about, with the script of each video as truth.

Three things (a red disc, a green square, a blue triangle) lie at places of their own. An action is a verb and a thing:
a hand comes to the thing and lifts it up and down, slides it to and fro, or turns it in a circle; between actions the
hand rests. Colours, paces and places vary a little from video to video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

RATE = 15  # pictures a second
WIDTH, HEIGHT = 128, 96
IDLE = "no action"
PLACES = {"disc": (30.0, 60.0), "square": (64.0, 40.0), "triangle": (100.0, 62.0)}
COLOURS = {"disc": (210, 50, 40), "square": (50, 170, 70), "triangle": (60, 80, 210)}
VERBS = ("lift", "slide", "turn")
NAMES = (IDLE, *(f"{verb} {thing}" for verb in VERBS for thing in PLACES))
_REST = (64.0, 88.0)  # of the hand
_REACH = 13.0  # pixels
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]

Step = tuple[str, int]  # action, frames


def script(seed: int, actions: int = 8) -> list[Step]:
    """What happens in a video: actions of 2 to 4.5 seconds with rests of 1 to 2 between some of them."""
    rng = np.random.default_rng(seed)
    steps: list[Step] = [(IDLE, int(rng.integers(15, 30)))]
    for _ in range(actions):
        others = [name for name in NAMES[1:] if name != steps[-1][0]]
        steps.append((others[rng.integers(len(others))], int(rng.integers(2 * RATE, 9 * RATE // 2))))
        if rng.random() < 0.5:
            steps.append((IDLE, int(rng.integers(RATE, 2 * RATE))))
    return [*steps, (IDLE, int(rng.integers(15, 30)))]


def labels(steps: list[Step], fps: float) -> list[str]:
    """What is done at n / fps seconds."""
    frames = [name for name, count in steps for _ in range(count)]
    rows = int(np.ceil((len(frames) / RATE - 1e-3) * fps))
    return [frames[int(row / fps * RATE + 1e-6)] for row in range(rows)]


def images(steps: list[Step], seed: int) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) of a script."""
    rng = np.random.default_rng([seed, 1])
    shift = {thing: rng.normal(0, 1.5, 2) for thing in PLACES}
    tint = rng.normal(0, 6, 3)
    hand = np.array(_REST)
    for name, count in steps:
        verb, _, thing = name.partition(" ")
        pace, phase = rng.normal(1.0, 0.08), rng.uniform(0, 2 * np.pi)
        for frame in range(count):
            where = {each: np.array(place) + shift[each] for each, place in PLACES.items()}
            target = np.array(_REST)
            if name != IDLE:
                angle = 2 * np.pi * pace * frame / RATE + phase
                where[thing] = where[thing] + _movement(verb, angle)
                target = where[thing] + (0, 8)
            hand = hand + 0.5 * (target - hand)
            yield _picture(where, hand, tint, rng)


def _movement(verb: str, angle: float) -> np.ndarray:
    """Where a thing is about its place; lifting goes up only."""
    return {
        "lift": np.array([0.0, -_REACH * (1 - np.cos(angle))]),
        "slide": np.array([_REACH * np.sin(angle), 0.0]),
        "turn": np.array([_REACH * np.cos(angle), _REACH * np.sin(angle)]),
    }[verb]


def _picture(where: dict[str, np.ndarray], hand: np.ndarray, tint: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = np.empty((HEIGHT, WIDTH, 3))
    image[:] = np.array([150, 140, 125]) + tint
    for thing, (x, y) in where.items():
        across, down = np.abs(_X - x), _Y - y
        shape = {
            "disc": across**2 + down**2 < 64,
            "square": (across < 7) & (np.abs(down) < 7),
            "triangle": (down > -8) & (down < 6) & (across < (down + 8) / 1.6),
        }[thing]
        image[shape] = np.array(COLOURS[thing]) + tint
    image[(_X - hand[0]) ** 2 + (_Y - hand[1]) ** 2 < 25] = (235, 190, 160)
    image += rng.normal(0, 5, (HEIGHT, WIDTH, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def write_labels(root: Path, scripts: dict[str, list[Step]], fps: float, test: list[str]) -> None:
    """mapping.txt, groundTruth/ and splits/ of a data set of scenes."""
    for folder in ("groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(NAMES)))
    for name, steps in scripts.items():
        (root / "groundTruth" / f"{name}.txt").write_text("\n".join(labels(steps, fps)) + "\n")
    for part, names in (("test", test), ("train", [name for name in scripts if name not in test])):
        (root / "splits" / f"{part}.split1.bundle").write_text("\n".join(names) + "\n")
