"""Holdouts: which classes training must not see (docs/protocol.md), and the check that it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import RECIPES, DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.vocabulary import nearest
from fact_clip.datasets.layout import read_lines

HOLDOUTS = RECIPES / "holdouts"
"""Holdouts that come with the package, NAME.json."""

Mode = Literal["mask", "drop", "oracle"]
_KEYS = ("unseen", "validation_unseen", "mode", "train_videos", "test_videos")
# Further keys that such a file may have, for people.
_NOTES = ("test_subjects", "subjects", "new_factor", "note")


@dataclass(frozen=True)
class Holdout:
    """Classes that training does not see, and optionally the videos to train and test on.

    Args:
        unseen: classes of the test; nothing is trained or chosen on them.
        validation_unseen: classes that are not trained either; settings are chosen by them.
        mode: "mask": their frames in training videos are ignored; "drop": training videos with such a frame are left
            out; "oracle": training sees all classes, which gives an upper bound for the same groups.
        train_videos, test_videos: None: those of the data set's split.

    Raises:
        InputError: no unseen class, a class or a video twice, or an unknown mode.
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
            todo = "show is called oracle now" if self.mode == "show" else ""
            raise InputError("holdout.mode", repr(self.mode), f"one of {', '.join(get_args(Mode))}", todo)
        for what, fields in (("class", ("unseen", "validation_unseen")), ("video", ("train_videos", "test_videos"))):
            first: dict[str, str] = {}
            for field in fields:
                for name in getattr(self, field) or ():
                    if name in first:
                        raise InputError(f"holdout.{field}", f"{what} {name!r} again, as in {first[name]}", "each once")
                    first[name] = field

    @classmethod
    def read(cls, path: str | Path) -> Holdout:
        """Read a JSON file with the fields above or a list of names, or a text file with an unseen name per line.

        Raises:
            InputError: an unreadable file, an unknown key, values that are not lists of names; and see the class.
        """
        file = Path(path)
        lines = read_lines(file, "classes to hold out, as JSON or one name per line")
        if file.suffix != ".json":
            return cls(tuple(line for line in lines if line))
        try:
            value = json.loads("\n".join(lines))
        except json.JSONDecodeError as error:
            raise InputError(f"{file}:{error.lineno}", f"not JSON ({error.msg})", "an object with 'unseen'") from None
        values = {"unseen": value} if isinstance(value, list) else value
        if not isinstance(values, dict) or "unseen" not in values:
            found = f"the keys {sorted(values)}" if isinstance(values, dict) else type(values).__name__
            raise InputError(file, found, "an object with 'unseen'")
        for key in values:
            if key not in (*_KEYS, *_NOTES):
                raise InputError(file, f"unknown key {key!r}", f"keys among {_KEYS}", nearest(key, _KEYS))
        fields: dict[str, Any] = {key: values[key] for key in _KEYS if values.get(key) is not None}
        for key in set(fields) - {"mode"}:
            names = fields[key]
            if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise InputError(file, f"{key} is {names!r}"[:120], "a list of names")
            fields[key] = tuple(names)
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `read`; fields that are None are left out."""
        values = {key: getattr(self, key) for key in _KEYS if getattr(self, key) is not None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def save_json(self, path: str | Path) -> Path:
        """Write a JSON file for `read`."""
        file = Path(path)
        file.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return file

    @property
    def hidden(self) -> tuple[str, ...]:
        """The classes of both groups."""
        return (*self.unseen, *self.validation_unseen)

    def check(self, vocabulary: Vocabulary) -> Holdout:
        """This holdout, if it fits a vocabulary.

        Raises:
            InputError: an unknown class (the error names the most similar one), a background class, or no action left
                to train on.
        """
        for name in self.hidden:
            where = "holdout.unseen" if name in self.unseen else "holdout.validation_unseen"
            if name not in vocabulary:
                todo = nearest(name, vocabulary.names)
                raise InputError(where, f"no class {name!r} among {len(vocabulary)}", todo=todo)
            if name in vocabulary.background:
                raise InputError(where, f"{name!r}, which is background", "actions only")
        if len(self.hidden) == len(vocabulary) - len(vocabulary.background):
            raise InputError("holdout", f"all {len(self.hidden)} actions", "some that training sees")
        return self


def check_leak(labels: Mapping[str, NDArray[np.int64]], vocabulary: Vocabulary, hidden: Sequence[int]) -> None:
    """Search the labels of training videos, frame by frame, for a class that training must not see.

    Args:
        labels: video -> class indices (T,) as training sees them.
        vocabulary, hidden: the classes, and the indices of the hidden ones.

    Raises:
        InputError: the first such frame, counted from 0, and its video.
    """
    for name, own in labels.items():
        frames = np.flatnonzero(np.isin(own, hidden))
        if frames.size:
            label = vocabulary.names[own[frames[0]]]
            found = f"label {label!r} at frame {frames[0]} ({frames.size} such frames)"
            raise InputError(f"training video {name!r}", found, "no class that is held out", "mask or drop it")


def find_holdout(config: DataConfig, root: Path, vocabulary: Vocabulary) -> Holdout | None:
    """The holdout of a configuration; None where it has none.

    ``data.holdout`` is a file under the root, a path, the name of one in `HOLDOUTS`, or a list of classes by name or
    number. ``data.holdout_mode`` replaces its mode.

    Raises:
        InputError: see `Holdout.read`; a class number that the vocabulary lacks.
    """
    asked, names = config.holdout, vocabulary.names
    if asked is None:
        return None
    if isinstance(asked, str):
        places = (root / asked, Path(asked), HOLDOUTS / f"{asked}.json")
        holdout = Holdout.read(next((path for path in places if path.is_file()), places[1]))
    else:
        for one in asked:
            if isinstance(one, int) and not 0 <= one < len(names):
                raise InputError("data.holdout", f"class number {one}", f"0 to {len(names) - 1}")
        holdout = Holdout(tuple(names[one] if isinstance(one, int) else one for one in asked))
    return replace(holdout, mode=config.holdout_mode or holdout.mode)


def named_holdout(classes: Sequence[str | int]) -> str | tuple[str | int, ...]:
    """The name of the holdout in `HOLDOUTS` that masks exactly these classes, else the classes as they are."""
    for path in sorted(HOLDOUTS.glob("*.json")):
        holdout = Holdout.read(path)
        if holdout.mode == "mask" and set(holdout.hidden) == set(classes):
            return path.stem
    return tuple(classes)
