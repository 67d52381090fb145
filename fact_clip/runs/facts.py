"""The content of ``run.json`` and ``decoding.json`` in a run folder."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fact_clip.config import Rate
from fact_clip.core import InputError, Json, Vocabulary
from fact_clip.core.io import read_mapping
from fact_clip.datasets.benchmarks import Layout
from fact_clip.models import Classes, ObjectSpec
from fact_clip.runs.seen import Seen

FORMAT = 2

_Index = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_LogFrames = Annotated[float, Field(ge=0, le=50)]
_Value = Annotated[float, Field(ge=0, le=1e6)]
DecodeValues = dict[Annotated[str, Field(pattern="^[a-z_]+$")], _Value]
"""Values by key of the group ``decode``."""


@dataclass(frozen=True)
class DecodingChoice:
    """Settings of the group ``decode`` that validation videos chose, and the evidence for them.

    See docs/method.md, 'Settings chosen on validation videos'.

    Attributes:
        recipe: Values in the recipe.
        settings: Values in use, with the same keys.
        videos: Number of decoded validation videos, each by members that were not trained on it.
        gain: Mean gain, in points, of the best values that were tried. They need not be in use.
        error: Standard error of the gain over the videos.
        reason: Reason for the values in use.
    """

    recipe: DecodeValues
    settings: DecodeValues
    videos: Annotated[int, Field(ge=0)]
    gain: float
    error: float
    reason: str

    @property
    def overrides(self) -> list[str]:
        """Return the chosen settings as overrides of a configuration."""
        return [f"decode.{key}={value}" for key, value in self.settings.items()]

    def __str__(self) -> str:
        """Return a description of the choice."""
        words = []
        for key, value in self.settings.items():
            change = "" if value == self.recipe[key] else f" (the recipe has {self.recipe[key]:g})"
            words.append(f"{key} {value:g}{change}")
        return f"decoding with {', '.join(words)}: {self.reason}"


@dataclass(frozen=True)
class RunFacts:
    """The content of ``run.json``, apart from versions.

    Attributes:
        classes: Facts about the vocabulary that the heads need.
        layout: Orientation of feature files.
        fps: Feature rows per second, if known.
        mean_transcript_length: Mean number of segments in the training videos.
        objects: Columns of the model's input for each named object.
        encoder: Frame encoder that computed the features from videos, if known.
        transitions: Counts (state, next state, times) of the segments in the training videos. A
            state is one of C classes, or C + a for background after action a.
        lengths: Mean and deviation of the log segment length in frames, for each class.
        visits: For each class, the share of training videos in which it occurs, and the share of
            these in which it recurs.
        videos_a_step: Videos per training step, over all processes.
        seen: Videos and classes that training saw, or None for a run without a record.
        teachers: Record of what the teacher of the drafts has seen, if known.
        finished: Whether training was completed.
        n_frames: Median length of a training video.
        notes: Decisions of the training plan, as sentences.
    """

    classes: Classes
    layout: Layout
    fps: Rate | None
    mean_transcript_length: Annotated[float, Field(ge=0, le=1e9)] | None
    objects: ObjectSpec | None = None
    encoder: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    transitions: tuple[tuple[_Index, _Index, Annotated[int, Field(ge=1)]], ...] = ()
    lengths: tuple[tuple[_LogFrames, _LogFrames], ...] = ()
    visits: tuple[tuple[_Share, _Share], ...] = ()
    videos_a_step: Annotated[int, Field(ge=1)] | None = None
    seen: Seen | None = None
    teachers: tuple[Seen | None, ...] = ()
    finished: bool | None = None
    n_frames: Annotated[int, Field(ge=1)] | None = None
    notes: tuple[str, ...] = ()


def read_facts(folder: Path) -> Json:
    """Read run.json. A missing file, or one in a different format, raises an InputError."""
    path = folder / "run.json"
    if not path.is_file():
        fix = "name a folder made by 'fact-clip train' or 'fact-clip convert'"
        raise InputError(folder, "no run.json", fix)
    facts = read_mapping(path, "a complete run folder")
    version = facts.get("format")
    if type(version) is not int or version != FORMAT:  # True and 2.0 also equal numbers
        fix = f"use the fact-clip version that wrote it ({facts.get('fact_clip', 'unknown')})"
        raise InputError(path, f"format {version!r}, but this version reads {FORMAT}", fix)
    return facts


def classes_of(vocabulary: Vocabulary, head: str) -> Classes:
    """Return the facts that a head needs. A verb-noun head uses the first two slots.

    Args:
        vocabulary: Classes.
        head: Name of the head.

    Raises:
        InputError: The head is verb-noun, but there are fewer than two slots.
    """
    if head != "verb-noun":
        return Classes(len(vocabulary))
    if len(vocabulary.slots) < 2:
        raise InputError("model.head", "verb-noun needs a vocabulary with the slots verb and noun")
    numbers = []
    counts = []
    for slot in vocabulary.slots[:2]:
        factors, indices = vocabulary.factor_indices(slot)
        # Classes without a factor (the background) share an additional factor.
        count = len(factors) + int((indices < 0).any())
        numbers.append(tuple((indices % count).tolist()))
        counts.append(count)
    _, first = np.unique(numbers, axis=1, return_index=True)  # first class of each pair
    doubled = [repr(name) for label, name in enumerate(vocabulary) if label not in first]
    if doubled:
        message = "never predicted by verb-noun, as earlier classes have their verb and noun: "
        warnings.warn(message + ", ".join(doubled), stacklevel=2)
    return Classes(len(vocabulary), numbers[0], numbers[1], counts[0], counts[1])
