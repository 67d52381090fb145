"""What an evaluation keeps of each video, so that a report needs neither the model nor the data: RUN/evaluation.npz.

The file lies beside evaluation.json and has the same stem. Arrays of all videos are joined; `lengths` parts them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arrays import read_npz
from fact_clip.core.files import whole_file

FORMAT = 1
ROWS = ("truth", "prediction", "frames", "tokens")
"""Labellings of a video: the labels, what decoding made of the scores, and the best class of each of the two voters."""

Labels = NDArray[np.int64]
Shares = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Video:
    """One video of T frames.

    Attributes:
        name: of the video.
        labels: row of `ROWS` -> class indices (T,), -1 where there is none; the token voter may be missing.
        confidence: the same rows but "truth" -> probability (T,) of the class that the row names.
        times: seconds at the start of each frame and at the end, (T + 1,); None where they are unknown.
    """

    name: str
    labels: Mapping[str, Labels]
    confidence: Mapping[str, Shares]
    times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.labels["truth"])


@dataclass(frozen=True, eq=False)
class Record:
    """The videos of an evaluation, and what the report says of their classes.

    Attributes:
        vocabulary: the classes that the indices of `Video.labels` stand for; new candidates come last.
        training_frames: (C,) labelled frames of each class in the training videos.
        versions: of the programs that made the evaluation, and the commit.
        videos: in the order of evaluation.json.
    """

    vocabulary: Vocabulary
    training_frames: Labels
    versions: Mapping[str, str]
    videos: Sequence[Video]

    def save(self, path: Path) -> None:
        """Write to a .npz file, whole or not at all."""
        joined: dict[str, Any] = {}
        for row in ROWS:
            rows = [video.labels.get(row, np.full(len(video), -1)) for video in self.videos]
            joined[row] = np.concatenate(rows).astype(np.int16 if len(self.vocabulary) < 2**15 else np.int32)
            if row != "truth":
                shares = [video.confidence.get(row, np.zeros(len(video), np.float16)) for video in self.videos]
                joined[f"{row}_confidence"] = np.concatenate(shares).astype(np.float16)
        known = [video for video in self.videos if video.times is not None]
        about = {"format": FORMAT, "vocabulary": self.vocabulary.to_dict(), "versions": dict(self.versions)}
        about |= {"videos": [video.name for video in self.videos], "timed": [video.name for video in known]}
        with whole_file(path) as unfinished:
            np.savez_compressed(
                unfinished,
                about=np.array(json.dumps(about)),
                lengths=np.array([len(video) for video in self.videos]),
                training_frames=self.training_frames,
                times=np.concatenate([video.times for video in known if video.times is not None] or [np.zeros(0)]),
                **joined,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a file of `save`; an InputError where there is none, or where it is damaged."""
        todo = "run fact-clip evaluate again"
        if not path.is_file():
            raise InputError(path, "no such file", "what fact-clip evaluate keeps for the report", todo)
        arrays = read_npz(path, "what fact-clip evaluate keeps for the report", todo)
        try:
            about = json.loads(str(arrays["about"]))
            if about["format"] != FORMAT:
                raise InputError(path, f"format {about['format']}", f"format {FORMAT}", todo)
            vocabulary = Vocabulary.from_dict(about["vocabulary"])
            ends = np.cumsum(arrays["lengths"])
            if len(ends) != len(about["videos"]) or any(len(arrays[row]) != ends[-1] for row in ROWS):
                raise ValueError("rows of other lengths")
            videos, first = list[Video](), 0
            for name, stop in zip(about["videos"], ends.tolist(), strict=True):
                start = stop - int(arrays["lengths"][len(videos)])
                labels = {row: arrays[row][start:stop].astype(np.int64) for row in ROWS}
                if (labels["tokens"] < 0).all():
                    del labels["tokens"]
                shares = {row: arrays[f"{row}_confidence"][start:stop] for row in labels if row != "truth"}
                times = None
                if name in about["timed"]:
                    times, first = arrays["times"][first : first + stop - start + 1], first + stop - start + 1
                videos.append(Video(name, labels, shares, times))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(path, f"damaged ({reason})", "a file as it was written", todo) from None
        return cls(vocabulary, arrays["training_frames"], about["versions"], videos)


def commit() -> str | None:
    """The commit of the checkout that this package lies in, with "+" where files differ from it; None without one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    found = []
    for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            answer = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        except OSError:  # no git
            return None
        if answer.returncode:
            return None
        found.append(answer.stdout.strip())
    return found[0] + ("+" if found[1] else "")
