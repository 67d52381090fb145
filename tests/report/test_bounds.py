"""Pictures of what does not fit are refused; boundaries are found as by a table of all pairs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fact_clip import report
from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.report import analysis
from fact_clip.report.record import Video

AB = Vocabulary.from_names(["a", "b"])
ROWS = np.random.default_rng(0).normal(size=(5, 3))
ONE = {"x": Segmentation.from_frames(["a", "b"], fps=5.0)}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: report.class_colours("abc"), "names: one text, 'abc'; expected a list of names"),
        (lambda: report.class_colours(["ab", "b"], "ab"), "background: one text, 'ab'; expected a list of names"),
        (lambda: report.timeline(ONE, background="ab"), "background: one text, 'ab'; expected a list of names"),
        (lambda: report.timeline(ONE, names="ab"), "names: one text, 'ab'; expected a list of names"),
        (lambda: report.save_timeline(ONE, 5), "path: 5; expected a path"),
        (
            lambda: report.principal_components(np.full((4, 3), math.nan)),
            "rows: NaN or an infinity; expected finite numbers, (N, D)",
        ),
        (lambda: report.principal_components(np.zeros(3)), "rows: an array of shape (3,); expected (N, D)"),
        (lambda: report.embeddings(ROWS, np.zeros(3, int), AB), "labels: 3 of them; expected 5, one a row"),
        (lambda: report.embeddings(ROWS, np.full(5, 2), AB), "labels: class 2; expected indices of the 2 classes, or"),
        (lambda: report.embeddings(ROWS, np.full(5, -2), AB), "labels: class -2; expected indices of the 2 classes"),
        (lambda: report.embeddings(ROWS, np.zeros(5), AB), "labels: labels of type float64; expected integer class"),
        (lambda: report.class_scores(ROWS, np.zeros(5, int), ["a"]), "scores: an array of shape (5, 3); expected (T, "),
        (lambda: report.class_scores(ROWS, np.zeros(4, int), "abc"), "names: one text, 'abc'; expected a list"),
        (lambda: report.class_scores(ROWS, np.zeros(4, int), ["a", "b", "c"]), "labels: 4 of them; expected 5"),
        (lambda: report.class_scores(ROWS, np.full(5, 9), ["a", "b", "c"]), "labels: class 9; expected indices of the"),
        (lambda: report.class_scores(ROWS * math.nan, np.zeros(5, int), ["a", "b", "c"]), "scores: NaN; expected log-"),
        (lambda: report.curve({"a": [1, 2]}), "curve 'a': list [1, 2]; expected lists 'unseen' and 'seen'"),
        (
            lambda: report.curve({"a": {"seen": [1, 2], "unseen": [1]}}),
            "curve 'a', seen: an array of shape (2,); expected (1,)",
        ),
        (lambda: report.curve({"a": {"seen": [math.nan], "unseen": [1]}}), "curve 'a', seen: NaN or an infinity"),
        (
            lambda: report.curve({"a": {"seen": [1], "unseen": [1]}}, used={"S": 3}),
            "used, U: None; expected percent, 0 to 100",
        ),
        (lambda: report.check_suffix("x.txt"), "x.txt: no picture format for the suffix '.txt'"),
        (lambda: report.draw_frames([], AB, "out", title=""), "videos: none; expected at least one"),
        (lambda: report.draw_frames([(1, 2)], AB, "out", title=""), "video 0: tuple; expected name, input, features"),
        (
            lambda: report.draw_frames([("v", ROWS, ROWS[:4], ROWS, np.zeros(5, int))], AB, "out", title=""),
            "features of v: shape (4, 3); expected (5, D)",
        ),
    ],
)
def test_what_cannot_be_drawn(call, told):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(told)
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
