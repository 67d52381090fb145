"""What a data set holds (`fact-clip data summary`), and the recipe that follows from it (`fact-clip data init`).

The recipe rests on the videos that the split trains on; the labels of its test videos play no part. docs/datasets.md
has the rules.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig, ObjectData
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.core.errors import ConfigKey, OrientationError
from fact_clip.core.pace import paced
from fact_clip.datasets.dataset import IGNORED, Dataset
from fact_clip.datasets.factors import FILE
from fact_clip.datasets.features import rate_of
from fact_clip.datasets.inspect import Finding, Inspection, Progress
from fact_clip.datasets.layout import DataFolder, split_names, unlabelled
from fact_clip.datasets.objects import find_objects
from fact_clip.datasets.splits import guess_groups, read_groups
from fact_clip.text import grammar
from fact_clip.text.english import ENGLISH, are_sentences

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
    folder = DataFolder(config)
    root, vocabulary, names = folder.root, folder.vocabulary(config), folder.all_videos()
    if not names:
        raise InputError(root / "groundTruth", "no label files", "write one per video")
    labels = folder.labels(config, vocabulary.names)
    videos = [runs(labels.checked(name)) for name in paced(names, "counting", logger, progress)]
    transcripts = [sum(label != IGNORED for _, _, label in video) for video in videos]
    if not any(transcripts):
        raise InputError(root / "groundTruth", "no frame has a label", "write a class name per frame")
    per_class = _per_class(vocabulary, videos)
    return {
        "root": str(root),
        "splits": split_names(root),
        "fps": config.fps if config.fps is not None else folder.benchmark.fps,
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
    values = values or [0]
    middle = {"mean": float(np.mean(values)), "median": float(np.median(values))}
    return {**middle, "least": int(min(values)), "most": int(max(values))}


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
    pairs = Counter((before[2], after[2]) for video in videos for before, after in pairwise(video))
    pairs = Counter({pair: count for pair, count in pairs.items() if IGNORED not in pair})
    leaving = Counter(before for before, _ in pairs.elements())
    names = vocabulary.names
    return [
        {"from": names[before], "to": names[after], "count": count, "share": count / leaving[before]}
        for (before, after), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    ]


def _suggested(vocabulary: Vocabulary, transcripts: Sequence[int]) -> dict[str, float]:
    """Return a number of tokens, and the null weight that follows from it (docs/method.md, Loss)."""
    tokens = tokens_of(max(transcripts))
    divisor = float(len(vocabulary))
    if vocabulary.slots == ("verb", "noun"):
        # C is (verbs + nouns) / 2; the background has its own verb and noun
        sizes = [len(vocabulary.factor_indices(slot)[0]) + bool(vocabulary.background) for slot in vocabulary.slots]
        divisor = sum(sizes) / 2
    return {"tokens": tokens, "null_weight": tokens / ((tokens - float(np.mean(transcripts))) * divisor)}


def guess_names(
    config: DataConfig, names: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, dict[str, str]]:
    """Return a configuration with what class names tell, and the reason for each key.

    That is the background, labels that stand for no class, and the grammar of the names. What the configuration has
    is not changed, and ``root/factors.csv`` goes before a guess.
    """
    guesses: dict[str, Any] = {}
    reasons = dict.fromkeys(("background", "unlabelled", "grammar"), "as given")
    if config.background is None:
        guesses["background"] = tuple(name for name in names if name.lower() in BACKGROUND_NAMES)
        by_name = " by its name" if guesses["background"] else ": no class has a name that says no action"
        reasons["background"] = f"GUESSED{by_name}"
    if not config.unlabelled:
        guesses["unlabelled"] = tuple(name for name in names if name.lower() in UNLABELLED_NAMES)
        reasons["unlabelled"] = "GUESSED by its name: these frames are ignored"
    config = config.model_copy(update=guesses)
    no_actions = (*(config.background or ()), *unlabelled(config))
    actions = [name for name in names if name not in no_actions]
    if config.grammar is None and not (root is not None and os.path.lexists(root / FILE)):
        config = config.model_copy(update={"grammar": ENGLISH if are_sentences(actions) else grammar.propose(actions)})
        reasons["grammar"] = f"GUESSED: all {len(actions)} actions fit; see what it reads"
    return config, reasons


# --- the recipe ---------------------------------------------------------------------------------------


Value = bool | int | float | str | list[int] | list[str] | None
Setting = tuple[str, Value, str]
"""A key with dots, its value and the reason."""

ROWS = 800_000
"""Rows that 50 epochs read at most, after the stride; docs/experiments/own_data.md says how it was chosen."""

MOST_COLUMNS = 512
"""Columns up to which context is added: two windows make five times as many of them."""

SHORT = 0.2
"""Quantile of the lengths of action segments that stride and windows follow from."""

FEWEST_VIDEOS, FEWEST_GROUPS = 40, 10
"""Training videos, and persons in them, from which on some of them are set apart for validation."""

SEPARABLE = 0.75
"""Share of rows that a linear map names rightly in training videos that it has not seen, from which on features have
probably seen the labels: on test videos they will be worse."""

_VIDEOS, _ROWS = 20, 500  # how many are read to judge the scale of the columns
_FIRST_ROWS, _WIDEST = 2000, 1024  # rows of each of these videos, and most columns, that are searched for objects

WIDTH = 64
"""Channels of features beside the scores of the classes."""

OBJECTS = "data.objects.find=true model.head=text text.parts=[factors]"
FEWEST_OBJECTS, SPARSE = 3, 0.3
"""Objects, and share of zeros, from which on columns are taken to describe detected objects."""


@dataclass(frozen=True)
class Measures:
    """What a recipe rests on: measures of the training and validation videos of a split.

    Lengths are in frames; segments of no label are left out.
    """

    videos: int
    frames: int
    classes: int
    columns: int
    median_video: float
    median_segment: float
    short_segment: float  # `SHORT` of the action segments are shorter
    separability: float  # see `SEPARABLE`
    most_segments: int  # of a video
    objects: int  # that `find_objects` sees in the columns
    zeros: float  # share of the values

    def __str__(self) -> str:
        """Return all of it in words."""
        return (
            f"{self.videos} videos to learn from, {self.frames:,} frames: {self.median_video:g} in the median video, "
            f"{self.median_segment:g} in the median segment, {self.short_segment:g} in a short one; "
            f"{self.columns} columns, {self.zeros:.0%} zeros; a linear map names {self.separability:.0%} of the rows "
            "of other training videos"
        )


@dataclass(frozen=True)
class Proposal:
    """Settings on top of the recipe `base`, and what the data set has."""

    base: str
    settings: tuple[Setting, ...]
    measures: Measures
    videos: int
    notes: tuple[str, ...]  # findings that training can live with
    hints: tuple[str, ...]  # settings for other aims
    vocabulary: Vocabulary

    def with_settings(self, *settings: Setting) -> Proposal:
        """Return the same with more settings."""
        return replace(self, settings=(*self.settings, *settings))


def propose(config: DataConfig) -> Proposal:
    """Measure a data set and propose settings; `config` has its root, and background, fps, layout and split if known.

    What training cannot live with is an InputError.
    """
    folder, reasons, options = DataFolder(config), dict[str, str](), config
    with suppress(InputError):  # a fault of the mapping is found below
        config, reasons = guess_names(config, folder.class_names, folder.root)
    inspection = Inspection(config, folder=folder)
    findings = list(inspection)
    _refuse(findings, folder.root, config.model_copy(update={"background": options.background}))
    names = inspection.split_names
    split = str(config.split) if str(config.split) in names or not names else names[0]
    if str(config.split) not in (split, "1"):
        raise InputError(ConfigKey("data.split"), f"no split {config.split!r}; the splits are {', '.join(names)}")
    config = config.model_copy(update={"split": int(split) if split.isdigit() else split})
    dataset = Dataset.open(config, folder)
    measures = measure(dataset)
    stride = stride_of(measures.frames, measures.short_segment)
    fps = config.fps or rate_of(map(folder.feature_path, dataset.learning))
    unknown = "unknown; feature rows per second, for times in seconds"
    validation, reason = _validation(config, dataset, measures)
    settings = (
        ("data.root", str(folder.root.resolve()), "from this file's folder, unless it is an absolute path"),
        ("data.split", config.split, f"of {', '.join(names)}"),
        ("data.layout", dataset.layout, "time first" if dataset.layout == "TD" else "channels first"),
        ("data.fps", fps, "as given" if config.fps else "of the JSON files" if fps else unknown),
        ("data.background", list(config.background or ()), reasons["background"]),
        *_optional(config, reasons),
        *validation,
        *_reading(dataset, measures, stride),
        *_sizes(measures),
        ("evaluation.count_background", not config.background, "background counts in edit and F1"),
    )
    notes = (*([reason] if reason else []), *(str(finding.error) for finding in findings))
    hints = tuple(_objects(dataset, measures))
    return Proposal("own", settings, measures, len(inspection.videos), notes, hints, dataset.vocabulary)


def _refuse(findings: Sequence[Finding], root: Path, config: DataConfig) -> None:
    """Raise the first error that training cannot live with; `Dataset.open` finds those of its split."""
    severe = [finding.error for finding in findings if not finding.is_note and finding.kind != "split"]
    if severe:
        values = {key: getattr(config, key) for key in ("layout", "fps", "background", "grammar")}
        values["unlabelled"] = config.unlabelled or None
        settings = [f"data.{key}={_as_yaml(value)}" for key, value in values.items() if value is not None]
        check = shlex.join(["fact-clip", "data", "check", str(root), *settings])
        error = severe[0]
        fix = "give --layout TD or DT" if isinstance(error, OrientationError) else error.fix
        shown = f"all {len(severe)} errors" if len(severe) > 1 else "the error"
        raise InputError(error.where, error.problem, f"{fix}; `{check}` shows {shown}".removeprefix("; "))


def _as_yaml(value: object) -> str:
    """Write a setting as it is typed: a list in brackets."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)


