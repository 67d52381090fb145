"""A batch of tiny feature files through `segment`: files a second, restart and memory of the process.

PYTHONPATH=. python benchmarks/batch.py --files 1000 10000 100000

The first 200 files are segmented. The records of the others are copies of the first one, because all files are equal,
so that a restart over many files that are done is measured without computing them all. The memory is the highest of a
process that goes through all files twice, from Python and by the command. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TARGET_RATE = 500.0  # files a second, of those that are done
COMPUTED = 200
FOLDER_FILES = 1000


def write_run(root: Path) -> Path:
    """Train a small model for one epoch."""
    from fact_clip import training
    from fact_clip.config import Config
    from fact_clip.datasets.synthetic import write_workbench
    from tests.small import TINY

    data = write_workbench(root / "workbench", videos=6, persons=3, dim=8)
    tree = {
        **TINY,
        "data": {**TINY["data"], "root": str(data)},
        "train": {**TINY["train"], "epochs": 1},
    }
    training.train(Config.from_tree(tree, "benchmark"), root / "run")
    return root / "run"


def write_features(root: Path, count: int) -> Path:
    """Write equal feature files of 30 rows, with one time of change, 1,000 a folder."""
    content = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    first = root / "first.npy"
    np.save(first, content)
    raw = first.read_bytes()
    for number in range(count):
        path = root / "in" / f"{number // FOLDER_FILES:04}" / f"{number % FOLDER_FILES:03}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        os.utime(path, ns=(10**18, 10**18))
    return root / "in"


def copy_records(out: Path, source: Path) -> None:
    """Give every input the record, with its id and path, and the table of the first one."""
    first, _, segmentation = (out / ".results" / "0000" / "000.json").read_text().partition("\n")
    record = json.loads(first)
    table = (out / "0000" / "000.csv").read_bytes()
    for path in source.rglob("*.npy"):
        name = path.relative_to(source).with_suffix("")
        record["id"] = str(name)
        record["request"]["input"]["path"] = str(path)
        content = f"{json.dumps(record)}\n{segmentation}".encode()
        for target, raw in (
            (out / ".results" / f"{name}.json", content),
            (out / f"{name}.csv", table),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.write_bytes(raw)


def restart(run: Path, source: Path, out: Path, limit: int) -> None:
    """Go through the inputs as `fact-clip segment` does, then by it; print the seconds and the memory as JSON."""
    import fact_clip
    from fact_clip.cli import main as command
    from fact_clip_batch import Inputs, SegmentSettings, segment_batch

    segmenter = fact_clip.load(run, "cpu")
    start = time.perf_counter()
    n_done = 0
    n_computed = 0
    first_at = None
    inputs = Inputs([source], (".npy",))
    settings = SegmentSettings(formats=["csv"])
    for outcome in segment_batch(segmenter, inputs, out, settings):
        first_at = first_at or time.perf_counter() - start
        n_done += outcome.state == "done"
        n_computed += outcome.state == "computed"
        if limit and n_computed == limit:
            break
    figures = {
        "seconds": time.perf_counter() - start,
        "first": first_at,
        "done": n_done,
        "computed": n_computed,
    }
    if not limit:
        code = command(
            ["segment", "--run", str(run), str(source), "--out", str(out), "--format", "csv"]
        )
        assert code == 0
    figures["megabytes"] = highest_memory()
    print(json.dumps(figures))


def highest_memory() -> float:
    """Return the megabytes of this process at most, and not those of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(*words: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> int:
    """Print the table; exit code 1 where the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--child", nargs=4)
    options = parser.parse_args()
    if options.child:
        run, source, out, limit = options.child
        restart(Path(run), Path(source), Path(out), int(limit))
        return 0
    missed = False
    print("| files | files a second, new | files a second, done | s to the first result | MB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = write_run(root)
        out = root / "out"
        for count in options.files:
            source = write_features(root, count)
            new = measured(run, source, root / f"new{count}", COMPUTED)
            if not out.exists():
                measured(run, source, out, 1)
            copy_records(out, source)
            done = measured(run, source, out, 0)
            rate = done["done"] / done["seconds"]
            missed |= rate < TARGET_RATE
            new_rate = new["computed"] / new["seconds"]
            print(
                f"| {count:,} | {new_rate:.0f} | {rate:.0f} | {done['first']:.2f} | {done['megabytes']:.0f} |",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
