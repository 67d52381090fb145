"""A configuration that trains in a moment, segmenters of bare models, and a tokeniser of single letters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fact_clip.inference.segmenter import Segmenter

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


def write_clip_tokeniser(folder: Path, tokens: Sequence[str]) -> None:
    """The files of a CLIP tokeniser without merges; its constructor takes files in transformers 4, and content in 5."""
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))


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
    from fact_clip.run import LoadedRun

    return Segmenter(Scorer(LoadedRun(run, list(models), calibration), "cpu"))
