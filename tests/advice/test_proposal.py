"""Counts of a data set by hand, those of all of Breakfast as published, and the recipe of `fact-clip data init`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fact_clip.advice.proposal import Measures, propose
from fact_clip.config import DataConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.inspect import Inspection
from fact_clip.datasets.summary import summarize

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
    assert counted["transcript_length"] == {"mean": 2, "median": 2, "least": 1, "most": 3}

    idle, milk, stir = counted["per_class"]
    assert (idle["name"], idle["background"], idle["videos"], idle["frames"]) == ("idle", True, 1, 6)
    assert (idle["share"], idle["segments"], idle["segments_per_video"]) == (0.3, 2, 2)
    assert idle["segment_frames"] == {"mean": 3, "median": 3, "least": 2, "most": 4}
    assert (stir["videos"], stir["frames"], stir["segments"]) == (2, 14, 2)
    assert (milk["videos"], milk["frames"], milk["segment_frames"]["most"]) == (0, 0, 0)

    entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert counted["balance"]["evenness"] == pytest.approx(entropy / math.log(3))
    assert counted["balance"]["most_over_least"] == pytest.approx(14 / 6)
    assert counted["balance"]["classes_without_frames"] == 1
    assert counted["transitions"] == [
        {"from": "idle", "to": "stir", "count": 1, "share": 1.0},
        {"from": "stir", "to": "idle", "count": 1, "share": 1.0},
    ]


def test_without_splits_all_labels_count_and_without_videos_none(root):
    (root / "splits/train.split1.bundle").unlink()
    assert summarize(DataConfig(root=str(root)))["videos"] == 4
    for path in (root / "groundTruth").glob("*.txt"):
        path.unlink()
    with refused("groundTruth"):
        summarize(DataConfig(root=str(root)))


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
    inspection = Inspection(DataConfig(name="breakfast", root=str(breakfast)))
    assert list(inspection) == []
    facts = len(inspection.videos), len(inspection.class_names), list(inspection.splits)
    assert facts == (1712, 48, ["1", "2", "3", "4"])
    sizes = [(len(parts["train"]), len(parts["test"])) for parts in inspection.splits.values()]
    assert sizes == [(1460, 252), (1261, 451), (1279, 433), (1136, 576)]


def test_breakfast_counts_are_those_published(breakfast, shared):
    counted = summarize(DataConfig(name="breakfast", root=str(breakfast)))
    assert (counted["videos"], counted["classes"], counted["segments"]) == (1712, 48, 11656)
    runs = json.loads((shared / "labels/breakfast/segments_rle.json").read_text()).values()
    assert counted["frames"] == sum(frames for video in runs for _, frames in video)
    assert counted["transcript_length"]["most"] == max(map(len, runs)) == 25
    assert round(counted["video_frames"]["mean"], -2) == 2100
    assert counted["background"] == ["SIL"]


ACTIONS = ("move ham", "move pan", "move egg", "cut ham", "cut egg")


def made_up(root: Path, videos: int, segments: int, frames: int, columns: int = 3) -> Path:
    """Videos of segments that are all `frames` long, the last video the test; the columns are noise."""
    names, rng = ("idle", *ACTIONS), np.random.default_rng(0)
    labels, features = {}, {}
    for video in range(videos):
        labels[f"v{video}"] = [names[(video + place) % len(names)] for place in range(segments) for _ in range(frames)]
        rows = rng.standard_normal((segments * frames, columns)).astype(np.float32)
        features[f"v{video}"] = rows
    *train, test = labels
    return write_dataset(root, names, labels, features, train=train, test=[test])


def settings_of(root: Path) -> dict[str, object]:
    found = propose(DataConfig(root=str(root), fps=10.0, layout="TD"))
    assert all(reason for _, _, reason in found.settings)
    return {key: value for key, value, _ in found.settings}


def test_short_videos_of_short_segments(tmp_path):
    root = made_up(tmp_path / "short", videos=6, segments=20, frames=10)
    found = Measures.of(Dataset.open(DataConfig(root=str(root), layout="TD")))
    assert (found.videos, found.frames, found.classes, found.columns) == (5, 1000, 6, 3)
    assert (found.median_video, found.median_segment, found.short_segment, found.most_segments) == (200, 10, 10, 20)
    assert 0.1 < found.separability < 0.3  # noise, of six classes
    settings = settings_of(root)
    assert settings["data.fps"] == 10.0
    assert settings["data.background"] == ["idle"]
    assert settings["data.stride"] == 1
    assert "data.interleave" not in settings
    assert settings["data.context"] == [5, 25]
    assert settings["model.tokens"] == 30  # 22 in tens
    assert settings["model.input.hidden"] == 96  # 6 classes, null and 64 in steps of 32
    assert not {"data.validation", "data.groups", "augment.channels"} & settings.keys()
    assert settings["evaluation.count_background"] is False


def test_long_videos_of_long_segments(tmp_path):
    settings = settings_of(made_up(tmp_path / "long", videos=4, segments=50, frames=400))
    assert settings["data.stride"] == 4  # 60,000 frames 50 times are nearly four times what is read
    assert settings["data.interleave"] is True
    assert settings["data.context"] == [201, 1005]
    assert settings["decode.switch_penalty"] == 144.8  # 1.2 * 400^0.8
    assert settings["model.tokens"] == 60


def test_wide_features_get_no_context(tmp_path):
    for columns, is_wide in ((513, True), (512, False)):
        root = made_up(tmp_path / str(columns), videos=3, segments=4, frames=10, columns=columns)
        assert (settings_of(root)["data.context"] == []) is is_wide


def test_features_that_have_seen_the_labels(tmp_path):
    """Columns that name the class: regularised harder, no validation, and changes cost more."""
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10, columns=6)
    classes = ["idle", *ACTIONS]
    for path in (root / "features").iterdir():
        names = (root / f"groundTruth/{path.stem}.txt").read_text().split("\n")
        labels = [classes.index(name) for name in names if name]
        np.save(path, np.eye(6, dtype=np.float32)[labels] + 0.1 * np.load(path))
    assert Measures.of(Dataset.open(DataConfig(root=str(root), layout="TD"))).separability == 1
    settings = settings_of(root)
    assert (settings["data.context"], settings["augment.channels"]) == ([], 0.6)
    assert settings["decode.switch_penalty"] == round(1.5 * 10**0.8, 1)


def test_test_videos_play_no_part(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    before = settings_of(root)
    path = root / "groundTruth/v5.txt"
    labels = path.read_text().splitlines()
    path.write_text("\n".join(ACTIONS[frame % 5] for frame in range(len(labels))))
    assert settings_of(root) == before


def test_a_split_may_be_named_by_a_number_with_zeros(root):
    for part in ("train", "test"):
        (root / f"splits/{part}.split1.bundle").rename(root / f"splits/{part}.split01.bundle")
    for split in ("01", 1):
        proposal = propose(DataConfig(root=str(root), split=split))
        assert {setting.key: setting.value for setting in proposal.settings}["data.split"] == "01"
