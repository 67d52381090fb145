"""Vectors of frames, tokens and class texts inside a model, for the plots of a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import TextHead
from fact_clip.models.output import Output
from fact_clip.report.plots import Frames, Space
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
    truth: NDArray[np.int64]


@dataclass
class _Compared:
    """The unit vectors that a head compared last: queries (N, S*P) and keys of classes (C, S*P)."""

    queries: Tensor | None = None
    keys: Tensor | None = None


@contextmanager
def _recorded(head: Tensor | nn.Module, n_classes: int) -> Iterator[_Compared]:
    """Record, in the block, the vectors that a head compares; a head without texts records none."""
    compared = _Compared()
    if not isinstance(head, TextHead):
        yield compared
        return

    def record(head: TextHead, inputs: tuple[Any, ...], _: Any) -> None:
        queries, keys = head.compared(*inputs[:2])
        compared.queries = queries[0].flatten(1)
        compared.keys = keys[:n_classes].flatten(1)

    hook = head.register_forward_hook(record)
    try:
        yield compared
    finally:
        hook.remove()


def embedding_spaces(
    run_dir: str | Path, split: str, device: str = "auto"
) -> tuple[Vocabulary, dict[str, Space]]:
    """Compute where the (first) model of a run puts the videos of a split.

    Args:
        run_dir: the run folder.
        split: test, validation or train.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        The classes, and the spaces "features", the input of the model, "frames" (with their true
        class) and "tokens" (with their predicted class). Frames and tokens are the unit vectors
        that the last block compares with texts; with a head that reads none, its features.
    """
    scorer, dataset = open_run(run_dir, (), device)
    n_classes = len(scorer.vocabulary)
    last = scorer.model.block_list[-1]
    rows: dict[str, list[NDArray[np.floating]]] = {"features": [], "frames": [], "tokens": []}
    labels: dict[str, list[NDArray[np.int64]]] = {"features": [], "frames": [], "tokens": []}
    with (
        _recorded(last.frame_head, n_classes) as of_frames,
        _recorded(last.token_head, n_classes) as of_tokens,
    ):
        for video in _outputs(scorer, dataset, split):
            block = video.output.blocks[-1]
            class_of_token = block.token_logits[0].argmax(-1).cpu().numpy()
            class_of_token = np.where(class_of_token < n_classes, class_of_token, -1)
            frames = block.frame_features[0] if of_frames.queries is None else of_frames.queries
            tokens = block.token_features[0] if of_tokens.queries is None else of_tokens.queries
            for kind, vectors, classes in (
                ("features", video.rows, video.truth),
                ("frames", frames, video.truth),
                ("tokens", tokens, class_of_token),
            ):
                rows[kind].append(vectors.cpu().numpy())
                labels[kind].append(classes)
    texts = {"features": None, "frames": of_frames.keys, "tokens": of_tokens.keys}
    spaces = {}
    for kind, keys in texts.items():
        spaces[kind] = Space(
            np.concatenate(rows[kind]),
            np.concatenate(labels[kind]),
            None if keys is None else keys.cpu().numpy(),
        )
    return dataset.vocabulary, spaces


def frame_states(
    run_dir: str | Path, split: str, device: str = "auto"
) -> tuple[Vocabulary, Iterator[Frames]]:
    """Compute the states of the (first) model of a run for the videos of a split.

    Args:
        run_dir: the run folder.
        split: test, validation or train.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        The classes, and the input of `report.plots.draw_frames` for each video.
    """
    scorer, dataset = open_run(run_dir, (), device)
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
