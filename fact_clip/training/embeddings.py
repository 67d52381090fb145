"""What a model makes of frames, tokens and the texts of classes, for the plots of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import TextHead
from fact_clip.models.output import Output
from fact_clip.report.plots import Frames, Space
from fact_clip.training.evaluation import given_transcript, open_run, split_names


def embedding_spaces(
    run_dir: str | Path, split: str, device: str = "auto"
) -> tuple[Vocabulary, dict[str, Space]]:
    """The classes, and where the (first) model of a run puts the videos of a split: "features", "frames" and "tokens".

    "features" are the input of the model. Frames (with their true class) and tokens (with the class that they stand
    for) are the unit vectors that the last block compares with texts; with a head that reads none, its features.
    """
    scorer, dataset = open_run(run_dir, (), device)
    last, read = scorer.model.block_list[-1], dict[str, tuple[Tensor, Tensor]]()

    def listen(kind: str) -> Callable[..., None]:
        def keep(head: TextHead, inputs: tuple[Any, ...], _: Any) -> None:
            queries, keys = head.compared(*inputs[:2])
            read[kind] = (
                queries[0].flatten(1),
                keys[: len(scorer.vocabulary)].flatten(1),
            )  # (N, S*P), (C, S*P)

        return keep

    hooks = [
        head.register_forward_hook(listen(kind))
        for kind, head in (("frames", last.frame_head), ("tokens", last.token_head))
        if isinstance(head, TextHead)
    ]
    pairs_of: dict[str, list[tuple[NDArray[np.floating], NDArray[np.int64]]]] = {}
    for _, rows, output, truth in _outputs(scorer, dataset, split):
        block = output.blocks[-1]
        stands_for = block.token_logits[0].argmax(-1).cpu().numpy()
        stands_for = np.where(stands_for < len(scorer.vocabulary), stands_for, -1)
        frames = read["frames"][0] if read else block.frame_features[0]
        tokens = read["tokens"][0] if read else block.token_features[0]
        pairs = {
            "features": (rows, truth),
            "frames": (frames, truth),
            "tokens": (tokens, stands_for),
        }
        for kind, (vectors, labels) in pairs.items():
            pairs_of.setdefault(kind, []).append((vectors.cpu().numpy(), labels))
    for hook in hooks:
        hook.remove()
    texts = {kind: keys.cpu().numpy() for kind, (_, keys) in read.items()}
    spaces = {}
    for kind, parts in pairs_of.items():
        rows_of, labels_of = map(np.concatenate, zip(*parts, strict=True))
        spaces[kind] = Space(rows_of, labels_of, texts.get(kind))
    return dataset.vocabulary, spaces


def frame_states(
    run_dir: str | Path, split: str, device: str = "auto"
) -> tuple[Vocabulary, Iterator[Frames]]:
    """Return the classes, and what the (first) model of a run makes of the videos of a split, for `draw_frames`."""
    scorer, dataset = open_run(run_dir, (), device)
    stride = scorer.run.config.data.stride

    def states() -> Iterator[Frames]:
        for name, _, output, truth in _outputs(scorer, dataset, split):
            last = output.blocks[-1]
            scores = output.log_probs(last.frame_logits)[0].cpu().numpy()
            yield Frames(
                name=name,
                input=dataset.features(name)[::stride],
                features=last.frame_features[0].cpu().numpy(),
                scores=scores,
                labels=truth,
            )

    split_names(dataset, split)
    return dataset.vocabulary, states()


def _outputs(
    scorer: Scorer, dataset: Dataset, split: str
) -> Iterator[tuple[str, Tensor, Output, NDArray[np.int64]]]:
    """Yield the name, input (T', D), output and labels (T',) of each video of a split, at the stride of the run."""
    stride, has_transcript = scorer.run.config.data.stride, scorer.run.config.model.transcript
    for name in split_names(dataset, split):
        rows = torch.from_numpy(scorer.run.transform(dataset.features(name))[::stride]).to(
            scorer.device
        )
        order = None
        if has_transcript:
            order = torch.from_numpy(scorer.vocabulary.encode(given_transcript(dataset, name)))[
                None
            ].to(scorer.device)
        with torch.inference_mode():
            output = scorer.model(rows.unsqueeze(0), transcript=order)
        yield name, rows, output, dataset.labels(name)[::stride]
