"""What a data set holds (`data summary`), and the recipe that its training videos suggest (`data init`)."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.core.progress import paced
from fact_clip.datasets.benchmarks import FACTORS_FILE
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import read_sidecar
from fact_clip.datasets.inspect import Progress
from fact_clip.datasets.labels import IGNORED, unlabelled
from fact_clip.datasets.layout import DataFolder, split_names
from fact_clip.datasets.splits import guess_groups, read_groups
from fact_clip.datasets.statistics import Run, count_transitions, labelled_segments
from fact_clip.text import grammar
from fact_clip.text.english import ENGLISH, are_sentences

logger = logging.getLogger(__name__)

# Names that usually mean "no action", and names of labels that usually stand for no class.
BACKGROUND_NAMES = (
    "background",
    "sil",
    "null",
    "none",
    "no action",
    "no_action",
    "idle",
    "action_start",
    "action_end",
)
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unannotated")


def summarize(config: DataConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Count videos, frames, segments and transitions over all splits; `progress` takes (done, total, video).

    Returns plain JSON; lengths are {"mean", "median", "least", "most"}, transitions are ordered by count, and
    "suggested" holds `model.tokens` and the null weight that `loss.null_weight: -1` gives with it.
    """
    folder = DataFolder(config)
    root, vocabulary, names = folder.root, folder.vocabulary(config), folder.all_videos()
    if not names:
        raise InputError(root / "groundTruth", "no label files", "write one per video")
    labels = folder.labels(config, vocabulary.names)
    indices = [labels.indices(name) for name in paced(names, "counting", logger, progress)]
    videos = [runs(of_video) for of_video in indices]
    segments = [labelled_segments(of_video) for of_video in indices]
    transcripts = list(map(len, segments))
    if not any(transcripts):
        raise InputError(
            root / "groundTruth", "no frame has a label", "write a class name per frame"
        )
    lengths = [stop - start for video in segments for start, stop, _ in video]
    frames = [video[-1][1] for video in videos]
    per_class = _per_class(vocabulary, segments)
    return {
        "root": str(root),
        "splits": split_names(root),
        "fps": config.fps if config.fps is not None else folder.benchmark.fps,
        "videos": len(videos),
        "classes": len(vocabulary),
        "background": list(vocabulary.background),
        "frames": sum(frames),
        "unlabelled_frames": sum(frames) - sum(lengths),
        "segments": sum(transcripts),
        "video_frames": _spread(frames),
        "segment_frames": _spread(lengths),
        "transcript_length": _spread(transcripts),
        "per_class": per_class,
        "balance": _balance([row["frames"] for row in per_class]),
        "transitions": _transitions(vocabulary, videos),
        "suggested": _suggested(vocabulary, transcripts),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    values = values or [0]
    middle = {"mean": float(np.mean(values)), "median": float(np.median(values))}
    return {**middle, "least": int(min(values)), "most": int(max(values))}


def _per_class(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    lengths = [
        defaultdict[int, list[int]](list) for _ in vocabulary
    ]  # number of a video -> frames of its segments
    for number, video in enumerate(videos):
        for start, stop, label in video:
            lengths[label][number].append(stop - start)
    total = sum(stop - start for video in videos for start, stop, _ in video)
    rows = []
    for label, name in enumerate(vocabulary):
        frames = [length for of_video in lengths[label].values() for length in of_video]
        rows.append(
            {
                "class": label,
                "name": name,
                "background": name in vocabulary.background,
                "videos": len(lengths[label]),
                "frames": sum(frames),
                "share": sum(frames) / total,
                "segments": len(frames),
                "segments_per_video": len(frames) / max(len(lengths[label]), 1),
                "segment_frames": _spread(frames),
                "transcript_length": _spread([len(videos[number]) for number in lengths[label]]),
            }
        )
    return rows


def _balance(frames: Sequence[int]) -> dict[str, Any]:
    """Return how even the classes are: their entropy over that of equal classes, and the largest over the smallest."""
    counts = np.array([count for count in frames if count], dtype=np.float64)
    shares = counts / counts.sum()
    even = math.log(len(frames)) if len(frames) > 1 else 1.0
    return {
        "evenness": float(-(shares * np.log(shares)).sum() / even),
        "most_over_least": float(counts.max() / counts.min()),
        "classes_without_frames": len(frames) - len(counts),
    }


def _transitions(vocabulary: Vocabulary, videos: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    pairs, leaving, names = count_transitions(videos), Counter[int](), vocabulary.names
    for (before, _), count in pairs.items():
        leaving[before] += count
    return [
        {
            "from": names[before],
            "to": names[after],
            "count": count,
            "share": count / leaving[before],
        }
        for (before, after), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    ]


def _suggested(vocabulary: Vocabulary, transcripts: Sequence[int]) -> dict[str, float]:
    """Return a number of tokens, and the null weight that follows from it (docs/method.md, Loss)."""
    tokens = tokens_of(max(transcripts))
    divisor = float(len(vocabulary))
    if vocabulary.slots == ("verb", "noun"):
        # C is (verbs + nouns) / 2; the background has its own verb and noun
        sizes = [
            len(vocabulary.factor_indices(slot)[0]) + bool(vocabulary.background)
            for slot in vocabulary.slots
        ]
        divisor = sum(sizes) / 2
    return {
        "tokens": tokens,
        "null_weight": tokens / ((tokens - float(np.mean(transcripts))) * divisor),
    }


def guess_names(
    config: DataConfig, names: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, dict[str, str]]:
    """Return a configuration with background, unlabelled and grammar as class names tell, and the reason for each.

    What the configuration has is not changed, and ``root/factors.csv`` goes before a guess.
    """
    guesses: dict[str, Any] = {}
    reasons = dict.fromkeys(("background", "unlabelled", "grammar"), "as given")
    if config.background is None:
        guesses["background"] = tuple(name for name in names if name.lower() in BACKGROUND_NAMES)
        by_name = (
            " by its name" if guesses["background"] else ": no class has a name that says no action"
        )
        reasons["background"] = f"GUESSED{by_name}"
    if not config.unlabelled:
        guesses["unlabelled"] = tuple(name for name in names if name.lower() in UNLABELLED_NAMES)
        reasons["unlabelled"] = "GUESSED by its name: these frames are ignored"
    config = config.model_copy(update=guesses)
    no_actions = (*(config.background or ()), *unlabelled(config))
    actions = [name for name in names if name not in no_actions]
    if config.grammar is None and not (root is not None and os.path.lexists(root / FACTORS_FILE)):
        config = config.model_copy(
            update={"grammar": ENGLISH if are_sentences(actions) else grammar.propose(actions)}
        )
        reasons["grammar"] = f"GUESSED: all {len(actions)} actions fit; see what it reads"
    return config, reasons


Value = bool | int | float | str | list[int] | list[str] | None
Setting = tuple[str, Value, str]  # a key with dots, its value and the reason

ROWS = 800_000  # read by 50 epochs at most, after the stride; docs/experiments/own_data.md says how it was chosen
MOST_COLUMNS = 512  # up to which context is added: two windows make five times as many of them
SHORT = 0.2  # quantile of the lengths of action segments that stride and windows follow from
FEWEST_VIDEOS, FEWEST_GROUPS = (
    40,
    10,
)  # training videos, and persons in them, from which on some validate
# Share of rows that a linear map names rightly in training videos that it has not seen, from which on features have
# probably seen the labels: on test videos they will be worse.
SEPARABLE = 0.75
_VIDEOS, _ROWS = 20, 500  # how many are read to judge the scale of the columns
_WIDEST = 1024  # most columns of the rows that the linear map reads
WIDTH = 64  # channels of features beside the scores of the classes


class Measures:
    """Measures of the training and validation videos of a split; lengths in frames, without unlabelled segments."""

    def __init__(self, dataset: Dataset) -> None:
        labels, background = (
            [dataset.labels(name) for name in dataset.learning],
            dataset.vocabulary.background_indices,
        )
        videos = [labelled_segments(of_video) for of_video in labels]
        segments = [(stop - start, label) for video in videos for start, stop, label in video]
        every = [length for length, _ in segments]
        actions = [length for length, label in segments if label not in background]
        self.videos, self.frames = len(videos), sum(map(len, labels))
        self.classes, self.columns = len(dataset.vocabulary), dataset.input_dim
        self.median_video, self.median_segment = (
            float(np.median([*map(len, labels)])),
            float(np.median(every)),
        )
        self.short_segment = float(np.quantile(actions or every, SHORT))
        self.most_segments = max(map(len, videos))  # of a video
        self.separability = separability(dataset)
        self.is_separable = self.separability >= SEPARABLE

    def __str__(self) -> str:
        """Return all of it in words."""
        return (
            f"{self.videos} videos to learn from, {self.frames:,} frames: {self.median_video:g} in the median video, "
            f"{self.median_segment:g} in the median segment, {self.short_segment:g} in a short one; "
            f"{self.columns} columns; a linear map names {self.separability:.0%} of the rows of other training videos"
        )


@dataclass(frozen=True)
class Proposal:
    """Settings on top of the recipe `base`, and what the data set has."""

    base = "own"
    settings: tuple[Setting, ...]
    measures: Measures
    videos: int
    notes: tuple[str, ...]
    vocabulary: Vocabulary

    def with_settings(self, *settings: Setting) -> Proposal:
        """Return the same with more settings."""
        return replace(self, settings=(*self.settings, *settings))


def propose(config: DataConfig) -> Proposal:
    """Measure a data set and propose settings; what training cannot live with is an InputError."""
    folder = DataFolder(config)
    config, reasons = guess_names(config, folder.class_names, folder.root)
    names = split_names(folder.root)
    split = (
        names[0] if str(config.split) == "1" and names and "1" not in names else str(config.split)
    )
    config = config.model_copy(update={"split": int(split) if split.isdigit() else split})
    dataset = Dataset.open(config, folder)
    dataset.check()
    measures = Measures(dataset)
    rates = {read_sidecar(folder.feature_path(name)).fps for name in dataset.learning}
    fps = config.fps or (
        rates.pop() if len(rates) == 1 else None
    )  # None: a file has none, or they differ
    unknown = "unknown; feature rows per second, for times in seconds"
    validation, notes = _validation(config, dataset, measures)
    by_names: dict[str, Value] = {"unlabelled": list(config.unlabelled), "grammar": config.grammar}
    settings = (
        (
            "data.root",
            str(folder.root.resolve()),
            "from this file's folder, unless it is an absolute path",
        ),
        ("data.split", config.split, f"of {', '.join(names)}"),
        (
            "data.layout",
            dataset.layout,
            "time first" if dataset.layout == "TD" else "channels first",
        ),
        ("data.fps", fps, "as given" if config.fps else "of the JSON files" if fps else unknown),
        ("data.background", list(config.background or ()), reasons["background"]),
        *((f"data.{key}", value, reasons[key]) for key, value in by_names.items() if value),
        *validation,
        *_reading(dataset, measures),
        *_sizes(measures),
        ("evaluation.count_background", not config.background, "background counts in edit and F1"),
    )
    return Proposal(settings, measures, len(folder.all_videos()), tuple(notes), dataset.vocabulary)


def _validation(
    config: DataConfig, dataset: Dataset, measures: Measures
) -> tuple[list[Setting], list[str]]:
    """Return the settings that set whole persons apart for validation, or a note why none are."""
    pattern = config.groups or guess_groups(dataset.learning)
    people = len(set(read_groups(dataset.learning, pattern).values())) if pattern else 0
    if measures.videos < FEWEST_VIDEOS:
        reason = f"{measures.videos} training videos are too few"
    elif people < FEWEST_GROUPS:
        reason = f"the names of the videos show {people or 'no'} persons, whom training would share with it"
    elif measures.is_separable:
        reason = "the features seem to have seen the labels, and would look too good"
    else:
        why = (
            "as given"
            if config.groups
            else f"GUESSED: {people} persons by their names; none is in both"
        )
        return [("data.groups", pattern, why), ("data.validation", 0.1, "picks the epoch")], []
    return [], [f"no validation ({reason}): the averaged last epoch is kept"]


def separability(dataset: Dataset) -> float:
    """Return the share of rows whose label a ridge regression on every other training video gets right."""
    halves = [_sampled_rows(dataset, dataset.learning[start::2]) for start in (0, 1)]
    if not all(len(labels) for _, labels in halves):
        return 0.0
    right = total = 0
    for (rows, labels), (others, truth) in zip(halves, reversed(halves), strict=True):
        mean, deviation = rows.mean(0), rows.std(0) + 1e-6
        scaled = [np.pad(((table - mean) / deviation).clip(-5, 5), ((0, 0), (0, 1)), constant_values=1)
                  for table in (rows, others)]  # fmt: skip
        ridge = 0.01 * len(rows) * np.eye(scaled[0].shape[1])
        targets = np.eye(len(dataset.vocabulary))[labels]
        weights = np.linalg.solve(scaled[0].T @ scaled[0] + ridge, scaled[0].T @ targets)
        right += int(((scaled[1] @ weights).argmax(1) == truth).sum())
        total += len(truth)
    return right / total


def _sampled_rows(
    dataset: Dataset, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return labelled rows (N, D) spread over each of some videos, at most `_WIDEST` columns of them, and labels."""
    rows, labels = [np.zeros((0, min(dataset.input_dim, _WIDEST)))], [np.zeros(0, np.int64)]
    for name in names:
        features, truth = dataset.features(name), dataset.labels(name)
        index = np.arange(0, len(truth), max(1, len(truth) // _ROWS))
        index = index[truth[index] != IGNORED]
        rows.append(np.asarray(features[index, :_WIDEST], dtype=np.float64))
        labels.append(truth[index])
    return np.concatenate(rows), np.concatenate(labels)


def tokens_of(segments: int) -> int:
    """Return a tenth more tokens than the most segments of a video, in tens."""
    return 10 * math.ceil(segments * 1.1 / 10)


def _reading(dataset: Dataset, measures: Measures) -> list[Setting]:
    # 50 epochs read `ROWS`, but a short segment retains five rows of its own
    stride = max(1, min(round(50 * measures.frames / ROWS), int(measures.short_segment // 5)))
    short = f"a short segment has {measures.short_segment:g} rows"
    settings: list[Setting] = [
        ("data.stride", stride, f"{measures.frames:,} rows to train on; {short}")
    ]
    if stride > 1:
        settings.append(("data.interleave", True, "each row is trained in its turn, and predicted"))
    windows, why = (
        list[int](),
        f"{measures.columns} columns, as of clips of a video, have their context already",
    )
    if measures.is_separable:
        why = f"a linear map names {measures.separability:.0%} of the rows of other training videos: no more columns"
    elif measures.columns <= MOST_COLUMNS:
        half = (
            2 * int(max(measures.short_segment / 2, 5) / 2) + 1
        )  # of a short segment, odd, 5 at least
        windows = [half, 5 * half]
        why = f"mean and deviation of windows of these rows beside the columns; {short}"
    return [*settings, _standardize(dataset), ("data.context", windows, why)]


def _standardize(dataset: Dataset) -> Setting:
    """Standardise columns that are far from zero mean and unit deviation, by rows spread over some training videos."""
    rows = []
    for name in dataset.train[:_VIDEOS]:
        features = dataset.features(name)
        rows.append(np.asarray(features[:: max(1, len(features) // _ROWS)], dtype=np.float64))
    table = np.concatenate(rows)
    mean, deviation = float(np.median(np.abs(table.mean(axis=0)))), table.std(axis=0)
    moving = deviation[deviation > 0]
    low, high = (float(moving.min()), float(moving.max())) if moving.size else (0.0, 0.0)
    is_needed = bool(not moving.size or mean > 0.25 or low < 0.5 or high > 2)
    why = f"deviations of the columns lie between {low:.3g} and {high:.3g}, means about {mean:.3g}"
    return "data.standardize", is_needed, why


def _sizes(measures: Measures) -> list[Setting]:
    hidden, segment = 32 * math.ceil((measures.classes + 1 + WIDTH) / 32), measures.short_segment
    most, sure = measures.most_segments, "; scores will be too sure" * measures.is_separable
    # Each frame of a wrong segment adds evidence for it, but not independent evidence, so the penalty grows more slowly
    # than the length. Scores of a model whose training features have seen the labels are far too sure.
    penalty = round((3.0 if measures.is_separable else 1.2) * segment**0.8, 1)
    settings: list[Setting] = [
        ("model.tokens", tokens_of(most), f"the most segments of a video are {most}"),
        (
            "model.input.hidden",
            hidden,
            f"{measures.classes} classes and about {WIDTH} channels of features",
        ),
        ("decode.switch_penalty", penalty, f"a short segment has {segment:g} rows{sure}"),
    ]
    if measures.is_separable:
        reason = "against features that name the training rows, and not those of a test"
        settings += [("augment.channels", 0.6, reason), ("augment.noise", 1, reason)]
    return settings
