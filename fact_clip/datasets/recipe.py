"""Which settings follow from what a data set holds, for `fact-clip data init`; docs/datasets.md has the rules.

Everything is measured on the videos that the split trains on. The labels of its test videos play no part.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from fact_clip.config import DataConfig, ObjectData
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.core.errors import ConfigKey, OrientationError
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.datasets.check import NOTES, Inspection, inspect
from fact_clip.datasets.dataset import IGNORED, Dataset
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.features import rate_of
from fact_clip.datasets.layout import find_root
from fact_clip.datasets.objects import find_objects
from fact_clip.datasets.splits import guess_groups, read_groups

Value = bool | int | float | str | list[int] | list[str] | None
Setting = tuple[str, Value, str]
"""A key with dots, its value and the reason."""

ROWS = 800_000
"""Rows that a training reads over all epochs, after the stride; docs/results.md says how it was chosen."""

FEWEST_EPOCHS, MOST_EPOCHS = 50, 300
MOST_COLUMNS = 512
"""Columns up to which context is added: two windows make five times as many of them."""

FEWEST_GROUPS = 10
"""Persons in the training videos from which on one of them is set apart for validation: a tenth of them at most."""

# Faults that training can live with; `Dataset.open` finds those of its own split.
_HARMLESS = (*NOTES, "split")
_VIDEOS, _ROWS = 20, 500  # how many are read to judge the scale of the columns
_FIRST_ROWS, _WIDEST = 2000, 1024  # rows of each of these videos, and most columns, that are searched for objects

WIDTH = 64
"""Channels of features beside the scores of the classes."""

OBJECTS = "data.objects.find=true model.head=text text.parts=[factors]"
FEWEST_OBJECTS, SPARSE = 3, 0.3
"""Objects, and share of zeros, from which on columns are taken to describe detected objects."""


@dataclass(frozen=True)
class Measured:
    """What a recipe rests on, of the training and validation videos of a split.

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
        """All of it in words."""
        return (
            f"{self.videos} videos to learn from, {self.frames:,} frames: {self.median_video:g} in the median video, "
            f"{self.median_segment:g} in the median segment; {self.columns} columns, {self.zeros:.0%} zeros"
        )


@dataclass(frozen=True)
class Suggestion:
    """Settings on top of the recipe `base`, and what the data set has."""

    base: str
    settings: tuple[Setting, ...]
    measured: Measured
    videos: int
    notes: tuple[str, ...]  # its harmless faults
    proposals: tuple[str, ...]  # settings for other aims
    vocabulary: Vocabulary  # its classes with their factors

    def with_epochs(self, epochs: int, why: str) -> Suggestion:
        """The same with another number of epochs."""
        key = "train.epochs"
        return replace(self, settings=tuple((key, epochs, why) if one[0] == key else one for one in self.settings))


def suggest(config: DataConfig) -> Suggestion:
    """Measure a data set and suggest settings; `config` has its root, and background, fps, layout and split if known.

    Faults that training cannot live with are an InputError.
    """
    asked, root, reasons = config, find_root(config), dict[str, str]()
    with suppress(InputError):  # a fault of the mapping is found below
        listed = parse_mapping(root / find_benchmark(config.name).mapping)[0]
        config, reasons = guess_names(config, listed, root)
    seen = inspect(config)
    _refuse_faults(seen, config if asked.background is not None else config.model_copy(update={"background": None}))
    names = list(seen.splits)
    split = str(config.split) if str(config.split) in names or not names else names[0]
    if str(config.split) not in (split, "1"):
        raise InputError(ConfigKey("data.split"), f"{config.split!r}; expected one of the splits {', '.join(names)}")
    config = config.model_copy(update={"split": int(split) if split.isdigit() else split})
    dataset = Dataset.open(config)
    groups, few = _groups(config, dataset)
    found = measure(dataset)
    stride = stride_of(found.frames, found.median_segment)
    fps = config.fps or rate_of(map(seen.feature_path, dataset.learning))
    settings = (
        ("data.root", str(seen.root.resolve()), "from this file's folder, unless it is an absolute path"),
        ("data.split", config.split, f"of {', '.join(names)}"),
        ("data.layout", dataset.layout, "time first" if dataset.layout == "TD" else "channels first"),
        (
            "data.fps",
            fps,
            "as given"
            if config.fps
            else "of the JSON files"
            if fps
            else "unknown; feature rows per second, for times in seconds",
        ),
        ("data.background", list(config.background or ()), reasons["background"]),
        *_optional(config, reasons),
        *groups,
        *_reading(dataset, found, stride),
        *_sizes(found, stride),
        ("evaluation.count_background", not config.background, "background counts in edit and F1"),
    )
    notes = (*(str(fault) for _, fault in seen.faults), *few)
    proposals = tuple(_objects(dataset, found))
    return Suggestion("own", settings, found, len(seen.videos), notes, proposals, dataset.vocabulary)


def _refuse_faults(seen: Inspection, config: DataConfig) -> None:
    severe = [fault for kind, fault in seen.faults if kind not in _HARMLESS]
    if severe:
        given = {"layout": config.layout, "fps": config.fps, "background": config.background, "grammar": config.grammar}
        given["unlabelled"] = config.unlabelled or None
        settings = [f"data.{key}={_as_yaml(value)}" for key, value in given.items() if value is not None]
        check = shlex.join(["fact-clip", "data", "check", str(seen.root), *settings])
        first = severe[0]
        fix = "give --layout TD or DT" if isinstance(first, OrientationError) else first.fix
        more = f"{len(severe) - 1} more faults; see all with" * (len(severe) > 1) or "look again with"
        raise InputError(first.where, first.problem, f"{fix}; {more}: {check}".removeprefix("; "))


