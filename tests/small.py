"""A configuration that trains in a moment, segmenters of bare models, and a tokeniser of single letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from fact_clip.config import ModelConfig
from fact_clip.config.recipes import inherit_blocks

if TYPE_CHECKING:
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip.unseen.holdout import Holdout

# Large enough for the 23 classes of the workbench and their null class, small enough for an epoch in a moment.
TINY: dict[str, dict[str, Any]] = {
    "data": {"name": "workbench", "stride": 4},
    "model": {
        "blocks": "iu",
        "tokens": 40,
        "input": {
            "hidden": 40,
            "frame": "m",
            "frame_dim": 8,
            "frame_layers": 2,
            "action_dim": 8,
            "action_layers": 1,
            "heads": 2,
            "feedforward": 8,
        },
        "update": {"frame_layers": 1},
    },
    "decode": {"frame_weight": 0.5},
    "train": {"epochs": 2, "batch_size": 2, "lr": 1e-3, "device": "cpu"},
}


SIZES = {
    "hidden": 24,
    "frame_dim": 16,
    "frame_layers": 3,
    "action_dim": 16,
    "action_layers": 1,
    "heads": 2,
    "feedforward": 16,
}
"""Blocks of models that compute in a moment."""

QUICK_DEMO = [
    "data.stride=32",
    "data.context=[]",
    "train.epochs=1",
    *(f"model.input.{key}={value}" for key, value in (SIZES | {"hidden": 80}).items()),
]
"""Settings with which `fact-clip demo` takes seconds."""

ZERO_SHOT: dict[str, dict[str, Any]] = {
    "data": {"holdout": "zero_shot/A.json"},
    "model": {"head": "text"},
    "text": {"encoder": "hash:32", "parts": ["factors"]},
    "train": {"epochs": 1},
}
"""What a model that reads names adds to it, with the classes of setting A held out."""


def model_config(**settings: Any) -> ModelConfig:
    """The configuration of a model, in which missing keys of blocks are inherited as in a recipe."""
    return ModelConfig.model_validate(inherit_blocks({key: plain(value) for key, value in settings.items()}))


def plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def held_out(dataset: Dataset, holdout: Holdout | None) -> Dataset:
    """The same split with other classes held out, or none."""
    return type(dataset)(dataset.config, dataset.folder, dataset.vocabulary, holdout)


def write_dataset(
    root: Path,
    names: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    features: Mapping[str, Any] | None = None,
    **splits: Sequence[str],
) -> Path:
    """Write a folder in the common layout; ``train=("a",), test=("b",)`` are the lists of split 1."""
    for folder in ("groundTruth", "features", "splits"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(names)))
    for video, frames in labels.items():
        (root / "groundTruth" / f"{video}.txt").write_text("".join(f"{name}\n" for name in frames))
    for video, rows in (features or {}).items():
        np.save(root / "features" / f"{video}.npy", rows)
    for part, videos in splits.items():
        (root / "splits" / f"{part}.split1.bundle").write_text("".join(f"{video}\n" for video in videos))
    return root


def training_batches(
    dataset: Any,
    names: Sequence[str],
    transform: Any,
    augment: Any,
    batch_size: int,
    seed: int,
    epoch: int,
    stride: int = 1,
    interleave: bool = False,
) -> Iterator[Any]:
    """One epoch of a `TrainingLoader`, read by this process."""
    from fact_clip.datasets.loader import TrainingLoader, TrainingVideos

    videos = TrainingVideos(dataset, transform, augment, seed, stride, interleave)
    return TrainingLoader(videos, names, batch_size).epoch(epoch)


def segmenter_of(run: Any, *models: Any, calibration: Any = None) -> Segmenter:
    """A segmenter on the CPU with these models, without what a run folder has beside them."""
    from fact_clip.inference.scorer import Scorer
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip.runs.run import LoadedRun

    return Segmenter(Scorer(LoadedRun(run, list(models), calibration), "cpu"))
