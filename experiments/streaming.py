"""Score the test videos of runs as streams with several delays (docs/streaming.md).

    PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/streaming.py RUN... [--delays 1,2,5,10,30]

All delays read a video together, so that a window that several of them score is scored once.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import fact_clip
from fact_clip import metrics
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.segmenter import Segmenter

KEYS = ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")


def streamed(segmenter: Segmenter, features: Any, delays: list[float]) -> dict[float, list[str]]:
    """Push the rows of a video one by one; return the final label of each row by delay."""
    scorer = segmenter.scorer
    score = scorer.score
    last: dict[bytes, Any] = {}

    def score_once(rows: Any, *args: Any, **how: Any) -> Any:
        key = rows.tobytes()
        if key not in last:
            last.clear()
            last[key] = score(rows, *args, **how)
        return last[key]

    scorer.score = score_once  # type: ignore[method-assign]
    streams = {delay: segmenter.stream(delay) for delay in delays}
    segments: dict[float, list[Any]] = {delay: [] for delay in delays}
    for row in features:
        for delay, stream in streams.items():
            segments[delay] += stream.push(row[None])
    for delay, stream in streams.items():
        segments[delay] += stream.finish()
    scorer.score = score  # type: ignore[method-assign]
    return {delay: streams[delay].segmentation(segments[delay]).to_frames() for delay in delays}


def print_run(run: str, delays: list[float]) -> None:
    """Print the figures of a run, a line for each delay."""
    segmenter = fact_clip.load(run, "cpu")
    config = segmenter.run.config
    dataset = Dataset.open(config.data)
    vocabulary = segmenter.vocabulary
    truth = []
    predictions: dict[float, list[Any]] = {delay: [] for delay in delays}
    for name in dataset.test:
        truth.append(dataset.labels(name))
        features = np.asarray(dataset.features(name))
        for delay, labels in streamed(segmenter, features, delays).items():
            predictions[delay].append(vocabulary.encode(labels))
    print(f"{run}, {len(truth)} videos: {', '.join(KEYS)}", flush=True)
    for delay in delays:
        figures = metrics.evaluate(
            truth,
            predictions[delay],
            background=vocabulary.background_indices,
            **config.evaluation.rules,
        )
        print(f"{delay:g} s", *(f"{figures[key]:.1f}" for key in KEYS), flush=True)


def main() -> int:
    """Print the figures of all runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--delays", default="1,2,5,10,30")
    arguments = parser.parse_args()
    delays = [*map(float, arguments.delays.split(",")), math.inf]
    for run in arguments.runs:
        print_run(run, delays)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
