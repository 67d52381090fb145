"""The data that the recipe of ``fact-clip data init`` is chosen on: folds of real sets, and made-up hands.

PYTHONPATH=. python experiments/folds.py KSCGR OPENPACK OUT

Writes data sets in the common layout under OUT, with links to the features and labels of the originals. No fold tests
KSCGR's subject 5 or uses OpenPack's test boxes, which the recipe is scored on (docs/results.md).
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
VERBS, OBJECTS, IDLE = ("reach", "lift", "turn", "shake", "place"), ("cup", "box", "lid"), "idle"
RECORDINGS, TRAINED = 30, 20

Point = NDArray[np.float64]


def link(root: Path, source: Path, splits: Mapping[str, Iterable[str]]) -> None:
    """A data set that is another one with a split 1 of its own."""
    (root / "splits").mkdir(parents=True)
    for name in ("features", "groundTruth", "mapping.txt"):
        (root / name).symlink_to((source / name).resolve())
    for part, videos in splits.items():
        (root / f"splits/{part}.split1.bundle").write_text(
            "".join(f"{video}\n" for video in videos)
        )


def write_kscgr(source: Path, out: Path) -> None:
    """Folds by subjects."""
    videos = sorted(path.stem for path in (source / "features").glob("*.npy"))
    of = {video: re.findall(r"subj(\d)", video)[0] for video in videos}
    for name, (train, test) in SUBJECTS.items():
        parts = {"train": train, "test": test}
        link(
            out / name,
            source,
            {part: [v for v in videos if of[v] in who] for part, who in parts.items()},
        )


def write_openpack(source: Path, out: Path) -> None:
    """op1 and op2: every third training box is tested, from the first one or the second one on."""
    boxes = (source / "splits/train.split1.bundle").read_text().split()
    for first in (0, 1):
        test = boxes[first::3]
        link(
            out / f"op{first + 1}",
            source,
            {"train": [box for box in boxes if box not in test], "test": test},
        )


class Hands:
    """A recording of two hands and three objects, x, y and z of each, 30 rows a second."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.objects = rng.normal(0, 0.25, (3, 3)) + np.array(
            [[-0.5, 0.2, 0], [0, 0.6, 0], [0.5, 0.2, 0]]
        )
        self.rest = np.array([[-0.4, -0.5, 0], [0.4, -0.5, 0]]) + rng.normal(0, 0.05, (2, 3))
        self.hands, self.tempo = self.rest.copy(), np.exp(rng.normal(0, 0.2))
        self.rows, self.labels = list[Point](), list[str]()

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
        """A segment: a hand goes to `target` and wobbles at `pace` turns a second, with an object that it holds."""
        start, phase = self.hands[hand].copy(), self.rng.uniform(0, 6.28)
        carried = start if held is None else self.objects[held].copy()
        count = max(9, int(frames))
        for frame in range(count):
            share = (frame + 1) / count
            ease = 3 * share * share - 2 * share**3
            self.hands[hand] = (
                start + (target - start) * ease + wobble * np.sin(6.28 * pace * frame / 30 + phase)
            )
            if held is not None:
                self.objects[held] = carried + (self.hands[hand] - start)
            self.hands[1 - hand] += (
                self.rest[1 - hand] - self.hands[1 - hand]
            ) * 0.05 + self.rng.normal(0, 0.003, 3)
            self.rows.append(np.concatenate([self.hands.ravel(), self.objects.ravel()]))
            self.labels.append(name)
        self.hands[hand] = start + (target - start)

    def handle(self, at: int) -> None:
        """Reach for an object, lift it, perhaps turn and shake it, put it down, perhaps rest."""
        rng, still = self.rng, np.zeros(3)
        hand, name = int(rng.random() < 0.5) if at == 1 else int(at == 2), OBJECTS[at]
        self.move(
            f"reach {name}",
            self.objects[at] + rng.normal(0, 0.03, 3),
            still,
            1,
            self.long(26),
            hand,
            None,
        )
        up = self.hands[hand] + np.array([0, 0, 0.3]) + rng.normal(0, 0.04, 3)
        self.move(f"lift {name}", up, still, 1, self.long(28), hand, at)
        for verb, chance, wobble, pace, frames in (
            ("turn", 0.6, np.array([0.05, 0.05, 0]), 1.0, 45),
            ("shake", 0.5, np.array([0, 0.02, 0.05]), 2.6, 42),
        ):
            if rng.random() < chance:
                near = self.hands[hand] + rng.normal(0, 0.03, 3)
                self.move(f"{verb} {name}", near, wobble, pace, self.long(frames), hand, at)
        down = self.objects[at] * np.array([1, 1, 0]) + rng.normal(0, 0.12, 3) * np.array(
            [1, 1, 0.1]
        )
        self.move(f"place {name}", down, still, 1, self.long(30), hand, at)
        if rng.random() < 0.4:
            self.move(
                IDLE, self.rest[hand] + rng.normal(0, 0.05, 3), still, 1, self.long(38), hand, None
            )

    def long(self, frames: float) -> float:
        """How many frames a segment has that has so many in the median."""
        return float(frames * self.tempo * np.exp(self.rng.normal(0, 0.45)))

    def recorded(self) -> tuple[NDArray[np.float16], list[str]]:
        """Rows (T, 15) with noise and drift, of which tracking is lost now and then, and labels (T,)."""
        self.move(IDLE, self.hands[0].copy(), np.zeros(3), 1, self.long(40), 0, None)
        for _ in range(self.rng.integers(7, 12)):
            self.handle(int(self.rng.integers(3)))
        rows, rng = np.array(self.rows), self.rng
        noise = rng.normal(0, 0.02, rows.shape)
        rows = rows + noise + np.cumsum(rng.normal(0, 0.003, rows.shape), 0)
        for point in range(5):
            at, columns = 0, slice(3 * point, 3 * point + 3)
            while at < len(rows):
                at += int(rng.exponential(150))
                gap = int(rng.exponential(12))
                if at < len(rows):
                    rows[at : at + gap, columns] = rows[max(at - 1, 0), columns]
                at += gap
        return rows.astype(np.float16), self.labels


def write_hands(root: Path) -> None:
    """30 recordings, of which 20 train."""
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    names = [IDLE, *(f"{verb} {object_}" for object_ in OBJECTS for verb in VERBS)]
    (root / "mapping.txt").write_text(
        "".join(f"{index} {name}\n" for index, name in enumerate(names))
    )
    videos = [f"v{number:02d}" for number in range(RECORDINGS)]
    for number, video in enumerate(videos):
        rows, labels = Hands(100 + number).recorded()
        np.save(root / f"features/{video}.npy", rows)
        (root / f"groundTruth/{video}.txt").write_text("".join(f"{label}\n" for label in labels))
    for part, own in (("train", videos[:TRAINED]), ("test", videos[TRAINED:])):
        (root / f"splits/{part}.split1.bundle").write_text("".join(f"{video}\n" for video in own))


def main() -> int:
    """Write all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("kscgr", "openpack", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    write_kscgr(given.kscgr, given.out)
    write_openpack(given.openpack, given.out)
    write_hands(given.out / "hands")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
