"""Scoring a run on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.checkpoint import check_vocabulary, load_model, open_run, write_json
from fact_clip.config import Config
from fact_clip.core import InputError, runs
from fact_clip.data.dataset import Dataset
from fact_clip.data.holdout import HeldOut, open_videos
from fact_clip.decoding import Calibration
from fact_clip.segmenter import Segmenter
from fact_clip.training import zero_shot

Videos = Dataset | HeldOut
Progress = Callable[[int, int, str], None]


def evaluate(
    run_dir: str | Path, split: str = "test", overrides: Sequence[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Score a run and write ``RUN/evaluation.json`` (of the test split) or ``RUN/evaluation_SPLIT.json``.

    Args:
        run_dir: the run folder, or its RUN/ckpts/best.net.
        split: test, validation or train.
        overrides: ``data.root=...`` where the data has moved since the training, ``decode.switch_penalty=...``.
        progress: called with (done, total, video name).

    Returns:
        ``{"split", "videos", "metrics": {...}, "per_class": [...], ...}``.
    """
    run = open_run(run_dir)
    if overrides:
        run = replace(run, config=Config.load(run.path / "config.yaml", overrides))
    calibration = Calibration.read(run.path / "calibration.json")
    segmenter, config = Segmenter(run, load_model(run), calibration=calibration), run.config
    dataset = open_videos(config.data)
    check_vocabulary(segmenter.run, dataset.vocabulary, dataset.root)
    names = split_names(dataset, split)
    truth, prediction = [], []
    folder = run.path / "predictions" / split
    folder.mkdir(parents=True, exist_ok=True)
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names), name)
        transcript = _given_transcript(dataset, name) if config.model.transcript else None
        labels, _ = segmenter.predict(dataset.features(name), transcript=transcript)
        truth.append(dataset.labels(name))
        prediction.append(labels)
        lines = "\n".join(dataset.vocabulary.decode(labels))
        (folder / f"{name}.txt").write_text(lines + "\n", encoding="utf-8")
    result = score(config, dataset, truth, prediction)
    result = {"run": str(run.path), "split": split, "videos": list(names), **result}
    if isinstance(dataset, HeldOut):
        result["zero_shot"] = zero_shot.report(segmenter, dataset, names)
    write_json(run.path / ("evaluation.json" if split == "test" else f"evaluation_{split}.json"), result)
    return result


def split_names(dataset: Videos, split: str) -> tuple[str, ...]:
    """Video names of a split; an InputError where there are none."""
    parts = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    if split not in parts:
        raise InputError("split", f"{split!r}", f"one of {', '.join(parts)}")
    if not parts[split]:
        raise InputError(dataset.root, f"the {split} split has no videos", "at least one")
    return parts[split]


def score(
    config: Config, dataset: Videos, truth: list[NDArray[np.int64]], prediction: list[NDArray[np.int64]]
) -> dict[str, Any]:
    """Metrics, per-class figures and what they rest on."""
    background = () if config.evaluation.count_background else dataset.vocabulary.background_indices
    per_class = metrics.per_class(truth, prediction, len(dataset.vocabulary))
    for name, row in zip(dataset.vocabulary.names, per_class, strict=True):
        row["name"] = name
    return {
        "metrics": metrics.evaluate(truth, prediction, background=background, profile=config.evaluation.profile),
        "per_class": per_class,
        "background_counted": config.evaluation.count_background,
    }


def validate(segmenter: Segmenter, config: Config, dataset: Videos, names: Sequence[str]) -> dict[str, float]:
    """Metrics on some videos with a model in training, and ``score``: the mean of accuracy, edit and F1@10."""
    truth = [dataset.labels(name) for name in names]
    prediction = []
    for name, labels in zip(names, truth, strict=True):
        # Validation videos are training videos, so their labels may give the transcript.
        transcript = _transcript(dataset, labels) if config.model.transcript else None
        prediction.append(segmenter.predict(dataset.features(name), transcript=transcript)[0])
    background = () if config.evaluation.count_background else dataset.vocabulary.background_indices
    return _figures(config, background, truth, prediction)


def check_select(config: Config) -> None:
    """An InputError where ``train.select`` is no figure of a validation, or its profile is unknown."""
    frame = [np.zeros(1, dtype=np.int64)]
    figures = _figures(config, (), frame, frame)
    if config.train.select not in figures:
        raise InputError("train.select", f"no figure {config.train.select!r}", f"one of {', '.join(figures)}")


def _figures(
    config: Config, background: Sequence[int], truth: list[NDArray[np.int64]], prediction: list[NDArray[np.int64]]
) -> dict[str, float]:
    figures = metrics.evaluate(truth, prediction, background=background, profile=config.evaluation.profile)
    numbers = {key: float(value) for key, value in figures.items() if isinstance(value, int | float)}
    numbers["score"] = (numbers["frame_accuracy"] + numbers["edit"] + numbers["f1@10"]) / 3
    return numbers


def _transcript(dataset: Videos, labels: NDArray[np.int64]) -> list[str]:
    """The names of the labels' segments in order."""
    return [dataset.vocabulary.names[label] for _, _, label in runs(labels) if label >= 0]


def _given_transcript(dataset: Videos, name: str) -> list[str]:
    """A transcript that came with the data; it is never read off the labels that are scored."""
    path = dataset.root / "transcripts" / f"{name}.txt"
    if not path.is_file():
        raise InputError(
            path, "no such file", "one action name a line, in order", "this model aligns a given transcript"
        )
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
