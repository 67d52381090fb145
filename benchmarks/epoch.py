"""Train a recipe in this process, and print what its epochs and steps took; with the code that is first on the path.

python benchmarks/epoch.py RECIPE OUT KEY=VALUE ...

Run by speed.py, under torchrun too, and with the code of other checkouts: nothing here is newer than commit 0b68c3d.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import fact_clip
from fact_clip import training
from fact_clip.config import Config
from fact_clip.training import trainer


def main(recipe: str, out: str, overrides: list[str]) -> None:
    """Print ``{"epochs": seconds of each but the first, "steps": the same of steps, "code": where it comes from}``."""
    epochs, steps = [], []
    now = time.process_time if os.environ.get("CLOCK") == "process" else time.perf_counter

    class Timed(trainer.Trainer):
        def _step(self, batch: Any, truth: Any) -> Any:
            answer = super()._step(batch, truth)
            steps.append(now())
            return answer

    trainer.Trainer = Timed  # this process ends after one training
    started = now()
    training.train(
        Config.load(recipe, overrides), Path(out), progress=lambda *_: epochs.append(now())
    )
    if os.environ.get("RANK", "0") == "0":
        found = {
            "first": epochs[0] - started,
            "epochs": [b - a for a, b in itertools.pairwise(epochs)],
            "steps": [b - a for a, b in itertools.pairwise(steps)],
            "code": str(Path(fact_clip.__file__).parent),
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
