"""Colours of classes, the same in pictures, in the report and on the page; no matplotlib."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import product
from typing import TypedDict

import numpy as np

from fact_clip.core.arguments import names_of
from fact_clip.core.arrays import Floats
from fact_clip.core.types import Names

BACKGROUND = "#d9d9d9"
_PAPER = ("#ffffff", "#15181c")  # of the light and of the dark theme
_FIRST = "#1f77b4"  # a calm blue to begin with

# OKLab: linear sRGB -> cone responses -> cube root -> lightness and two opponent axes
# (Björn Ottosson, 2020).
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


def oklab(rgb: Floats) -> Floats:
    """Convert sRGB in [0, 1] (N, 3) to OKLab (N, 3), whose Euclidean distances match perception."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab: Floats = np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T
    return lab


@lru_cache(maxsize=8)
def palette(count: int) -> Names:
    """Return colours that are easily told apart.

    Each next colour is the one of a grid of sRGB that is farthest in OKLab from the previous ones,
    from paper and from the grey of background. Greyish, glaring, very dark and very light ones are
    omitted, and reds, which would read as errors.

    Args:
        count: how many colours.

    Returns:
        The colours as "#rrggbb". A shorter palette is the beginning of a longer one.
    """
    grid = np.array(list(product(np.linspace(0, 1, 18), repeat=3)))  # (G, 3)
    perceived = oklab(grid)
    lightness = perceived[:, 0]
    chroma = np.hypot(perceived[:, 1], perceived[:, 2])
    hue = np.degrees(np.arctan2(perceived[:, 2], perceived[:, 1]))
    is_red = (hue > -10) & (hue < 50) & (chroma > 0.09)
    usable = (lightness > 0.42) & (lightness < 0.84) & (chroma > 0.05) & (chroma < 0.15) & ~is_red
    grid = grid[usable]
    perceived = perceived[usable]

    taken = oklab(np.array([_rgb(colour) for colour in (*_PAPER, BACKGROUND)]))
    distance = np.min(np.linalg.norm(perceived[:, None] - taken[None], axis=2), axis=1)  # (G,)
    indices = [int(np.argmin(np.linalg.norm(grid - _rgb(_FIRST), axis=1)))]
    while len(indices) < count:
        newest = perceived[indices[-1]]
        distance = np.minimum(distance, np.linalg.norm(perceived - newest, axis=1))
        indices.append(int(np.argmax(distance)))
    return tuple(_hex(grid[index]) for index in indices[:count])


def _rgb(colour: str) -> list[float]:
    return [value / 255 for value in bytes.fromhex(colour[1:])]


def _hex(rgb: Floats) -> str:
    return "#" + bytes(round(255 * value) for value in rgb).hex()


class Colour(TypedDict):
    """How timeline.js shows a class."""

    colour: str | None  # "#rrggbb"; None for background
    number: int | None  # shown beside the colour, from 1 on; None for background
    index: int  # of the class


def class_colours(names: Sequence[str], background: Collection[str] = ()) -> dict[str, Colour]:
    """Assign colours and numbers to classes.

    Args:
        names: names of the classes.
        background: names that get neither colour nor number.

    Returns:
        The colour of each name. A longer list of names begins with the same colours.
    """
    names = names_of(names, "names")
    background = names_of(background, "background")
    actions = [name for name in names if name not in background]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    numbers = {name: number for number, name in enumerate(actions, start=1)}

    looks: dict[str, Colour] = {}
    for index, name in enumerate(names):
        looks[name] = {
            "colour": colours.get(name),
            "number": numbers.get(name),
            "index": index,
        }
    return looks