def measure(dataset: Dataset) -> Measures:
    """Measure the training and validation videos of a split; the features of some of them are read."""
    videos = [[run for run in runs(dataset.labels(name)) if run[2] != IGNORED] for name in dataset.learning]
    segments = [stop - start for video in videos for start, stop, _ in video]
    if not segments:
        raise InputError(dataset.root, "no frame of the training videos has a label", "write a class name per frame")
    lengths = [len(dataset.labels(name)) for name in dataset.learning]
    background = dataset.vocabulary.background_indices
    actions = [stop - start for video in videos for start, stop, label in video if label not in background]
    some = [np.asarray(dataset.features(name)[:_FIRST_ROWS]) for name in dataset.learning[:_VIDEOS]]
    return Measures(
        videos=len(videos),
        frames=sum(lengths),
        classes=len(dataset.vocabulary),
        columns=dataset.input_dim,
        median_video=float(np.median(lengths)),
        median_segment=float(np.median(segments)),
        short_segment=float(np.quantile(actions or segments, SHORT)),
        separability=separability(dataset),
        most_segments=max(map(len, videos)),
        objects=len(find_objects(lambda: some)) if dataset.input_dim <= _WIDEST else 0,
        zeros=float(np.mean([np.mean(array == 0) for array in some])),
    )