def _as_yaml(value: object) -> str:
    """A setting as it is typed: a list in brackets."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)


def measure(dataset: Dataset) -> Measured:
    """What the training and validation videos of a split hold; features are read of some of them."""
    videos = [[run for run in runs(dataset.labels(name)) if run[2] != IGNORED] for name in dataset.learning]
    segments = [stop - start for video in videos for start, stop, _ in video]
    if not segments:
        raise InputError(dataset.root, "no labelled frame in the training videos; expected a class name per frame")
    lengths = [len(dataset.labels(name)) for name in dataset.learning]
    some = [np.asarray(dataset.features(name)[:_FIRST_ROWS]) for name in dataset.learning[:_VIDEOS]]
    return Measured(
        videos=len(videos),
        frames=sum(lengths),
        classes=len(dataset.vocabulary),
        columns=dataset.input_dim,
        median_video=float(np.median(lengths)),
        median_segment=float(np.median(segments)),
        most_segments=max(map(len, videos)),
        objects=len(find_objects(lambda: some)) if dataset.input_dim <= _WIDEST else 0,
        zeros=float(np.mean([np.mean(each == 0) for each in some])),
    )


def _optional(config: DataConfig, reasons: Mapping[str, str]) -> list[Setting]:
    """The settings of names that not every data set has."""
    found: dict[str, Value] = {"unlabelled": list(config.unlabelled), "grammar": config.grammar}
    return [(f"data.{key}", value, reasons[key]) for key, value in found.items() if value]


def _groups(config: DataConfig, dataset: Dataset) -> tuple[list[Setting], list[str]]:
    """The pattern that finds a person in the names of the videos, where there is one; or a note that they are few."""
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
    """Two windows in frames, odd: half of a median segment (5 at least), and nearly three of them.

    The first tells what goes on now, the second what it is a part of.
    """
    short = _odd(max(segment / 2, 5))
    return [short, max(_odd(2.75 * segment), 5 * short)]


def _odd(frames: float) -> int:
    return 2 * int(frames / 2) + 1


def stride_of(frames: int, segment: float) -> int:
    """Every how many frames a model reads, so that it can read `frames` of training `FEWEST_EPOCHS` times in `ROWS`.

    A median segment keeps three rows, as far as it has them.
    """
    return max(1, min(round(FEWEST_EPOCHS * frames / ROWS), int(segment // 3)))


def epochs_of(rows: int) -> int:
    """Passes over this many rows of training, for `ROWS` in all."""
    return min(max(round(ROWS / rows), FEWEST_EPOCHS), MOST_EPOCHS)


def price_of(segment: float) -> float:
    """The price of a change of action in nats, 0.4 times a median segment in frames to the power of 0.7.

    Each frame of a wrong segment adds evidence for it, but not independent evidence, so the price grows with the length
    and more slowly.
    """
    return round(0.4 * segment**0.7, 1)


def tokens_of(segments: int) -> int:
    """A tenth more tokens than the most segments of a video, in tens."""
    return 10 * math.ceil(segments * 1.1 / 10)


def _reading(dataset: Dataset, found: Measured, stride: int) -> list[Setting]:
    """How features are read."""
    standardize, why = _standardize(dataset)
    of = f"the median segment has {found.median_segment:g} rows"
    settings: list[Setting] = [("data.stride", stride, f"{found.frames:,} rows to train on; {of}")]
    if stride > 1:
        settings.append(("data.interleave", True, "each row is trained in its turn, and predicted"))
    settings.append(("data.standardize", standardize, why))
    windows, why = list[int](), f"{found.columns} columns, as of clips of a video, have their context already"
    if found.columns <= MOST_COLUMNS:
        windows = context_windows(found.median_segment)
        why = f"mean and deviation of windows of these rows beside the columns; {of}"
    settings.append(("data.context", windows, why))
    return settings


def _standardize(dataset: Dataset) -> tuple[bool, str]:
    """Whether columns are far from zero mean and unit deviation, by rows spread over some training videos."""
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


def _objects(dataset: Dataset, found: Measured) -> list[str]:
    """What to set for actions nobody trained, where columns look like those of objects and names have a slot for them.

    With all classes trained, plain columns and a closed set learn faster (docs/results.md), so it is only proposed.
    """
    slot = ObjectData().slot
    if found.objects < FEWEST_OBJECTS or found.zeros < SPARSE or slot not in dataset.vocabulary.slots:
        return []
    seen = f"{found.objects} groups of columns are zero together, as of detected objects ({found.zeros:.0%} zeros)"
    return [f"{seen}; to name actions nobody trained, set {OBJECTS}"]


def _sizes(found: Measured, stride: int) -> list[Setting]:
    """What follows for the model and its training."""
    rows = found.frames // stride
    epochs = epochs_of(rows)
    hidden = 32 * math.ceil((found.classes + 1 + WIDTH) / 32)
    return [
        ("model.tokens", tokens_of(found.most_segments), f"the most segments of a video are {found.most_segments}"),
        ("model.input.hidden", hidden, f"{found.classes} classes and about {WIDTH} channels of features"),
        (
            "decode.switch_penalty",
            price_of(found.median_segment),
            f"0.4 times {found.median_segment:g} frames to the power of 0.7",
        ),
        ("train.epochs", epochs, f"{epochs * rows:,} rows in all"),
    ]
