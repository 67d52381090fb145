"""Counts of a data set, for `fact-clip data summary`."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Json, Progress, Vocabulary, runs
from fact_clip.core.progress import paced
from fact_clip.datasets.layout import DataFolder, split_names
from fact_clip.datasets.statistics import Run, count_transitions, labelled_segments

logger = logging.getLogger(__name__)

SPARE_TOKENS = (
    1.1  # tokens of a model per segment of the longest transcript, before rounding to tens
)


def tokens_of(segments: int) -> int:
    """Return a tenth more tokens than the most segments of a video, in tens."""
    return 10 * math.ceil(segments * SPARE_TOKENS / 10)


def summarize(config: DataConfig, progress: Progress | None = None) -> Json:
    """Count videos, frames, segments and transitions over all splits.

    Args:
        config: where the data set is.
        progress: called with (done, total, video).

    Returns:
        Plain JSON. Lengths are {"mean", "median", "least", "most"}, transitions are ordered by
        count, and "suggested" has `model.tokens` and the null weight that `loss.null_weight: -1`
        gives with it.
    """
    folder = DataFolder(config)
    vocabulary = folder.vocabulary(config)
    names = folder.all_videos()
    if not names:
        raise InputError(folder.labels_path, "no label files", "write one per video")

    reader = folder.labels(config, vocabulary.names)
    labels = [reader.indices(name) for name in paced(names, "counting", logger, progress)]
    segments = [labelled_segments(video) for video in labels]
    if not any(segments):
        raise InputError(folder.labels_path, "no frame has a label", "write a class name per frame")

    transcript_lengths = [len(video) for video in segments]
    video_lengths = [len(video) for video in labels]
    segment_lengths = []
    for video in segments:
        segment_lengths += [stop - start for start, stop, _ in video]
    per_class = _per_class(vocabulary, segments)
    return {
        "root": str(folder.root),
        "splits": split_names(folder.root),
        "fps": folder.benchmark.fps if config.fps is None else config.fps,
        "videos": len(labels),
        "classes": len(vocabulary),
        "background": list(vocabulary.background),
        "frames": sum(video_lengths),
        "unlabelled_frames": sum(video_lengths) - sum(segment_lengths),
        "segments": sum(transcript_lengths),
        "video_frames": _spread(video_lengths),
        "segment_frames": _spread(segment_lengths),
        "transcript_length": _spread(transcript_lengths),
        "per_class": per_class,
        "balance": _balance([row["frames"] for row in per_class]),
        "transitions": _transitions(vocabulary, [runs(video) for video in labels]),
        "suggested": _suggested(vocabulary, transcript_lengths),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    values = values or [0]
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "least": int(min(values)),
        "most": int(max(values)),
    }


@dataclass
class _ClassSegments:
    """The segments of one class."""

    lengths: list[int] = field(default_factory=list)
    transcript_lengths: dict[int, int] = field(default_factory=dict)  # by number of the video


def _per_class(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[Json]:
    classes = [_ClassSegments() for _ in vocabulary]
    for number, video in enumerate(videos):
        for start, stop, label in video:
            classes[label].lengths.append(stop - start)
            classes[label].transcript_lengths[number] = len(video)

    total = sum(sum(of_class.lengths) for of_class in classes)
    rows = []
    for index, name in enumerate(vocabulary):
        lengths = classes[index].lengths
        transcripts = list(classes[index].transcript_lengths.values())
        row = {
            "class": index,
            "name": name,
            "background": name in vocabulary.background,
            "videos": len(transcripts),
            "frames": sum(lengths),
            "share": sum(lengths) / total,
            "segments": len(lengths),
            "segments_per_video": len(lengths) / max(len(transcripts), 1),
            "segment_frames": _spread(lengths),
            "transcript_length": _spread(transcripts),
        }
        rows.append(row)
    return rows


def _balance(frames: Sequence[int]) -> Json:
    """Return the entropy of the classes over that of equal classes, and the largest ratio."""
    counts = np.array([count for count in frames if count], dtype=np.float64)
    shares = counts / counts.sum()
    even = math.log(len(frames)) if len(frames) > 1 else 1.0
    return {
        "evenness": float(-(shares * np.log(shares)).sum() / even),
        "most_over_least": float(counts.max() / counts.min()),
        "classes_without_frames": len(frames) - len(counts),
    }


def _transitions(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[Json]:
    pairs = count_transitions(videos)
    leaving = Counter[int]()
    for (first, _), count in pairs.items():
        leaving[first] += count
    rows = []
    for (first, following), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        row = {
            "from": vocabulary.names[first],
            "to": vocabulary.names[following],
            "count": count,
            "share": count / leaving[first],
        }
        rows.append(row)
    return rows


def _suggested(vocabulary: Vocabulary, transcript_lengths: Sequence[int]) -> dict[str, float]:
    """Return a number of tokens, and the null weight for it (docs/method.md, Loss)."""
    tokens = tokens_of(max(transcript_lengths))
    divisor = float(len(vocabulary))
    if vocabulary.slots == ("verb", "noun"):
        # C is (verbs + nouns) / 2; the background has its own verb and noun
        sizes = [len(vocabulary.factor_indices(slot)[0]) for slot in vocabulary.slots]
        divisor = sum(sizes) / 2 + bool(vocabulary.background)
    spare = tokens - float(np.mean(transcript_lengths))
    return {"tokens": tokens, "null_weight": tokens / (spare * divisor)}
