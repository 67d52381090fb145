"""Wall time of `fact-clip --help` beside `python -c "import numpy"`, in alternation."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGET = 2.5  # times `import numpy`, at most
RUNS = 15
ROOT = Path(__file__).parents[1]

# What the console script does, for this tree whatever is installed.
PROGRAM = "import sys; from fact_clip.cli import main; sys.exit(main())"
COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import fact_clip": ["-c", "import fact_clip"],
    "fact-clip --version": ["-c", PROGRAM, "--version"],
    "fact-clip --help": ["-c", PROGRAM, "--help"],
    "fact-clip train --help": ["-c", PROGRAM, "train", "--help"],
}


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for name in COMMANDS:
        seconds(COMMANDS[name])  # compiles the modules and fills the file cache
    for _ in range(RUNS):
        for name, words in COMMANDS.items():
            times[name].append(seconds(words))
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"median of {RUNS} alternating runs, load {os.getloadavg()[0]:.1f}")
    for name, median in medians.items():
        print(f"{name:24} {1000 * median:6.0f} ms  {median / medians['import numpy']:5.2f}")
    return int(medians["fact-clip --help"] > TARGET * medians["import numpy"])


if __name__ == "__main__":
    raise SystemExit(main())
