"""Hold classes out of training: which, from whom, and what is left."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import RECIPES, DataConfig
from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.datasets.dataset import Dataset, carve_covering
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import read_lines

IGNORED = -1  # as in batch.py, which needs torch
HOLDOUTS = RECIPES / "holdouts"
"""Choices that come with the package, NAME.json."""

Mode = Literal["mask", "drop", "oracle"]
_KEYS = ("unseen", "validation_unseen", "mode", "train_videos", "test_videos")
# What such a file may say besides, for people.
_NOTES = ("test_subjects", "subjects", "new_factor", "note")


@dataclass(frozen=True)
class Holdout:
    """Classes that training does not see, and the videos that it is tried on.

    Args:
        unseen: classes of the test; nothing is trained or chosen on them.
        validation_unseen: classes that are not trained either, and by which settings are chosen.
        mode: "mask": their frames in training videos are ignored; "drop": training videos that have such a frame
            are left out altogether; "oracle": training sees them all, the supervised bound in the same groups.
        train_videos, test_videos: None: those of the data set's split.

    Raises:
        InputError: no unseen class, a name twice or in both groups, a video in both lists, or an unknown mode.
    """

    unseen: tuple[str, ...]
    validation_unseen: tuple[str, ...] = ()
    mode: Mode = "mask"
    train_videos: tuple[str, ...] | None = None
    test_videos: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.unseen:
            raise InputError("holdout.unseen", "no classes", "at least one")
        if self.mode not in get_args(Mode):
            raise InputError("holdout.mode", repr(self.mode), f"one of {', '.join(get_args(Mode))}")
        _once("class", {"unseen": self.unseen, "validation_unseen": self.validation_unseen})
        _once("video", {"train_videos": self.train_videos or (), "test_videos": self.test_videos or ()})

    @classmethod
    def read(cls, path: str | Path) -> Holdout:
        """Read a JSON file of the fields above or of a list of names, or a text file with an unseen name a line.

        Raises:
            InputError: an unreadable file, an unknown key, or values that are no lists of names; and see the class.
        """
        file = Path(path)
        lines = read_lines(file, "classes to hold out, as JSON or one name a line")
        if file.suffix != ".json":
            return cls(tuple(line for line in lines if line))
        try:
            value = json.loads("\n".join(lines))
        except json.JSONDecodeError as error:
            raise InputError(f"{file}:{error.lineno}", f"no JSON ({error.msg})", "an object with 'unseen'") from None
        return cls.from_dict({"unseen": value} if isinstance(value, list) else value, str(file))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "holdout") -> Holdout:
        """Make one of plain JSON; errors as in `read`, with `where` in them."""
        if not isinstance(values, Mapping) or "unseen" not in values:
            found = f"the keys {sorted(values)}" if isinstance(values, Mapping) else type(values).__name__
            raise InputError(where, found, "an object with 'unseen'")
        for key in values:
            if key not in (*_KEYS, *_NOTES):
                raise InputError(where, f"unknown key {key!r}", f"keys among {_KEYS}", _nearest(key, _KEYS))
        fields: dict[str, Any] = {key: values[key] for key in _KEYS if values.get(key) is not None}
        for key in set(fields) - {"mode"}:
            names = fields[key]
            if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
                raise InputError(where, f"{key} is {names!r}"[:120], "a list of names")
            fields[key] = tuple(names)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, which `from_dict` reads."""
        values = ((key, getattr(self, key)) for key in _KEYS)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values if value is not None}

    def save_json(self, path: str | Path) -> Path:
        """Write a file that `read` reads."""
        file = Path(path)
        file.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return file

    @property
    def hidden(self) -> tuple[str, ...]:
        """Both groups: what training must not see."""
        return (*self.unseen, *self.validation_unseen)

    def check(self, vocabulary: Vocabulary) -> Holdout:
        """Hold the names to a vocabulary; an unknown one (with the nearest) or a background class is an InputError."""
        for field, names in (("unseen", self.unseen), ("validation_unseen", self.validation_unseen)):
            for name in names:
                if name not in vocabulary:
                    todo = _nearest(name, vocabulary.names)
                    raise InputError(f"holdout.{field}", f"no class {name!r} among {len(vocabulary)}", todo=todo)
                if name in vocabulary.background:
                    raise InputError(f"holdout.{field}", f"{name!r}, which is background", "actions only")
        if len(self.hidden) == len(vocabulary) - len(vocabulary.background):
            raise InputError("holdout", f"all {len(self.hidden)} actions", "some that training sees")
        return self


