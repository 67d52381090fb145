"""Peak memory of a training on 6 GB of feature files, and what reading them takes, for float32 and float16 files.

OMP_NUM_THREADS=1 python benchmarks/loading.py

The files are made up (with holes, so that they take no disk), 2,100 frames of 2,048 columns each, the shapes of
Breakfast. The model is a small one: the memory is that of reading, and so is most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

TARGET = 1500  # MB resident, of the training and of its readers together
FRAMES, WIDTH = 2100, 2048
# dtype of the files, gigabytes of them, settings. Context triples a video and takes a second for it: 1 GB is enough to
# fill what is kept in memory.
CASES: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "float32": ("float32", 6.0, ("train.workers=0",)),
    "float32, 2 readers": ("float32", 6.0, ("train.workers=2",)),
    "float32, context": ("float32", 1.0, ("train.workers=0", "data.context=[9]")),
    "float16": ("float16", 6.0, ("train.workers=0",)),
    "float16, 2 readers": ("float16", 6.0, ("train.workers=2",)),
}
SMALL = (
    "data.split=1", "data.validation=0", "train.epochs=1", "train.batch_size=4", "model.blocks=iu", "model.tokens=8",
    "model.input.hidden=16", "model.input.frame=m", "model.input.frame_dim=16", "model.input.frame_layers=1",
    "model.input.action_dim=16", "model.input.action_layers=1", "model.input.heads=2", "model.input.feedforward=16",
    "model.update.frame_layers=1",
)  # fmt: skip


def write(root: Path, dtype: str, gigabytes: float) -> int:
    """A data set in the common layout whose feature files have this size together; returns the number of videos."""
    size = FRAMES * WIDTH * np.dtype(dtype).itemsize
    videos = max(2, round(gigabytes * 1e9 / size))
    for name in ("groundTruth", "features", "splits"):
        (root / name).mkdir()
    (root / "mapping.txt").write_text("".join(f"{index} action {index}\n" for index in range(7)))
    labels = "".join(f"action {frame // 300}\n" for frame in range(FRAMES))
    for number in range(videos + 1):
        (root / f"groundTruth/v{number}.txt").write_text(labels)
        path = root / f"features/v{number}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(FRAMES, WIDTH)).flush()
    (root / "splits/train.split1.bundle").write_text(
        "".join(f"v{number}\n" for number in range(videos))
    )
    (root / "splits/test.split1.bundle").write_text(f"v{videos}\n")
    return videos


class Peak(threading.Thread):
    """The most memory that this process and its children were seen to hold, in MB; shared pages count once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0.0, threading.Event()

    def run(self) -> None:
        import psutil

        me = psutil.Process()
        while not self.done.wait(0.02):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # it has ended
            self.most = max(self.most, total / 1e6)


def measured(root: Path, overrides: list[str]) -> dict[str, Any]:
    """Seconds and peak memory of an epoch, in this process."""
    from fact_clip import training
    from fact_clip.config import Config

    (peak := Peak()).start()
    start = time.perf_counter()
    training.train(Config.load("folder", [f"data.root={root}", *SMALL, *overrides]), root / "run")
    seconds = time.perf_counter() - start
    peak.done.set()
    peak.join()
    return {"seconds": seconds, "peak": peak.most}


def main() -> int:
    """Print the table; 1 where a peak is above the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--gigabytes", type=float, help="of feature files; unset: as in CASES")
    parser.add_argument(
        "--measure", nargs="+", metavar=("FOLDER", "SETTING"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.measure:
        folder, *overrides = given.measure
        print(json.dumps(measured(Path(folder), overrides)))
        return 0
    print(f"{'files':<22}{'GB':>5}{'videos':>8}{'s/epoch':>10}{'videos/s':>10}{'peak MB':>10}")
    missed = False
    for case in given.case:
        dtype, size, overrides = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            videos = write(Path(folder), dtype, given.gigabytes or size)
            command = [sys.executable, __file__, "--measure", folder, *overrides]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(answer.splitlines()[-1])
        missed |= found["peak"] > TARGET
        rate = videos / found["seconds"]
        figures = f"{found['seconds']:>10.1f}{rate:>10.1f}{found['peak']:>10.0f}"
        print(f"{case:<22}{given.gigabytes or size:>5g}{videos:>8}{figures}", flush=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"target: {TARGET} MB. {os.cpu_count()} cores, load {load:.1f}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
