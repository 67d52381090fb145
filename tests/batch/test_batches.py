"""Batches: equal names in two folders, moved and changed inputs, failures, status and tables."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract
from fact_clip.video.frames import SUFFIXES
from fact_clip_batch import BatchOptions, Inputs, Item, Limits, batch_status, extract_batch, gather
from fact_clip_batch.records import read_failures
from fact_clip_batch.stores import Folder

from ..films import described
from ..refusals import refused, refused_line
from .conftest import segment_files, write_manifest

GRID = frame_encoder("grid")
LIMITS = Limits(seconds=5, gigabytes=1)


def extracted(root: object, out: Path, **how: object) -> dict[str, str]:
    """What happened to each input of a batch."""
    outcomes = {}
    for outcome in extract_batch(GRID, Inputs([root], SUFFIXES), out, None, BatchOptions(**{"limits": LIMITS, **how})):
        outcomes[outcome.item.id] = {"done": "current", "computed": "extracted"}.get(outcome.state, outcome.state)
    return outcomes


def outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def test_equal_names_in_two_folders_are_two_outputs(library, tmp_path):
    root = library("a/take.mp4", "b/take.mp4")
    out = tmp_path / "out"
    assert extracted(root, out) == {"a/take": "extracted", "b/take": "extracted"}
    assert list(outputs(out)) == ["a/take.npy", "b/take.npy"]
    assert described(out / "b" / "take.npy")["video"] == str(root / "b" / "take.mp4")
    with refused("take.mp4"):
        Inputs([root / "a", root / "b"], SUFFIXES)


def test_a_moved_disk_redoes_nothing_and_a_changed_file_is_done_again(library, tmp_path):
    root = library("a/take.mp4", "b.mp4")
    out = tmp_path / "out"
    extracted(root, out)
    moved = tmp_path / "other disk"
    shutil.copytree(root, moved, copy_function=shutil.copyfile)  # other times, too
    assert extracted(moved, out) == {"a/take": "current", "b": "current"}
    for folder in (root, moved):
        with (folder / "b.mp4").open("ab") as file:
            file.write(b"more")
    rows = (out / "b.npy").read_bytes()
    assert extracted(moved, out) == {"a/take": "current", "b": "failed"}  # another path and content
    assert (out / "b.npy").read_bytes() == rows
    assert extracted(root, out) == {"a/take": "current", "b": "extracted"}


def test_another_request_is_tried_though_three_attempts_failed(tmp_path):
    path = tmp_path / "films"
    path.mkdir()
    for name in ("text", "other"):
        (path / f"{name}.mp4").write_text(name * 99)
    states = [extracted(path, tmp_path / "out")["text"] for _ in range(4)]
    assert states == ["failed"] * 3 + ["set aside"]
    faster = extract_batch(GRID, Inputs([path], SUFFIXES), tmp_path / "out", Settings(fps=9))
    assert [outcome.state for outcome in faster] == ["failed"] * 2
    last = list(read_failures(Folder(tmp_path / "out")))[-2:]
    assert [failure.attempts for failure in last] == [1, 1]
    status = batch_status(tmp_path / "out")
    assert (status.failed, status.set_aside) == (2, 0)
    assert extracted(path, tmp_path / "out")["text"] == "set aside"


def test_a_single_input_that_fails_leaves_nothing(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video" * 99)
    assert [extracted(path, tmp_path / "out")["text"] for _ in range(4)] == ["failed"] * 4
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_video_is_as_a_video_that_was_cut(library, tmp_path):
    root = library("v.mp4")
    manifest = tmp_path / "list.csv"
    write_manifest(manifest, [Item("part", root / "v.mp4", 0.4, 0.8), Item("all", root / "v.mp4")])
    assert extracted(manifest, tmp_path / "out") == {"part": "extracted", "all": "extracted"}
    part, complete = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("part", "all"))
    assert (len(part), len(complete)) == (2, 5)
    np.testing.assert_array_equal(part[1], complete[3])
    assert extracted(manifest, tmp_path / "out") == {"part": "current", "all": "current"}
    write_manifest(manifest, [Item("part", root / "v.mp4", 0.2, 0.8), Item("late", root / "v.mp4", 7.0)])
    assert extracted(manifest, tmp_path / "out") == {"part": "extracted", "late": "failed"}


def test_features_of_the_child_process_are_those_of_this_one(library, tmp_path):
    root = library("v.mp4")
    extracted(root, tmp_path / "child")
    direct = extract(root / "v.mp4", GRID, tmp_path / "direct", Settings())
    assert (tmp_path / "child" / "v.npy").read_bytes() == direct.read_bytes()
    assert (tmp_path / "child" / "v.json").read_bytes() == direct.with_suffix(".json").read_bytes()


def test_a_crash_a_hang_and_a_flood_cost_one_video_each(library, tmp_path, sabotage):
    names = ["a.mp4", "crash.mp4", "d.mp4", "greedy.mp4", "hang.mp4", "z.mp4"]
    root = library(*names)
    (root / "text.mp4").write_text("no video" * 99)
    out = tmp_path / "out"
    good = dict.fromkeys(["a", "d", "z"], "extracted")
    bad = ["crash", "greedy", "hang", "text"]
    quick = {"limits": Limits(seconds=2, gigabytes=1)}
    assert extracted(root, out, **quick) == good | dict.fromkeys(bad, "failed")
    assert list(outputs(out)) == ["a.npy", "d.npy", "z.npy"]
    for _ in range(2):
        assert extracted(root, out, **quick) == dict.fromkeys(good, "current") | dict.fromkeys(bad, "failed")
    assert extracted(root, out, **quick) == dict.fromkeys(good, "current") | dict.fromkeys(bad, "set aside")
    failures = list(read_failures(Folder(out)))
    assert [failure.attempts for failure in failures if failure.id == "hang"] == [1, 2, 3]
    kinds = {failure.id: failure.kind for failure in failures}
    assert kinds == {"crash": "crash", "greedy": "memory", "hang": "timeout", "text": "input"}
    status = batch_status(out)
    assert (status.inputs, status.done, status.missing, status.failed, status.set_aside) == (7, 3, 0, 0, 4)
    assert extracted(root, out, retry_failed=True, **quick)["text"] == "failed"
    shutil.copy(root / "a.mp4", root / "text.mp4")  # a changed input is tried again
    assert extracted(root, out, **quick)["text"] == "extracted"


@pytest.fixture
def features(workbench, tmp_path) -> Path:
    root = tmp_path / "features"
    for place in ("a/take", "b/take", "c"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workbench / "features" / "person1_video1.npy", root / f"{place}.npy")
    return root


def test_segment_status_and_gather(features, tiny_run, fact_clip_command, tmp_path):
    out = tmp_path / "out"
    how = ("segment", "--run", tiny_run, features, "--out", out, "--format", "csv")
    first = fact_clip_command(*how, "--shard", "0/2")
    second = fact_clip_command(*how, "--shard", "1/2")
    counts = [int(answer.out.split()[0]) for answer in (first, second)]
    assert sum(counts) == 3
    assert (first.code, second.code) == (0, 0)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.csv")) == ["a/take.csv", "b/take.csv", "c.csv"]
    status = json.loads(fact_clip_command("batch", "status", out, "--json").out)
    counts = {"inputs": 3, "done": 3, "missing": 0, "failed": 0, "set_aside": 0}
    assert status == {"command": "segment", **counts}
    assert "3 of 3 done" in fact_clip_command("batch", "status", out).out
    assert gather(out, tmp_path / "all.csv") > 3
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["video"] for row in rows)) == ["c", "a/take", "b/take"]
    expected = fact_clip.load(tiny_run, "cpu").segment(features / "c.npy")
    of_c = [row for row in rows if row["video"] == "c"]
    assert [row["label"] for row in of_c] == list(expected.transcript)
    assert [float(row["start"]) for row in of_c] == pytest.approx([segment.start / 15 for segment in expected])
    refused_line(fact_clip_command("batch", "gather", out, tmp_path / "all.xml"), "all.xml")
    refused_line(fact_clip_command("batch", "status", tmp_path), str(tmp_path))


def test_results_of_another_request_are_in_the_way(features, tiny_run, tmp_path):
    segmenter = fact_clip.load(tiny_run, "cpu")
    out = tmp_path / "out"
    segment_files(segmenter, [features], out, formats=["csv"], actions=segmenter.vocabulary.names[:3])
    before = (out / "c.csv").read_bytes()
    results = segment_files(segmenter, [features], out, formats=["csv"])
    assert [result.state for result in results] == ["failed"] * 3
    assert "of another run, other actions or settings" in str(results[0].error)
    assert (out / "c.csv").read_bytes() == before
    status = batch_status(out)
    assert (status.done, status.missing) == (3, 0)  # of the batch that is there
    results = segment_files(segmenter, [features], out, formats=["csv"], overwrite=True)
    assert [result.state for result in results] == ["computed"] * 3
    assert batch_status(out).done == 3

    (out / "c.csv").write_text("edited")
    np.save(features / "c.npy", np.load(features / "c.npy")[:50])
    edited, *others = segment_files(segmenter, [features], out, formats=["csv"])
    assert "c.csv: edited" in str(edited.error)
    assert [result.state for result in others] == ["done"] * 2
    assert (out / "c.csv").read_text() == "edited"


def test_features_have_no_segments(library, tmp_path):
    extracted(library("v.mp4"), tmp_path / "out")
    with refused("out"):
        gather(tmp_path / "out", tmp_path / "x.csv")


def test_segment_under_another_path_redoes_nothing(features, tiny_run, tmp_path):
    segmenter = fact_clip.load(tiny_run, "cpu")
    out = tmp_path / "out"
    first = segment_files(segmenter, [features], out, formats=["csv"])
    moved = features.rename(tmp_path / "moved")
    os.utime(moved / "c.npy", (1, 1))
    again = segment_files(segmenter, [moved], out, formats=["csv"])
    assert [result.state for result in first + again] == ["computed"] * 3 + ["done"] * 3
    assert [result.item.id for result in again] == ["c", "a/take", "b/take"]


def test_a_command_names_the_first_failures_and_counts_the_others(tmp_path, fact_clip_command):
    """What a command remembers of a batch does not grow with it."""
    root = tmp_path / "films"
    root.mkdir()
    for number in range(15):
        (root / f"text{number}.mp4").write_text("no video" * 99)
    answer = fact_clip_command("extract", root, "--encoder", "grid", "--out", tmp_path / "out")
    assert (answer.code, answer.out) == (1, f"15 videos: 0 extracted, 0 current, 15 failed; {tmp_path / 'out'}\n")
    lines = answer.err.splitlines()
    assert len([line for line in lines if line.startswith("fact-clip: ") and "text" in line]) == 12
    assert lines[-1] == f"fact-clip: and more in {tmp_path / 'out'}/failures.jsonl"
