"""Short feature files that go through the model in one pass."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.core import InputError
from fact_clip.inference.scorer import Scorer
from fact_clip_batch import BatchOptions, Inputs, SegmentSettings, segmentation
from fact_clip_batch.engine import run_batch
from fact_clip_batch.records import read_failures
from fact_clip_batch.segmentation import SegmentTask
from fact_clip_batch.stores import Folder

from .conftest import segment_files


@pytest.fixture
def segmenter(tiny_run):
    return fact_clip.load(tiny_run, "cpu")


@pytest.fixture
def short_files(workbench, tmp_path) -> Path:
    """Files of 30 to 150 rows."""
    rows = np.load(workbench / "features" / "person1_video1.npy")
    root = tmp_path / "features"
    root.mkdir()
    for number in range(40):
        first = 10 * (number % 7)
        np.save(root / f"clip{number:02}.npy", rows[first : first + 30 + 17 * (number % 8)])
    return root


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """The number of videos in each pass of the model."""
    counts = []
    read = Scorer._read

    def counted(self, model, rows, *rest):
        counts.append(len(rows))
        return read(self, model, rows, *rest)

    monkeypatch.setattr(Scorer, "_read", counted)
    return counts


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()}


def test_short_files_together_give_the_results_of_one_at_a_time(segmenter, short_files, passes, tmp_path, monkeypatch):
    outcomes = segment_files(segmenter, [short_files], tmp_path / "together", formats=["json"])
    assert [outcome.state for outcome in outcomes] == ["computed"] * 40
    assert sum(passes) == 40
    assert len(passes) < 10
    passes.clear()
    monkeypatch.setattr(segmentation, "SHORT", 0)
    segment_files(segmenter, [short_files], tmp_path / "alone", formats=["json"])
    assert passes == [1] * 40
    for path in sorted(short_files.glob("*.npy")):
        one, other = (
            json.loads((tmp_path / folder / f"{path.stem}.json").read_text()) for folder in ("together", "alone")
        )
        for first, second in zip(one.pop("segments"), other.pop("segments"), strict=True):
            assert first.pop("confidence") == pytest.approx(second.pop("confidence"), abs=1e-5)
            assert first == second
        assert one == other


def test_long_files_go_through_the_model_alone(segmenter, short_files, passes, tmp_path, monkeypatch):
    monkeypatch.setattr(segmentation, "_MOST_ROWS", 100)
    outcomes = segment_files(segmenter, [short_files], tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == ["computed"] * 40
    assert passes.count(1) == sum(len(np.load(path)) > 100 for path in short_files.iterdir())
    assert sum(passes) == 40


def test_a_faulty_file_costs_no_other_of_its_pass(segmenter, short_files, tmp_path):
    rows = np.load(short_files / "clip00.npy")
    np.save(short_files / "clip02b.npy", rows[:, :3])
    rows[7, 3] = np.nan
    np.save(short_files / "clip02c.npy", rows)
    (short_files / "clip02d.npy").write_bytes(b"no array")
    for _ in range(3):
        outcomes = segment_files(segmenter, [short_files], tmp_path / "out")
        assert {outcome.item.id for outcome in outcomes if outcome.error} == {"clip02b", "clip02c", "clip02d"}
    outcomes = segment_files(segmenter, [short_files], tmp_path / "out")
    assert [outcome.state for outcome in outcomes].count("set aside") == 3
    assert [outcome.state for outcome in outcomes].count("done") == 40
    assert len(list(read_failures(Folder(tmp_path / "out")))) == 9


def test_scores_that_are_not_finite_cost_the_video_that_has_them(segmenter, short_files, tmp_path, monkeypatch):
    score = Scorer.score_together
    bad = np.load(short_files / "clip03.npy")

    def scored(self, videos, *rest, **options):
        if any(np.array_equal(rows, bad) for rows in videos):
            raise InputError("model.safetensors", "scores that are not finite")
        return score(self, videos, *rest, **options)

    monkeypatch.setattr(Scorer, "score_together", scored)
    outcomes = segment_files(segmenter, [short_files], tmp_path / "out")
    assert [outcome.item.id for outcome in outcomes if outcome.error] == ["clip03"]


def test_a_file_that_changes_after_its_pass_is_done_again(segmenter, short_files, tmp_path):
    options = BatchOptions()
    task = SegmentTask(segmenter, tmp_path / "out", SegmentSettings(), options)
    changed = np.load(short_files / "clip05.npy")[::-1]
    for outcome in run_batch(task, Inputs([short_files], [".npy"])):
        if outcome.item.id == "clip00":  # clip05 has been read
            np.save(short_files / "clip05.npy", changed)
    again = segment_files(segmenter, [short_files], tmp_path / "out")
    assert [outcome.item.id for outcome in again if outcome.state == "computed"] == ["clip05"]


def test_interrupted_batches_end_in_the_same_bytes(segmenter, short_files, tmp_path):
    segment_files(segmenter, [short_files], tmp_path / "undisturbed")
    rng = random.Random(3)
    done = 0
    while done < 40:
        task = SegmentTask(segmenter, tmp_path / "out", SegmentSettings(), BatchOptions())
        outcomes = run_batch(task, Inputs([short_files], [".npy"]))
        stop = done + rng.randint(1, 12)
        states = [outcome.state for outcome, _ in zip(outcomes, range(stop), strict=False)]
        outcomes.close()
        assert "failed" not in states
        done = len(states)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
