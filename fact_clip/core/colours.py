"""One colour a class, the same in pictures, in the report and on the page; no matplotlib."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from fact_clip.core.arguments import names_of

BACKGROUND = "#d9d9d9"

# OKLab: linear sRGB -> cone responses -> cube root -> lightness and two opponent axes (Björn Ottosson, 2020).
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB in [0, 1], (N, 3) -> OKLab (N, 3), where Euclidean distance is about the distance that is seen."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T
    return lab


@lru_cache(maxsize=8)
def palette(count: int) -> tuple[str, ...]:
    """`count` colours as "#rrggbb", always the same; a shorter palette is the beginning of a longer one.

    Each next colour is the one of a grid of sRGB that is farthest in OKLab from those before it, from white (paper)
    and from the grey of background. Greyish, glaring, very dark and very light ones are left out.
    """
    grid = np.array(list(product(np.linspace(0, 1, 18), repeat=3)))
    perceived = oklab(grid)
    lightness, chroma = perceived[:, 0], np.hypot(perceived[:, 1], perceived[:, 2])
    usable = (lightness > 0.36) & (lightness < 0.90) & (chroma > 0.055) & (chroma < 0.26)
    grid, perceived = grid[usable], perceived[usable]
    taken = oklab(np.array([[1.0, 1.0, 1.0], _rgb(BACKGROUND)]))
    distance = np.min(np.linalg.norm(perceived[:, None] - taken[None], axis=2), axis=1)
    chosen = [
        int(np.argmin(np.linalg.norm(grid - _rgb("#1f77b4"), axis=1)))
    ]  # a calm blue to begin with
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(perceived - perceived[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return tuple(
        "#" + "".join(f"{round(255 * part):02x}" for part in grid[index])
        for index in chosen[:count]
    )


def _rgb(colour: str) -> list[float]:
    return [int(colour[left:right], 16) / 255 for left, right in pairwise((1, 3, 5, 7))]


class Colour(TypedDict):
    """How timeline.js shows a class."""

    colour: str | None  # "#rrggbb"; None for background
    number: int | None  # shown beside the colour, from 1 on; None for background
    index: int  # of the class


def class_colours(names: Sequence[str], background: Collection[str] = ()) -> dict[str, Colour]:
    """A colour and a number for each class, by its place among the actions: a longer list begins alike."""
    names, background = names_of(names, "names"), names_of(background, "background")
    colours: dict[str, Colour] = {
        name: {"colour": None, "number": None, "index": index} for index, name in enumerate(names)
    }
    actions = [name for name in names if name not in background]
    for number, (name, colour) in enumerate(zip(actions, palette(len(actions)), strict=True), 1):
        colours[name].update({"colour": colour, "number": number})
    return colours
