"""What an evaluation keeps of each video, so that a report needs neither the model nor the data: RUN/evaluation.npz.

The file lies beside evaluation.json and has the same stem. Arrays of all videos are joined; `lengths` parts them. Below
it: what a report says of labellings beyond the figures, their confusions, boundaries, cuts and uncertain segments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.core import InputError, Vocabulary, library_errors, runs
from fact_clip.core.io import parse_json, parse_value, read_npz
from fact_clip.core.paths import whole_file

FORMAT = 1
ROWS = ("truth", "prediction", "frames", "tokens")
"""Labellings of a video: the labels, what decoding made of the scores, and the best class of each of the two voters."""

_EXPECTED, FIX = "what fact-clip evaluate keeps for the report", "run fact-clip evaluate again"


Labels = NDArray[np.int64]
Shares = NDArray[np.float16]
Run = tuple[int, int, int]  # Start, stop and label of a segment


@dataclass(frozen=True, eq=False)
class Video:
    """One video of T frames."""

    name: str  # of the video
    # row of `ROWS` -> class indices (T,), -1 where there is none; the token voter may be missing
    labels: Mapping[str, Labels]
    confidence: Mapping[
        str, Shares
    ]  # the same rows but "truth" -> probability (T,) of the class that the row names
    # seconds at the start of each frame and at the end, (T + 1,); None where they are unknown
    times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.labels["truth"])


@dataclass(frozen=True, eq=False)
class Record:
    """The videos of an evaluation, and what the report says of their classes."""

    vocabulary: Vocabulary  # the classes that the indices of `Video.labels` stand for; new candidates come last
    training_frames: Labels  # (C,) labelled frames of each class in the training videos
    versions: Mapping[str, str]  # of the programs that made the evaluation, and the commit
    videos: Sequence[Video]  # in the order of evaluation.json

    def save(self, path: Path) -> None:
        """Write to a .npz file, whole or not at all."""
        joined: dict[str, Any] = {}
        for row in ROWS:
            rows = [video.labels.get(row, np.full(len(video), -1)) for video in self.videos]
            joined[row] = np.concatenate(rows).astype(
                np.int16 if len(self.vocabulary) < 2**15 else np.int32
            )
            if row != "truth":
                shares = [
                    video.confidence.get(row, np.zeros(len(video), np.float16))
                    for video in self.videos
                ]
                joined[f"{row}_confidence"] = np.concatenate(shares).astype(np.float16)
        timed = [video for video in self.videos if video.times is not None]
        about = {
            "format": FORMAT,
            "vocabulary": self.vocabulary.to_dict(),
            "versions": dict(self.versions),
        }
        about |= {
            "videos": [video.name for video in self.videos],
            "timed": [video.name for video in timed],
        }
        with whole_file(path) as unfinished:
            np.savez_compressed(
                unfinished,
                about=np.array(json.dumps(about)),
                lengths=np.array([len(video) for video in self.videos]),
                training_frames=self.training_frames,
                times=np.concatenate(
                    [video.times for video in timed if video.times is not None] or [np.zeros(0)]
                ),
                **joined,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a file of `save`; an InputError where there is none, or where it is damaged."""
        if not path.exists():
            raise InputError(path, "no such file", FIX)
        arrays = read_npz(path, _EXPECTED, FIX)
        with library_errors(
            path, "damaged", ValueError, KeyError, TypeError, AttributeError, IndexError, fix=FIX
        ):
            about = parse_json(str(arrays["about"]), path, _EXPECTED)
            if about["format"] != FORMAT:
                raise InputError(path, f"format {about['format']}, not {FORMAT}", FIX)
            vocabulary, lengths = (
                parse_value(Vocabulary, about["vocabulary"], path),
                arrays["lengths"].tolist(),
            )
            counts = arrays["training_frames"]
            labels = {row: arrays[row].astype(np.int64) for row in ROWS}
            shares = {row: arrays[f"{row}_confidence"] for row in ROWS[1:]}
            shapes = {values.shape for values in (*labels.values(), *shares.values())}
            if (
                min(lengths, default=1) < 1
                or shapes != {(sum(lengths),)}
                or counts.shape != (len(vocabulary),)
            ):
                raise ValueError("arrays of other lengths")
            is_count = counts.dtype.kind in "iu" and ((counts >= 0) & (counts < 1e15)).all()
            lowest, highest = (edge([*labels.values()]) for edge in (np.min, np.max))
            are_classes = lowest >= -1 and highest < len(vocabulary)
            if (
                not is_count
                or not are_classes
                or not all(np.isfinite(values).all() for values in shares.values())
            ):
                raise ValueError("numbers that are no counts, classes or confidences")
            videos, start, first = list[Video](), 0, 0
            for name, length in zip(about["videos"], lengths, strict=True):
                is_timed, frames = name in about["timed"], slice(start, start + length)
                times = arrays["times"][first : first + length + 1] if is_timed else None
                if times is not None and (
                    len(times) != length + 1 or times[0] < 0 or (np.diff(times) <= 0).any()
                ):
                    raise ValueError(f"{name} has times that do not rise")
                parts = {row: values[frames] for row, values in labels.items()}
                if (parts["tokens"] < 0).all():
                    del parts["tokens"]
                confidence = {row: shares[row][frames] for row in parts if row != "truth"}
                videos.append(Video(str(name), parts, confidence, times))
                start, first = start + length, first + (length + 1) * is_timed
            versions = {str(key): str(value) for key, value in about["versions"].items()}
        return cls(vocabulary, counts, versions, videos)


