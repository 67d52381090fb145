"""Probabilities of frames and names in one space, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.inference import similarity
from fact_clip.inference.similarity import similarity_probabilities


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("window", [0, 1, 2, 3, 5])
def test_against_loops_over_rows(kind, window, monkeypatch):
    """Also where rows are compared in parts; one row is zero, and no cosine is known of it."""
    monkeypatch.setattr(similarity, "_ROWS", 4)
    rng, temperature = np.random.default_rng(0), 0.2
    features, texts = rng.normal(size=(9, 5)).astype(kind), rng.normal(size=(3, 5)).astype(np.float32)
    features[2] *= 0.01
    features[6] = 0
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    rows = features.astype(np.float32).tolist()
    norms = [math.sqrt(sum(value**2 for value in row)) or 1.0 for row in rows]
    cosines = [
        [sum(a * b for a, b in zip(row, text, strict=True)) / norm for text in texts.tolist()]
        for row, norm in zip(rows, norms, strict=True)
    ]
    reach = max(window, 1) // 2
    expected = []
    for t in range(9):
        near = cosines[max(t - reach, 0) : t + reach + 1]
        odds = [math.exp(sum(row[k] for row in near) / len(near) / temperature) for k in range(3)]
        expected.append([value / sum(odds) for value in odds])
    found = similarity_probabilities(features, texts, window, temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_the_best_of_each_row_is_finite_at_any_temperature():
    features, texts = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[1, 0], [0.5, 0]], dtype=np.float32)
    np.testing.assert_allclose(similarity_probabilities(features, texts, 1, 1e-4), [[1, 0], [0, 1]])
