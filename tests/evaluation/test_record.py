"""What an evaluation keeps for the report comes back as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip import load, training
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.evaluation.record import ROWS, Record, Video
from fact_clip.inference.scorer import Scorer
from fact_clip.runs.run import LoadedRun, Run

NAMES = Vocabulary.from_names(["no action", "pour", "stir"], background=["no action"])


def made() -> Record:
    first = Video(
        "a",
        {row: np.array([0, 1, 1, 2]) for row in ROWS},
        {row: np.array([0.5, 0.25, 1, 0], np.float16) for row in ROWS[1:]},
        np.array([0, 0.5, 1, 2.5, 3]),
    )
    second = Video(
        "b",
        {"truth": np.array([-1, 2]), "prediction": np.array([0, 2]), "frames": np.array([1, 2])},
        {row: np.ones(2, np.float16) for row in ROWS[1:3]},
    )
    return Record(NAMES, np.array([7, 2, 0]), {"commit": "abc"}, [first, second])


def test_a_record_comes_back(tmp_path):
    before = made()
    before.save(tmp_path / "evaluation.npz")
    after = Record.load(tmp_path / "evaluation.npz")
    assert after.vocabulary == NAMES
    assert after.versions == {"commit": "abc"}
    assert after.training_frames.tolist() == [7, 2, 0]
    # A video without a token voter comes back with a row of -1, if another has one.
    for ours, theirs in zip(before.videos, after.videos, strict=True):
        assert theirs.name == ours.name
        for row, labels in ours.labels.items():
            assert theirs.labels[row].tolist() == labels.tolist()
        for row, shares in ours.confidence.items():
            assert theirs.confidence[row].tolist() == shares.tolist()
    assert after.videos[0].times.tolist() == [0, 0.5, 1, 2.5, 3]
    assert after.videos[1].times is None
    assert "tokens" not in after.videos[1].labels


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory) -> Path:
    run = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("record") / "run"))
    training.evaluate(run)
    return run


def test_evaluate_keeps_what_it_scored(evaluated):
    record, run = Record.load(evaluated / "evaluation.npz"), Run.read(evaluated)
    dataset, segmenter = Dataset.open(run.config.data), load(evaluated).scorer
    assert record.training_frames.tolist() == dataset.training_counts.tolist()
    assert [video.name for video in record.videos] == list(dataset.test)
    for video in record.videos:
        features = dataset.features(video.name)
        labels, confidence = segmenter.predict(features)
        assert video.labels["truth"].tolist() == dataset.labels(video.name).tolist()
        assert video.labels["prediction"].tolist() == labels.tolist()
        assert np.allclose(video.confidence["prediction"], segmenter.calibrated(confidence), atol=1e-3)
        assert np.allclose(video.times, np.arange(len(labels) + 1) / dataset.fps)


def test_voters_are_those_that_are_fused(evaluated):
    """With all weight on one of the two voters, and no price for a change, decoding follows that voter."""
    run = Run.read(evaluated)
    dataset = Dataset.open(run.config.data)
    kept = {video.name: video for video in Record.load(evaluated / "evaluation.npz").videos}
    for row, weight in (("frames", 1.0), ("tokens", 0.0)):
        told = Run.read(evaluated, [f"decode.frame_weight={weight}", "decode.switch_penalty=0"])
        segmenter = Scorer(LoadedRun(told, told.models()))
        for name in dataset.test:
            labels, confidence = segmenter.predict(dataset.features(name))
            assert kept[name].labels[row].tolist() == labels.tolist()
            assert np.allclose(kept[name].confidence[row], confidence, atol=1e-3)