MOST_CELLS = 4000  # of a confusion matrix; the largest ones
TOLERANCES = {"s": (0.5, 1.0, 2.0, 5.0), "frames": (1.0, 5.0, 10.0, 25.0)}
"""Unit -> how far from a true boundary a predicted one still counts as found."""


def segments(labels: Labels) -> list[Run]:
    """The runs of one label, without those of frames that have none (-1)."""
    return [run for run in runs(labels) if run[2] >= 0]


def confusion(truth: Sequence[Labels], prediction: Sequence[Labels]) -> list[tuple[int, int, int]]:
    """(true class, predicted class, frames) of all pairs that occur, the most frequent first; at most `MOST_CELLS`."""
    true, guess = np.concatenate(truth), np.concatenate(prediction)
    judged = true >= 0
    pairs, counts = np.unique(np.stack([true[judged], guess[judged]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_CELLS]
    return [(int(pairs[0, index]), int(pairs[1, index]), int(counts[index])) for index in order]


def factor_confusions(
    vocabulary: Vocabulary, truth: Sequence[Labels], prediction: Sequence[Labels]
) -> dict[str, dict[str, Any]]:
    """Slot -> {"names", "cells"}: `confusion` of the factors of true and predicted classes; "none" is the last name.

    Nothing for a vocabulary of whole names.
    """
    if len(vocabulary.slots) < 2:
        return {}
    confusions = {}
    for slot in vocabulary.slots:
        names, of_class = vocabulary.factor_indices(slot)
        of_class = np.append(
            np.where(of_class < 0, len(names), of_class), -1
        )  # the last one is for label -1
        true, guess = ([of_class[labels] for labels in rows] for rows in (truth, prediction))
        confusions[slot] = {"names": [*names, "none"], "cells": confusion(true, guess)}
    return confusions


def cuts(truth: Sequence[Labels], prediction: Sequence[Labels]) -> dict[str, int]:
    """Count "true" and "predicted" segments, whatever their labels are, and how they lie in each other.

    "over": true segments that at least two predicted ones lie in, by half their length each; "under": the reverse;
    "once": true segments that exactly one lies in.
    """
    counts = np.zeros(5, dtype=np.int64)
    for pair in zip(truth, prediction, strict=True):
        true, guess = (np.array(segments(labels)).reshape(-1, 3) for labels in pair)
        parts, joined = _inside(guess, true), _inside(true, guess)
        counts += [len(true), len(guess), (parts > 1).sum(), (joined > 1).sum(), (parts == 1).sum()]
    return dict(zip(("true", "predicted", "over", "under", "once"), counts.tolist(), strict=True))


def _inside(inner: NDArray[np.int64], outer: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the inner segments (N, 3) lie in each of the outer ones (M, 3) by at least half their length."""
    start, stop = inner[:, 0, None], inner[:, 1, None]
    shared = np.minimum(stop, outer[:, 1]) - np.maximum(start, outer[:, 0])  # (N, M)
    lies = 2 * shared >= stop - start
    first = lies.argmax(axis=1) if len(outer) else np.zeros(len(inner), dtype=np.int64)
    return np.bincount(first[lies.any(axis=1)], minlength=len(outer))


def boundaries(videos: Sequence[Video]) -> dict[str, Any]:
    """How well changes of label are found: precision, recall and F1 by tolerance, and how far off the nearest ones are.

    In the "unit" s where all videos have one rate, else frames. "offsets" are sorted, later is positive; "median" is of
    their sizes, "bias" their mean; None without boundaries.
    """
    truth, prediction = ([video.labels[row] for video in videos] for row in ("truth", "prediction"))
    rate = common_rate(videos)
    unit, frames_of_unit = ("frames", 1.0) if rate is None else ("s", rate)
    rows = []
    for tolerance in TOLERANCES[unit]:
        scores = metrics.boundary_scores(truth, prediction, tolerance, rate)
        rows.append([tolerance, *(round(scores[key], 1) for key in ("precision", "recall", "f1"))])
    offsets = []
    for true, guess in zip(truth, prediction, strict=True):
        edges, guesses = (
            np.array([run[0] for run in segments(labels)[1:]]) for labels in (true, guess)
        )
        if len(edges) and len(guesses):
            away = guesses - edges[:, None]  # (edges, guesses)
            offsets += away[np.arange(len(edges)), np.abs(away).argmin(axis=1)].tolist()
    scaled = np.sort(np.array(offsets, dtype=np.float64) / frames_of_unit)
    median, bias = (
        (float(np.median(np.abs(scaled))), float(scaled.mean())) if len(scaled) else (None, None)
    )
    return {
        "unit": unit,
        "tolerances": rows,
        "offsets": scaled.tolist(),
        "median": median,
        "bias": bias,
    }


def common_rate(videos: Sequence[Video]) -> float | None:
    """Frames per second where all videos are evenly sampled at one rate, else None."""
    steps = {step_of(video.times) for video in videos}
    step = steps.pop() if len(steps) == 1 else None
    return 1 / step if step else None


def step_of(times: NDArray[np.float64] | None) -> float | None:
    """Seconds between frames that are evenly spaced from 0 on, to a millisecond and a half; None for all others."""
    if times is None:
        return None
    step = round(float(times[-1]) / (len(times) - 1), 9)
    return step if np.abs(times - step * np.arange(len(times))).max() < 1.5e-3 else None


def histogram(offsets: Sequence[float], unit: str) -> list[tuple[str, int]]:
    """Offsets of boundaries by size and direction: ("early by more than 5 s", 3), ... in the bins of `TOLERANCES`."""
    edges, values = TOLERANCES[unit], np.asarray(offsets, dtype=np.float64)
    rows = [(f"within {edges[0]:g} {unit}", int((np.abs(values) <= edges[0]).sum()))]
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        early, late = (int(((side > low) & (side <= high)).sum()) for side in (-values, values))
        size = f"by {low:g} to {high:g} {unit}" if high < np.inf else f"by more than {low:g} {unit}"
        rows = [(f"early {size}", early), *rows, (f"late {size}", late)]
    return rows


def least_certain(videos: Sequence[Video], most: int = 50) -> list[dict[str, Any]]:
    """The predicted segments with the lowest mean confidence; "video" and "index" are places, "start", "stop" frames.

    "true" is the most frequent label of the frames of the segment (-1: none).
    """
    candidates = [
        (
            float(video.confidence["prediction"].astype(np.float64)[start:stop].mean()),
            number,
            index,
            start,
            stop,
            label,
        )
        for number, video in enumerate(videos)
        for index, (start, stop, label) in enumerate(runs(video.labels["prediction"]))
    ]
    rows: list[dict[str, Any]] = []
    for confidence, number, index, start, stop, label in sorted(candidates)[:most]:
        names, counts = np.unique(videos[number].labels["truth"][start:stop], return_counts=True)
        row = {"video": number, "index": index, "start": start, "stop": stop, "label": label}
        rows.append(
            {**row, "confidence": round(confidence, 3), "true": int(names[counts.argmax()])}
        )
    return rows
