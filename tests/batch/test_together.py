"""Short feature files in one pass, and several decoders for one encoder."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.encoders import frame_encoder
from fact_clip.inference.scorer import Scorer
from fact_clip.video.pictures import SUFFIXES
from fact_clip_batch import BatchOptions, Inputs, Limits, SegmentSettings, SharedEncoder, extract_batch, segment_batch
from fact_clip_batch.records import read_failures
from fact_clip_batch.segmentation import SEGMENT_SUFFIXES
from fact_clip_batch.stores import Folder

LIMITS = Limits(seconds=30, gigabytes=1)


@pytest.fixture
def short_files(workbench, tmp_path) -> Path:
    """Files of 30 to 90 rows, and one with other columns between them."""
    rows = np.load(workbench / "features" / "person1_video1.npy")
    root = tmp_path / "features"
    root.mkdir()
    for number in range(7):
        np.save(root / f"clip{number}.npy", rows[10 * number : 40 + 20 * number])
    np.save(root / "clip2b.npy", rows[:30, :3])
    return root


def segmented(segmenter, root: Path, out: Path, batch_frames: int) -> list[str]:
    options = BatchOptions(batch_frames=batch_frames)
    settings = SegmentSettings(formats=["csv", "json"])
    inputs = Inputs([root], SEGMENT_SUFFIXES)
    return [f"{outcome.name} {outcome.state}" for outcome in segment_batch(segmenter, inputs, out, settings, options)]


def test_files_in_one_pass_give_the_results_of_one_at_a_time(short_files, tiny_run, tmp_path, monkeypatch):
    segmenter = fact_clip.load(tiny_run, "cpu")
    passes = []
    read = Scorer._read

    def counted(self, model, rows, *rest):
        passes.append(len(rows))
        return read(self, model, rows, *rest)

    monkeypatch.setattr(Scorer, "_read", counted)
    states = segmented(segmenter, short_files, tmp_path / "alone", 0)
    assert passes == [1] * 7
    assert states == [
        f"clip{number} {'failed' if number == '2b' else 'computed'}" for number in ["0", "1", "2", "2b", *"3456"]
    ]
    (short_files / "clip2b.npy").unlink()
    passes.clear()
    segmented(segmenter, short_files, tmp_path / "together", 10_000)
    assert passes == [7]
    passes.clear()
    segmented(segmenter, short_files, tmp_path / "pairs", 200)
    assert sum(passes) == 7
    assert 1 < len(passes) < 7
    for number in range(7):
        for out in ("together", "pairs"):
            first, second = (
                json.loads((tmp_path / folder / f"clip{number}.json").read_text()) for folder in ("alone", out)
            )
            for one, other in zip(first.pop("segments"), second.pop("segments"), strict=True):
                assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-5)
                assert one == other
            assert first == second


def test_a_faulty_file_costs_no_other_of_its_pass(short_files, tiny_run, tmp_path):
    segmenter = fact_clip.load(tiny_run, "cpu")
    states = segmented(segmenter, short_files, tmp_path / "out", 10_000)
    assert [state for state in states if state.endswith("failed")] == ["clip2b failed"]
    assert len(states) == 8
    assert [failure.id for failure in read_failures(Folder(tmp_path / "out"))] == ["clip2b"]
    again = segmented(segmenter, short_files, tmp_path / "out", 10_000)
    assert again.count("clip2b failed") == 1
    assert sum(state.endswith("done") for state in again) == 7


class Slow:
    """The grid, with a wait before each pass; it notices two threads at once."""

    def __init__(self) -> None:
        self.grid = frame_encoder("grid")
        self.name, self.size, self.context = self.grid.name, self.grid.size, self.grid.context
        self.is_busy = threading.Lock()

    def load(self) -> None:
        self.grid.load()

    def prepare(self, image):
        return self.grid.prepare(image)

    def encode_images(self, prepared):
        assert self.is_busy.acquire(blocking=False)
        time.sleep(0.02)
        rows = self.grid.encode_images(prepared)
        self.is_busy.release()
        return rows


def test_several_decoders_feed_one_encoder(library, tmp_path):
    root = library(*(f"take{number}.mp4" for number in range(6)))
    (root / "text.mp4").write_text("no video" * 99)
    inputs = Inputs([root], SUFFIXES)
    encoder = SharedEncoder(Slow())
    assert encoder.waiting is None
    options = BatchOptions(limits=LIMITS, decoders=3)
    outcomes = list(extract_batch(encoder, inputs, tmp_path / "three", None, options))
    assert [outcome.item.id for outcome in outcomes] == [item.id for item in inputs]
    assert [outcome.item.id for outcome in outcomes if outcome.error] == ["text"]
    assert 0 < encoder.waiting < 1
    list(extract_batch(frame_encoder("grid"), inputs, tmp_path / "one", None, BatchOptions(limits=LIMITS)))
    names = [f"take{number}{suffix}" for number in range(6) for suffix in (".npy", ".json")]
    for name in names:
        assert (tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    again = extract_batch(encoder, inputs, tmp_path / "three", None, options)
    assert [outcome.state for outcome in again] == ["done"] * 6 + ["failed"]


def test_a_batch_of_threads_that_is_interrupted_goes_on(library, tmp_path):
    """No video counts as failed because the batch ended."""
    root = library(*(f"take{number}.mp4" for number in range(6)))
    inputs = Inputs([root], SUFFIXES)
    options = BatchOptions(limits=LIMITS, decoders=2)
    outcomes = extract_batch(Slow(), inputs, tmp_path / "out", None, options)
    assert next(outcomes).state == "computed"
    outcomes.close()
    assert not list(read_failures(Folder(tmp_path / "out")))
    states = [outcome.state for outcome in extract_batch(Slow(), inputs, tmp_path / "out", None, options)]
    assert set(states) <= {"computed", "done"}
    assert states[0] == "done"


def test_the_command_says_how_long_the_encoder_waited(library, fact_clip_command, tmp_path):
    root = library("a.mp4", "b.mp4")
    answer = fact_clip_command("extract", root, "--encoder", "grid", "--out", tmp_path / "out", "--decoders", "2")
    assert (answer.code, answer.out) == (0, f"2 videos: 2 extracted, 0 current, 0 failed; {tmp_path / 'out'}\n")
    assert "the encoder waited " in answer.err
