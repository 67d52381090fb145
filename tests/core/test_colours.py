"""Colours of classes: far apart, always the same, and none for background."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from matplotlib.colors import to_rgb

from fact_clip.core.colours import BACKGROUND_COLOUR, class_colours, palette

PAPER = ("#ffffff", "#15181c")  # of the light and of the dark theme
FIRST = "#1f77b4"  # a calm blue to begin with
# OKLab: linear sRGB -> cone responses -> cube root -> lightness and two opponent axes (Björn Ottosson, 2020)
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OPPONENTS = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] (N, 3) in OKLab (N, 3), whose Euclidean distances match perception."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ np.array(CONES).T) @ np.array(OPPONENTS).T


def farthest(count: int) -> list[str]:
    """Colours of a grid, each the farthest from those before it."""
    grid = np.array(list(product(np.linspace(0, 1, 18), repeat=3)))  # (G, 3)
    lightness, across, down = oklab(grid).T
    chroma, hue = np.hypot(across, down), np.degrees(np.arctan2(down, across))
    is_red = (hue > -10) & (hue < 50) & (chroma > 0.09)
    grid = grid[(lightness > 0.42) & (lightness < 0.84) & (chroma > 0.05) & (chroma < 0.15) & ~is_red]
    seen = oklab(grid)
    distance = np.linalg.norm(seen[:, None] - perceived(*PAPER, BACKGROUND_COLOUR), axis=2).min(1)
    indices = [int(np.linalg.norm(grid - to_rgb(FIRST), axis=1).argmin())]
    while len(indices) < count:
        distance = np.minimum(distance, np.linalg.norm(seen - seen[indices[-1]], axis=1))
        indices.append(int(distance.argmax()))
    return ["#" + bytes(round(255 * value) for value in grid[index]).hex() for index in indices]


def test_the_table_is_that_of_its_rule():
    assert palette(300) == tuple(farthest(300))
    assert palette(302)[300:] == palette(2)


def perceived(*colours: str):
    return oklab(np.array([to_rgb(colour) for colour in colours]))


def least(*colours: str) -> float:
    """The least distance of two colours; 0.02 is about the least that is seen side by side."""
    return min(float(np.linalg.norm(left - right)) for left, right in combinations(perceived(*colours), 2))


def test_sixty_colours_stay_apart():
    assert least(*palette(7)) > 0.17
    assert least(*palette(20), BACKGROUND_COLOUR, "#ffffff", "#15181c") > 0.10
    assert least(*palette(60), BACKGROUND_COLOUR, "#ffffff", "#15181c") > 0.06
    assert len(set(palette(300))) == 300
    assert palette(60)[:7] == palette(7)
    assert palette(0) == ()


def test_no_colour_glares_or_is_the_red_of_an_error():
    _, across, down = perceived(*palette(300)).T
    assert np.hypot(across, down).max() < 0.15
    (red,) = perceived("#d32f2f")
    assert np.linalg.norm(perceived(*palette(300)) - red, axis=1).min() > 0.08


def test_a_class_has_the_colour_and_the_number_of_its_place_among_the_actions():
    found = class_colours(["pour", "no action", "stir"], ["no action"])
    assert found == {
        "pour": {"colour": palette(2)[0], "number": 1, "index": 0},
        "no action": {"colour": None, "number": None, "index": 1},
        "stir": {"colour": palette(2)[1], "number": 2, "index": 2},
    }
    few, more = class_colours(["a", "b"]), class_colours(["a", "b", "c"])
    assert {name: more[name] for name in few} == few
