"""Plots for papers: which videos, which shares, and where texts lie among frames."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fact_clip.core import Segment, Segmentation, Vocabulary
from fact_clip.core.colours import BACKGROUND_COLOUR, palette
from fact_clip.report.plots import (
    chosen_videos,
    class_scores,
    confusion_figure,
    principal_components,
    save_plots,
    space,
    timeline,
)

from .conftest import rows_of

NAMES = Vocabulary.from_names(["rest", "pour", "stir"], background=["rest"])
DOLLAR = Vocabulary.from_names(["rest", "pour $milk$", "stir", "never"], background=["rest"])


def test_videos_are_spread_from_the_lowest_accuracy_to_the_highest(evaluated):
    videos = [rows_of([1] * 24, [1] * right + [2] * (24 - right), f"{right}") for right in range(23, -1, -1)]
    assert [video.name for video in chosen_videos(evaluated(videos))] == [
        "0", "2", "4", "6", "8", "10", "13", "15", "17", "19", "21", "23",
    ]  # fmt: skip
    assert [video.name for video in chosen_videos(evaluated(videos[:2]))] == ["22", "23"]


def test_a_confusion_shows_shares_of_true_classes():
    figure = confusion_figure([(2, 2, 3), (2, 0, 1), (0, 0, 5), (0, 1, 5)], NAMES.names, "class")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rest", "stir"]  # "pour" is never true
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.5, 0.0], [0.25, 0.75]])


def test_all_timelines_number_the_classes_alike():
    row = Segmentation((Segment(0, 5, "stir"), Segment(5, 9, "rest")))
    figure = timeline({"truth": row}, background=["rest"], names=NAMES.names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["2  stir", "rest"]


@pytest.mark.parametrize("unseen", [(), ("stir",)])
def test_a_run_gets_a_curve_only_with_unseen_classes(evaluated, tmp_path, unseen):
    one = evaluated([rows_of([1, 1, 2, -1], [1, 2, 2, 2], times=np.arange(5.0))], NAMES.names, unseen=unseen)
    written = {path.name for path in save_plots(one, tmp_path)}
    expected = {"timeline_one", "confusion"} | ({"curve"} if unseen else set())
    assert written == {f"{name}{suffix}" for name in expected for suffix in (".png", ".svg")}


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
