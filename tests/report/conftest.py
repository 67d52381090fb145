"""Evaluated runs without a model: labels are given, and everything else follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.core import Vocabulary
from fact_clip.evaluation.record import Record, Video
from fact_clip.report.evaluated import Evaluated
from fact_clip.runs.run import Run

NASTY = "<img src=x onerror=alert(1)>"
RELIABILITY = {
    "ece": 12.5,
    "bins": [
        {"from": 0.0, "to": 0.5, "frames": 0, "confidence": None, "accuracy": None},
        {"from": 0.5, "to": 1.0, "frames": 4, "confidence": 0.625, "accuracy": 0.5},
    ],
}
NAMES = ("no action", "pour milk", "stir milk", NASTY, "</script><b>pour egg")


def rows_of(truth: Sequence[int], prediction: Sequence[int], name: str = "one", times: Any = None) -> Video:
    """A video whose voters say what the prediction says, with rising confidence."""
    true, guess = np.array(truth), np.array(prediction)
    shares = np.linspace(0.2, 0.9, len(guess)).astype(np.float16)
    rows = {"truth": true, "prediction": guess, "frames": guess, "tokens": guess[::-1].copy()}
    return Video(name, rows, dict.fromkeys(("prediction", "frames", "tokens"), shares), times)


@pytest.fixture(scope="session")
def evaluated(tiny_run: Path) -> Callable[..., Evaluated]:
    """``evaluated(videos, names, unseen=(...))``: a run that was scored on these videos."""
    run = Run.read(tiny_run)

    def make(
        videos: Sequence[Video],
        names: Sequence[str] = NAMES,
        *,
        unseen: Sequence[str] = (),
        title: str = "run",
        training: Sequence[int] | None = None,
    ) -> Evaluated:
        vocabulary = Vocabulary.from_names(names, background=names[:1])
        truth, prediction = ([video.labels[row] for video in videos] for row in ("truth", "prediction"))
        per_class = metrics.per_class(truth, prediction, len(names)) if videos else []
        result = {
            "run": title,
            "split": "test",
            "videos": [video.name for video in videos],
            "metrics": {"profile": "fact", **metrics.evaluate(truth, prediction)},
            "per_class": [{**row, "name": name} for row, name in zip(per_class, names, strict=True)],
            "background_counted": True,
            "reliability": {"before": RELIABILITY, "after": None},
        }
        if unseen:
            result["zero_shot"] = zero_shot(vocabulary, truth, prediction, unseen)
        frames = np.arange(len(names)) if training is None else np.array(training)
        record = Record(vocabulary, frames, {"fact-clip": "0", "torch": "0", "commit": "abc1234"}, videos)
        return Evaluated(replace(run, path=run.path), title, "2026-01-01 00:00 UTC", result, record)

    return make


def zero_shot(vocabulary: Vocabulary, truth: Any, prediction: Any, unseen: Sequence[str]) -> dict[str, Any]:
    """The keys of the schema that the report reads, with a curve of three points."""
    held_out = vocabulary.encode(unseen).tolist()
    seen, new = metrics.class_means(truth, prediction, held_out, vocabulary.background_indices)
    ways = {"S": seen, "U": new, "H": metrics.harmonic_mean(seen, new)}
    rows = metrics.per_class(truth, prediction, len(vocabulary))
    return {
        "gamma": 1.5,
        "prior_weight": 0.0,
        "seen": [name for name in vocabulary if name not in unseen],
        "validation_unseen": [],
        "ways": {"in use": ways, "gamma 0": ways},
        "ausuc": 40.0,
        "curve": {"gamma": [-1, 0, 1], "seen": [80.0, 60.0, 0.0], "unseen": [0.0, 50.0, 90.0]},
        "best_harmonic_mean": 54.5,
        "unseen_labels_only": 90.0,
        "chance": 20.0,
        "by_level": {"new factor": {**ways, "classes": list(unseen)}},
        "unseen": {
            name: {
                "level": "new factor",
                "new": [],
                "frames": rows[label]["frames"],
                "accuracy": rows[label]["accuracy"],
                "unseen_labels_only": 90.0,
            }
            for name, label in zip(unseen, held_out, strict=True)
        },
        "by_factor": {"phrase": {name: {"frames": 1, "accuracy": 50.0} for name in unseen}},
    }
