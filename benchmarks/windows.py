"""A long video in windows: windows that go through the model together beside one at a time, in alternation."""

from __future__ import annotations

import os
import statistics
import time
from types import SimpleNamespace

import numpy as np
import torch

from fact_clip.config import Config
from fact_clip.core import Vocabulary
from fact_clip.inference import scorer as module
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT, Classes
from fact_clip.run import LoadedRun

TARGET = {64: 0.8, 256: 1.05, 1024: 1.05}  # rows of a window -> time of one at a time, at most
RUNS = 5
RECIPE, WIDTH, CLASSES = "folder", 180, 40
ROWS = 6_000
SEED = 0


class Transform:
    """Features as they are."""

    context, input_dim = (), WIDTH

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return rows


def seconds(
    scorer: Scorer, features: np.ndarray, at_once: int
) -> tuple[float, np.ndarray, np.ndarray]:
    module.ROWS_AT_ONCE = at_once
    start = time.perf_counter()
    labels, confidence = scorer.predict(features)
    return time.perf_counter() - start, labels, confidence


def main() -> int:
    torch.manual_seed(SEED)
    config = Config.load(
        RECIPE, ["model.head=closed", "data.stride=1", "data.interleave=false", "decode.overlap=16"]
    )
    vocabulary = Vocabulary.from_names([f"action {place}" for place in range(CLASSES)])
    run = SimpleNamespace(config=config, vocabulary=vocabulary, fps=None, transform=Transform())
    model = FACT(config.model, WIDTH, Classes(CLASSES))
    scorer = Scorer(LoadedRun(run, [model]), "cpu")  # type: ignore[arg-type]
    features = np.random.default_rng(SEED).normal(size=(ROWS, WIDTH)).astype(np.float32)
    together, missed = module.ROWS_AT_ONCE, False
    print(
        f"{RECIPE}, {ROWS:,} rows, medians of {RUNS} runs, {torch.get_num_threads()} threads, {os.getloadavg()[0]:.1f}"
    )
    for window, target in TARGET.items():
        scorer.window = window
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(RUNS):
            one = seconds(scorer, features, 1)
            many = seconds(scorer, features, together)
            np.testing.assert_allclose(one[2], many[2], atol=1e-5)
            np.testing.assert_array_equal(one[1], many[1])
            times[0].append(one[0])
            times[1].append(many[0])
        alone, batched = map(statistics.median, times)
        print(f"windows of {window:5} rows: {alone:.2f} -> {batched:.2f} s, {batched / alone:.2f}")
        missed |= batched > target * alone
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
