"""The states of a model for the videos of a split, for plots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fact_clip.core import Integers, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.scorer import Scorer
from fact_clip.models.output import Output
from fact_clip.report.plots import Frames
from fact_clip.training.evaluation import given_transcript, open_run, split_names


@dataclass(frozen=True)
class _VideoOutput:
    """The output of a model for one video, at the stride of its run.

    Attributes:
        name: of the video.
        rows: (T', D) input of the model.
        output: of the model.
        truth: (T',) labels.
    """

    name: str
    rows: Tensor
    output: Output
    truth: Integers


def frame_states(run_dir: str | Path, split: str) -> tuple[Vocabulary, Iterator[Frames]]:
    """Compute the states of the (first) model of a run for the videos of a split.

    Args:
        run_dir: the run folder.
        split: test, validation or train.

    Returns:
        The classes, and the input of `report.plots.draw_frames` for each video.
    """
    scorer, dataset = open_run(run_dir, (), "auto")
    split_names(dataset, split)  # an empty split is reported before the first video

    def states() -> Iterator[Frames]:
        stride = scorer.run.config.data.stride
        for video in _outputs(scorer, dataset, split):
            last = video.output.blocks[-1]
            scores = video.output.log_probs(last.frame_logits)[0].cpu().numpy()
            features = dataset.features(video.name)[::stride]
            yield Frames(
                name=video.name,
                input=features,
                features=last.frame_features[0].cpu().numpy(),
                scores=scores,
                labels=video.truth,
            )

    return dataset.vocabulary, states()


def _outputs(scorer: Scorer, dataset: Dataset, split: str) -> Iterator[_VideoOutput]:
    """Yield the output for each video of a split."""
    run = scorer.run
    stride = run.config.data.stride
    for name in split_names(dataset, split):
        rows = torch.from_numpy(run.transform(dataset.features(name))[::stride])
        rows = rows.to(scorer.device)
        order = None
        if run.config.model.transcript:
            transcript = scorer.vocabulary.encode(given_transcript(dataset, name))
            order = torch.from_numpy(transcript)[None].to(scorer.device)  # (1, M)
        with torch.inference_mode():
            output = scorer.model(rows.unsqueeze(0), transcript=order)
        yield _VideoOutput(name, rows, output, dataset.labels(name)[::stride])
