"""Seconds a training step on made-up videos of the shapes of KSCGR and Breakfast, with several options side by side.

OMP_NUM_THREADS=1 python benchmarks/training.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shape:
    """What a data set's videos look like.

    Args:
        recipe: that trains on them, whose sizes are taken as they are.
        frames: of the mean video.
        width: columns of a feature file.
        classes: actions, background included.
        segment: frames of a segment.
        objects: named things that the columns belong to, with six columns each; 0: the recipe names none.
        first: name of class 0, the background.
    """

    recipe: str
    frames: int
    width: int
    classes: int
    segment: int
    objects: int
    first: str


SHAPES = {
    "kscgr": Shape("kscgr", 1190, 180, 67, 19, 30, "no action"),
    "breakfast": Shape("breakfast", 2100, 2048, 48, 300, 0, "SIL"),
}
# The first one is what the others are compared with.
OPTIONS: dict[str, tuple[str, ...]] = {
    "batch 1": ("train.batch_size=1",),
    "batch 2": ("train.batch_size=2",),
    "batch 1, bf16": ("train.batch_size=1", "train.precision=bf16"),
}


def write(root: Path, shape: Shape, frames: int, videos: int) -> None:
    """A data set in the common layout: noise for features, and classes that take turns."""
    rng = np.random.default_rng(0)
    for name in ("groundTruth", "features", "splits"):
        (root / name).mkdir()
    things = ["person", "table", "stove", *(f"food{number}" for number in range(shape.objects - 3))]
    if shape.objects:
        (root / "objects.txt").write_text("\n".join(things) + "\n")
    verbs, names = ("cut", "hold", "move"), [shape.first]
    for number in range(shape.classes - 1):
        # "cut food0" of KSCGR, "cut_food0" of Breakfast
        names.append(f"{verbs[number % 3]}{' ' if shape.objects else '_'}food{number // 3}")
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(names)))
    for number in range(videos + 1):
        order = rng.integers(0, len(names), frames // shape.segment + 1)
        labels = np.repeat(order, shape.segment)[:frames]
        (root / f"groundTruth/v{number}.txt").write_text("\n".join(names[label] for label in labels) + "\n")
        rows = rng.standard_normal((frames, shape.width), dtype=np.float32)
        np.save(root / f"features/v{number}.npy", rows if shape.recipe == "kscgr" else rows.T)
    (root / "splits/train.split1.bundle").write_text("".join(f"v{number}\n" for number in range(videos)))
    (root / "splits/test.split1.bundle").write_text(f"v{videos}\n")


def measured(root: Path, shape: Shape, overrides: list[str]) -> dict[str, Any]:
    """The fastest step of an epoch without the first, by the training that everybody uses, and this process's peak."""
    import torch

    from fact_clip import training
    from fact_clip.config import Config
    from fact_clip.training import trainer

    times: list[float] = []

    class Timed(trainer._Training):
        def _step(self, batch: Any) -> dict[str, float]:
            start = time.perf_counter()
            terms = super()._step(batch)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
            return terms

    trainer._Training = Timed  # type: ignore[misc]  # this process measures one option and ends
    fixed = (f"data.root={root}", "data.split=1", "data.validation=0", "train.epochs=1", "text.encoder=hash:384")
    training.train(Config.load(shape.recipe, [*fixed, *overrides]), root / "run")
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    peak = on_gpu / 2**20 or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(times[1:]), "peak": peak}


def compare(name: str, frames: int, steps: int, device: str) -> None:
    """Print a row for each option, in a process each."""
    shape, first = SHAPES[name], None
    for option, overrides in OPTIONS.items():
        size = int(overrides[0].removeprefix("train.batch_size="))
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), shape, frames, size * (steps + 1))
            command = [sys.executable, __file__, "--measure", name, folder, *overrides, f"train.device={device}"]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(answer.splitlines()[-1])
        rate = size * frames / found["seconds"]
        first = first or rate
        figures = f"{size * frames:>10}{found['seconds']:>10.2f}{rate:>10.0f}{rate / first:>8.2f}{found['peak']:>10.0f}"
        print(f"{name:<11}{option:<15}{figures}", flush=True)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, nargs="+", default=list(SHAPES))
    parser.add_argument("--frames", type=int, help="of a video; unset: the data set's mean")
    parser.add_argument("--steps", type=int, default=4, help="after the first, which does not count")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--measure", nargs="+", metavar=("SHAPE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, folder, *overrides = given.measure
        print(json.dumps(measured(Path(folder), SHAPES[name], overrides)))
        return 0
    print(f"{'shape':<11}{'option':<15}{'frames':>10}{'s/step':>10}{'frames/s':>10}{'ratio':>8}{'peak MB':>10}")
    for name in given.shape:
        compare(name, given.frames or SHAPES[name].frames, given.steps, given.device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"ratio: frames a second against {next(iter(OPTIONS))!r}. {os.cpu_count()} cores, load {load:.1f}; ", end="")
    print("under load times are upper bounds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
