"""The record of an evaluation, RUN/evaluation.npz, with all that a report needs.

The file has the same stem as the evaluation.json next to it. Arrays of all videos are concatenated,
and `lengths` separates them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Array, Floats, InputError, Integers, Json, Vocabulary, library_errors
from fact_clip.core.io import parse_value, read_npz
from fact_clip.core.paths import whole_file

FORMAT = 1
ROWS = ("truth", "prediction", "frames", "tokens")
"""Labellings of a video: true labels, prediction, and the best class of each branch."""

FIX = "run fact-clip evaluate again"

Labels = Integers
Shares = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Video:
    """The labellings of one video of T frames."""

    name: str
    # Class indices (T,) by row of `ROWS`, -1 for unlabelled. The token branch may be missing.
    labels: Mapping[str, Labels]
    # Probability of the labels (T,) by row of `ROWS`, except "truth".
    confidence: Mapping[str, Shares]
    # Seconds at the start of each frame and at the end, (T + 1,), or None if unknown.
    times: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels["truth"])

    @property
    def is_labelled(self) -> bool:
        """Return whether any frame has a true label."""
        return bool((self.labels["truth"] >= 0).any())


@dataclass(frozen=True)
class _About:
    """The JSON part of the file."""

    format: int
    vocabulary: Vocabulary
    versions: dict[str, str]
    videos: list[str]
    timed: list[str]  # videos with frame times


@dataclass(frozen=True, eq=False)
class Record:
    """The videos of an evaluation, with their classes."""

    vocabulary: Vocabulary  # classes of `Video.labels`, with new candidates at the end
    training_frames: Labels  # (C,) labelled frames of each class in the training videos
    versions: Mapping[str, str]  # of the programs that made the evaluation, and the commit
    videos: Sequence[Video]  # in the order of evaluation.json

    def save(self, path: Path) -> None:
        """Write the record to a .npz file, atomically."""
        label_type = np.int16 if len(self.vocabulary) < 2**15 else np.int32
        arrays: Json = {}
        for row in ROWS:
            labels = [video.labels.get(row, np.full(len(video), -1)) for video in self.videos]
            arrays[row] = np.concatenate(labels).astype(label_type)
        for row in ROWS[1:]:
            shares = [video.confidence.get(row, np.zeros(len(video))) for video in self.videos]
            arrays[f"{row}_confidence"] = np.concatenate(shares).astype(np.float16)
        time_of = {video.name: video.times for video in self.videos if video.times is not None}
        about = {
            "format": FORMAT,
            "vocabulary": self.vocabulary.to_dict(),
            "versions": dict(self.versions),
            "videos": [video.name for video in self.videos],
            "timed": list(time_of),
        }
        with whole_file(path) as unfinished:
            np.savez_compressed(
                unfinished,
                about=np.array(json.dumps(about)),
                lengths=np.array([len(video) for video in self.videos]),
                training_frames=self.training_frames,
                times=np.concatenate([np.zeros(0), *time_of.values()]),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a file that `save` wrote. A missing or damaged file raises an InputError."""
        if not path.exists():
            raise InputError(path, "no such file", FIX)
        arrays = read_npz(path, "the record that fact-clip evaluate writes", FIX)
        kinds = (ValueError, KeyError, TypeError, IndexError)
        with library_errors(path, "damaged", *kinds, fix=FIX):
            about = parse_value(_About, str(arrays["about"]), path, FIX)
            if about.format != FORMAT:
                raise InputError(path, f"format {about.format}, not {FORMAT}", FIX)
            return cls(
                vocabulary=about.vocabulary,
                training_frames=arrays["training_frames"],
                versions=about.versions,
                videos=_split_videos(about, arrays),
            )


def _split_videos(about: _About, arrays: Mapping[str, Array]) -> list[Video]:
    """Split the concatenated arrays of a file by video."""
    lengths = dict(zip(about.videos, arrays["lengths"].tolist(), strict=True))
    videos = []
    start = 0
    time_start = 0
    for name, length in lengths.items():
        frames = slice(start, start + length)
        start += length
        labels = {row: arrays[row][frames].astype(np.int64) for row in ROWS}
        if (labels["tokens"] < 0).all():
            del labels["tokens"]
        confidence = {row: arrays[f"{row}_confidence"][frames] for row in labels if row != "truth"}
        times = None
        if name in about.timed:
            times = arrays["times"][time_start : time_start + length + 1]
            time_start += length + 1
        videos.append(Video(name, labels, confidence, times))
    if start != len(arrays["truth"]):
        raise ValueError("labels of more frames than the videos have")
    return videos
