"""Write the data sets on which the recipe of ``fact-clip data init`` is chosen.

    PYTHONPATH=. python experiments/folds.py KSCGR OPENPACK OUT

They are folds of real sets, and synthetic hands. They are written in the common layout under OUT, with
links to the features and labels of the originals. No fold tests KSCGR's subject 5 or uses OpenPack's
test boxes, which the recipe is scored on (docs/results.md).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Subjects of KSCGR that train and that are tested.
SUBJECTS = {"kf": ("467", "123"), "kb": ("1346", "27")}

VERBS = ("reach", "lift", "turn", "shake", "place")
OBJECTS = ("cup", "box", "lid")
IDLE = "idle"
RECORDINGS = 30
TRAINED = 20

Point = NDArray[np.float64]


def link(root: Path, source: Path, splits: Mapping[str, Iterable[str]]) -> None:
    """Create a data set with the files of another one and a split 1 of its own."""
    (root / "splits").mkdir(parents=True)
    for name in ("features", "groundTruth", "mapping.txt"):
        (root / name).symlink_to((source / name).resolve())
    write_splits(root, splits)


def write_splits(root: Path, splits: Mapping[str, Iterable[str]]) -> None:
    """Write the lists of split 1."""
    for part, videos in splits.items():
        path = root / f"splits/{part}.split1.bundle"
        path.write_text("".join(f"{video}\n" for video in videos))


def write_kscgr(source: Path, out: Path) -> None:
    """Write folds of KSCGR by subjects."""
    videos = sorted(path.stem for path in (source / "features").glob("*.npy"))
    subject = {video: re.findall(r"subj(\d)", video)[0] for video in videos}
    for name, (train_subjects, test_subjects) in SUBJECTS.items():
        splits = {
            "train": [video for video in videos if subject[video] in train_subjects],
            "test": [video for video in videos if subject[video] in test_subjects],
        }
        link(out / name, source, splits)


def write_openpack(source: Path, out: Path) -> None:
    """Write op1 and op2: every third training box is tested, from the first or the second one on."""
    boxes = (source / "splits/train.split1.bundle").read_text().split()
    for first in (0, 1):
        test = boxes[first::3]
        train = [box for box in boxes if box not in test]
        link(out / f"op{first + 1}", source, {"train": train, "test": test})


class Hands:
    """A recording of two hands and three objects, x, y and z of each, 30 rows per second."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        homes = np.array([[-0.5, 0.2, 0], [0, 0.6, 0], [0.5, 0.2, 0]])
        self.rng = rng
        self.objects = rng.normal(0, 0.25, (3, 3)) + homes
        self.rest = np.array([[-0.4, -0.5, 0], [0.4, -0.5, 0]]) + rng.normal(0, 0.05, (2, 3))
        self.hands = self.rest.copy()
        self.tempo = np.exp(rng.normal(0, 0.2))
        self.rows: list[Point] = []
        self.labels: list[str] = []

    def move(
        self,
        name: str,
        target: Point,
        wobble: Point,
        pace: float,
        frames: float,
        hand: int,
        held: int | None,
    ) -> None:
        """Record a segment in which a hand moves to a target.

        Args:
            name: its label.
            target: the target (3,).
            wobble: the amplitude of the oscillation on the way (3,).
            pace: oscillations per second.
            frames: its length.
            hand: the hand, 0 or 1.
            held: the object that the hand holds, or None.
        """
        start = self.hands[hand].copy()
        phase = self.rng.uniform(0, 6.28)
        carried = start if held is None else self.objects[held].copy()
        count = max(9, int(frames))
        for frame in range(count):
            share = (frame + 1) / count
            ease = 3 * share * share - 2 * share**3
            swing = wobble * np.sin(6.28 * pace * frame / 30 + phase)
            self.hands[hand] = start + (target - start) * ease + swing
            if held is not None:
                self.objects[held] = carried + (self.hands[hand] - start)
            back = (self.rest[1 - hand] - self.hands[1 - hand]) * 0.05
            self.hands[1 - hand] += back + self.rng.normal(0, 0.003, 3)
            self.rows.append(np.concatenate([self.hands.ravel(), self.objects.ravel()]))
            self.labels.append(name)
        self.hands[hand] = start + (target - start)

    def handle(self, index: int) -> None:
        """Record that an object is reached for, lifted, perhaps turned and shaken, and put down."""
        rng = self.rng
        still = np.zeros(3)
        hand = int(rng.random() < 0.5) if index == 1 else int(index == 2)
        name = OBJECTS[index]

        target = self.objects[index] + rng.normal(0, 0.03, 3)
        self.move(f"reach {name}", target, still, 1, self.length(26), hand, None)

        target = self.hands[hand] + np.array([0, 0, 0.3]) + rng.normal(0, 0.04, 3)
        self.move(f"lift {name}", target, still, 1, self.length(28), hand, index)

        if rng.random() < 0.6:
            target = self.hands[hand] + rng.normal(0, 0.03, 3)
            wobble = np.array([0.05, 0.05, 0])
            self.move(f"turn {name}", target, wobble, 1.0, self.length(45), hand, index)
        if rng.random() < 0.5:
            target = self.hands[hand] + rng.normal(0, 0.03, 3)
            wobble = np.array([0, 0.02, 0.05])
            self.move(f"shake {name}", target, wobble, 2.6, self.length(42), hand, index)

        target = self.objects[index] * np.array([1, 1, 0])
        target = target + rng.normal(0, 0.12, 3) * np.array([1, 1, 0.1])
        self.move(f"place {name}", target, still, 1, self.length(30), hand, index)

        if rng.random() < 0.4:
            target = self.rest[hand] + rng.normal(0, 0.05, 3)
            self.move(IDLE, target, still, 1, self.length(38), hand, None)

    def length(self, median: float) -> float:
        """Draw the frames of a segment from their median."""
        return float(median * self.tempo * np.exp(self.rng.normal(0, 0.45)))

    def recorded(self) -> tuple[NDArray[np.float16], list[str]]:
        """Record one video.

        Returns:
            Rows (T, 15) with noise, drift and moments of lost tracking, and T labels.
        """
        self.move(IDLE, self.hands[0].copy(), np.zeros(3), 1, self.length(40), 0, None)
        for _ in range(self.rng.integers(7, 12)):
            self.handle(int(self.rng.integers(3)))
        rows = np.array(self.rows)
        noise = self.rng.normal(0, 0.02, rows.shape)
        drift = np.cumsum(self.rng.normal(0, 0.003, rows.shape), 0)
        rows = rows + noise + drift
        for point in range(5):
            self._lose_tracking(rows[:, 3 * point : 3 * point + 3])
        return rows.astype(np.float16), self.labels

    def _lose_tracking(self, track: Point) -> None:
        """Repeat the last position of a point (T, 3) now and then."""
        row = 0
        while row < len(track):
            row += int(self.rng.exponential(150))
            gap = int(self.rng.exponential(12))
            if row < len(track):
                track[row : row + gap] = track[max(row - 1, 0)]
            row += gap


def write_hands(root: Path) -> None:
    """Write 30 recordings of hands, of which 20 train."""
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    names = [IDLE]
    for object_name in OBJECTS:
        names += [f"{verb} {object_name}" for verb in VERBS]
    mapping = "".join(f"{index} {name}\n" for index, name in enumerate(names))
    (root / "mapping.txt").write_text(mapping)
    videos = [f"v{number:02d}" for number in range(RECORDINGS)]
    for number, video in enumerate(videos):
        rows, labels = Hands(100 + number).recorded()
        np.save(root / f"features/{video}.npy", rows)
        (root / f"groundTruth/{video}.txt").write_text("".join(f"{label}\n" for label in labels))
    write_splits(root, {"train": videos[:TRAINED], "test": videos[TRAINED:]})


def main() -> int:
    """Write all data sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("kscgr", "openpack", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    write_kscgr(arguments.kscgr, arguments.out)
    write_openpack(arguments.openpack, arguments.out)
    write_hands(arguments.out / "hands")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
