"""Counts of a data set by hand, and those of all of Breakfast as published."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.check import inspect
from fact_clip.datasets.describe import summarize

from ..refusals import refused


@pytest.fixture
def counted(root):
    """a: idle 4, stir 6, idle 2; b: stir 8; of three classes, at 2 frames a second."""
    texts = {"a": ["idle"] * 4 + ["stir"] * 6 + ["idle"] * 2, "b": ["stir"] * 8}
    for path in (root / "groundTruth").glob("*.txt"):
        path.unlink()
    for name, lines in texts.items():
        (root / "groundTruth" / f"{name}.txt").write_text("\n".join(lines))
    (root / "splits/train.split1.bundle").write_text("a")
    (root / "splits/test.split1.bundle").write_text("b")
    return summarize(DataConfig(root=str(root), background=("idle",), fps=2.0))


def test_totals(counted):
    assert (counted["videos"], counted["classes"], counted["frames"], counted["segments"]) == (2, 3, 20, 4)
    assert (counted["fps"], counted["background"], counted["splits"]) == (2.0, ["idle"], ["1"])
    assert counted["video_frames"] == {"mean": 10, "median": 10, "least": 8, "most": 12}
    assert counted["segment_frames"] == {"mean": 5, "median": 5, "least": 2, "most": 8}
    assert counted["transcript_length"] == {"mean": 2, "median": 2, "least": 1, "most": 3}


def test_each_class(counted):
    idle, milk, stir = counted["per_class"]
    assert (idle["name"], idle["background"], idle["videos"], idle["frames"]) == ("idle", True, 1, 6)
    assert (idle["share"], idle["segments"], idle["segments_per_video"]) == (0.3, 2, 2)
    assert idle["segment_frames"] == {"mean": 3, "median": 3, "least": 2, "most": 4}
    assert idle["transcript_length"]["mean"] == 3
    assert (stir["videos"], stir["frames"], stir["segments"]) == (2, 14, 2)
    assert stir["transcript_length"] == {"mean": 2, "median": 2, "least": 1, "most": 3}
    assert (milk["videos"], milk["frames"], milk["segment_frames"]["most"]) == (0, 0, 0)


def test_balance_transitions_and_what_follows(counted):
    entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert counted["balance"]["evenness"] == pytest.approx(entropy / math.log(3))
    assert counted["balance"]["most_over_least"] == pytest.approx(14 / 6)
    assert counted["balance"]["classes_without_frames"] == 1
    assert counted["transitions"] == [
        {"from": "idle", "to": "stir", "count": 1, "share": 1.0},
        {"from": "stir", "to": "idle", "count": 1, "share": 1.0},
    ]
    # 1.1 * 3 in tens; 10 / ((10 - 2) * 3)
    assert counted["suggested"] == {"tokens": 10, "null_weight": pytest.approx(10 / 24)}


def test_without_splits_all_labels_count_and_without_videos_none(root):
    (root / "splits/train.split1.bundle").unlink()
    assert summarize(DataConfig(root=str(root)))["videos"] == 4
    for path in (root / "groundTruth").glob("*.txt"):
        path.unlink()
    with refused("groundTruth"):
        summarize(DataConfig(root=str(root)))


def test_no_labelled_frame(root):
    for path in (root / "groundTruth").glob("*.txt"):
        path.write_text("?\n" * 40)
    with refused("groundTruth"):
        summarize(DataConfig(root=str(root)))


def test_verbs_and_nouns_share_the_null_weight(root):
    """Two verbs, a noun, and one of each for the background: C is 2.5."""
    (root / "mapping.txt").write_text("0 idle\n1 pour milk\n2 stir milk\n")
    for path in (root / "groundTruth").glob("*.txt"):
        path.write_text(path.read_text().replace("stir", "stir milk"))
    found = summarize(DataConfig(root=str(root), background=("idle",), grammar="{verb} {noun}"))["suggested"]
    assert found == {"tokens": 10, "null_weight": pytest.approx(10 / ((10 - 3) * 2.5))}


@pytest.fixture(scope="module")
def breakfast(shared, tmp_path_factory) -> Path:
    """All 1,712 label files and splits of Breakfast at their real lengths; features of two columns."""
    source, root = shared / "labels/breakfast", tmp_path_factory.mktemp("breakfast")
    for folder in ("groundTruth", "features", "splits"):
        (root / folder).mkdir()
    for path in (source / "mapping.txt", *(source / "splits").iterdir()):
        (root / path.relative_to(source)).write_bytes(path.read_bytes())
    names = [line.split()[1] for line in (source / "mapping.txt").read_text().splitlines()]
    for video, segments in json.loads((source / "segments_rle.json").read_text()).items():
        text = "".join(f"{names[label]}\n" * frames for label, frames in segments)
        (root / "groundTruth" / f"{video}.txt").write_text(text)
        np.save(root / "features" / f"{video}.npy", np.eye(2, text.count("\n"), dtype=np.float16))
    return root


def test_breakfast_is_complete(breakfast):
    """Every split parts all 1,712 videos, and trains every class that it tests."""
    seen = inspect(DataConfig(name="breakfast", root=str(breakfast)))
    assert [str(fault) for _, fault in seen.faults] == []
    assert (len(seen.videos), len(seen.names), list(seen.splits)) == (1712, 48, ["1", "2", "3", "4"])
    sizes = [(len(parts["train"]), len(parts["test"])) for parts in seen.splits.values()]
    assert sizes == [(1460, 252), (1261, 451), (1279, 433), (1136, 576)]


def test_breakfast_counts_are_those_published(breakfast, shared):
    counted = summarize(DataConfig(name="breakfast", root=str(breakfast)))
    assert (counted["videos"], counted["classes"], counted["segments"]) == (1712, 48, 11656)
    runs = json.loads((shared / "labels/breakfast/segments_rle.json").read_text()).values()
    assert counted["frames"] == sum(frames for video in runs for _, frames in video)
    assert counted["transcript_length"]["most"] == max(map(len, runs)) == 25
    assert round(counted["video_frames"]["mean"], -2) == 2100
    assert counted["suggested"]["tokens"] == 30
    assert counted["background"] == ["SIL"]
