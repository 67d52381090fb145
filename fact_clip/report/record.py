"""What an evaluation keeps of each video, so that a report needs neither the model nor the data: RUN/evaluation.npz.

The file lies beside evaluation.json and has the same stem. Arrays of all videos are joined; `lengths` parts them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.io import parse_json, parse_value, read_npz
from fact_clip.core.paths import whole_file

FORMAT = 1
ROWS = ("truth", "prediction", "frames", "tokens")
"""Labellings of a video: the labels, what decoding made of the scores, and the best class of each of the two voters."""

_EXPECTED, _FIX = "what fact-clip evaluate keeps for the report", "run fact-clip evaluate again"


def evaluation_stem(split: str, has_actions: bool = False) -> str:
    """Return the name, without its ending, of what `training.evaluate` writes into a run folder."""
    return "evaluation" + f"_{split}" * (split != "test") + "_actions" * has_actions


Labels = NDArray[np.int64]
Shares = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Video:
    """One video of T frames."""

    name: str  # of the video
    # row of `ROWS` -> class indices (T,), -1 where there is none; the token voter may be missing
    labels: Mapping[str, Labels]
    confidence: Mapping[str, Shares]  # the same rows but "truth" -> probability (T,) of the class that the row names
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
            joined[row] = np.concatenate(rows).astype(np.int16 if len(self.vocabulary) < 2**15 else np.int32)
            if row != "truth":
                shares = [video.confidence.get(row, np.zeros(len(video), np.float16)) for video in self.videos]
                joined[f"{row}_confidence"] = np.concatenate(shares).astype(np.float16)
        timed = [video for video in self.videos if video.times is not None]
        about = {"format": FORMAT, "vocabulary": self.vocabulary.to_dict(), "versions": dict(self.versions)}
        about |= {"videos": [video.name for video in self.videos], "timed": [video.name for video in timed]}
        with whole_file(path) as unfinished:
            np.savez_compressed(
                unfinished,
                about=np.array(json.dumps(about)),
                lengths=np.array([len(video) for video in self.videos]),
                training_frames=self.training_frames,
                times=np.concatenate([video.times for video in timed if video.times is not None] or [np.zeros(0)]),
                **joined,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a file of `save`; an InputError where there is none, or where it is damaged."""
        if not path.exists():
            raise InputError(path, "no such file", _FIX)
        arrays = read_npz(path, _EXPECTED, _FIX)
        try:
            about = parse_json(str(arrays["about"]), path, _EXPECTED)
            if about["format"] != FORMAT:
                raise InputError(path, f"format {about['format']}, not {FORMAT}", _FIX)
            vocabulary, lengths = parse_value(Vocabulary, about["vocabulary"], path), arrays["lengths"].tolist()
            counts = arrays["training_frames"]
            if counts.dtype.kind not in "iu" or not ((counts >= 0) & (counts < 1e15)).all():
                raise ValueError("training frames that are no counts")
            if counts.shape != (len(vocabulary),) or min(lengths, default=1) < 1:
                raise ValueError("arrays of other lengths")
            videos, start, first = list[Video](), 0, 0
            for name, length in zip(about["videos"], lengths, strict=True):
                is_timed = name in about["timed"]
                times = arrays["times"][first : first + length + 1] if is_timed else None
                videos.append(_video(str(name), arrays, slice(start, start + length), times, len(vocabulary)))
                start, first = start + length, first + (length + 1) * is_timed
            versions = {str(key): str(value) for key, value in about["versions"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            if isinstance(error, InputError) and error.path == path:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(path, f"damaged ({reason})", _FIX) from None
        return cls(vocabulary, counts, versions, videos)


def _video(
    name: str, arrays: Mapping[str, NDArray[Any]], frames: slice, times: NDArray[np.float64] | None, n_classes: int
) -> Video:
    labels = {row: arrays[row][frames].astype(np.int64) for row in ROWS}
    if (labels["tokens"] < 0).all():
        del labels["tokens"]
    shares = {row: arrays[f"{row}_confidence"][frames] for row in labels if row != "truth"}
    if any(values.shape != (frames.stop - frames.start,) for values in (*labels.values(), *shares.values())):
        raise ValueError(f"{name} has rows of other lengths")
    if any(values.min() < -(row == "truth") or values.max() >= n_classes for row, values in labels.items()):
        raise ValueError(f"{name} has labels that are no classes")
    if not all(np.isfinite(values).all() for values in shares.values()):
        raise ValueError(f"{name} has confidences that are not finite")
    if times is not None and (
        times.shape != (len(labels["truth"]) + 1,) or times[0] < 0 or (np.diff(times) <= 0).any()
    ):
        raise ValueError(f"{name} has times that do not rise")
    return Video(name, labels, shares, times)