def _once(what: str, fields: Mapping[str, tuple[str, ...]]) -> None:
    first: dict[str, str] = {}
    for field, names in fields.items():
        for name in names:
            if name in first:
                raise InputError(f"holdout.{field}", f"{what} {name!r} again, as in {first[name]}", "each once")
            first[name] = field


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
    return f"the nearest is {close[0]!r}" if close else ""


class Labelled(Protocol):
    """What has labels by video."""

    def labels(self, name: str) -> NDArray[np.int64]:
        """Class indices (T,), -1 where a frame is ignored."""


def check_leak(videos: Labelled, names: Iterable[str], vocabulary: Vocabulary, holdout: Holdout) -> None:
    """Look through the labels that training sees, frame by frame, for a class that it must not see.

    Raises:
        InputError: the first such frame, with its video; frames count from 0.
    """
    hidden = vocabulary.encode(holdout.hidden)
    for name in names:
        labels = videos.labels(name)
        frames = np.flatnonzero(np.isin(labels, hidden))
        if frames.size:
            label = vocabulary.names[labels[frames[0]]]
            found = f"label {label!r} at frame {frames[0]} ({frames.size} such frames)"
            raise InputError(f"training video {name!r}", found, "no class that is held out", "mask or drop it")


class HeldOut:
    """A data set as training, validation and test see it with classes held out. Has what `batch.Videos` asks for.

    Test videos keep all labels. In validation videos, a part of the training videos, the frames of unseen classes
    are ignored, and those of validation-unseen classes stay, because settings are chosen by them. In training videos
    the frames of both groups are ignored ("mask"), or the videos that have any are left out ("drop"). With "oracle"
    nothing is hidden; the groups are those that figures are told by.

    Args:
        dataset: one split; the holdout may deal its videos out anew.
        holdout: what to hold out.

    Raises:
        InputError: a class or video that the data set lacks, a training video that is a test video too, or no
            training video left.
    """

    def __init__(self, dataset: Dataset, holdout: Holdout) -> None:
        self.dataset, self.holdout = dataset, holdout.check(dataset.vocabulary)
        self.vocabulary, self.root, self.fps = dataset.vocabulary, dataset.root, dataset.fps
        self.layout, self.input_dim, self.encoder = dataset.layout, dataset.input_dim, dataset.encoder
        self.unseen, self.validation_unseen = (
            tuple(self.vocabulary.encode(names).tolist()) for names in (holdout.unseen, holdout.validation_unseen)
        )
        hidden = {*self.unseen, *self.validation_unseen}
        self.seen = tuple(index for index in range(len(self.vocabulary)) if index not in hidden)
        shown = holdout.mode == "oracle"
        self.learned = tuple(range(len(self.vocabulary))) if shown else self.seen
        learning, self.test = learning_and_test(dataset, holdout)
        classes = {name: Counter(dataset.labels(name).tolist()) for name in learning}
        share, part = dataset.config.validation, dataset.config.validation_part
        self.validation = carve_covering(learning, share, classes, set(self.seen), set(self.validation_unseen), part)
        train = tuple(name for name in learning if name not in self.validation)
        if holdout.mode == "drop":
            train = tuple(name for name in train if not hidden & classes[name].keys())
        if not train:
            raise InputError("holdout.mode", f"no training video of {len(learning)} is left", "some", "use mask")
        self.train = train
        self.hidden = () if shown else tuple(sorted(hidden))
        self._hides = dict.fromkeys(self.test, ()) | dict.fromkeys(self.validation, () if shown else self.unseen)

    def features(self, name: str) -> NDArray[Any]:
        """Raw features (T, D); see `Dataset.features`."""
        return self.dataset.features(name)

    def transformed(self, name: str, transform: FeatureTransform) -> NDArray[np.float32]:
        """A video as a model takes it; see `Dataset.transformed`."""
        return self.dataset.transformed(name, transform)

    def labels(self, name: str) -> NDArray[np.int64]:
        """Class indices (T,), read-only; -1 where the role of the video hides a class (see the class)."""
        labels = self.dataset.labels(name)
        masked = np.where(np.isin(labels, self._hides.get(name, self.hidden)), IGNORED, labels)
        masked.flags.writeable = False
        return masked

    def check(self) -> None:
        """Look at all files of the split, and then for leaks; raises the first fault as an InputError."""
        self.dataset.check()
        self.check_leak()

    def check_leak(self) -> None:
        """See the function of this name; looks through the training videos, unless all is shown."""
        if self.holdout.mode != "oracle":
            check_leak(self, self.train, self.vocabulary, self.holdout)

    def class_counts(self, names: Iterable[str] | None = None) -> NDArray[np.int64]:
        """Frames of each class, (C,), in the given videos (None: the training videos); ignored ones do not count."""
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for name in self.train if names is None else names:
            labels = self.labels(name)
            counts += np.bincount(labels[labels != IGNORED], minlength=len(counts))
        return counts

    def mean_transcript_length(self, names: Iterable[str]) -> float:
        """Mean number of segments a video, without ignored stretches; an InputError without videos."""
        counts = [sum(label != IGNORED for _, _, label in runs(self.labels(name))) for name in names]
        if not counts:
            raise InputError("videos", "none", "at least one")
        return sum(counts) / len(counts)


