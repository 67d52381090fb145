"""Plots of the published code: input, features and class scores of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from fact_clip.core import Floats, Reals, Vocabulary
from fact_clip.core.colours import BACKGROUND_COLOUR, class_colours
from fact_clip.datasets.dataset import Dataset
from fact_clip.evaluation.cautions import split_names
from fact_clip.evaluation.opening import open_run
from fact_clip.evaluation.record import Labels
from fact_clip.evaluation.split_evaluation import given_transcript
from fact_clip.inference.scorer import Scorer
from fact_clip.report.plots import name_ticks, new_axes, save_figure, show_plainly

MOST_POINTS = 5000  # more dots only hide each other
_MOST_SCORES = 4  # videos whose class scores are drawn
_FLOOR = -10.0  # nats; what is less likely looks the same


class Frames(NamedTuple):
    """The states of the model for one video."""

    name: str
    input: Reals  # (T, D)
    features: Reals  # (T, H) of the last block
    scores: Reals  # (T, C) log scores
    labels: Labels  # (T,)


def draw_run(run_dir: Path, part: str, out: Path) -> list[Path]:
    """Draw input.png, features.png and, of the first videos, scores_NAME.png into a folder.

    Args:
        run_dir: Run folder, of which the first model is drawn.
        part: Test, validation or train.
        out: Folder.

    Returns:
        The files.
    """
    opened = open_run(run_dir, (), "auto")
    scorer = opened.scorer
    dataset = opened.dataset
    videos = [_states(scorer, dataset, name) for name in split_names(dataset, part)]
    vocabulary = dataset.vocabulary
    figures = {}
    for video in videos[:_MOST_SCORES]:
        title = f"{run_dir}: {video.name}"
        figure = class_scores(video.scores, video.labels, vocabulary.names, title)
        figures[f"scores_{video.name}"] = figure
    labels = np.concatenate([video.labels for video in videos])
    for kind in ("input", "features"):
        rows = np.concatenate([getattr(video, kind) for video in videos])
        title = f"{run_dir}: {kind}, {len(videos)} videos"
        figures[kind] = space(rows, labels, vocabulary, title)
    return [save_figure(figure, out / f"{name}.png", dpi=120) for name, figure in figures.items()]


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


def principal_components(rows: Floats) -> tuple[Floats, Floats]:
    """Project rows on their two principal axes.

    Each axis points to where its largest coefficient is positive, so that equal rows give equal
    pictures.

    Args:
        rows: (N, D).

    Returns:
        Coordinates (N, 2), and the share of the variance along each axis (2,).
    """
    centred = rows - rows.mean(axis=0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)  # (K,), (K, D)
    axes = axes[:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    total = float((strength**2).sum()) or 1.0
    return centred @ (axes * signs[:, None]).T, strength[:2] ** 2 / total


def space(vectors: Reals, labels: Labels, vocabulary: Vocabulary, title: str) -> Figure:
    """Draw vectors (N, D) as dots on two principal axes, in the colours of their labels (N,).

    Background is grey and lies below. Vectors with the label -1 are not drawn.
    """
    step = -(-len(vectors) // MOST_POINTS)
    labels = labels[::step]
    points, shares = principal_components(np.asarray(vectors[::step], dtype=np.float64))

    figure, axes = new_axes(11, 7, title)
    axes.set_xlabel(f"first principal axis ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second ({shares[1]:.0%})")

    looks = class_colours(vocabulary.names, vocabulary.background)
    colours = [looks[name]["colour"] or BACKGROUND_COLOUR for name in vocabulary.names]
    drawn = [int(label) for label in np.unique(labels) if label >= 0]
    drawn.sort(key=lambda label: colours[label] != BACKGROUND_COLOUR)
    dots = []
    for label in drawn:
        x, y = points[labels == label].T
        dots.append(axes.scatter(x, y, s=6, color=colours[label], linewidths=0))
    legend = figure.legend(
        dots,
        [vocabulary.names[label] for label in drawn],
        loc="outside right upper",
        fontsize=7,
        frameon=False,
        markerscale=3,
        ncols=-(-len(drawn) // 40),
    )
    show_plainly(legend)
    return figure


def class_scores(scores: Reals, truth: Labels, names: Sequence[str], title: str = "") -> Figure:
    """Draw a heat map of log-probabilities, a row for each class that is ever best or true.

    Args:
        scores: (T, C); those below -10 look alike.
        truth: Class indices (T,), drawn as a white line; -1 for unlabelled frames.
        names: Names of the C classes.
        title: Title.

    Returns:
        The figure.
    """
    classes = np.union1d(scores.argmax(axis=1), truth[truth >= 0])
    row_of = np.full(len(names) + 1, np.nan)  # the last one is for -1
    row_of[classes] = np.arange(len(classes))
    figure, axes = new_axes(12, 1.5 + 0.18 * len(classes), title)
    image = axes.imshow(
        scores[:, classes].T.clip(_FLOOR, 0),
        aspect="auto",
        vmin=_FLOOR,
        vmax=0,
    )
    axes.step(
        np.arange(len(truth)),
        row_of[truth],
        where="mid",
        color="white",
    )
    name_ticks(axes.yaxis, [names[label] for label in classes], fontsize=7)
    axes.set_xlabel("row: every data.stride-th frame")
    figure.colorbar(image, ax=axes, label="log p(class); white: truth")
    return figure
