"""Write a variant of a data set in which fewer training videos or frames have labels.

    .venv/bin/python experiments/variants.py KIND ROOT OUT [--split N] [--seed S]

Test videos keep their labels. The split of the variant is split 1. KIND is one of these:

five    training uses the first five training videos
rest    the same five videos have labels, and the other training videos have "?" in each frame
half    training uses every second training video
clicks  each training video has one click in a random frame of each segment instead of labels
rough   training videos have no labels. OUT/rough.csv has their segments, background included, as a
        vision-language model may name them: both ends are moved, some names are wrong, and some
        segments are missing. `fact-clip data convert` makes labels or clicks of them.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fact_clip import InputError, Segmentation, Vocabulary
from fact_clip.cli.arguments import check_new
from fact_clip.cli.errors import run_command
from fact_clip.core.io import read_lines
from fact_clip.core.paths import write_lines
from fact_clip.datasets.splits import Split, write_splits
from fact_clip.formats.table import write_table

KINDS = ("five", "rest", "half", "clicks", "rough")
LABELLED = 5  # videos of the kinds "five" and "rest"
MOVED = 0.5  # largest share of its length by which an end of a rough segment is moved
WRONG = 0.05  # share of rough segments with a wrong name
MISSING = 0.05  # share of rough segments that are left out


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


def roughen(
    labels: Sequence[str], classes: Sequence[str], rng: np.random.Generator
) -> tuple[list[tuple[int, int, str]], Counter[str]]:
    """Move the ends of the segments of a video, change some names, and leave some segments out.

    Args:
        labels: True label of each frame.
        classes: Names that a wrong name is drawn from.
        rng: Source of random numbers.

    Returns:
        The first frame, the frame after the last one, and the label of each segment that is left,
        and how many segments are missing, have a wrong name, or do not contain their new middle.
    """
    rows = []
    counts = Counter[str]()
    for segment in Segmentation.from_frames(labels).segments:
        length = segment.stop - segment.start
        start_move, stop_move = rng.uniform(-MOVED, MOVED, 2) * length
        start = max(round(segment.start + start_move), 0)
        stop = min(round(segment.stop + stop_move), len(labels))
        label = segment.label
        is_missing, is_wrong = rng.random(2) < (MISSING, WRONG)
        wrong_label = str(rng.choice([name for name in classes if name != label]))
        if is_missing:
            counts["missing"] += 1
            continue
        if is_wrong:
            label = wrong_label
            counts["wrong name"] += 1
        start, stop = min(start, stop), max(start, stop)
        counts["segments"] += 1
        if not segment.start <= (start + stop) // 2 < segment.stop:
            counts["middle outside"] += 1
        rows.append((start, stop, label))
    return rows, counts


def write_variant(kind: str, root: Path, out: Path, split_name: str, seed: int = 0) -> None:
    """Write a variant, with links to the files that do not change.

    Args:
        kind: One of `KINDS`.
        root: Data set in the common layout.
        out: New folder.
        split_name: Split of the data set.
        seed: Seed of the clicks and of the rough segments.

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
        if path.name == "mapping.txt":
            shutil.copy(path, out)  # `data convert` replaces it
        elif path.name not in ("splits", "groundTruth", "README.md"):
            (out / path.name).symlink_to(path.resolve())
    rng = np.random.default_rng(seed)
    classes = list(Vocabulary.from_mapping(root / "mapping.txt"))
    rough_rows: list[tuple[object, ...]] = [("video", "start_frame", "stop_frame", "label")]
    counts = Counter[str]()
    for video in (*train, *split.test):
        labels = read_labels(root, video)
        is_training = video in train
        if is_training and kind == "clicks":
            write_clicks(out / "clicks" / f"{video}.csv", labels, rng)
            continue
        if is_training and kind == "rough":
            rows, video_counts = roughen(labels, classes, rng)
            rough_rows += [(video, *row) for row in rows]
            counts.update(video_counts)
            continue
        if is_training and kind == "rest" and video not in train[:LABELLED]:
            labels = ["?"] * len(labels)
        write_lines(out / "groundTruth" / f"{video}.txt", labels)
    if kind == "rough":
        write_table(out / "rough.csv", rough_rows, end="\n")
        print(", ".join(f"{name}: {count}" for name, count in counts.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="1")
    parser.add_argument("--seed", type=int, default=0, help="seed of clicks and rough segments")
    arguments = parser.parse_args(argv)

    def command() -> None:
        if not arguments.root.is_dir():
            raise InputError(arguments.root, "no such folder", "name a data set")
        write_variant(
            arguments.kind, arguments.root, arguments.out, arguments.split, arguments.seed
        )

    return run_command(command)


if __name__ == "__main__":
    raise SystemExit(main())
