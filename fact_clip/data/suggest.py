"""A recipe for an own data set, from what its files say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.data.dataset import Dataset
from fact_clip.data.faults import inspect
from fact_clip.data.summary import summarize

# What people call "no action".
BACKGROUND_NAMES = ("background", "sil", "null", "none", "no action", "no_action", "idle", "action_start", "action_end")

STEPS = 4000
"""Training steps that are aimed at, with one video a batch; the recipes here lie between 1,500 and 11,000."""

_HARMLESS = ("never trained", "split")  # faults that a training can live with; a split's own stop Dataset.open
_VIDEOS, _ROWS = 20, 500  # looked at for the scale of the columns


@dataclass(frozen=True)
class Suggestion:
    """Settings on top of the recipe `folder`, each with the reason for it.

    Attributes:
        settings: (key, value, reason), keys with dots.
        videos, classes: of the data set.
        notes: what a person should know.
    """

    settings: tuple[tuple[str, Any, str], ...]
    videos: int
    classes: int
    notes: tuple[str, ...]


def suggest(config: DataConfig) -> Suggestion:
    """Measure a data set in the common layout.

    Args:
        config: its root; background, fps, layout and split where a person knows them.

    Raises:
        InputError: the data has faults that a training would not survive.
    """
    seen = inspect(config)
    severe = [fault for kind, fault in seen.faults if kind not in _HARMLESS]
    if severe:
        found = f"{len(severe)} faults, the first: {severe[0]}"
        raise InputError(seen.root, found, "none", f"see them all with: fact-clip data check {seen.root}")
    names = list(seen.splits)
    split = str(config.split) if str(config.split) in names or not names else names[0]
    config = config.model_copy(update={"split": int(split) if split.isdigit() else split})
    background, why_background = _background(config, seen.names)
    dataset = Dataset.open(config.model_copy(update={"background": background}))
    counted = summarize(dataset.config)
    stride, why_stride = _stride(counted)
    standardize, why_standardize = _standardize(dataset)
    n_train = len(dataset.train)
    width = 256 if len(seen.names) < 128 else 256 * math.ceil((len(seen.names) + 129) / 256)
    longest = counted["transcript_length"]["most"]
    settings = (
        ("data.root", str(seen.root.resolve()), ""),
        ("data.split", config.split, f"of {', '.join(names)}"),
        ("data.layout", dataset.layout, "time first" if dataset.layout == "TD" else "channels first"),
        ("data.fps", config.fps, "as given" if config.fps else "unknown; feature rows a second, for times in seconds"),
        ("data.background", list(background), why_background),
        ("data.stride", stride, why_stride),
        ("data.standardize", standardize, why_standardize),
        ("model.tokens", counted["suggested"]["tokens"], f"the longest video has {longest} segments"),
        ("model.input.hidden", width, f"room for {len(seen.names)} classes"),
        ("train.epochs", _epochs(n_train), f"about {STEPS} steps of one of {n_train} training videos"),
        ("evaluation.count_background", not background, "background counts in edit and F1"),
    )
    notes = tuple(str(fault) for _, fault in seen.faults)
    return Suggestion(settings, len(seen.videos), len(seen.names), notes)


def _background(config: DataConfig, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    if config.background is not None:
        return config.background, "as given"
    guessed = tuple(name for name in names if name.lower() in BACKGROUND_NAMES)
    return guessed, "GUESSED by its name" if guessed else "GUESSED: no class has a name that says no action"


def _stride(counted: dict[str, Any]) -> tuple[int, str]:
    """About 5,000 rows a video, but no more than half of a short segment in one stride."""
    rows, segment = counted["video_frames"]["median"], counted["segment_frames"]["median"]
    stride = max(1, min(int(rows // 5000), int(segment // 8)))
    return stride, f"half of the videos have {rows:g} rows or more, half of the segments {segment:g}"


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


def _epochs(n_train: int) -> int:
    return int(min(max(10 * round(STEPS / n_train / 10), 20), 400))
