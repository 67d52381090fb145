"""Scores are kept, and other settings of the decoding are put on them."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

import fact_clip
from fact_clip.core import runs
from fact_clip.core.clock import Clock
from fact_clip.decoding import Calibration, decode_switching
from fact_clip.inference import candidates
from fact_clip.inference.prepared import Adjust, absorb_short, raise_background
from fact_clip.inference.segmenter import Segmenter

from ..refusals import refused


def absorbed_slowly(labels, scores, least):
    """The rule as it reads, with the segments cut anew after each step."""
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


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"gamma": math.nan}, "gamma"),
        ({"shortest": -1.0}, "shortest"),
    ],
)
def test_settings_have_bounds(wrong, place):
    with refused(place):
        Adjust(**wrong)


@pytest.fixture(scope="module")
def prepared(tiny_run, workbench):
    """A video of the workbench with its scores, and the probabilities (T, C) of its rows."""
    segmenter = fact_clip.load(tiny_run, "cpu")
    rows = np.load(workbench / "features" / "person1_video1.npy")
    ready = segmenter.prepare(rows, "rows", Clock(len(rows), 15.0))
    return segmenter, ready, segmenter.scores(ready.voters, ready.choice).numpy()


def frames_of(prepared, adjust):
    return prepared.choice.vocabulary.encode(prepared.segmentation(adjust).to_frames())


def test_nothing_set_is_what_segment_gives(prepared, workbench):
    segmenter, ready, _ = prepared
    assert ready.segmentation(Adjust()) == segmenter.segment(workbench / "features" / "person1_video1.npy")
    assert ready.nbytes >= 2 * ready.n_frames // 4 * 23 * 4  # two voters, a row for 4 frames, 23 classes in float32


def test_a_threshold_gives_uncertain_frames_to_the_background(prepared):
    _, ready, scores = prepared
    background = ready.choice.vocabulary.background_indices[0]
    threshold = float(np.median(scores.max(1)))
    expected = np.where(scores.max(1) <= threshold, background, scores.argmax(1))
    found = ready.segmentation(Adjust(threshold=threshold))
    assert frames_of(ready, Adjust(threshold=threshold)).tolist() == expected.repeat(4)[: ready.n_frames].tolist()
    assert found.background == ("no action",)
    assert {each.label for each in ready.segmentation(Adjust(threshold=1.0))} == {"no action"}


def test_a_price_of_switching_is_that_of_the_configuration(prepared):
    _, ready, scores = prepared
    expected = decode_switching(np.log(scores), 3.0).repeat(4)[: ready.n_frames]
    assert frames_of(ready, Adjust(switch_penalty=3.0)).tolist() == expected.tolist()


def test_the_shortest_duration_is_in_seconds(prepared):
    _, ready, _ = prepared
    found = ready.segmentation(Adjust(shortest=2.0))
    assert min(each.duration for each in found) >= 28  # 8 rows of 4 frames at 15 fps; the last one may be cut off
    assert len(found) < len(ready.segmentation(Adjust()))


def test_gamma_takes_the_place_of_that_of_the_calibration(tiny_run, prepared):
    plain, ready, _ = prepared
    seen = ("no action", "grasp shaft")
    frames = {slot: {"": 1} for slot in plain.vocabulary.slots}
    calibration = Calibration(seen, frames, gamma=0.5)
    calibrated = Segmenter(plain.run, plain.models, "cpu", calibration)
    other = Segmenter(plain.run, plain.models, "cpu", replace(calibration, gamma=2.0))
    expected = other.decode(ready.voters, other.choose(), ready.n_frames)
    found = calibrated.decode(ready.voters, calibrated.choose(), ready.n_frames, Adjust(gamma=2.0))
    assert found[0].tolist() == expected[0].tolist()
    assert found[1] == pytest.approx(expected[1], abs=1e-6)


def test_each_new_name_is_embedded_once(tiny, tmp_path, workbench, monkeypatch):
    config = tiny(model={"head": "text"}, text={"encoder": "hash:16"}, train={"epochs": 1})
    fact_clip.training.train(config, tmp_path / "run")
    segmenter, embedded = fact_clip.load(tmp_path / "run", "cpu"), []
    original = candidates.class_texts

    def counted(settings, vocabulary, *more):
        embedded.append(vocabulary.names)
        return original(settings, vocabulary, *more)

    monkeypatch.setattr(candidates, "class_texts", counted)
    segmenter.choose(["peel apple", "grasp shaft"])
    choice = segmenter.choose(["peel apple", "cut ham"])
    assert embedded == [("peel apple",), ("cut ham",)]
    again = fact_clip.load(tmp_path / "run", "cpu").choose(["peel apple", "cut ham"])
    assert np.allclose(choice.text, again.text)
