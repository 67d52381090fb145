"""What a data set holds (`fact-clip data summary`), and what the names of its classes tell."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.core.pace import paced
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.datasets.check import Progress
from fact_clip.datasets.dataset import IGNORED
from fact_clip.datasets.factors import FILE
from fact_clip.datasets.layout import (
    every_video,
    find_root,
    read_labels,
    read_vocabulary,
    split_names,
    unlabelled,
)
from fact_clip.text.grammar import propose

logger = logging.getLogger(__name__)

Run = tuple[int, int, int]  # start, stop and class of a segment

# Names that usually mean "no action".
BACKGROUND_NAMES = ("background", "sil", "null", "none", "no action", "no_action", "idle", "action_start", "action_end")

# Names of labels that usually stand for no class.
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unannotated")


def summarize(config: DataConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Count videos, frames, segments and transitions over all splits; `progress` takes (done, total, video).

    Returns plain JSON; lengths are {"mean", "median", "least", "most"}, transitions are ordered by count, and
    "suggested" holds `model.tokens` and the null weight that `loss.null_weight: -1` gives with it.
    """
    root = find_root(config)
    vocabulary = read_vocabulary(config, root)
    names = every_video(root)
    if not names:
        raise InputError(root / "groundTruth", "no videos; expected a label file per video")
    videos: list[list[Run]] = []
    for name in paced(names, "counting", logger, progress):
        videos.append(runs(read_labels(root / "groundTruth" / f"{name}.txt", vocabulary, unlabelled(config))))
    transcripts = [sum(label != IGNORED for _, _, label in video) for video in videos]
    if not any(transcripts):
        raise InputError(root / "groundTruth", "no labelled frame; expected a class name per frame")
    per_class = _per_class(vocabulary, videos)
    return {
        "root": str(root),
        "splits": split_names(root),
        "fps": config.fps if config.fps is not None else find_benchmark(config.name).fps,
        "videos": len(videos),
        "classes": len(vocabulary),
        "background": list(vocabulary.background),
        "frames": sum(video[-1][1] for video in videos),
        "unlabelled_frames": sum(stop - start for video in videos for start, stop, label in video if label == IGNORED),
        "segments": sum(transcripts),
        "video_frames": _spread([video[-1][1] for video in videos]),
        "segment_frames": _spread(
            [stop - start for video in videos for start, stop, label in video if label != IGNORED]
        ),
        "transcript_length": _spread(transcripts),
        "per_class": per_class,
        "balance": _balance([row["frames"] for row in per_class]),
        "transitions": _transitions(vocabulary, videos),
        "suggested": _suggested(vocabulary, transcripts),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    own = values or [0]
    return {"mean": float(np.mean(own)), "median": float(np.median(own)), "least": int(min(own)), "most": int(max(own))}


def _per_class(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    durations: list[list[int]] = [[] for _ in vocabulary]
    occurs: list[Counter[int]] = [Counter() for _ in vocabulary]  # video -> segments of the class
    for number, video in enumerate(videos):
        for start, stop, label in (run for run in video if run[2] != IGNORED):
            durations[label].append(stop - start)
            occurs[label][number] += 1
    total = sum(map(sum, durations))
    transcripts = [sum(run[2] != IGNORED for run in video) for video in videos]
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
            "transcript_length": _spread([transcripts[number] for number in occurs[label]]),
        }
        for label, name in enumerate(vocabulary)
    ]


def _balance(frames: Sequence[int]) -> dict[str, Any]:
    """How even the classes are: their entropy divided by that of equal classes, and the largest over the smallest."""
    counts = np.array([count for count in frames if count], dtype=np.float64)
    shares = counts / counts.sum()
    even = math.log(len(frames)) if len(frames) > 1 else 1.0
    return {
        "evenness": float(-(shares * np.log(shares)).sum() / even),
        "most_over_least": float(counts.max() / counts.min()),
        "classes_without_frames": len(frames) - len(counts),
    }


def _transitions(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    pairs = Counter((before[2], after[2]) for video in videos for before, after in pairwise(video))
    pairs = Counter({pair: count for pair, count in pairs.items() if IGNORED not in pair})
    leaving = Counter(before for before, _ in pairs.elements())
    names = vocabulary.names
    return [
        {"from": names[before], "to": names[after], "count": count, "share": count / leaving[before]}
        for (before, after), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    ]


def _suggested(vocabulary: Vocabulary, transcripts: Sequence[int]) -> dict[str, float]:
    """A tenth more tokens than the most segments of a video, in tens, and their null weight (docs/method.md, Loss)."""
    tokens = 10 * math.ceil(max(transcripts) * 1.1 / 10)
    divisor = float(len(vocabulary))
    if vocabulary.slots == ("verb", "noun"):
        # C is (verbs + nouns) / 2; the background has a verb and a noun of its own
        sizes = [len(vocabulary.factor_indices(slot)[0]) + bool(vocabulary.background) for slot in vocabulary.slots]
        divisor = sum(sizes) / 2
    return {"tokens": tokens, "null_weight": tokens / ((tokens - float(np.mean(transcripts))) * divisor)}


def guess_names(
    config: DataConfig, names: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, dict[str, str]]:
    """A configuration with what class names tell: background, labels that stand for no class, and their grammar.

    What the configuration has is kept, and ``root/factors.csv`` goes before a guess. With the reason of each key.
    """
    found: dict[str, Any] = {}
    reasons = {"background": "as given", "unlabelled": "as given", "grammar": "as given"}
    if config.background is None:
        found["background"] = tuple(name for name in names if name.lower() in BACKGROUND_NAMES)
        guess = "by its name" if found["background"] else ": no class has a name that says no action"
        reasons["background"] = f"GUESSED {guess}".replace(" :", ":")
    if not config.unlabelled:
        found["unlabelled"] = tuple(name for name in names if name.lower() in UNLABELLED_NAMES)
        reasons["unlabelled"] = "GUESSED by its name: these frames are ignored"
    config = config.model_copy(update=found)
    left_out = (*(config.background or ()), *unlabelled(config))
    actions = [name for name in names if name not in left_out]
    if config.grammar is None and not (root is not None and os.path.lexists(root / FILE)):
        config = config.model_copy(update={"grammar": propose(actions)})
        reasons["grammar"] = f"GUESSED: all {len(actions)} actions fit; see what it reads"
    return config, reasons
