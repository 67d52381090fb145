"""Scores are kept, and other settings of the decoding are put on them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import fact_clip
from fact_clip.core import runs
from fact_clip.core.clock import Clock
from fact_clip.decoding import Calibration, DecodeSettings, class_scores, decode_scores, decode_switching
from fact_clip.decoding.switching import absorb_short, raise_background
from fact_clip.inference import SegmentDecoder
from fact_clip.inference.scorer import Scorer
from fact_clip.runs.run import LoadedRun


def absorbed_slowly(labels, scores, least):
    """The rule as it reads, with the segments cut again after each step."""
    labels = labels.copy()
    while True:
        segments = runs(labels)
        start, stop, _ = segments[place := min(range(len(segments)), key=lambda i: segments[i][1] - segments[i][0])]
        if stop - start >= least or len(segments) == 1:
            return labels
        beside = [segments[i][2] for i in (place - 1, place + 1) if 0 <= i < len(segments)]
        labels[start:stop] = max(beside, key=lambda label: float(scores[start:stop, label].mean()))


@pytest.mark.parametrize("least", [1, 2, 4, 30])
def test_short_segments_go_to_the_likelier_neighbour(least):
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, scores = rng.integers(0, 3, 40).repeat(rng.integers(1, 3)), rng.random((80, 3))
        found = absorb_short(labels, scores, least)
        assert found.tolist() == absorbed_slowly(labels, scores, least).tolist()


def test_many_short_segments_cost_little():
    labels = np.arange(50_000) % 3
    scores = np.random.default_rng(0).random((50_000, 3))
    begun = time.process_time()
    found = absorb_short(labels, scores, 5)
    assert time.process_time() - begun < 10  # seconds; a look at all segments for each took minutes
    assert min(stop - start for start, stop, _ in runs(found)) >= 5


def test_the_background_is_raised_or_added():
    scores = np.array([[0.7, 0.3], [0.2, 0.8]])
    assert raise_background(scores, (1,), 0.5).tolist() == [[0.7, 0.5], [0.2, 0.8]]
    assert raise_background(scores, (), 0.5).tolist() == [[0.7, 0.3, 0.5], [0.2, 0.8, 0.5]]
    assert scores.tolist() == [[0.7, 0.3], [0.2, 0.8]]


@pytest.fixture(scope="module")
def scored(tiny_run, workbench):
    """A video of the workbench with its scores, and the probabilities (T, C) of its rows."""
    segmenter = fact_clip.load(tiny_run, "cpu")
    rows = np.load(workbench / "features" / "person1_video1.npy")
    candidates = segmenter.choose()
    scores = segmenter.scorer.score(rows, candidates, Clock(len(rows), 15.0))
    return segmenter, scores, class_scores(scores, candidates).numpy()


def segmentation(scored, **settings):
    segmenter, scores, _ = scored
    decoder = SegmentDecoder(segmenter.scorer, segmenter.choose(), DecodeSettings(**settings))
    return decoder.segmentation(scores)


def labels(scored, **settings):
    return scored[0].vocabulary.encode(segmentation(scored, **settings).to_frames()).tolist()


def test_nothing_set_is_what_segment_gives(scored, workbench):
    segmenter, scores, _ = scored
    assert segmentation(scored) == segmenter.segment(workbench / "features" / "person1_video1.npy")
    assert scores.nbytes >= 2 * scores.n_frames // 4 * 23 * 4  # two voters, a row for 4 frames, 23 classes in float32


def test_a_threshold_gives_uncertain_frames_to_the_background(scored):
    segmenter, scores, table = scored
    background = segmenter.vocabulary.background_indices[0]
    threshold = float(np.median(table.max(1)))
    expected = np.where(table.max(1) <= threshold, background, table.argmax(1))
    assert labels(scored, threshold=threshold) == expected.repeat(4)[: scores.n_frames].tolist()
    assert segmentation(scored, threshold=threshold).background == ("no action",)
    assert {each.label for each in segmentation(scored, threshold=1.0)} == {"no action"}


def test_a_penalty_is_that_of_the_configuration(scored):
    _, scores, table = scored
    expected = decode_switching(np.log(table), 3.0).repeat(4)[: scores.n_frames]
    assert labels(scored, switch_penalty=3.0) == expected.tolist()


def test_the_shortest_duration_is_in_seconds(scored):
    found = segmentation(scored, shortest=2.0)
    assert min(each.duration for each in found) >= 28  # 8 rows of 4 frames at 15 fps; the last one may be cut off
    assert len(found) < len(segmentation(scored))


def test_gamma_takes_the_place_of_that_of_the_calibration(scored):
    segmenter, scores, _ = scored
    run, models = segmenter.run, segmenter.scorer.models
    frames = {slot: {"": 1} for slot in segmenter.vocabulary.slots}
    calibration = Calibration(("no action", "grasp shaft"), frames, gamma=0.5)
    calibrated = Scorer(LoadedRun(run, models, calibration), "cpu")
    other = Scorer(LoadedRun(run, models, replace(calibration, gamma=2.0)), "cpu")
    expected = decode_scores(scores, other.choose())
    found = decode_scores(scores, calibrated.choose(), DecodeSettings(gamma=2.0))
    assert found[0].tolist() == expected[0].tolist()
    assert found[1] == pytest.approx(expected[1], abs=1e-6)


def test_settings_take_the_place_of_others():
    run = DecodeSettings(switch_penalty=2.0, shortest=1.0)
    assert DecodeSettings(shortest=0.0).over(run) == DecodeSettings(switch_penalty=2.0, shortest=0.0)
    assert DecodeSettings().over(run) == run