def _optional(config: DataConfig, reasons: Mapping[str, str]) -> list[Setting]:
    """Return the settings of names that not every data set has."""
    values: dict[str, Value] = {"unlabelled": list(config.unlabelled), "grammar": config.grammar}
    return [(f"data.{key}", value, reasons[key]) for key, value in values.items() if value]


def _validation(config: DataConfig, dataset: Dataset, measures: Measures) -> tuple[list[Setting], str]:
    """Return the settings that set whole persons apart for validation, or why nothing is: it would say too little.

    The recipe `own` has no validation. Others that take these settings (`zero_shot`) have theirs.
    """
    pattern = config.groups or guess_groups(dataset.learning)
    people = len(set(read_groups(dataset.learning, pattern).values())) if pattern else 0
    if measures.videos < FEWEST_VIDEOS:
        reason = f"{measures.videos} training videos are too few"
    elif people < FEWEST_GROUPS:
        reason = f"the names of the videos show {people or 'no'} persons, whom training would share with it"
    elif measures.separability >= SEPARABLE:
        reason = "the features seem to have seen the labels, and would look too good"
    else:
        why = "as given" if config.groups else f"GUESSED: {people} persons by their names; none is in both"
        return [("data.groups", pattern, why), ("data.validation", 0.1, "picks the epoch")], ""
    return [], f"no validation ({reason}): the averaged last epoch is kept"


def separability(dataset: Dataset) -> float:
    """Return the share of rows whose label a linear map fitted to every other training video gets right.

    A ridge regression of some rows of each video on their classes, both halves in turn. It costs a second.
    """
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


