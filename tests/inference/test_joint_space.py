"""Head "similarity": training, the order of candidates, and the one way of decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fact_clip
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import decode_gammas, decode_scores
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.runs.run import Run
from fact_clip.training import train

from ..refusals import refused


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """Features of 8 columns and hashed texts of 8: one space in form, in which nothing means anything."""
    out = tmp_path_factory.mktemp("joint") / "run"
    config = tiny(
        data={"holdout": "zero_shot/A.json", "standardize": True, "interleave": True},
        model={"head": "similarity"},
        text={"encoder": "hash:8", "parts": ["sentence", "factors"]},
        train={"epochs": 1},
    )
    train(config, out)
    return out


def opened(run, *overrides):
    return Segmenter(Scorer(Run.open(run, overrides), "cpu"))


def test_the_order_of_typed_names_changes_nothing(run, workbench):
    features = np.load(workbench / "features" / "person1_video1.npy")
    names = ["polish the lens", "insert bolt", "grasp shaft", "rotate gear"]
    segmenter = opened(run)
    found = segmenter.segment(features, names)
    assert set(found.transcript) <= {*names, "no action"}
    assert segmenter.segment(features, names[::-1]) == found


def test_frames_are_centred_by_the_training_videos(run, workbench):
    segmenter = fact_clip.load(run)
    names = Dataset.open(segmenter.run.config.data).train
    rows = np.concatenate([np.load(workbench / f"features/{name}.npy") for name in names]).astype(np.float64)
    scale, shift = segmenter.scorer.model.similarity.space.numpy()
    inputs = segmenter.run.transform(rows)[:, :8]
    inside = (np.abs(inputs) < 5).all(1)  # not clipped
    np.testing.assert_allclose((inputs * scale - shift)[inside], (rows - rows.mean(0))[inside], atol=1e-3)


def test_frames_are_centred_where_columns_are_not_standardised(tiny, tmp_path, workbench):
    text = {"encoder": "hash:8", "parts": ["sentence"]}
    config = tiny(model={"head": "similarity"}, text=text, train={"epochs": 1}, data={"context": [3]})
    train(config, tmp_path / "run")
    names = Dataset.open(config.data).train
    rows = np.concatenate([np.load(workbench / f"features/{name}.npy") for name in names]).astype(np.float64)
    scale, shift = fact_clip.load(tmp_path / "run").scorer.model.similarity.space.numpy()
    assert (scale == 1).all()
    np.testing.assert_allclose(shift, rows.mean(0), atol=1e-4)


def test_the_curve_of_gammas_decodes_as_one_video_with_each_gamma(run, workbench):
    features = np.load(workbench / "features" / "person1_video1.npy")
    scorer = opened(run).scorer
    choice = scorer.choose().uncorrected()
    seen = np.array([name in scorer.calibration.seen for name in scorer.vocabulary])
    scores, gammas = scorer.score(features, choice), [0.0, 1.5]
    labels = decode_gammas(scores, choice, seen, gammas, scorer.settings)
    for gamma, own in zip(gammas, labels, strict=True):
        alone = decode_scores(
            scores, replace(choice, scoring=replace(choice.scoring, trained=seen, gamma=gamma)), scorer.settings
        )[0]
        assert (alone == own).mean() > 0.999


def test_other_spaces_are_refused(tiny, tmp_path):
    text = {"encoder": "hash:16"}
    config = tiny(model={"head": "similarity"}, text=text)
    with refused("model.head"):
        train(config, tmp_path / "a")
    assert not (tmp_path / "a").exists()
