"""Boundaries are found as by a table of all pairs; frames may have no label."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip import report
from fact_clip.core import Vocabulary
from fact_clip.report import analysis
from fact_clip.report.record import Video

AB = Vocabulary.from_names(["a", "b"])
ROWS = np.random.default_rng(0).normal(size=(5, 3))


def test_labels_may_be_none():
    scores = np.log(np.full((3, 2), 0.5))
    assert report.class_scores(scores, np.array([-1, 0, 1]), ["a", "b"]).axes[0].get_title("left") == ""
    embedded = report.Space(ROWS, np.array([-1, 0, 1, 0, -1]))
    assert report.space(embedded, AB, title="t").axes[0].get_title("left") == "t"


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
