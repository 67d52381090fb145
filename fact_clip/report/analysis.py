"""Analyses of labellings: confusions, boundaries and uncertain segments."""

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fact_clip.core import Floats, Json, Vocabulary, runs
from fact_clip.datasets.statistics import labelled_segments
from fact_clip.evaluation.record import Labels, Video

MOST_CELLS = 4000  # cells of a confusion matrix in a report, the largest ones


class Cell(NamedTuple):
    """One cell of a confusion matrix."""

    true: int
    predicted: int
    frames: int
    total: int  # number of frames of the true class


def labellings(videos: Sequence[Video]) -> tuple[list[Labels], list[Labels]]:
    """Return the true and the predicted labels of each video."""
    truth = [video.labels["truth"] for video in videos]
    return truth, [video.labels["prediction"] for video in videos]


def confusion(truth: Sequence[Labels], prediction: Sequence[Labels]) -> list[Cell]:
    """Return the cells of all pairs that occur, most frequent first."""
    pairs = np.stack([np.concatenate(truth), np.concatenate(prediction)], axis=1)  # (T, 2)
    pairs = pairs[pairs[:, 0] >= 0]
    totals = np.bincount(pairs[:, 0]).tolist()
    classes, counts = np.unique(pairs, axis=0, return_counts=True)
    cells = [
        Cell(true, predicted, frames, totals[true])
        for (true, predicted), frames in zip(classes.tolist(), counts.tolist(), strict=True)
    ]
    cells.sort(key=lambda cell: -cell.frames)
    return cells


def factor_confusions(
    vocabulary: Vocabulary, truth: Sequence[Labels], prediction: Sequence[Labels]
) -> dict[str, Json]:
    """Return the `MOST_CELLS` largest cells of `confusion` of the factors of classes.

    The result maps each slot to {"names", "cells"}, and the last name is "none". It is empty if the
    names of the vocabulary have no parts.
    """
    if len(vocabulary.slots) < 2:
        return {}
    confusions = {}
    for slot in vocabulary.slots:
        names, indices = vocabulary.factor_indices(slot)
        numbered = np.where(indices < 0, len(names), indices)
        of_class = np.append(numbered, -1)  # the last one is for label -1
        true = [of_class[labels] for labels in truth]
        guess = [of_class[labels] for labels in prediction]
        cells = confusion(true, guess)[:MOST_CELLS]
        confusions[slot] = {"names": [*names, "none"], "cells": cells}
    return confusions


def boundaries(videos: Sequence[Video]) -> Json:
    """Return the "median" distance of true boundaries to the nearest predicted ones.

    Its "unit" is s if the times of all videos are known, and frames otherwise. The distance is None
    if there are no boundaries, and "infinite" if half of them are in videos without a predicted
    boundary.
    """
    is_timed = all(video.times is not None for video in videos)
    distances: list[float] = []
    for video in videos:
        times = video.times if is_timed else None
        true = _edges(video.labels["truth"], times)
        predicted = _edges(video.labels["prediction"], times)
        nearest = np.full(len(true), np.inf)
        if len(predicted):
            nearest = np.abs(predicted - true[:, None]).min(axis=1)
        distances += nearest.tolist()
    median = float(np.median(distances)) if distances else None
    unit = "s" if is_timed else "frames"
    return {"unit": unit, "median": "infinite" if median == np.inf else median}


def _edges(labels: Labels, times: Floats | None) -> Labels | Floats:
    """Return the first frame, or its time, of each segment that follows directly on a segment."""
    starts = [
        second[0] for first, second in pairwise(labelled_segments(labels)) if first[1] == second[0]
    ]
    frames = np.array(starts, dtype=np.int64)
    return frames if times is None else times[frames]


def step_of(times: Floats | None) -> float | None:
    """Return the seconds between frames if they are evenly spaced and start at 0, or None.

    Times may deviate by a millisecond and a half, because files round them.
    """
    if times is None:
        return None
    step = round(float(times[-1]) / (len(times) - 1), 9)
    deviation = np.abs(times - step * np.arange(len(times)))
    return step if deviation.max() < 1.5e-3 else None


def least_certain(videos: Sequence[Video], most: int = 50) -> list[Json]:
    """Return the predicted segments with the lowest mean confidence.

    "video" and "index" are numbers of a video and a segment, and "start" and "stop" are frames.
    "true" is the most frequent true label of the segment, or -1 if it is unlabelled.
    """
    rows: list[Json] = []
    for number, video in enumerate(videos):
        shares = video.confidence["prediction"].astype(np.float64)
        for index, (start, stop, label) in enumerate(runs(video.labels["prediction"])):
            confidence = float(shares[start:stop].mean())
            row = {"video": number, "index": index, "start": start, "stop": stop, "label": label}
            rows.append({**row, "confidence": confidence})
    lowest = heapq.nsmallest(most, rows, key=lambda row: row["confidence"])
    for row in lowest:
        truth = videos[row["video"]].labels["truth"][row["start"] : row["stop"]]
        labels, counts = np.unique(truth, return_counts=True)
        row["true"] = int(labels[counts.argmax()])
        row["confidence"] = round(row["confidence"], 3)
    return lowest
