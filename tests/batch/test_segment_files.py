"""Batches of files from Python: results with records, resumed and separated by request."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

import fact_clip
from fact_clip.encoders.image import GridEncoder
from fact_clip.formats import load
from fact_clip.inference import ModelOptions, Segmenter
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip_batch import BatchOptions, SegmentSettings, results
from fact_clip_batch.segmentation import SegmentTask

from .conftest import segment_files

NAMES = ["person1_video1", "person1_video2"]


@pytest.fixture
def features(workbench, tmp_path):
    """A folder of two feature files."""
    folder = tmp_path / "features"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(workbench / "features" / f"{name}.npy", folder)
    return folder


def test_a_batch_writes_what_the_segmenter_returns_and_resumes(features, tiny_run, tmp_path):
    segmenter = fact_clip.load(tiny_run, "cpu")
    out = tmp_path / "out"
    first = segment_files(segmenter, [features], out, formats=["json"])
    assert [result.item.id for result in first] == NAMES
    assert [result.state for result in first] == ["computed"] * 2
    assert [result.written for result in first] == [(out / f"{name}.json",) for name in NAMES]
    for result in first:
        expected = segmenter.segment(result.item.path)
        assert result.segmentation.to_frames() == expected.to_frames()
        assert load(out / f"{result.item.id}.json").to_frames() == expected.to_frames()

    second = segment_files(segmenter, [features], out, formats=["json"])
    assert [result.state for result in second] == ["done"] * 2
    assert [result.written for result in second] == [(), ()]
    assert [result.segmentation for result in second] == [None, None]


def test_another_request_replaces_only_if_told_and_a_fault_stops_no_other(features, tiny_run, tmp_path):
    segmenter = fact_clip.load(tiny_run, "cpu")
    out = tmp_path / "out"
    segment_files(segmenter, [features / f"{NAMES[0]}.npy"], out, formats=["txt"])
    np.save(features / "narrow.npy", np.zeros((9, 3), np.float32))
    few = ["grasp nut", "no action"]
    outcomes = segment_files(segmenter, [features], out, formats=["txt"], actions=few, media="x/{name}")
    assert [(result.item.id, result.state) for result in outcomes] == [
        ("narrow", "failed"), (NAMES[0], "failed"), (NAMES[1], "computed")
    ]  # fmt: skip
    assert outcomes[0].segmentation is None
    assert outcomes[2].segmentation.media == f"x/{NAMES[1]}"
    anew = segment_files(segmenter, [features / f"{NAMES[0]}.npy"], out, formats=["txt"], actions=few, overwrite=True)
    assert [result.state for result in anew] == ["computed"]


def test_the_command_goes_on_with_what_python_began(features, tiny_run, fact_clip_command, tmp_path):
    segment_files(fact_clip.load(tiny_run, "cpu"), [features], tmp_path / "out")
    answer = fact_clip_command("segment", "--run", tiny_run, features, "--device", "cpu", "--out", tmp_path / "out")
    assert answer.out.startswith("2 inputs: 0 segmented, 2 already there")


class Joint(GridEncoder):
    """An image-text model of some name."""

    def __init__(self, name):
        self.name = name

    def encode_texts(self, texts):
        return np.eye(len(texts), self.dim, dtype=np.float32)


@pytest.mark.parametrize(("name", "fps", "kept"), [("one", 5.0, 5.0), ("other", None, None), ("other", 10.0, 10.0)])
def test_results_of_other_encoders_and_rates_are_other_results(name, fps, kept, tmp_path):
    scorer = SimilarityScorer(Joint(name), ["stir", "pour"])
    segmenter = Segmenter(scorer, scorer.encoder, ModelOptions(fps=fps))
    task = SegmentTask(segmenter, tmp_path, SegmentSettings(), BatchOptions())
    assert (task.request["encoder"], task.request["fps"]) == (name, kept)


def test_a_file_that_is_no_feature_file_is_not_read_to_its_end(tiny_run, tmp_path, monkeypatch):
    """A damaged file may be of any length, such as a sparse one of 100 GB."""
    path = tmp_path / "sparse.npy"
    path.touch()
    os.truncate(path, 100 << 30)
    monkeypatch.setattr(results, "identity_of", lambda path: pytest.fail("the content was hashed"))
    (outcome,) = segment_files(fact_clip.load(tiny_run, "cpu"), [path], tmp_path / "out")
    assert outcome.state == "failed"
    assert str(path) in str(outcome.error)
