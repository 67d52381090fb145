"""What is left "none of these", by hand and on trained runs."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.core import NONE_OF_THESE
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import DecodeSettings, class_scores
from fact_clip.decoding.confidence import over_segments
from fact_clip.inference.segmenter import Segmenter
from fact_clip.training import evaluate, train

from ..refusals import refused
from ..small import ZERO_SHOT


@pytest.fixture(scope="module")
def named(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "run"
    train(tiny(**{**ZERO_SHOT, "train": {"epochs": 4}}), folder)
    return folder


@pytest.fixture(params=["closed", "text"])
def segmenter(request, tiny_run, named) -> Segmenter:
    return fact_clip.load(tiny_run if request.param == "closed" else named)


@pytest.fixture(scope="module")
def video(workbench) -> Path:
    return workbench / "features" / "person1_video1.npy"


def sure(segmenter: Segmenter, video: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (T,), and for each frame the mean confidence of its segment, (T,)."""
    labels, scores = segmenter.scorer.predict(np.load(video).astype(np.float32))
    return labels, over_segments(labels, segmenter.scorer.confidence.calibrated(scores))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_segments_below_the_threshold_have_no_action(share, segmenter, video):
    labels, confidence = sure(segmenter, video)
    expected = np.array(segmenter.vocabulary.decode(labels), dtype=object)
    expected[confidence < segmenter.scorer.confidence.least(share)] = NONE_OF_THESE
    found = segmenter.segment(video, settings=DecodeSettings(reject=share))
    assert found.to_frames() == expected.tolist()
    assert found.background == ("no action", NONE_OF_THESE)
    for before, after in pairwise(found):  # neighbours are joined
        assert before.label != after.label
    assert all((each.confidence is None) == (each.label == NONE_OF_THESE) for each in found)
    assert [next(segmenter.segment_all([video], settings=DecodeSettings(reject=share)))[1]] == [found]


@pytest.mark.parametrize("reject", [None, 0.9])
def test_the_background_of_a_threshold_is_not_rejected_and_no_surer_than_its_score(reject, segmenter, video):
    settings = DecodeSettings(threshold=1.0, reject=reject)
    (found,) = segmenter.segment(video, settings=settings)
    assert found.label == "no action"
    scores = segmenter.scores(video)
    own = scores.array[:, scores.names.index("no action")]
    assert own.mean() < 0.5
    assert found.confidence == pytest.approx(segmenter.scorer.confidence.calibrated(own).mean(), abs=1e-6)


def test_without_reject_every_segment_has_an_action(segmenter, video):
    found = segmenter.segment(video)
    assert NONE_OF_THESE not in found.transcript
    assert found.background == ("no action",)


def test_the_share_is_that_of_correctly_named_validation_frames(named):
    """The threshold at P gives up that share of them; one model validates on one video here."""
    segmenter = fact_clip.load(named)
    dataset = Dataset.open(segmenter.run.config.data)
    right, confidence = [], []
    for name in dataset.validation:
        labels, own = sure(segmenter, dataset.root / "features" / f"{name}.npy")
        right.append(labels == dataset.labels(name))
        confidence.append(own)
    kept = np.concatenate(confidence)[np.concatenate(right)]
    for share in (0.1, 0.5):
        least = segmenter.scorer.confidence.least(share)
        assert (kept < least).mean() <= share + 0.01
        assert (kept <= least + 1e-9).mean() >= share - 0.01


