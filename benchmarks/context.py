"""Memory and time of `segment` on one long array, with context columns: this checkout beside another.

PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/context.py --against ../before

Each side runs in processes of its own, which take turns. Memory is the highest above what the process holds before the
call, the array included. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH = 384
MOST_GIGABYTES = 1.2


def write_run(root: Path) -> Path:
    """Train the recipe of the synthetic data set, with context [5, 25], for one epoch."""
    from fact_clip import Config, train
    from fact_clip.datasets.synthetic import write_workbench

    data = write_workbench(root / "data", videos=6, persons=3, dim=WIDTH)
    settings = [f"data.root={data}", "data.stride=1", "train.epochs=1", "train.device=cpu"]
    train(Config.load("tests/assembly.yaml", settings), root / "run")
    return root / "run"


def memory(name: str) -> float:
    """Return VmRSS or VmHWM of this process in GB."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1e6


def measure(run: str, rows: int) -> dict[str, object]:
    """Segment an array (rows, WIDTH) and return memory, seconds and the segments."""
    import fact_clip

    segmenter = fact_clip.load(run, device="cpu")
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (rows // 50, WIDTH)).astype(np.float32).repeat(50, axis=0)
    for start in range(0, rows, 1000):
        features[start : start + 1000] += rng.normal(0, 0.3, (1000, WIDTH)).astype(np.float32)
    segmenter.segment(features[:500])
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory
    held = memory("VmRSS")
    start = time.process_time()
    segmentation = segmenter.segment(features)
    seconds = time.process_time() - start
    segments = [(part.start, part.label, part.confidence) for part in segmentation]
    return {"gigabytes": memory("VmHWM") - held, "seconds": seconds, "segments": segments}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.rows)))
        return 0

    sides: dict[str, list[dict]] = {"against": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder))
        for _ in range(3):
            for side, path in (("against", args.against), ("ours", Path())):
                command = [sys.executable, __file__, "--against", ".", "--measure", str(run)]
                command += ["--rows", str(args.rows)]
                environment = os.environ | {"PYTHONPATH": str(path.resolve())}
                answer = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, check=True
                )
                sides[side].append(json.loads(answer.stdout))
    print("| | GB above the input | s of the processor |\n|---|---|---|")
    for side, results in sides.items():
        gigabytes, seconds = (
            statistics.median(r[key] for r in results) for key in ("gigabytes", "seconds")
        )
        print(f"| {side} | {gigabytes:.2f} | {seconds:.1f} |")
    ours, against = sides["ours"][0]["segments"], sides["against"][0]["segments"]
    assert [row[:2] for row in ours] == [row[:2] for row in against]
    print(
        "largest difference of a confidence",
        max(abs(a[2] - b[2]) for a, b in zip(ours, against, strict=True)),
    )
    return int(max(result["gigabytes"] for result in sides["ours"]) > MOST_GIGABYTES)


if __name__ == "__main__":
    sys.exit(main())
