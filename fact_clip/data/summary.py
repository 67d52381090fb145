"""What a data set holds, counted over the labels of all its videos; and what follows for a model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.data.labels import every_video, read_labels, split_names
from fact_clip.data.location import find_benchmark, find_root, read_vocabulary

Run = tuple[int, int, int]
Progress = Callable[[int, int, str], None]


def summarize(config: DataConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Count videos, frames, segments and transitions of a data set, whatever its split.

    Args:
        config: which data set.
        progress: called with (done, total, video).

    Returns:
        Plain JSON. "video_frames", "segment_frames" and "transcript_length" are {"mean", "median", "least", "most"};
        "per_class" has a row a class; "balance" says how even the classes are; "transitions" are ordered by count;
        "suggested" holds `model.tokens` and the null weight that `loss.null_weight: -1` gives with it.

    Raises:
        InputError: no such data set, a faulty mapping or label file, or no videos.
    """
    root = find_root(config)
    vocabulary = read_vocabulary(config, root)
    names = every_video(root)
    if not names:
        raise InputError(root / "groundTruth", "no videos", "a label file a video")
    videos: list[list[Run]] = []
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names), name)
        videos.append(runs(read_labels(root / "groundTruth" / f"{name}.txt", vocabulary)))
    per_class = _per_class(vocabulary, videos)
    transcripts = [len(video) for video in videos]
    return {
        "root": str(root),
        "splits": split_names(root),
        "fps": config.fps if config.fps is not None else find_benchmark(config.name).fps,
        "videos": len(videos),
        "classes": len(vocabulary),
        "background": list(vocabulary.background),
        "frames": sum(video[-1][1] for video in videos),
        "segments": sum(transcripts),
        "video_frames": _spread([video[-1][1] for video in videos]),
        "segment_frames": _spread([stop - start for video in videos for start, stop, _ in video]),
        "transcript_length": _spread(transcripts),
        "per_class": per_class,
        "balance": _balance([row["frames"] for row in per_class]),
        "transitions": _transitions(vocabulary, videos),
        "suggested": _suggested(vocabulary, transcripts),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {"mean": 0.0, "median": 0.0, "least": 0, "most": 0}
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "least": int(min(values)),
        "most": int(max(values)),
    }


def _per_class(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    durations: list[list[int]] = [[] for _ in vocabulary]
    occurs: list[Counter[int]] = [Counter() for _ in vocabulary]  # video -> segments of the class
    for number, video in enumerate(videos):
        for start, stop, label in video:
            durations[label].append(stop - start)
            occurs[label][number] += 1
    total = sum(map(sum, durations))
    return [
        {
            "class": label,
            "name": name,
            "background": name in vocabulary.background,
            "videos": len(occurs[label]),
            "frames": sum(durations[label]),
            "share": sum(durations[label]) / total,
            "segments": len(durations[label]),
            "segments_per_video": len(durations[label]) / max(len(occurs[label]), 1),
            "segment_frames": _spread(durations[label]),
            "transcript_length": _spread([len(videos[number]) for number in occurs[label]]),
        }
        for label, name in enumerate(vocabulary)
    ]


def _balance(frames: Sequence[int]) -> dict[str, Any]:
    """How even the classes are: their entropy over that of equal classes, and the most frequent over the least."""
    counts: NDArray[np.float64] = np.array([count for count in frames if count], dtype=np.float64)
    shares = counts / counts.sum()
    even = math.log(len(frames)) if len(frames) > 1 else 1.0
    return {
        "evenness": float(-(shares * np.log(shares)).sum() / even),
        "most_over_least": float(counts.max() / counts.min()),
        "classes_without_frames": len(frames) - len(counts),
    }


def _transitions(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    pairs = Counter((before[2], after[2]) for video in videos for before, after in pairwise(video))
    leaving: Counter[int] = Counter()
    for (before, _), count in pairs.items():
        leaving[before] += count
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [
        {
            "from": vocabulary.names[before],
            "to": vocabulary.names[after],
            "count": count,
            "share": count / leaving[before],
        }
        for (before, after), count in ordered
    ]


def _suggested(vocabulary: Vocabulary, transcripts: Sequence[int]) -> dict[str, float]:
    """A tenth more tokens than the longest video has segments, in tens, so that each segment finds one.

    Their null weight is M / ((M - mean transcript length) * C) (FACT.md, 'weights'), with (verbs + nouns) / 2 for C
    where actions are pairs.
    """
    tokens = 10 * math.ceil(max(transcripts) * 1.1 / 10)
    divisor = float(len(vocabulary))
    if vocabulary.slots == ("verb", "noun"):
        # a background has a verb and a noun of its own
        sizes = [len(vocabulary.factor_indices(slot)[0]) + bool(vocabulary.background) for slot in vocabulary.slots]
        divisor = sum(sizes) / 2
    return {"tokens": tokens, "null_weight": tokens / ((tokens - float(np.mean(transcripts))) * divisor)}