def open_videos(config: DataConfig) -> Dataset | HeldOut:
    """The data set of a configuration, with its classes held out where ``data.holdout`` names any."""
    dataset = Dataset.open(config)
    if config.holdout is None:
        return dataset
    holdout = find_holdout(config.holdout, dataset)
    return HeldOut(dataset, replace(holdout, mode=config.holdout_mode or holdout.mode))


def find_holdout(holdout: str | tuple[str | int, ...], dataset: Dataset) -> Holdout:
    """The holdout of ``data.holdout``: a file under the root, a path, the name of one in `HOLDOUTS`, or the classes.

    Raises:
        InputError: see `Holdout.read`; a class number that the vocabulary lacks.
    """
    if isinstance(holdout, str):
        places = (dataset.root / holdout, Path(holdout), HOLDOUTS / f"{holdout}.json")
        return Holdout.read(next((path for path in places if path.is_file()), places[1]))
    names = dataset.vocabulary.names
    for one in holdout:
        if isinstance(one, int) and not 0 <= one < len(names):
            raise InputError("data.holdout", f"class number {one}", f"0 to {len(names) - 1}")
    return Holdout(tuple(names[one] if isinstance(one, int) else one for one in holdout))


def named_holdout(classes: Sequence[str | int]) -> str | tuple[str | int, ...]:
    """The name of the choice in `HOLDOUTS` that masks exactly these classes, else the classes as they are."""
    for path in sorted(HOLDOUTS.glob("*.json")):
        holdout = Holdout.read(path)
        if holdout.mode == "mask" and set(holdout.hidden) == set(classes):
            return path.stem
    return tuple(classes)


def learning_and_test(dataset: Dataset, holdout: Holdout) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Videos to learn from (training and validation) and to test on: the holdout's, else those of the split.

    Raises:
        InputError: a video that the split does not name, or one in both lists.
    """
    known = (*dataset.train, *dataset.validation, *dataset.test)
    for field in ("train_videos", "test_videos"):
        for name in getattr(holdout, field) or ():
            if name not in known:
                found = f"no video {name!r} in split {dataset.config.split} of {dataset.root}"
                raise InputError(f"holdout.{field}", found, "videos of the data set", _nearest(name, known))
    learning = holdout.train_videos or (*dataset.train, *dataset.validation)
    test = holdout.test_videos or dataset.test
    for name in test:
        if name in learning:
            raise InputError("holdout.test_videos", f"video {name!r}, also a training video", "either of them")
    return learning, test