def _sampled_rows(dataset: Dataset, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return labelled rows (N, D) spread over each of some videos, at most `_WIDEST` columns of them, and labels."""
    rows, labels = [np.zeros((0, min(dataset.input_dim, _WIDEST)))], [np.zeros(0, np.int64)]
    for name in names:
        features, truth = dataset.features(name), dataset.labels(name)
        index = np.arange(0, len(truth), max(1, len(truth) // _ROWS))
        index = index[truth[index] != IGNORED]
        rows.append(np.asarray(features[index, :_WIDEST], dtype=np.float64))
        labels.append(truth[index])
    return np.concatenate(rows), np.concatenate(labels)


# --- values -------------------------------------------------------------------------------------------


def context_windows(segment: float) -> list[int]:
    """Return two windows in frames, odd: half of a short segment (5 at least), and five of these.

    The first tells what goes on now, the second what it is a part of.
    """
    short = _odd(max(segment / 2, 5))
    return [short, 5 * short]


def _odd(frames: float) -> int:
    return 2 * int(frames / 2) + 1


def stride_of(frames: int, segment: float) -> int:
    """Return the stride with which 50 epochs of `frames` read `ROWS`; a short segment retains five rows of its own."""
    return max(1, min(round(50 * frames / ROWS), int(segment // 5)))


def penalty_of(segment: float, is_separable: bool) -> float:
    """Return the penalty for a usual change of action in nats, 1.2 times a short segment in frames to the power of 0.8.

    Each frame of a wrong segment adds evidence for it, but not independent evidence, so the penalty grows more slowly
    than the length. Scores of a model whose training features have seen the labels are far too sure: 2.5 times that.
    """
    return round((3.0 if is_separable else 1.2) * segment**0.8, 1)


def tokens_of(segments: int) -> int:
    """Return a tenth more tokens than the most segments of a video, in tens."""
    return 10 * math.ceil(segments * 1.1 / 10)


def _reading(dataset: Dataset, measures: Measures, stride: int) -> list[Setting]:
    """Return how features are read."""
    standardize, why = _standardize(dataset)
    short = f"a short segment has {measures.short_segment:g} rows"
    settings: list[Setting] = [("data.stride", stride, f"{measures.frames:,} rows to train on; {short}")]
    if stride > 1:
        settings.append(("data.interleave", True, "each row is trained in its turn, and predicted"))
    settings.append(("data.standardize", standardize, why))
    windows, why = list[int](), f"{measures.columns} columns, as of clips of a video, have their context already"
    if measures.separability >= SEPARABLE:
        why = f"a linear map names {measures.separability:.0%} of the rows of other training videos: no more columns"
    elif measures.columns <= MOST_COLUMNS:
        windows = context_windows(measures.short_segment)
        why = f"mean and deviation of windows of these rows beside the columns; {short}"
    settings.append(("data.context", windows, why))
    return settings


def _standardize(dataset: Dataset) -> tuple[bool, str]:
    """Return whether columns are far from zero mean and unit deviation, by rows spread over some training videos."""
    rows = []
    for name in dataset.train[:_VIDEOS]:
        features = dataset.features(name)
        rows.append(np.asarray(features[:: max(1, len(features) // _ROWS)], dtype=np.float64))
    table = np.concatenate(rows)
    mean, deviation = np.abs(table.mean(axis=0)), table.std(axis=0)
    moving = deviation[deviation > 0]
    needed = not moving.size or bool(np.median(mean) > 0.25 or moving.min() < 0.5 or moving.max() > 2)
    low, high = (float(moving.min()), float(moving.max())) if moving.size else (0.0, 0.0)
    return needed, f"deviations of the columns lie between {low:.3g} and {high:.3g}, means about {np.median(mean):.3g}"


def _objects(dataset: Dataset, measures: Measures) -> list[str]:
    """Return what to set for actions nobody trained, where columns look like objects and names have a slot for them.

    With all classes trained, plain columns and a closed set learn faster (docs/experiments/own_data.md): a proposal.
    """
    slot = ObjectData().slot
    if measures.objects < FEWEST_OBJECTS or measures.zeros < SPARSE or slot not in dataset.vocabulary.slots:
        return []
    reason = (
        f"{measures.objects} groups of columns are zero together, as of detected objects ({measures.zeros:.0%} zeros)"
    )
    return [f"{reason}; to name actions nobody trained, set {OBJECTS}"]


def _sizes(measures: Measures) -> list[Setting]:
    """Return what follows for the model and its training."""
    hidden, segment = 32 * math.ceil((measures.classes + 1 + WIDTH) / 32), measures.short_segment
    is_separable = measures.separability >= SEPARABLE
    penalty, sure = penalty_of(segment, is_separable), "; scores will be too sure" * is_separable
    most = measures.most_segments
    settings: list[Setting] = [
        ("model.tokens", tokens_of(most), f"the most segments of a video are {most}"),
        ("model.input.hidden", hidden, f"{measures.classes} classes and about {WIDTH} channels of features"),
        ("decode.switch_penalty", penalty, f"a short segment has {segment:g} rows{sure}"),
    ]
    if is_separable:
        reason = "against features that name the training rows, and not those of a test"
        settings += [("augment.channels", 0.6, reason), ("augment.noise", 1, reason)]
    return settings
