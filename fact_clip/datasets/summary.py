"""Counts of a data set, for `fact-clip data summary`."""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Json, Progress, Vocabulary, runs
from fact_clip.core.progress import paced
from fact_clip.datasets.labels import Labels
from fact_clip.datasets.layout import DataFolder, split_names
from fact_clip.datasets.statistics import count_transitions, segment_lengths

logger = logging.getLogger(__name__)


def summarize(config: DataConfig, progress: Progress | None = None) -> Json:
    """Count videos, frames, segments and transitions over all splits.

    Args:
        config: Configuration with the location of the data set.
        progress: Function called with (completed, total, video).

    Returns:
        Plain JSON. Lengths are {"mean", "median", "least", "most"}, and transitions are sorted by
        count. Videos with clicks, which show no borders, count only in "clicked_videos".
    """
    folder = DataFolder(config)
    vocabulary = folder.vocabulary(config)
    videos = folder.all_videos()
    names = [name for name in videos if not folder.is_clicked(name)]
    if not names:
        problem = f"no label files, but {len(videos)} files of clicks, which show no borders"
        raise InputError(folder.labels_path, problem, "write one per video")

    reader = folder.labels(config, vocabulary.names)
    labels = [reader.indices(name) for name in paced(names, "counting", logger, progress)]
    lengths_of = segment_lengths(labels, len(vocabulary))
    if not any(lengths_of):
        raise InputError(folder.labels_path, "no frame has a label", "write a class name per frame")

    video_lengths = [len(video) for video in labels]
    all_lengths = list(chain.from_iterable(lengths_of))
    transitions = []
    for (first, following), count in count_transitions(map(runs, labels)).most_common():
        pair = {"from": vocabulary.names[first], "to": vocabulary.names[following]}
        transitions.append({**pair, "count": count})
    return {
        "root": str(folder.root),
        "splits": split_names(folder.root),
        "fps": folder.rate(config, names),
        "videos": len(labels),
        "clicked_videos": len(videos) - len(names),
        "classes": len(vocabulary),
        "background": list(vocabulary.background),
        "frames": sum(video_lengths),
        "unlabelled_frames": sum(video_lengths) - sum(all_lengths),
        "segments": len(all_lengths),
        "video_frames": _spread(video_lengths),
        "segment_frames": _spread(all_lengths),
        "per_class": _per_class(vocabulary, labels, lengths_of),
        "transitions": transitions,
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    values = values or [0]
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "least": int(min(values)),
        "most": int(max(values)),
    }


def _per_class(
    vocabulary: Vocabulary, videos: Sequence[Labels], lengths_of: Sequence[Sequence[int]]
) -> list[Json]:
    n_videos_of = Counter[int]()
    for video in videos:
        n_videos_of.update(set(video.tolist()))

    total = sum(map(sum, lengths_of))
    rows = []
    for index, name in enumerate(vocabulary):
        lengths = lengths_of[index]
        row = {
            "name": name,
            "background": name in vocabulary.background,
            "videos": n_videos_of[index],
            "frames": sum(lengths),
            "share": sum(lengths) / total,
            "segments": len(lengths),
            "segment_frames": _spread(lengths),
        }
        rows.append(row)
    return rows
