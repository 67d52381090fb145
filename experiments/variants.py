"""Write a variant of a data set in which fewer training videos or frames have labels.

    .venv/bin/python experiments/variants.py KIND ROOT OUT [--split N]

Test videos keep their labels. The split of the variant is split 1. KIND is one of these:

five    training uses the first five training videos
rest    the same five videos have labels, and the other training videos have "?" in each frame
half    training uses every second training video
clicks  each training video has one click in a random frame of each segment instead of labels
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fact_clip import InputError, Segmentation
from fact_clip.cli.arguments import check_new
from fact_clip.cli.errors import run_command
from fact_clip.core.io import read_lines
from fact_clip.core.paths import write_lines
from fact_clip.datasets.splits import Split, write_splits
from fact_clip.formats.table import write_table

KINDS = ("five", "rest", "half", "clicks")
LABELLED = 5  # videos of the kinds "five" and "rest"
SEED = 0  # of the clicks


def read_split(root: Path, name: str) -> Split:
    """Read the lists of a split of a data set in the common layout."""
    videos = {}
    for part in ("train", "test"):
        lines = read_lines(root / "splits" / f"{part}.split{name}.bundle", "a list of videos")
        videos[part] = tuple(line.removesuffix(".txt") for line in lines)
    return Split(train=videos["train"], test=videos["test"], tested=())


def read_labels(root: Path, video: str) -> list[str]:
    """Read the label of each frame of a video."""
    return read_lines(root / "groundTruth" / f"{video}.txt", "a label per frame")


def write_clicks(path: Path, labels: Sequence[str], rng: np.random.Generator) -> None:
    """Write one click in a random frame of each segment."""
    rows: list[tuple[object, ...]] = [("frame", "label")]
    for segment in Segmentation.from_frames(labels).segments:
        rows.append((int(rng.integers(segment.start, segment.stop)), segment.label))
    path.parent.mkdir(exist_ok=True)
    write_table(path, rows, end="\n")


def write_variant(kind: str, root: Path, out: Path, split_name: str) -> None:
    """Write a variant, with links to the files that do not change.

    Args:
        kind: One of `KINDS`.
        root: Data set in the common layout.
        out: New folder.
        split_name: Split of the data set.

    Raises:
        InputError: The folder is not empty, or the data set has no such split.
    """
    check_new(out)
    split = read_split(root, split_name)
    train = split.train
    if kind == "five":
        train = split.train[:LABELLED]
    elif kind == "half":
        train = split.train[::2]
    write_splits(out, [Split(train=train, test=split.test, tested=())])

    for path in root.iterdir():
        if path.name not in ("splits", "groundTruth", "README.md"):
            (out / path.name).symlink_to(path.resolve())
    rng = np.random.default_rng(SEED)
    for video in (*train, *split.test):
        labels = read_labels(root, video)
        is_training = video in train
        if is_training and kind == "clicks":
            write_clicks(out / "clicks" / f"{video}.csv", labels, rng)
            continue
        if is_training and kind == "rest" and video not in train[:LABELLED]:
            labels = ["?"] * len(labels)
        write_lines(out / "groundTruth" / f"{video}.txt", labels)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="1")
    arguments = parser.parse_args(argv)

    def command() -> None:
        if not arguments.root.is_dir():
            raise InputError(arguments.root, "no such folder", "name a data set")
        write_variant(arguments.kind, arguments.root, arguments.out, arguments.split)

    return run_command(command)


if __name__ == "__main__":
    raise SystemExit(main())
