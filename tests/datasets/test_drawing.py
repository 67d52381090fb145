"""Pictures of the workbench show what the labels say."""

from __future__ import annotations

import numpy as np

from fact_clip.datasets.drawing import draw_actions


def test_pictures_show_the_action():
    labels = ["no action"] * 3 + ["tap shaft with mallet"] * 6 + ["grasp gear"] * 4
    pictures = list(draw_actions(labels, 15.0, 1))
    assert [picture.shape for picture in pictures] == [(120, 160, 3)] * 13
    assert pictures[0].dtype == np.uint8

    def has(picture, colour):
        return bool((picture[30:] == colour).all(axis=2).any())  # below the boxes of parts

    shaft, mallet, gear = (200, 60, 50), (95, 60, 30), (60, 160, 75)
    for picture, name in zip(pictures, labels, strict=True):
        assert (has(picture, shaft), has(picture, mallet), has(picture, gear)) == (
            "shaft" in name, "mallet" in name, "gear" in name,
        )  # fmt: skip
    again = list(draw_actions(labels, 15.0, 1))
    assert all((one == other).all() for one, other in zip(pictures, again, strict=True))
