"""The recipe of `fact-clip data init`, on made-up data whose lengths are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import Config, DataConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.datasets.recipe import (
    OBJECTS,
    context_windows,
    epochs_of,
    measure,
    price_of,
    stride_of,
    suggest,
    tokens_of,
)

from ..refusals import refused

ACTIONS = ("move ham", "move pan", "move egg", "cut ham", "cut egg")


def made_up(root: Path, videos: int, segments: int, frames: int, columns: int = 3, detector: bool = False) -> Path:
    """Videos of segments that are all `frames` long, the last video the test; with a detector's columns or noise."""
    for folder in ("groundTruth", "features", "splits"):
        (root / folder).mkdir(parents=True)
    names = ("idle", *ACTIONS)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(names)))
    rng = np.random.default_rng(0)
    for video in range(videos):
        labels = [names[(video + place) % len(names)] for place in range(segments) for _ in range(frames)]
        (root / f"groundTruth/v{video}.txt").write_text("\n".join(labels))
        rows = rng.standard_normal((len(labels), columns)).astype(np.float32)
        if detector:  # three values of each object, which is there in every third segment
            there = np.arange(len(labels)) // frames % 3
            for object_ in range(columns // 3):
                rows[there != object_ % 3, 3 * object_ : 3 * object_ + 3] = 0
        np.save(root / f"features/v{video}.npy", rows)
    (root / "splits/train.split1.bundle").write_text("".join(f"v{video}\n" for video in range(videos - 1)))
    (root / "splits/test.split1.bundle").write_text(f"v{videos - 1}\n")
    return root


def settings_of(root: Path) -> dict[str, object]:
    found = suggest(DataConfig(root=str(root), fps=10.0, layout="TD"))
    assert all(reason for _, _, reason in found.settings)
    return {key: value for key, value, _ in found.settings}


@pytest.mark.parametrize(
    ("segment", "windows"),
    [(1, [5, 25]), (7, [5, 25]), (9, [5, 25]), (12, [7, 35]), (30, [15, 83]), (800, [401, 2201])],
)
def test_windows_are_half_a_segment_and_nearly_three(segment, windows):
    assert context_windows(segment) == windows


@pytest.mark.parametrize(
    ("frames", "segment", "stride"),
    [
        (10_000, 9, 1),  # 500,000 rows in 50 epochs, of 800,000
        (30_000, 7, 2),
        (30_000, 5, 1),  # a segment keeps three rows
        (300_000, 800, 19),
        (6_000_000, 800, 266),
    ],
)
def test_the_stride_makes_long_videos_affordable(frames, segment, stride):
    assert stride_of(frames, segment) == stride


@pytest.mark.parametrize(("rows", "epochs"), [(1000, 300), (10_000, 80), (14_000, 57), (300_000, 50)])
def test_epochs_read_a_number_of_rows(rows, epochs):
    assert epochs_of(rows) == epochs


@pytest.mark.parametrize(("segment", "price"), [(1, 0.4), (7, 1.6), (9, 1.9), (36, 4.9), (1024, 51.2)])
def test_a_change_costs_more_where_segments_are_long(segment, price):
    assert price_of(segment) == price


def test_tokens():
    assert [tokens_of(segments) for segments in (1, 9, 10, 18, 19)] == [10, 10, 20, 20, 30]


def test_short_videos_of_short_segments(tmp_path):
    root = made_up(tmp_path / "short", videos=6, segments=20, frames=10)
    found = measure(Dataset.open(DataConfig(root=str(root), layout="TD")))
    assert (found.videos, found.frames, found.classes, found.columns) == (5, 1000, 6, 3)
    assert (found.median_video, found.median_segment, found.most_segments) == (200, 10, 20)
    assert (found.objects, found.zeros) == (0, 0)
    settings = settings_of(root)
    assert settings["data.fps"] == 10.0
    assert settings["data.background"] == ["idle"]
    assert settings["data.stride"] == 1
    assert "data.interleave" not in settings
    assert settings["data.context"] == [5, 27]
    assert settings["model.tokens"] == 30  # 22 in tens
    assert settings["model.input.hidden"] == 96  # 6 classes, null and 64 in steps of 32
    assert settings["train.epochs"] == 300
    assert settings["evaluation.count_background"] is False


def test_long_videos_of_long_segments(tmp_path):
    settings = settings_of(made_up(tmp_path / "long", videos=4, segments=50, frames=400))
    assert settings["data.stride"] == 4  # 60,000 frames 50 times are nearly four times what is read
    assert settings["data.interleave"] is True
    assert settings["data.context"] == [201, 1101]
    assert settings["decode.switch_penalty"] == 26.5
    assert settings["train.epochs"] == 53
    assert settings["model.tokens"] == 60


def test_wide_features_get_no_context(tmp_path):
    assert settings_of(made_up(tmp_path / "wide", videos=3, segments=4, frames=10, columns=513))["data.context"] == []
    assert settings_of(made_up(tmp_path / "less", videos=3, segments=4, frames=10, columns=512))["data.context"]


def test_test_videos_play_no_part(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    before = settings_of(root)
    path = root / "groundTruth/v5.txt"
    labels = path.read_text().splitlines()
    path.write_text("\n".join(ACTIONS[frame % 5] for frame in range(len(labels))))
    assert settings_of(root) == before


def test_columns_of_a_detector_are_found(tmp_path):
    root = made_up(tmp_path / "boxes", videos=6, segments=20, frames=10, columns=9, detector=True)
    found = suggest(DataConfig(root=str(root), layout="TD"))
    assert (found.measured.objects, round(found.measured.zeros, 2)) == (3, 0.67)
    (note,) = found.proposals
    assert note.startswith("3 groups of columns are zero together, as of detected objects (67% zeros); ")
    assert note.endswith("set data.objects.find=true model.head=text text.parts=[factors]")
    # what it proposes can be trained
    keys = OBJECTS.split()
    config = Config.load(
        "folder", [f"data.root={root}", "data.grammar={verb} {object}", "data.background=[idle]", *keys]
    )
    assert len(ObjectColumns.find(config.data.objects, Dataset.open(config.data)).names) == 3
    # without a slot of objects in the names, nothing ties words to columns
    assert suggest(DataConfig(root=str(root), layout="TD", grammar="{verb} {thing}")).proposals == ()


def test_groups_that_are_given_stay(tmp_path):
    root = made_up(tmp_path / "d", 4, 6, 9)
    found = suggest(DataConfig(root=str(root), fps=10.0, layout="TD", groups="v(.)"))
    assert ("data.groups", "v(.)", "as given") in found.settings


def test_no_labelled_frame(tmp_path):
    root = made_up(tmp_path / "data", videos=3, segments=2, frames=10)
    for path in (root / "groundTruth").iterdir():
        path.write_text("?\n" * 20)
    with refused("data"):
        measure(Dataset.open(DataConfig(root=str(root), layout="TD")))
