"""Pictures of what does not fit are refused; boundaries are found as by a table of all pairs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fact_clip import report
from fact_clip.core import Segmentation, Vocabulary
from fact_clip.report import analysis
from fact_clip.report.record import Video

from ..refusals import refused

AB = Vocabulary.from_names(["a", "b"])
ROWS = np.random.default_rng(0).normal(size=(5, 3))
ONE = {"x": Segmentation.from_frames(["a", "b"], fps=5.0)}


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: report.class_colours("abc"), "names"),
        (lambda: report.class_colours(["ab", "b"], "ab"), "background"),
        (lambda: report.timeline(ONE, background="ab"), "background"),
        (lambda: report.timeline(ONE, names="ab"), "names"),
        (lambda: report.save_timeline(ONE, 5), "path"),
        (
            lambda: report.principal_components(np.full((4, 3), math.nan)),
            "rows",
        ),
        (lambda: report.principal_components(np.zeros(3)), "rows"),
        (lambda: report.embeddings(ROWS, np.zeros(3, int), AB), "labels"),
        (lambda: report.embeddings(ROWS, np.full(5, 2), AB), "labels"),
        (lambda: report.embeddings(ROWS, np.full(5, -2), AB), "labels"),
        (lambda: report.embeddings(ROWS, np.zeros(5), AB), "labels"),
        (lambda: report.class_scores(ROWS, np.zeros(5, int), ["a"]), "scores"),
        (lambda: report.class_scores(ROWS, np.zeros(4, int), "abc"), "names"),
        (lambda: report.class_scores(ROWS, np.zeros(4, int), ["a", "b", "c"]), "labels"),
        (lambda: report.class_scores(ROWS, np.full(5, 9), ["a", "b", "c"]), "labels"),
        (lambda: report.class_scores(ROWS * math.nan, np.zeros(5, int), ["a", "b", "c"]), "scores"),
        (lambda: report.curve({"a": [1, 2]}), "curve 'a'"),
        (
            lambda: report.curve({"a": {"seen": [1, 2], "unseen": [1]}}),
            "curve 'a', seen",
        ),
        (lambda: report.curve({"a": {"seen": [math.nan], "unseen": [1]}}), "curve 'a', seen"),
        (
            lambda: report.curve({"a": {"seen": [1], "unseen": [1]}}, used={"S": 3}),
            "used, U",
        ),
        (lambda: report.check_suffix("x.txt"), "x.txt"),
        (lambda: report.draw_frames([], AB, "out", title=""), "videos"),
        (lambda: report.draw_frames([(1, 2)], AB, "out", title=""), "video 0"),
        (
            lambda: report.draw_frames([("v", ROWS, ROWS[:4], ROWS, np.zeros(5, int))], AB, "out", title=""),
            "features of v",
        ),
    ],
)
def test_what_cannot_be_drawn(call, place):
    with refused(place):
        call()
    assert not Path("out").exists()


def test_labels_may_be_none():
    scores = np.log(np.full((3, 2), 0.5))
    assert report.class_scores(scores, np.array([-1, 0, 1]), ["a", "b"]).axes[0].get_title("left") == ""
    assert report.embeddings(ROWS, np.array([-1, 0, 1, 0, -1]), AB, title="t").axes[0].get_title("left") == "t"


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_boundary_is_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    labels = {row: np.repeat(rng.integers(0, 3, 12), 5)[rng.integers(0, 4) :][:50] for row in ("truth", "prediction")}
    labels = {row: np.where(rng.random(50) < 0.1, 3, own[:50]) for row, own in labels.items()}
    video = Video("v", labels, {}, None)
    edges, guesses = ([run[0] for run in analysis.segments(labels[row])[1:]] for row in ("truth", "prediction"))
    expected = []
    for edge in edges:
        distances = [abs(guess - edge) for guess in guesses]
        expected.append(guesses[distances.index(min(distances))] - edge)  # of two equally near the earlier
    assert analysis.boundaries([video])["offsets"] == sorted(expected)
