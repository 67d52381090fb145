from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fact_clip
from fact_clip.core import Vocabulary
from fact_clip.decoding import CandidateSet, DecodeSettings, ModelScores, decode_scores
from fact_clip.decoding.fusion import Voters
from fact_clip.encoders import text_encoder
from fact_clip.encoders.image import OpenClip
from fact_clip.encoders.vectors import embed
from fact_clip.inference.loading import load
from fact_clip.inference.similarity import smoothed
from fact_clip.inference.training_free import SimilarityScorer

from ..refusals import refused

WORDS = CandidateSet(Vocabulary.from_names(["a", "b", "c"]))


def decoded(table, **settings):
    """Labels and confidences of probabilities of three actions at 5 rows a second."""
    settings = SimilarityScorer.settings.model_copy(update=settings)
    return decode_scores(scores_of(table, 5.0), WORDS, settings)


def scores_of(table, rate):
    frames = torch.from_numpy(table).unsqueeze(0)
    voter = Voters(frames, tokens=None, has_token=torch.ones(1, len(table), dtype=torch.bool))
    return ModelScores(len(table), (voter,), rate=rate)


def test_smoothing_by_hand():
    values = np.array([[0.0], [3.0], [6.0], [0.0], [1.0]])
    np.testing.assert_allclose(smoothed(values, 3)[:, 0], [1.5, 3, 3, 7 / 3, 0.5])
    np.testing.assert_array_equal(smoothed(values, 0), values)


@given(st.integers(1, 40), st.integers(0, 90))
def test_smoothing_is_the_mean_over_the_rows_that_there_are(n, window):
    values = np.random.default_rng(n).random((n, 3)).astype(np.float32)
    half = max(window, 1) // 2
    expected = [values[max(row - half, 0) : row + half + 1].mean(axis=0, dtype=np.float64) for row in range(n)]
    np.testing.assert_allclose(smoothed(values, window), expected, rtol=0, atol=1e-12)


def stepped(noise: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three actions in the order 2, 0, 2, with noise, and the labels; action 1 never occurs."""
    rng = np.random.default_rng(0)
    labels = np.repeat([2, 0, 2], [60, 50, 40])
    scores = rng.random((150, 3)) * noise
    scores[np.arange(150), labels] += 0.5
    return (scores / scores.sum(1, keepdims=True)).astype(np.float32), labels


def test_an_unordered_list_of_which_not_all_occur():
    scores, labels = stepped(0.8)
    found, confidence = decoded(scores)
    assert (found == labels).mean() > 0.95
    np.testing.assert_array_equal(confidence, scores[np.arange(150), found])
    assert (scores.argmax(1) == labels).mean() < 0.95  # each frame alone is worse


def test_the_threshold_makes_background_where_no_action_is_likely():
    scores, labels = stepped()
    scores[70:100] = 1 / 3
    found, _ = decoded(scores, threshold=0.45)
    labels[70:100] = 3
    assert (found == labels).mean() > 0.93
    assert (found[75:95] == 3).all()
    assert 3 not in decoded(scores)[0]


@pytest.mark.parametrize(("best", "threshold"), [(0.40, 0.41), (0.85, 0.5), (0.85, 1.0), (0.40, 0.3)])
@pytest.mark.parametrize("background", [(), ("rest",)])
def test_a_threshold_is_compared_with_the_probabilities_themselves(best, threshold, background):
    names = (*background, "peel", "cut", "stir")
    rest = (1 - best) / (len(names) - 1)
    rows = np.full((40, len(names)), rest, np.float32)
    rows[:20, -2] = best
    rows[20:, -1] = best
    candidates = CandidateSet(Vocabulary.from_names(names, background))
    labels, _ = decode_scores(scores_of(rows, 1.0), candidates, DecodeSettings(threshold=threshold))
    is_background = labels == (0 if background else len(names))
    assert is_background.all() == (threshold > best)
    if not background:
        assert is_background.any() == (threshold > best)


def test_features_go_with_their_encoder_and_text(open_clip_folder, tmp_path):
    """Rows that are the vectors of the texts themselves come back as those actions."""
    spec = f"clip:local-dir:{open_clip_folder}"
    actions = ["crack an egg", "pour milk", "stir"]
    segmenter = load(spec, actions=actions, prompts="plain")
    texts = embed(
        text_encoder(f"open_clip:local-dir:{open_clip_folder}"), Vocabulary.from_names(actions), "plain"
    ).classes
    labels = np.repeat([1, 0, 2], [40, 30, 30])
    np.save(tmp_path / "x.npy", 5 * texts[labels].astype(np.float16))
    facts = {"format": "fact-clip features 1", "encoder": segmenter.scorer.encoder.name, "fps": 10.0}
    (tmp_path / "x.json").write_text(json.dumps(facts))
    found = segmenter.segment(tmp_path / "x.npy")
    assert found.transcript == ("pour milk", "crack an egg", "stir")
    assert [each.stop for each in found] == pytest.approx([40, 70, 100], abs=2)
    assert found.fps == 10
    assert all(0 < each.confidence <= 1 for each in found)
    assert set(segmenter.segment(tmp_path / "x.npy", actions=["stir", "pour milk"]).transcript) <= {"stir", "pour milk"}
    moved = pickle.loads(pickle.dumps(segmenter))
    assert moved.segment(tmp_path / "x.npy") == found
    whole = fact_clip.load(spec, "cpu", actions=actions, precision="float32")
    assert whole.sources.encoder_for(tmp_path / "x.mp4").precision == whole.options.precision == "float32"
    assert segmenter.segment(np.load(tmp_path / "x.npy")).fps is None  # nobody knows its rate
    timed = {"encoder": facts["encoder"], "times": [row / 10 for row in range(101)]}
    (tmp_path / "x.json").write_text(json.dumps(timed))
    by_times = segmenter.segment(tmp_path / "x.npy")  # smoothed and cut by the rate of the times
    assert [(each.start, each.stop, each.confidence) for each in by_times] == [
        (each.start, each.stop, each.confidence) for each in found
    ]
    alike = load(spec, actions=actions, prompts="plain", fps=10)
    assert alike.segment(np.load(tmp_path / "x.npy")) == found
    for shape in ((8,), (4, 3)):
        with refused("features"):
            alike.segment(np.zeros(shape))

    (tmp_path / "x.json").write_text(json.dumps({**facts, "encoder": "grid"}))
    with refused("x.json"):
        segmenter.segment(tmp_path / "x.npy")
    (tmp_path / "x.json").write_text(json.dumps(facts))
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    with refused("x.npy"):
        segmenter.segment(tmp_path / "x.npy")
    (tmp_path / "x.json").unlink()
    with refused("x.json"):
        segmenter.segment(tmp_path / "x.npy")


def test_the_model_is_loaded_once_for_pictures_and_texts(open_clip_folder, video, monkeypatch):
    loads = []
    load = OpenClip._load
    monkeypatch.setattr(OpenClip, "_load", lambda self: loads.append(self.name) or load(self))
    segmenter = fact_clip.load(f"clip:local-dir:{open_clip_folder}", actions=["stir", "pour milk"], fps=2)
    found = [segmenter.segment(video("a.mp4")), segmenter.segment(video("a.mkv"), ["stir", "crack an egg"])]
    assert loads == [segmenter.scorer.encoder.name]
    assert [(each.n_frames, each.fps) for each in found] == [(10, 2), (10, 2)]
    assert found[0].media == str(video("a.mp4"))
    assert (segmenter.scorer.fps, segmenter.vocabulary.names) == (2, ("stir", "pour milk"))
