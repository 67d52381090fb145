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
"""Values of the group ``decode`` by their keys."""


@dataclass(frozen=True)
class DecodingChoice:
    """Settings of the group ``decode`` chosen on validation videos, and the evidence for them.

    See 'Settings chosen on validation videos' in docs/method.md.

    Attributes:
        recipe: Values of the recipe.
        settings: Values in use, with the same keys.
        videos: Number of validation videos that were decoded. Members decode only videos on which
            they were not trained.
        gain: Mean gain of the best values that were tried, in points. These values are not always
            in use.
        error: Standard error of the gain over the videos.
        reason: Reason for the values in use, in words.
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
        """Return the choice in words."""
        words = []
        for key, value in self.settings.items():
            change = "" if value == self.recipe[key] else f" (the recipe has {self.recipe[key]:g})"
            words.append(f"{key} {value:g}{change}")
        return f"decoding with {', '.join(words)}: {self.reason}"


@dataclass(frozen=True)
class RunFacts:
    """The content of ``run.json``, except for versions.

    Attributes:
        classes: Sizes and factors of the vocabulary that the heads need.
        layout: Orientation of feature files.
        fps: Feature rows per second, or None if unknown.
        mean_transcript_length: Mean number of segments per training video.
        objects: Columns of the model's input that belong to each named object.
        encoder: Name of the frame encoder that made the features, or None if unknown.
        transitions: (state, next state, count) in the training videos. A state below C is a class,
            and state C + a is background after action a.
        lengths: Mean and standard deviation of the logarithm of the number of frames in a segment,
            for each class.
        visits: For each class, the share of the training videos that contain it, and the share of
            these in which it occurs more than once.
        videos_a_step: Number of videos per training step, over all processes.
        seen: Videos and classes of the training run, or None without a record.
        teachers: Records of what the teacher of the drafts has seen, with None if unknown.
        finished: Whether the training is finished.
        n_frames: Median number of frames per training video.
        notes: Sentences about the decisions in the plan of the training run.
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
    """Read run.json. Raise an InputError if the file is missing or its format differs."""
    path = folder / "run.json"
    if not path.is_file():
        fix = "name a folder made by 'fact-clip train' or 'fact-clip convert'"
        raise InputError(folder, "no run.json", fix)
    facts = read_mapping(path, "a complete run folder")
    version = facts.get("format")
    if type(version) is not int or version != FORMAT:  # True and 2.0 also equal integers
        fix = f"use the fact-clip version that wrote it ({facts.get('fact_clip', 'unknown')})"
        raise InputError(path, f"format {version!r}, but this version reads {FORMAT}", fix)
    return facts


def classes_of(vocabulary: Vocabulary, head: str) -> Classes:
    """Return the part of a vocabulary that a head needs. A verb-noun head uses its first two slots.

    Args:
        vocabulary: Vocabulary of the classes.
        head: Name of the head.

    Raises:
        InputError: The head is "verb-noun", and the vocabulary has fewer than two slots.
    """
    if head != "verb-noun":
        return Classes(len(vocabulary))
    if len(vocabulary.slots) < 2:
        raise InputError("model.head", "verb-noun needs a vocabulary with the slots verb and noun")
    numbers = []
    counts = []
    for slot in vocabulary.slots[:2]:
        factors, indices = vocabulary.factor_indices(slot)
        # Classes without a factor, such as the background, share an additional factor.
        count = len(factors) + int((indices < 0).any())
        numbers.append(tuple((indices % count).tolist()))
        counts.append(count)
    _, first = np.unique(numbers, axis=1, return_index=True)  # first class of each verb and noun
    doubled = [repr(name) for label, name in enumerate(vocabulary) if label not in first]
    if doubled:
        message = (
            "verb-noun never predicts classes that share verb and noun with an earlier class: "
        )
        warnings.warn(message + ", ".join(doubled), stacklevel=2)
    return Classes(len(vocabulary), numbers[0], numbers[1], counts[0], counts[1])
