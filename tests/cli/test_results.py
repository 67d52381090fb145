"""segment over many inputs: each result is written when it is there, bad inputs come last, a batch goes on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip.formats import load
from fact_clip_batch.segmentation import SegmentTask

from ..refusals import refused_line

NAMES = ["person1_video1", "person1_video2", "person2_video1"]


@pytest.fixture
def features(workbench, tmp_path) -> Path:
    """A folder of three feature files."""
    folder = tmp_path / "features"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(workbench / "features" / f"{name}.npy", folder)
    return folder


@pytest.fixture
def segmented(monkeypatch) -> list[str]:
    """The names of the inputs that a model segments from now on."""
    seen, real = list[str](), SegmentTask.compute

    def compute(self, item, within):
        seen.append(item.id)
        return real(self, item, within)

    monkeypatch.setattr(SegmentTask, "compute", compute)
    return seen


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_bad_inputs_are_told_at_the_end(features, tiny_run, fact_clip, tmp_path):
    (features / "broken.npy").write_text("no array")
    np.save(features / "narrow.npy", np.zeros((9, 3), np.float32))
    out = tmp_path / "out"
    answer = fact_clip("segment", "--run", tiny_run, features, "--out", out, "--format", "csv", "--json")
    assert answer.code == 1
    assert [Path(each["input"]).stem for each in json.loads(answer.out)] == NAMES
    assert files(out) == ["failures.jsonl", *(f"{name}.csv" for name in NAMES)]
    *_, broken, narrow = answer.err.splitlines()
    assert broken.startswith(f"fact-clip: {features / 'broken.npy'}: ")
    assert narrow.startswith(f"fact-clip: {features / 'narrow.npy'}: ")


def test_an_interrupted_batch_goes_on(features, tiny_run, fact_clip, tmp_path, monkeypatch):
    out, real, seen = tmp_path / "out", SegmentTask.compute, list[str]()
    how = ("segment", "--run", tiny_run, features, "--json", "--out")

    def compute(self, item, within):
        seen.append(item.id)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(self, item, within)

    monkeypatch.setattr(SegmentTask, "compute", compute)
    answer = fact_clip(*how, out)
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.splitlines()[-1] == "fact-clip: interrupted; repeat the command to process the remaining inputs"
    assert files(out) == [f"{name}.{kind}" for name in NAMES[:2] for kind in ("csv", "json")]
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    answer = fact_clip(*how, out)
    assert answer.code == 0
    assert seen == [*NAMES, NAMES[2]]
    assert files(out) == [f"{name}.{kind}" for name in NAMES for kind in ("csv", "json")]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.suffix)
    assert "already there: 2 of 3; --overwrite replaces them" in answer.err.splitlines()
    assert fact_clip(*how, tmp_path / "once").out == answer.out  # what is printed is that of one go
    for name in files(out):
        assert (out / name).read_bytes() == (tmp_path / "once" / name).read_bytes()


def test_what_is_there_is_kept_and_other_formats_are_added(features, tiny_run, fact_clip, tmp_path, segmented):
    video, out = features / f"{NAMES[0]}.npy", tmp_path / "out"
    how = ("segment", "--run", tiny_run, video, "--out", out, "--json", "--format")
    first = fact_clip(*how, "csv")
    made = (out / f"{NAMES[0]}.csv").read_bytes()
    (out / f"{NAMES[0]}.csv").write_text("corrected")
    refused_line(fact_clip(*how, "csv,json"), f"{NAMES[0]}.csv")  # the JSON would not have the corrections
    assert (out / f"{NAMES[0]}.csv").read_text() == "corrected"
    (out / f"{NAMES[0]}.csv").write_bytes(made)
    second = fact_clip(*how, "csv,json")
    assert (second.code, second.out, segmented) == (0, first.out, [NAMES[0]])
    assert f"written: {out / NAMES[0]}.json" in second.err.splitlines()
    tree = json.loads(first.out)[0]
    assert [each.label for each in load(out / f"{NAMES[0]}.json")] == [each["label"] for each in tree["segments"]]
    (out / f"{NAMES[0]}.json").unlink()
    assert fact_clip(*how, "json").code == 0
    assert files(out) == [f"{NAMES[0]}.csv", f"{NAMES[0]}.json"]
    assert segmented == [NAMES[0]]


def test_other_actions_need_another_folder(features, tiny_run, fact_clip, tmp_path, segmented):
    name, out = NAMES[0], tmp_path / "out"
    how = ("segment", "--run", tiny_run, features / f"{name}.npy", "--out", out, "--format", "txt")
    few = ("--actions", "grasp nut, no action")
    assert fact_clip(*how).code == 0
    whole = (out / f"{name}.txt").read_bytes()
    answer = fact_clip(*how, *few)
    refused_line(answer, f"{name}.npy")
    assert answer.err.endswith("other actions or settings. Name a different --out, or set --overwrite.\n")
    assert (out / f"{name}.txt").read_bytes() == whole
    assert "already there: 1 of 1" in fact_clip(*how).err
    assert segmented == [name]
    assert fact_clip(*how, *few, "--overwrite").code == 0
    assert set((out / f"{name}.txt").read_text().splitlines()) <= {"grasp nut", "no action"}
    assert segmented == [name] * 2


def test_a_file_of_somebody_else_is_not_replaced(features, tiny_run, fact_clip, tmp_path):
    name, out = NAMES[0], tmp_path / "out"
    out.mkdir()
    (out / f"{name}.csv").write_text("by hand")
    how = ("segment", "--run", tiny_run, features / f"{name}.npy", "--out", out)
    refused_line(fact_clip(*how), f"{name}.csv")
    assert (out / f"{name}.csv").read_text() == "by hand"
    assert files(out) == [f"{name}.csv"]
    assert fact_clip(*how, "--overwrite").code == 0
    assert load(out / f"{name}.csv").n_frames == len(np.load(features / f"{name}.npy"))


def test_another_model_or_a_changed_input_is_another_result(features, tiny_run, fact_clip, tmp_path, segmented):
    name, out, run = NAMES[0], tmp_path / "out", shutil.copytree(tiny_run, tmp_path / "run")
    video = features / f"{name}.npy"
    how = ("segment", "--run", run, video, "--out", out, "--format", "txt")
    fact_clip(*how)
    assert fact_clip(*how[:2], shutil.copytree(run, tmp_path / "moved"), *how[3:]).code == 0  # the same model
    os.utime(video, ns=(0, 0))  # the same input
    assert fact_clip(*how).code == 0
    assert segmented == [name]
    np.save(video, np.load(video)[:-5])
    assert fact_clip(*how).code == 0  # replaces what it was
    assert len((out / f"{name}.txt").read_text().splitlines()) == len(np.load(video))
    (out / f"{name}.txt").write_text("corrected\n")
    np.save(video, np.load(video)[:-5])
    refused_line(fact_clip(*how), f"{name}.txt")  # what somebody has edited stays
    assert (out / f"{name}.txt").read_text() == "corrected\n"
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + "\n")
    refused_line(fact_clip(*how), f"{name}.npy")
    assert segmented == [name] * 2


def test_a_format_that_cannot_hold_a_result(features, tiny, fact_clip, tmp_path):
    """Without a frame rate there are no subtitles; the other files are there."""
    from fact_clip import training

    config = tiny(train={"epochs": 1})
    config = config.model_copy(update={"data": config.data.model_copy(update={"name": "folder", "layout": "TD"})})
    training.train(config, tmp_path / "run")
    how = ("segment", "--run", tmp_path / "run", features, "--out", tmp_path / "out", "--format", "srt,csv")
    answer = fact_clip(*how)
    assert answer.code == 1
    assert files(tmp_path / "out") == [f"{name}.csv" for name in NAMES]
    assert sum("no frame rate and no frame times" in line for line in answer.err.splitlines()) == 3
    assert fact_clip(*how[:3], features / f"{NAMES[0]}.npy", *how[4:]).code == 2


def test_background_is_left_out_unless_asked_for(features, tiny_run, fact_clip, tmp_path):
    how = ("segment", "--run", tiny_run, features / f"{NAMES[0]}.npy", "--format", "csv,json", "--out")
    # of two candidates one is the background, so that there is some
    for out, more in (("without", ()), ("with", ("--with-background",))):
        assert fact_clip(*how, tmp_path / out, *more).code == 0
    full = load(tmp_path / "without" / f"{NAMES[0]}.json")
    assert full.background == ("no action",)
    shown = [each for each in full if each.label != "no action"]
    rows = (tmp_path / "without" / f"{NAMES[0]}.csv").read_text().splitlines()[1:]
    assert len(rows) == len(shown)
    assert not any(row.split(",")[4] == "no action" for row in rows)
    assert load(tmp_path / "without" / f"{NAMES[0]}.csv").to_frames() == full.to_frames()
    assert load(tmp_path / "with" / f"{NAMES[0]}.csv").to_frames() == full.to_frames()


def test_processes_of_torchrun_share_no_batch(features, tiny_run, fact_clip, tmp_path, monkeypatch):
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "x", "MASTER_PORT": 1, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    refused_line(fact_clip("segment", "--run", tiny_run, features, "--out", tmp_path / "out"), "torchrun")
