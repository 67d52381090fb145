"""The tests that need a CUDA device, then speed on it beside plain.py; writes results_gpu.md.

python benchmarks/gpu.py [--quick]

Any Python that has torch and the packages of NEEDED will do; nothing is installed. Under nine minutes on one GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results_gpu.md"
# Module -> package, for training and benchmarks, and for the tests.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
}
NEEDED |= {"yaml": "PyYAML", "rapidfuzz": "rapidfuzz"}
FOR_TESTS = {"pytest": "pytest", "hypothesis": "hypothesis"}
SECONDS, SECONDS_IN_ALL = 200, 450  # for the tests at most; after which no other benchmark begins


def lacking(packages: dict[str, str]) -> list[str]:
    """The packages that this Python does not have."""
    return [
        package for module, package in packages.items() if importlib.util.find_spec(module) is None
    ]


def tests() -> str:
    """The last line of the tests."""
    if missing := lacking(FOR_TESTS):
        return f"not run: this Python lacks {', '.join(missing)}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "cuda",
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "tests/gpu",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {SECONDS} s"
    print(done.stdout)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "\n".join(
        [f"exit code {done.returncode}: {lines[-1] if lines else 'no output'}", *failed]
    )


def benchmarks(device: Any, quick: bool, until: float) -> tuple[list[Any], list[str]]:
    """Rows of inference and training in each precision, and what went wrong or was left out at the time `until`."""
    from dataclasses import replace
    from functools import partial

    import torch
    from speed import SHAPES, inference, step

    half = partial(torch.autocast, device.type, torch.bfloat16)
    # Label, products of float32 matrices, precision of the trainer, how inference and plain.py run.
    variants: list[tuple[str, str, str, dict[str, Any]]] = [
        ("float32", "highest", "float32", {}),
        ("TF32", "high", "float32", {}),
        ("bf16", "high", "bf16", {"around": half}),
        ("bf16, compiled", "high", "bf16", {"around": half, "wrap": torch.compile}),
    ]
    jobs: list[tuple[str, str, Any]] = []
    for name, whole in SHAPES.items():
        shape = replace(whole, frames=whole.frames // 4) if quick else whole
        for label, products, precision, how in variants:
            jobs.append(
                (f"{name}, {label}", products, partial(inference, name, shape, 5, device, **how))
            )
            if "wrap" not in how:
                one = partial(
                    step,
                    name,
                    shape,
                    5,
                    device,
                    f"train.precision={precision}",
                    around=how.get("around"),
                )
                jobs.append((f"{name}, {label}", products, lambda one=one: [one()]))
    rows, wrong = [], []
    for what, products, job in jobs:
        if time.perf_counter() > until:
            wrong.append(f"{what}: left out, there was no time")
            continue
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = products == "high"
        try:
            found = job()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the other rows are worth having
            wrong.append(f"{what}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
            print(wrong[-1], flush=True)
            continue
        for row in found:
            rows.append(replace(row, what=f"{row.what}, {what.split(', ', 1)[1]}", target=None))
            print(" · ".join(cell for cell in rows[-1].cells() if cell), flush=True)
    return rows, wrong


def main() -> int:
    """Write results_gpu.md; 1 where a test or a benchmark failed, 2 where nothing could be run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short videos")
    given = parser.parse_args()
    if missing := lacking(NEEDED):
        print(
            f"make gpu: {sys.executable} lacks {', '.join(missing)}; install them, or give another PYTHON"
        )
        return 2
    sys.path.insert(0, str(ROOT))
    import torch

    if not torch.cuda.is_available():
        print(
            f"make gpu: torch {torch.__version__} finds no CUDA device; {RESULTS.name} stays as it is"
        )
        return 2
    from speed import facts, markdown

    started, tested = time.perf_counter(), tests()
    print(tested)
    rows, wrong = benchmarks(torch.device("cuda"), given.quick, started + SECONDS_IN_ALL)
    card = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, driver {driver()}"
    about = "".join(
        f"- {fact}\n" for fact in [card, *facts(), f"{time.perf_counter() - started:.0f} s in all"]
    )
    problems = "".join(f"- {line}\n" for line in wrong) or "- none\n"
    text = f"# On a GPU\n\nMade by `make gpu`.\n\n{about}\n## Tests\n\n```\n{tested}\n```\n\n## Speed\n\n{EXPLAINED}\n"
    RESULTS.write_text(f"{text}{markdown(rows)}\n## What failed\n\n{problems}")
    return int(bool(wrong) or not tested.startswith("exit code 0"))


def driver() -> str:
    """The version of NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


EXPLAINED = """\
Weights and inputs are synthetic and the same on both sides. Runs alternate, and times are medians.
"Against" is benchmarks/plain.py on the same card in the same precision, and "figure" is its time divided by the time of FACT-CLIP.
For the share of the matrix-product rate, "against" is the best rate of matrix products in this precision.
"""


if __name__ == "__main__":
    raise SystemExit(main())
