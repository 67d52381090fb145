"""Colours of classes: far apart, always the same, and none for background."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb

from fact_clip.core.colours import BACKGROUND, class_colours, oklab, palette


def perceived(*colours: str):
    return oklab(np.array([to_rgb(colour) for colour in colours]))


def least(*colours: str) -> float:
    """The least distance of two colours; 0.02 is about the least that is seen side by side."""
    return min(float(np.linalg.norm(left - right)) for left, right in combinations(perceived(*colours), 2))


def test_sixty_colours_stay_apart():
    assert least(*palette(7)) > 0.17
    assert least(*palette(20), BACKGROUND, "#ffffff", "#15181c") > 0.10
    assert least(*palette(60), BACKGROUND, "#ffffff", "#15181c") > 0.06
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
