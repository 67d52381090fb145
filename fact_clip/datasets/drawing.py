"""The workbench as a film: a hand moves the part and the tool of each action, each verb in a way of its own.

The pictures show what the labels say. The features of `synthetic.write_workbench` are drawn at random and not made from
these pictures; features of the pictures come from ``fact-clip extract``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import runs
from fact_clip.datasets.synthetic import FACTORS, STEPS, VERBS

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 160, 120
_CENTRE, _REST = (80.0, 68.0), (80.0, 104.0)  # where parts are worked on, and where the hand rests
_BESIDE, _BELOW = np.array([14, -4]), np.array([0, 14])  # of a part: its tool, and the hand
_SKIN, _BENCH = (232, 188, 160), (150, 140, 125)
_COLOURS = {
    "shaft": (200, 60, 50), "gear": (60, 160, 75), "bearing": (60, 90, 200), "bolt": (215, 175, 50),
    "nut": (150, 70, 170), "hex screw": (45, 160, 170), "phillips screw": (235, 120, 40),
    "mallet": (95, 60, 30), "wrench": (225, 225, 230), "hex screwdriver": (30, 30, 35),
    "phillips screwdriver": (120, 20, 60),
}  # fmt: skip
# Width and height of each part and tool, and whether it has a hole.
_SHAPES = {
    "shaft": (6, 26, False), "gear": (20, 20, True), "bearing": (14, 14, True), "bolt": (10, 16, False),
    "nut": (8, 8, True), "hex screw": (4, 14, False), "phillips screw": (4, 20, False),
    "mallet": (16, 10, False), "wrench": (5, 24, False), "hex screwdriver": (4, 22, False),
    "phillips screwdriver": (6, 18, False),
}  # fmt: skip


def draw_actions(labels: Sequence[str], fps: float, seed: int = 0) -> Iterator[Image]:
    """A picture (120, 160, 3) for each label of a video, all of them names in `synthetic.FACTORS`.

    The same arguments give the same pictures.
    """
    rng = np.random.default_rng(seed)
    bench = _bench(rng)
    hand = np.array(_REST)
    order = list(dict.fromkeys(labels))
    for start, stop, number in runs(np.array([order.index(name) for name in labels])):
        verb, part, tool = FACTORS[order[number]]
        phase = rng.uniform(0, 2 * np.pi)
        for frame in range(stop - start):
            image, target = bench.copy(), np.array(_REST)
            if verb is not None and part is not None:
                angle = 2 * np.pi * VERBS[verb][1] * frame / fps + phase
                place = np.array(_CENTRE) + _movement(verb, angle)
                _paint(image, part, place)
                if tool is not None:
                    _paint(image, tool, place + _BESIDE)
                target = place + _BELOW
            hand = hand + 0.5 * (target - hand)
            _blot(image, hand, 12, 12, _SKIN)
            yield image


def _bench(rng: np.random.Generator) -> Image:
    """The table with a box of each part at the back, a little different for each seed."""
    image = np.empty((HEIGHT, WIDTH, 3))
    image[:] = np.array(_BENCH) + rng.normal(0, 6, 3)
    image += rng.normal(0, 4, (HEIGHT, WIDTH, 1))
    table = np.clip(image, 0, 255).astype(np.uint8)
    for number, part in enumerate(STEPS):
        _blot(table, np.array([14.0 + 22 * number, 12.0]), 12, 8, _COLOURS[part])
    return table


def _movement(verb: str, angle: float) -> NDArray[np.float64]:
    """Where a thing is about the place where it is worked on."""
    across, down = {
        "grasp": (0.0, -7 * (1 - np.cos(angle))),
        "place": (14 * np.sin(angle), 0.0),
        "insert": (0.0, 12 * np.sin(angle)),
        "screw": (6 * np.cos(angle), 6 * np.sin(angle)),
        "tap": (0.0, -12 * abs(np.sin(angle / 2))),
        "rotate": (14 * np.cos(angle), 6 * np.sin(angle)),
    }[verb]
    return np.array([across, down])


def _paint(image: Image, thing: str, place: NDArray[np.float64]) -> None:
    width, height, has_hole = _SHAPES[thing]
    _blot(image, place, width, height, _COLOURS[thing])
    if has_hole:
        _blot(image, place, width // 3, height // 3, _BENCH)


def _blot(image: Image, place: NDArray[np.float64], width: int, height: int, colour: tuple[int, int, int]) -> None:
    """A rectangle about a place, cut off at the border."""
    left, top = round(float(place[0])) - width // 2, round(float(place[1])) - height // 2
    image[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = colour
