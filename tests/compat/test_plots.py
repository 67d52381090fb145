"""The plots of the published code."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from fact_clip.core import Vocabulary
from fact_clip.core.colours import BACKGROUND_COLOUR, palette
from fact_clip_compat.plots import class_scores, principal_components, space

DOLLAR = Vocabulary.from_names(["rest", "pour $milk$", "stir", "never"], background=["rest"])


def test_principal_axes_are_worked_out_by_hand():
    """Variance 9:1 along (3, 4)/5 and (-4, 3)/5; the axes point to their larger coefficient."""
    along, across = np.array([3.0, -3.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, -1.0])
    rows = 7 + np.outer(along, [0.6, 0.8]) + np.outer(across, [-0.8, 0.6])
    points, shares = principal_components(rows)
    np.testing.assert_allclose(points, np.stack([along, -across], axis=1), atol=1e-12)
    np.testing.assert_allclose(shares, [0.9, 0.1])


def test_dots_have_the_colours_of_their_classes():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 2, 1, -1, 0])
    figure = space(rng.standard_normal((6, 3)), labels, DOLLAR, "dots")
    dots = figure.axes[0].collections
    assert [len(own.get_offsets()) for own in dots] == [2, 2, 1]  # background first, below
    assert [to_hex(own.get_facecolor()[0]) for own in dots] == [BACKGROUND_COLOUR, *palette(2)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rest", "pour $milk$", "stir"]


def test_of_many_frames_every_kth_is_drawn():
    rows = np.random.default_rng(0).standard_normal((10_001, 2))
    figure = space(rows, np.ones(len(rows), dtype=np.int64), DOLLAR, "dots")
    assert len(figure.axes[0].collections[0].get_offsets()) == 3334


def test_scores_show_the_best_and_the_true_classes():
    scores = np.log(np.array([[0.7, 0.2, 0.1, 0.0], [0.6, 0.3, 0.1, 0.0], [0.5, 0.1, 0.4, 0.0]]) + 1e-9)
    figure = class_scores(scores, np.array([0, 2, -1]), DOLLAR.names)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["rest", "stir"]
    np.testing.assert_allclose(axes.images[0].get_array(), scores[:, [0, 2]].T)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0, 1, np.nan])
    assert axes.get_xlabel().startswith("row")  # of the model, which are frames with data.stride=1 alone
