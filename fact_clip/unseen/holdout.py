"""Hold-outs: classes hidden from training, and their files (docs/protocol.md)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fact_clip.config import RECIPES, DataConfig
from fact_clip.core import (
    FileLocation,
    InputError,
    Json,
    Location,
    Names,
    Vocabulary,
)
from fact_clip.core.arguments import names_of
from fact_clip.core.io import parse_json, parse_value, read_lines
from fact_clip.core.messages import suggest
from fact_clip.core.paths import write_lines

HOLDOUTS = RECIPES / "holdouts"  # folder of the files NAME.json in this package
Mode = Literal["mask", "drop", "oracle"]
_KEYS = ("unseen", "validation_unseen", "mode", "train_videos", "test_videos")
_NOTES = (
    "test_subjects",
    "subjects",
    "new_factor",
    "note",
)  # remarks for people


@dataclass(frozen=True)
class Holdout:
    """Classes that are hidden from training, and optionally the training and test videos.

    Attributes:
        unseen: Test-unseen classes. No training or tuning uses them.
        validation_unseen: Classes that are not trained, but are used to tune settings.
        mode: "mask" ignores their frames in training videos, "drop" excludes training videos
            with such a frame, and "oracle" trains on all classes, which gives an upper bound for
            the same groups.
        train_videos: Names of the training videos, or None to use the split's.
        test_videos: Names of the test videos, or None to use the split's.
        file: File that it was read from, or None.
    """

    unseen: Names
    validation_unseen: Names = ()
    mode: Mode = "mask"
    train_videos: Names | None = None
    test_videos: Names | None = None
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for key in ("unseen", "validation_unseen", "train_videos", "test_videos"):
            names = getattr(self, key)
            if names is not None:
                object.__setattr__(self, key, names_of(names, f"holdout.{key}"))
        if not self.unseen:
            raise InputError("holdout.unseen", "no classes", "name at least one")
        modes = get_args(Mode)
        if self.mode not in modes:
            fix = f"use one of {', '.join(modes)}"
            raise InputError("holdout.mode", f"no mode {self.mode!r}", fix)
        for first, second in (("unseen", "validation_unseen"), ("train_videos", "test_videos")):
            names = [*(getattr(self, first) or ()), *(getattr(self, second) or ())]
            for name, times in Counter(names).items():
                if times > 1:
                    problem = f"{name!r} is listed twice in {first} and {second}"
                    raise InputError(f"holdout.{second}", problem, "list each once")

    @classmethod
    def read(cls, path: str | Path) -> "Holdout":
        """Read a hold-out from a file.

        Args:
            path: JSON file with the attributes above or with a list of names, or text file with one
                unseen class name per line.

        Returns:
            The hold-out.
        """
        path = Path(path)
        lines = read_lines(path, "classes to hold out, as JSON or one name per line")
        values: Any
        if path.suffix.lower() == ".json":
            values = parse_json("\n".join(lines), path, "JSON")
        else:
            values = [line for line in lines if line]
        if isinstance(values, list):
            values = {"unseen": values}

        if not isinstance(values, dict) or values.get("unseen") is None:
            fix = "write an object with 'unseen', a list of names"
            raise InputError(path, "no classes to hold out", fix)
        for key in values.keys() - {*_KEYS, *_NOTES}:
            problem = f"unknown key {key!r}; the keys are {', '.join(_KEYS)}"
            raise InputError(path, problem, suggest(key, _KEYS))
        fields = {key: values[key] for key in _KEYS if values.get(key) is not None}
        return replace(parse_value(cls, fields, path), file=path)

    def to_dict(self) -> Json:
        """Return plain JSON for `read`, without attributes that are None."""
        values = {}
        for key in _KEYS:
            value = getattr(self, key)
            if value is not None:
                values[key] = list(value) if isinstance(value, tuple) else value
        return values

    def save_json(self, path: Path) -> Path:
        """Write a JSON file for `read`. Return its path."""
        write_lines(path, [json.dumps(self.to_dict(), indent=1, ensure_ascii=False)])
        return path

    @property
    def hidden(self) -> Names:
        """Return the classes of both groups."""
        return (*self.unseen, *self.validation_unseen)

    def check(self, vocabulary: Vocabulary) -> "Holdout":
        """Check the names against a vocabulary, and return this hold-out.

        Raises:
            InputError: A class is unknown or is background, or no action remains for training.
        """
        for name in self.hidden:
            if name not in vocabulary:
                problem = f"no class {name!r} among {len(vocabulary)}"
                raise InputError(self._location(name), problem, suggest(name, vocabulary.names))
            if name in vocabulary.background:
                problem = f"{name!r} is background"
                raise InputError(self._location(name), problem, "name only actions")
        if len(self.hidden) == len(vocabulary) - len(vocabulary.background):
            problem = f"all {len(self.hidden)} actions are held out"
            raise InputError("holdout", problem, "leave some to train on")
        return self

    def _location(self, name: str) -> Location:
        key = "holdout.unseen" if name in self.unseen else "holdout.validation_unseen"
        return key if self.file is None else FileLocation(self.file, part=key)


def find_holdout(
    config: DataConfig, root: Path | None, vocabulary: Vocabulary, class_names: Sequence[str]
) -> Holdout | None:
    """Return the hold-out of a configuration, or None.

    ``data.holdout`` is a file below the root, a path, a name in `HOLDOUTS`, or a list of classes by
    name or by their number in the mapping.

    Args:
        config: Configuration of the data set.
        root: Folder of the data set, or None.
        vocabulary: Classes of the data set.
        class_names: All names in the mapping, including names that are ignored.
    """
    source = config.holdout
    if source is None:
        for key in ("holdout_mode", "validation_unseen"):
            value = getattr(config, key)
            if value not in (None, "auto"):
                raise InputError(f"data.{key}", f"{value!r}, but data.holdout names no classes")
        return None

    if not isinstance(source, str):
        holdout = Holdout(_class_names(source, class_names))
    else:
        holdout = read_holdout(source, root)
    if isinstance(config.validation_unseen, tuple):
        holdout = replace(holdout, validation_unseen=config.validation_unseen)
    return replace(holdout, mode=config.holdout_mode or holdout.mode).check(vocabulary)


def read_holdout(source: str, root: Path | None) -> Holdout:
    """Read a hold-out from a file below the root, from a path, or by its name in `HOLDOUTS`."""
    paths = [(root or Path()) / source, Path(source), HOLDOUTS / f"{source}.json"]
    return Holdout.read(next((path for path in paths if path.is_file()), Path(source)))


def _class_names(classes: Sequence[str | int], class_names: Sequence[str]) -> Names:
    """Return the names of classes that are listed by name or number."""
    names = []
    for name in classes:
        if isinstance(name, int):
            if not 0 <= name < len(class_names):
                fix = f"use 0 to {len(class_names) - 1}"
                raise InputError("data.holdout", f"no class number {name}", fix)
            names.append(class_names[name])
        else:
            names.append(name)
    return tuple(names)
