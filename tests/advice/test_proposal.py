"""The recipe of `fact-clip data init`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fact_clip.advice import proposal
from fact_clip.advice.proposal import Measures, propose
from fact_clip.config import DataConfig
from fact_clip.datasets.dataset import Dataset

from ..small import write_dataset

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


def test_segments_that_unlabelled_frames_cut_are_not_short_ones(tmp_path):
    root = made_up(tmp_path / "gaps", videos=6, segments=20, frames=40)
    for path in (root / "groundTruth").iterdir():
        names = path.read_text().split("\n")
        for start in range(10, 800, 80):  # every other segment, 6 frames before its middle
            names[start : start + 4] = ["?"] * 4
        path.write_text("\n".join(names))
    dataset = Dataset.open(DataConfig(root=str(root), layout="TD"))
    measures = Measures.of(dataset)
    assert (measures.median_segment, measures.short_segment) == (40, 40)
    for path in (root / "groundTruth").iterdir():
        names = path.read_text().split("\n")
        names[:-1:40] = ["?"] * 20  # no segment is surely whole any more
        path.write_text("\n".join(names))
    assert Measures.of(Dataset.open(DataConfig(root=str(root), layout="TD"))).median_segment == 26  # of 9, 26 and 39


def test_wide_features_get_no_context(tmp_path):
    for columns, is_wide in ((513, True), (512, False)):
        root = made_up(tmp_path / str(columns), videos=3, segments=4, frames=10, columns=columns)
        assert (settings_of(root)["data.context"] == []) is is_wide


def test_clicked_rows_tell_whether_features_have_seen_the_labels(tmp_path):
    """Between clicks the nearer one names rows wrongly; half of the rows would be right."""
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10, columns=6)
    classes = ["idle", *ACTIONS]
    (root / "clicks").mkdir()
    rng = np.random.default_rng(0)
    for path in (root / "features").iterdir():
        label_file = root / f"groundTruth/{path.stem}.txt"
        names = label_file.read_text().splitlines()
        np.save(path, np.eye(6, dtype=np.float32)[[classes.index(name) for name in names]] + 0.1 * np.load(path))
        starts = [0, *(frame for frame in range(1, len(names)) if names[frame] != names[frame - 1])]
        clicked = rng.integers(starts, [*starts[1:], len(names)])
        rows = [f"{frame},{names[frame]}" for frame in clicked.tolist()]
        (root / f"clicks/{path.stem}.csv").write_text("\n".join(["frame,label", *rows]))
        label_file.unlink()
    measures = Measures.of(Dataset.open(DataConfig(root=str(root), layout="TD")))
    assert measures.separability == 1
    assert measures.is_separable


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


def test_videos_without_a_label_are_named_by_a_first_model(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    for video in ("v1", "v3"):
        (root / "groundTruth" / f"{video}.txt").write_text("?\n" * 200)
    found = propose(DataConfig(root=str(root), fps=10.0, layout="TD"))
    (setting,) = [setting for setting in found.settings if setting.key == "train.self_training"]
    assert (setting.value, setting.reason) == (True, "2 of 5 videos have no label: a first model names them")
    assert (found.measures.videos, found.measures.frames) == (3, 600)


def test_only_persons_with_labels_can_validate(tmp_path, monkeypatch):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    monkeypatch.setattr(proposal, "FEWEST_VIDEOS", 1)
    monkeypatch.setattr(proposal, "FEWEST_GROUPS", 2)
    config = DataConfig(root=str(root), fps=10.0, layout="TD", groups=r"(v\d)", validation=0.0)
    assert "data.validation" in {setting.key for setting in propose(config).settings}
    for number in range(1, 5):
        (root / "groundTruth" / f"v{number}.txt").write_text("?\n" * 200)
    assert "data.validation" not in {setting.key for setting in propose(config).settings}


def test_names_without_examples_are_learned_from_unlabelled_frames(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    assert "train.self_training" not in settings_of(root)
    for path in (root / "groundTruth").iterdir():
        path.write_text(path.read_text().replace(f"{ACTIONS[0]}\n", "?\n"))
    found = propose(DataConfig(root=str(root), fps=10.0, layout="TD"))
    (setting,) = [setting for setting in found.settings if setting.key == "train.self_training"]
    assert setting.value is True
    n_open = sum(path.read_text().count("?") for path in (root / "groundTruth").glob("v[0-4].txt"))
    assert setting.reason == (
        f"1 name of mapping.txt has no labelled frame, {n_open / 1000:.0%} of the frames have no label: "
        "they will be learned from their names"
    )
    (root / "groundTruth" / "v0.txt").unlink()
    (root / "clicks").mkdir()
    (root / "clicks" / "v0.csv").write_text(f"frame,label\n5,{ACTIONS[1]}\n")
    assert "train.self_training" not in settings_of(root)


def test_labels_that_a_hold_out_hides_play_no_part(tmp_path):
    """Neither those of held-out classes nor those of its test videos, which the split trains on."""
    root = made_up(tmp_path / "data", videos=8, segments=20, frames=10)
    hidden = ["move egg", "cut egg"]
    lists = {"unseen": hidden, "train_videos": ["v0", "v1", "v2", "v3"], "test_videos": ["v4", "v7"]}
    (root / "hidden.json").write_text(json.dumps(lists))

    def found() -> dict[str, object]:
        proposal = propose(DataConfig(root=str(root), layout="TD", holdout="hidden.json"))
        return {"measures": proposal.measures, **{setting.key: setting.value for setting in proposal.settings}}

    before = found()
    assert before["data.holdout"] == "hidden.json"
    rng = np.random.default_rng(0)
    for path in (root / "groundTruth").iterdir():
        lines = path.read_text().splitlines()
        lines = [str(rng.choice(hidden)) if line in hidden else line for line in lines]
        if path.stem in ("v4", "v7"):
            lines = [str(rng.choice(ACTIONS)) for _ in lines]
        path.write_text("\n".join(lines))
    assert found() == before


def test_persons_that_names_show_are_kept_apart(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=4, frames=10)
    for path in [*root.glob("*/v?.*")]:
        path.rename(path.with_stem(f"person{int(path.stem[1]) // 2}_{path.stem}"))
    videos = sorted(path.stem for path in (root / "features").iterdir())
    (root / "splits/train.split1.bundle").write_text("\n".join(videos))
    (root / "splits/test.split1.bundle").write_text("")
    settings = settings_of(root)
    assert (settings["data.groups"], "data.validation" in settings) == (r"person(\d+)", False)


def test_persons_of_videos_without_a_label_do_not_count(tmp_path, monkeypatch):
    root = made_up(tmp_path / "data", videos=6, segments=4, frames=10)
    for path in [*root.glob("*/v?.*")]:
        path.rename(path.with_stem(f"person{max(int(path.stem[1]) - 2, 1)}_{path.stem}"))
    videos = sorted(path.stem for path in (root / "features").iterdir())
    (root / "splits/train.split1.bundle").write_text("\n".join(videos))
    (root / "splits/test.split1.bundle").write_text("")
    monkeypatch.setattr("fact_clip.advice.proposal.FEWEST_VIDEOS", 4)
    monkeypatch.setattr("fact_clip.advice.proposal.FEWEST_GROUPS", 2)
    monkeypatch.setattr("fact_clip.datasets.separability.SEPARABLE", 2)
    assert settings_of(root)["data.validation"]
    for path in (root / "groundTruth").glob("person[23]*"):
        path.write_text("?\n" * 40)
    assert "data.validation" not in settings_of(root)


def test_a_split_may_be_named_by_a_number_with_zeros(root):
    for part in ("train", "test"):
        (root / f"splits/{part}.split1.bundle").rename(root / f"splits/{part}.split01.bundle")
    for split in ("01", 1):
        proposal = propose(DataConfig(root=str(root), split=split))
        assert {setting.key: setting.value for setting in proposal.settings}["data.split"] == "01"


def test_clicks_that_may_validate_are_measured_as_the_others(tmp_path):
    root = made_up(tmp_path / "data", videos=6, segments=20, frames=10)
    (root / "clicks").mkdir()
    for path in sorted((root / "groundTruth").glob("v[0-4].txt")):
        names = path.read_text().split("\n")
        rows = [f"{frame},{names[frame]}\n" for frame in range(5, 200, 10)]
        (root / "clicks" / f"{path.stem}.csv").write_text("frame,label\n" + "".join(rows))
        path.unlink()
    found = propose(DataConfig(root=str(root), fps=10.0, layout="TD", validation=0.4))
    assert (found.measures.short_segment, found.measures.frames) == (10, 1000)
