"""The states of a model for the videos of a split, for plots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.scorer import Scorer
from fact_clip.report.plots import Frames
from fact_clip.training.evaluation import given_transcript, open_run, split_names


def frame_states(run_dir: str | Path, split: str) -> tuple[Vocabulary, Iterator[Frames]]:
    """Compute the states of the (first) model of a run for the videos of a split.

    Args:
        run_dir: the run folder.
        split: test, validation or train.

    Returns:
        The classes, and the input of `report.plots.draw_frames` for each video.
    """
    scorer, dataset = open_run(run_dir, (), "auto")
    names = split_names(dataset, split)  # an empty split is reported before the first video
    return dataset.vocabulary, (_states(scorer, dataset, name) for name in names)


def _states(scorer: Scorer, dataset: Dataset, name: str) -> Frames:
    """Return the states of a video at the stride of the run."""
    run = scorer.run
    stride = run.config.data.stride
    features = dataset.features(name)
    rows = torch.from_numpy(run.transform(features)[::stride]).to(scorer.device)  # (T', D)
    order = None
    if run.config.model.transcript:
        transcript = scorer.vocabulary.encode(given_transcript(dataset, name))
        order = torch.from_numpy(transcript)[None].to(scorer.device)  # (1, M)
    with torch.inference_mode():
        output = scorer.model(rows.unsqueeze(0), transcript=order)
    last = output.blocks[-1]
    return Frames(
        name=name,
        input=features[::stride],
        features=last.frame_features[0].cpu().numpy(),
        scores=output.log_probs(last.frame_logits)[0].cpu().numpy(),
        labels=dataset.labels(name)[::stride],
    )
