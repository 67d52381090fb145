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
"""Rows that a training reads over all epochs, after the stride; docs/experiments/own_data.md says how it was chosen."""

FEWEST_EPOCHS, MOST_EPOCHS = 50, 300
MOST_COLUMNS = 512
"""Columns up to which context is added: two windows make five times as many of them."""

FEWEST_GROUPS = 10
"""Persons in the training videos from which on one of them is set apart for validation: a tenth of them at most."""

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
    most_segments: int  # of a video
    objects: int  # that `find_objects` sees in the columns
    zeros: float  # share of the values

    def __str__(self) -> str:
        """Return all of it in words."""
        return (
            f"{self.videos} videos to learn from, {self.frames:,} frames: {self.median_video:g} in the median video, "
            f"{self.median_segment:g} in the median segment; {self.columns} columns, {self.zeros:.0%} zeros"
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

    def with_epochs(self, epochs: int, reason: str) -> Proposal:
        """Return the same with another number of epochs."""
        key = "train.epochs"
        settings = ((key, epochs, reason) if entry[0] == key else entry for entry in self.settings)
        return replace(self, settings=tuple(settings))


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
    groups, too_few = _groups(config, dataset)
    measures = measure(dataset)
    stride = stride_of(measures.frames, measures.median_segment)
    fps = config.fps or rate_of(map(folder.feature_path, dataset.learning))
    unknown = "unknown; feature rows per second, for times in seconds"
    settings = (
        ("data.root", str(folder.root.resolve()), "from this file's folder, unless it is an absolute path"),
        ("data.split", config.split, f"of {', '.join(names)}"),
        ("data.layout", dataset.layout, "time first" if dataset.layout == "TD" else "channels first"),
        ("data.fps", fps, "as given" if config.fps else "of the JSON files" if fps else unknown),
        ("data.background", list(config.background or ()), reasons["background"]),
        *_optional(config, reasons),
        *groups,
        *_reading(dataset, measures, stride),
        *_sizes(measures, stride),
        ("evaluation.count_background", not config.background, "background counts in edit and F1"),
    )
    notes = (*(str(finding.error) for finding in findings), *too_few)
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
    some = [np.asarray(dataset.features(name)[:_FIRST_ROWS]) for name in dataset.learning[:_VIDEOS]]
    return Measures(
        videos=len(videos),
        frames=sum(lengths),
        classes=len(dataset.vocabulary),
        columns=dataset.input_dim,
        median_video=float(np.median(lengths)),
        median_segment=float(np.median(segments)),
        most_segments=max(map(len, videos)),
        objects=len(find_objects(lambda: some)) if dataset.input_dim <= _WIDEST else 0,
        zeros=float(np.mean([np.mean(array == 0) for array in some])),
    )


def _optional(config: DataConfig, reasons: Mapping[str, str]) -> list[Setting]:
    """Return the settings of names that not every data set has."""
    values: dict[str, Value] = {"unlabelled": list(config.unlabelled), "grammar": config.grammar}
    return [(f"data.{key}", value, reasons[key]) for key, value in values.items() if value]


def _groups(config: DataConfig, dataset: Dataset) -> tuple[list[Setting], list[str]]:
    """Return the pattern that finds a person in the names of the videos; or a note that they are too few."""
    if config.groups is not None:
        return [("data.groups", config.groups, "as given")], []
    pattern = guess_groups(dataset.learning)
    if pattern is None:
        return [], []
    people = len(set(read_groups(dataset.learning, pattern).values()))
    if people < FEWEST_GROUPS:
        advice = f"validation shares them with training; data.groups={pattern!r} sets one of them apart"
        return [], [f"{people} persons in the training videos by their names, fewer than {FEWEST_GROUPS}: {advice}"]
    reason = f"GUESSED: {people} persons by their names; none is in both training and validation"
    return [("data.groups", pattern, reason)], []


# --- values -------------------------------------------------------------------------------------------


def context_windows(segment: float) -> list[int]:
    """Return two windows in frames, odd: half of a median segment (5 at least), and nearly three of them.

    The first tells what goes on now, the second what it is a part of.
    """
    short = _odd(max(segment / 2, 5))
    return [short, max(_odd(2.75 * segment), 5 * short)]


def _odd(frames: float) -> int:
    return 2 * int(frames / 2) + 1


def stride_of(frames: int, segment: float) -> int:
    """Return the stride with which a model can read `frames` of training `FEWEST_EPOCHS` times in `ROWS`.

    A median segment retains three rows, as far as it has them.
    """
    return max(1, min(round(FEWEST_EPOCHS * frames / ROWS), int(segment // 3)))


def epochs_of(rows: int) -> int:
    """Return the number of passes over this many rows of training, for `ROWS` in all."""
    return min(max(round(ROWS / rows), FEWEST_EPOCHS), MOST_EPOCHS)


def penalty_of(segment: float) -> float:
    """Return the penalty for a change of action in nats, 0.4 times a median segment in frames to the power of 0.7.

    Each frame of a wrong segment adds evidence for it, but not independent evidence, so the penalty grows more slowly
    than the length.
    """
    return round(0.4 * segment**0.7, 1)


def tokens_of(segments: int) -> int:
    """Return a tenth more tokens than the most segments of a video, in tens."""
    return 10 * math.ceil(segments * 1.1 / 10)


def _reading(dataset: Dataset, measures: Measures, stride: int) -> list[Setting]:
    """Return how features are read."""
    standardize, why = _standardize(dataset)
    median = f"the median segment has {measures.median_segment:g} rows"
    settings: list[Setting] = [("data.stride", stride, f"{measures.frames:,} rows to train on; {median}")]
    if stride > 1:
        settings.append(("data.interleave", True, "each row is trained in its turn, and predicted"))
    settings.append(("data.standardize", standardize, why))
    windows, why = list[int](), f"{measures.columns} columns, as of clips of a video, have their context already"
    if measures.columns <= MOST_COLUMNS:
        windows = context_windows(measures.median_segment)
        why = f"mean and deviation of windows of these rows beside the columns; {median}"
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


def _sizes(measures: Measures, stride: int) -> list[Setting]:
    """Return what follows for the model and its training."""
    rows = measures.frames // stride
    epochs = epochs_of(rows)
    hidden = 32 * math.ceil((measures.classes + 1 + WIDTH) / 32)
    return [
        (
            "model.tokens",
            tokens_of(measures.most_segments),
            f"the most segments of a video are {measures.most_segments}",
        ),
        ("model.input.hidden", hidden, f"{measures.classes} classes and about {WIDTH} channels of features"),
        (
            "decode.switch_penalty",
            penalty_of(measures.median_segment),
            f"0.4 times {measures.median_segment:g} frames to the power of 0.7",
        ),
        ("train.epochs", epochs, f"{epochs * rows:,} rows in all"),
    ]
