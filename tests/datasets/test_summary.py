"""Counts of a data set by hand, and those of all of Breakfast as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.inspect import Inspection
from fact_clip.datasets.summary import summarize

from ..published import (
    BREAKFAST_MAPPING,
    BREAKFAST_TEST_PERSONS,
    breakfast_classes,
    breakfast_segments,
    breakfast_split,
)
from ..refusals import refused
from ..small import write_dataset


@pytest.fixture
def counted(root):
    """a: idle 4, stir 6, idle 2; b: stir 8; of three classes, at 2 frames a second."""
    for path in (root / "groundTruth").glob("*.txt"):
        path.unlink()
    labels = {"a": ["idle"] * 4 + ["stir"] * 6 + ["idle"] * 2, "b": ["stir"] * 8}
    write_dataset(root, ("idle", "pour milk", "stir"), labels, train="a", test="b")
    return summarize(DataConfig(root=str(root), background=("idle",), fps=2.0))


def test_counts_by_hand(counted):
    assert (counted["videos"], counted["classes"], counted["frames"], counted["segments"]) == (2, 3, 20, 4)
    assert (counted["fps"], counted["background"], counted["splits"]) == (2.0, ["idle"], ["1"])
    assert counted["video_frames"] == {"mean": 10, "median": 10, "least": 8, "most": 12}
    assert counted["segment_frames"] == {"mean": 5, "median": 5, "least": 2, "most": 8}

    idle, milk, stir = counted["per_class"]
    assert (idle["name"], idle["background"], idle["videos"], idle["frames"]) == ("idle", True, 1, 6)
    assert (idle["share"], idle["segments"]) == (0.3, 2)
    assert idle["segment_frames"] == {"mean": 3, "median": 3, "least": 2, "most": 4}
    assert (stir["videos"], stir["frames"], stir["segments"]) == (2, 14, 2)
    assert (milk["videos"], milk["frames"], milk["segment_frames"]["most"]) == (0, 0, 0)

    assert counted["transitions"] == [
        {"from": "idle", "to": "stir", "count": 1},
        {"from": "stir", "to": "idle", "count": 1},
    ]


def test_without_splits_all_labels_count_and_without_videos_none(root):
    (root / "splits/train.split1.bundle").unlink()
    assert summarize(DataConfig(root=str(root)))["videos"] == 4
    for path in (root / "groundTruth").glob("*.txt"):
        path.unlink()
    with refused("groundTruth"):
        summarize(DataConfig(root=str(root)))


@pytest.fixture(scope="module")
def breakfast(tmp_path_factory) -> Path:
    """Write all 1,712 label files and splits of Breakfast at their real lengths, and features of two columns."""
    root = tmp_path_factory.mktemp("breakfast")
    for folder in ("groundTruth", "features", "splits"):
        (root / folder).mkdir()
    (root / "mapping.txt").write_bytes(BREAKFAST_MAPPING.read_bytes())
    for split in BREAKFAST_TEST_PERSONS:
        for part, videos in breakfast_split(split).items():
            lines = "".join(f"{video}.txt\n" for video in videos)
            (root / "splits" / f"{part}.split{split}.bundle").write_text(lines)
    names = breakfast_classes()
    for video, segments in breakfast_segments().items():
        text = "".join(f"{names[label]}\n" * frames for label, frames in segments)
        (root / "groundTruth" / f"{video}.txt").write_text(text)
        np.save(root / "features" / f"{video}.npy", np.eye(2, text.count("\n"), dtype=np.float16))
    return root


def test_breakfast_is_complete(breakfast):
    """Every split parts all 1,712 videos, and trains every class that it tests."""
    inspection = Inspection(DataConfig(name="breakfast", root=str(breakfast)))
    kinds = {finding.kind for finding in inspection}
    assert kinds == {"copies"}  # the features are made up
    facts = len(inspection.videos), len(inspection.class_names), list(inspection.splits)
    assert facts == (1712, 48, ["1", "2", "3", "4"])
    sizes = [(len(parts["train"]), len(parts["test"])) for parts in inspection.splits.values()]
    assert sizes == [(1460, 252), (1261, 451), (1279, 433), (1136, 576)]


def test_breakfast_counts_are_those_published(breakfast):
    counted = summarize(DataConfig(name="breakfast", root=str(breakfast)))
    assert (counted["videos"], counted["classes"], counted["segments"]) == (1712, 48, 11656)
    runs = breakfast_segments().values()
    assert counted["frames"] == sum(n_frames for segments in runs for _, n_frames in segments)
    assert round(counted["video_frames"]["mean"], -2) == 2100
    assert counted["background"] == ["SIL"]
