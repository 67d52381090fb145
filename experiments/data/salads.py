"""Build 50Salads, with features and recorded predictions of Lea et al. (CVPR 2017).

    python experiments/data/salads.py CLONE ROOT

ROOT/split1 to ROOT/split5 have image features, which were trained on the labels of each split.
ROOT/sensors has accelerometers and all splits. ROOT/peer_scores has the class probabilities of two
networks. The data are licensed under CC BY-NC-SA 4.0, and so is what this script writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from building import Builder, Recording, Source, run_builder, write_recordings, write_split
from scipy.io import loadmat

from fact_clip import Vocabulary
from fact_clip.core.io import read_lines
from fact_clip.datasets.splits import Split, write_splits

SPLITS = (1, 2, 3, 4, 5)
FEATURES = "features/50Salads/SpatialCNN_mid"
LISTS = "splits/50Salads"
PREDICTIONS = "predictions/50Salads/mid"
NETWORKS = {"ed_tcn": "mid_video_ED-TCN_L2_C15", "dilated_tcn": "mid_video_DilatedTCN_B3_L5"}
"""Folders of the recorded predictions, by the names of the networks."""


def read_split(clone: Path, number: int) -> Split:
    """Read the video names of a split."""
    folder = clone / LISTS / f"Split_{number}"
    train = read_lines(folder / "train.txt", "names of videos")
    test = read_lines(folder / "test.txt", "names of videos")
    return Split(train=tuple(train), test=tuple(test), tested=())


def read_video(clone: Path, number: int, video: str) -> dict[str, Any]:
    """Read the arrays of a video: features A, labels Y, and sensors S (columns, rows)."""
    return loadmat(clone / FEATURES / f"Split_{number}" / f"rgb-{video}.avi.mat")


def labels_of(arrays: dict[str, Any], class_names: Sequence[str]) -> list[str]:
    """Return the class name of each row of a video."""
    return [class_names[index] for index in arrays["Y"].ravel()]


def write_peer_scores(clone: Path, root: Path, number: int, split: Split) -> None:
    """Write the class probabilities (rows, classes) of the test videos of a split."""
    for network, folder_name in NETWORKS.items():
        predictions = loadmat(clone / PREDICTIONS / folder_name / f"{number}.mat")
        folder = root / network / f"split{number}"
        folder.mkdir(parents=True)
        for video, probabilities in zip(split.test, predictions["S"].ravel(), strict=True):
            np.save(folder / f"{video}.npy", probabilities.astype(np.float16))


def build(clone: Path, root: Path) -> None:
    """Write the data sets.

    Args:
        clone: Clone of the repository.
        root: Folder to write, which contains mapping.txt and devices.txt.
    """
    class_names = Vocabulary.from_mapping(root / "mapping.txt").names
    sensors: dict[str, Recording] = {}
    splits = [read_split(clone, number) for number in SPLITS]
    for number, split in zip(SPLITS, splits, strict=True):
        recordings: dict[str, Recording] = {}
        for video in (*split.train, *split.test):
            arrays = read_video(clone, number, video)
            labels = labels_of(arrays, class_names)
            recordings[video] = Recording(arrays["A"].astype(np.float16), labels)
            sensors[video] = Recording(arrays["S"].T.astype(np.float16), labels)
        folder = root / f"split{number}"
        write_recordings(folder, recordings)
        write_split(folder, split.train, split.test)
        shutil.copyfile(root / "mapping.txt", folder / "mapping.txt")
        write_peer_scores(clone, root / "peer_scores", number, split)

    write_recordings(root / "sensors", sensors)
    write_splits(root / "sensors", splits)
    for name in ("mapping.txt", "devices.txt"):
        (root / name).rename(root / "sensors" / name)


SOURCE = Source(
    repository="bityangke/AP_TCN",
    commit="655684133f9059b4a980ffc88d4fec6ae8735b87",
    paths=(FEATURES, LISTS, *(f"{PREDICTIONS}/{folder}" for folder in NETWORKS.values())),
)
BUILDER = Builder(name="salads", sources=(SOURCE,), build=build)

if __name__ == "__main__":
    raise SystemExit(run_builder(BUILDER, __doc__))
