"""How time and memory of `data check`, `evaluate` and `report` grow with the number of videos.

PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/many_videos.py

Videos of 200 rows, 16 columns and 8 actions are made up. Seconds are of the processor, with the start of the program
(up to 2 s); GB is the largest memory of the process, at least that of this one, .04. The targets are linear time and 2 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

N_ROWS, WIDTH, N_CLASSES = 200, 16, 8
TRAINED = 8  # videos


def write(root: Path, count: int) -> Path:
    """Write a data set whose last videos are the test."""
    rng = np.random.default_rng(0)
    names = [f"v{number:05d}" for number in range(count + TRAINED)]
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    classes = [f"action_{number}" for number in range(N_CLASSES)]
    (root / "mapping.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(classes)))
    centres = rng.normal(size=(N_CLASSES, WIDTH))
    for name in names:
        labels = np.repeat(rng.integers(0, N_CLASSES, 10), N_ROWS // 10)
        rows = centres[labels] + rng.normal(size=(N_ROWS, WIDTH))
        np.save(root / "features" / f"{name}.npy", rows.astype(np.float32))
        (root / "groundTruth" / f"{name}.txt").write_text(
            "".join(f"{classes[label]}\n" for label in labels)
        )
    for part, part_names in (("train", names[:TRAINED]), ("test", names[TRAINED:])):
        lines = "".join(f"{name}.txt\n" for name in part_names)
        (root / "splits" / f"{part}.split1.bundle").write_text(lines)
    return root


def measured(*arguments: object) -> tuple[float, float]:
    """Return the seconds of the processor and the GB that a command takes."""
    command = [sys.executable, "-m", "fact_clip", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def main() -> int:
    """Print a table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[250, 500, 1000, 10_000])
    given = parser.parse_args()
    print("| videos | data check | evaluate | report |\n|---|---|---|---|")
    largest = 0.0
    for count in given.counts:
        with tempfile.TemporaryDirectory() as place:
            root, run = write(Path(place) / "data", count), Path(place) / "run"
            cells = [measured("data", "check", root)]
            if count <= 1000:
                settings = (f"data.root={root}", "train.epochs=1", "train.device=cpu")
                measured("train", "folder", *settings, "--out", run)
                cells += [measured("evaluate", run, "--device", "cpu"), measured("report", run)]
        largest = max(largest, *(memory for _, memory in cells))
        shown = [f"{seconds:.1f} s, {memory:.2f} GB" for seconds, memory in cells]
        print(f"| {count:,} | {' | '.join([*shown, '', ''][:3])} |", flush=True)
    return int(largest > 2)


if __name__ == "__main__":
    raise SystemExit(main())
