"""Pictures of a run: its input and its features on two axes, and class scores over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from fact_clip.checkpoint import check_vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.segmenter import load
from fact_clip.report.embeddings import class_scores, embeddings, save_figures
from fact_clip.training.evaluation import split_names


@torch.inference_mode()
def draw_run(run: Path, split: str, out: Path, n_videos: int = 4) -> list[Path]:
    """Draw ``input.png``, ``features.png`` and, of the first videos, ``scores_NAME.png`` into ``out``.

    Args:
        run: the run folder.
        split: test, validation or train.
        out: folder of the pictures.
        n_videos: how many videos get a picture of their class scores; the other two are of all videos.

    Returns:
        The files.
    """
    segmenter = load(run)
    config = segmenter.run.config
    dataset = Dataset.open(config.data)
    check_vocabulary(segmenter.run, dataset.vocabulary, dataset.root)
    names, vocabulary = split_names(dataset, split), dataset.vocabulary
    figures: dict[Path, Figure] = {}
    inputs, features, labels = [], [], []
    for place, name in enumerate(names):
        raw = dataset.features(name)
        output = segmenter.outputs(raw, segmenter.choose())[0]
        last, truth = output.blocks[-1], dataset.labels(name)[:: config.data.stride]
        inputs.append(np.asarray(raw, dtype=np.float32)[:: config.data.stride])
        features.append(last.frame_features[0].numpy())
        labels.append(truth)
        if place < n_videos:
            scores = output.log_probs(last.frame_logits)[0].numpy()
            figures[out / f"scores_{name}.png"] = class_scores(scores, truth, vocabulary.names, title=f"{run}: {name}")
    for what, rows in (("input", inputs), ("features", features)):
        title = f"{run}: {what}, {len(names)} {split} videos"
        figure = embeddings(np.concatenate(rows), np.concatenate(labels), vocabulary, title=title)
        figures[out / f"{what}.png"] = figure
    return save_figures(figures)