def test_few_candidates_have_all_classes_as_rivals(named, video):
    """A single action is always the likeliest of its list; with its rivals it is as unlikely as it is among all."""
    segmenter = fact_clip.load(named)
    labels, _ = sure(segmenter, video)
    names = segmenter.vocabulary.decode(labels)
    absent = next(name for name in segmenter.vocabulary if name not in names)
    plain = segmenter.segment(video, [absent])
    assert set(plain.transcript) <= {absent, "no action"}
    share = 0.99
    found = segmenter.segment(video, [absent], settings=DecodeSettings(reject=share))
    choice = segmenter.choose([*segmenter.vocabulary])
    scores = class_scores(segmenter.scorer.score(np.load(video).astype(np.float32), choice), choice).numpy()
    index = np.minimum(np.arange(plain.n_frames) // segmenter.run.config.data.stride, len(scores) - 1)
    place = segmenter.vocabulary.encode(plain.to_frames())
    among_all = segmenter.scorer.confidence.calibrated(scores[index, place])
    expected = np.array(plain.to_frames(), dtype=object)
    expected[over_segments(place, among_all) < segmenter.scorer.confidence.least(share)] = NONE_OF_THESE
    assert found.to_frames() == expected.tolist()
    assert NONE_OF_THESE in found.transcript


def test_other_names_are_new_candidates_among_all(named, video):
    found = fact_clip.load(named).segment(video, ["polish nut", "grasp nut"], settings=DecodeSettings(reject=0.3))
    assert set(found.transcript) <= {"polish nut", "grasp nut", "no action", NONE_OF_THESE}


def test_what_cannot_reject(tiny_run, tiny, tmp_path, video):
    run = Path(shutil.copytree(tiny_run, tmp_path / "old"))
    (run / "confidence.json").unlink()
    old = fact_clip.load(run)
    with refused("reject"):
        old.segment(video, settings=DecodeSettings(reject=0.1))
    with refused("reject"):
        fact_clip.load(tiny_run).segment(video, settings=DecodeSettings(reject=2))
    train(tiny(data={"validation": 0.0}, train={"epochs": 1}), tmp_path / "without")
    assert not (tmp_path / "without" / "confidence.json").exists()


def test_files_leave_out_what_has_no_action(segmenter, video, tmp_path):
    found = segmenter.segment(video, settings=DecodeSettings(reject=0.7))
    assert NONE_OF_THESE in found.transcript
    again = fact_clip.Segmentation.load(found.save(tmp_path / "a.csv"))
    assert again.to_frames() == found.to_frames()
    assert {NONE_OF_THESE} <= {*again.background} <= {*found.background}
    for name in ("a.srt", "a.eaf"):
        assert NONE_OF_THESE not in found.save(tmp_path / name).read_text()
    assert NONE_OF_THESE in found.save(tmp_path / "b.csv", with_background=True).read_text()
    again = fact_clip.Segmentation.load(found.save(tmp_path / "a.json"))
    assert again == found
    assert again.background == found.background
    frames = found.save(tmp_path / "a.txt").read_text().splitlines()
    assert frames.count(NONE_OF_THESE) == found.to_frames().count(NONE_OF_THESE)


def test_reliability_is_that_of_the_labelled_frames(segmenter, tmp_path):
    run = Path(shutil.copytree(segmenter.run.path, tmp_path / "run"))
    result = evaluate(run).details["reliability"]
    dataset = Dataset.open(segmenter.run.config.data)
    right, scores = [], []
    for name in dataset.test:
        labels, own = segmenter.scorer.predict(dataset.features(name))
        right.append(labels == dataset.labels(name))
        scores.append(own)
    right, scores = np.concatenate(right), np.concatenate(scores).astype(np.float64)
    for key, values in (("before", scores), ("after", segmenter.scorer.confidence.calibrated(scores))):
        error = 0.0
        for number in range(10):
            own = (values >= number / 10) & ((values < (number + 1) / 10) | (number == 9))
            error += abs(values[own].sum() - right[own].sum()) / len(values)
        assert result[key]["ece"] == pytest.approx(100 * error, abs=1e-6)
        assert sum(each["frames"] for each in result[key]["bins"]) == len(values)


def test_other_decoding_has_other_confidences(tiny_run, tmp_path):
    """As gamma, they are learned again where the scores are decoded in another way."""
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    plain = evaluate(run, overrides=["decode.switch_penalty=1000"]).details["reliability"]["after"]
    (run / "confidence.json").unlink()
    assert evaluate(run, overrides=["decode.switch_penalty=1000"]).details["reliability"]["after"] is None
    kept = dataclasses.asdict(fact_clip.load(tiny_run).scorer.confidence)
    assert kept["frames"] > 0
    assert plain is not None
