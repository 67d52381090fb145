"""The price of a short delay: the test videos of runs as streams, beside `segment` (docs/streaming.md).

    PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/streaming.py RUN... [--delays 1,2,5,10,30]

All delays read a video together, so a window that several of them score is scored once.
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
    """Delay -> the final label of each row, pushed one by one."""
    scorer, score, last = segmenter.scorer, segmenter.scorer.score, {}

    def score_once(rows: Any, *args: Any, **how: Any) -> Any:
        key = rows.tobytes()
        if key not in last:
            last.clear()
            last[key] = score(rows, *args, **how)
        return last[key]

    scorer.score = score_once  # type: ignore[method-assign]
    streams, segments = (
        {delay: segmenter.stream(delay) for delay in delays},
        {delay: [] for delay in delays},
    )
    for row in features:
        for delay, stream in streams.items():
            segments[delay] += stream.push(row[None])
    for delay, stream in streams.items():
        segments[delay] += stream.finish()
    scorer.score = score  # type: ignore[method-assign]
    return {delay: streams[delay].segmentation(segments[delay]).to_frames() for delay in delays}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--delays", default="1,2,5,10,30")
    arguments = parser.parse_args()
    delays = [*map(float, arguments.delays.split(",")), math.inf]
    for run in arguments.runs:
        segmenter = fact_clip.load(run, "cpu")
        config = segmenter.run.config
        dataset, vocabulary = Dataset.open(config.data), segmenter.vocabulary
        truth, predictions = [], {delay: [] for delay in delays}
        for name in dataset.test:
            truth.append(dataset.labels(name))
            for delay, labels in streamed(
                segmenter, np.asarray(dataset.features(name)), delays
            ).items():
                predictions[delay].append(vocabulary.encode(labels))
        background, rules = vocabulary.background_indices, config.evaluation.rules
        print(f"{run}, {len(truth)} videos: {', '.join(KEYS)}", flush=True)
        for delay in delays:
            figures = metrics.evaluate(truth, predictions[delay], background=background, **rules)
            print(f"{delay:g} s", *(f"{figures[key]:.1f}" for key in KEYS), flush=True)


if __name__ == "__main__":
    main()
