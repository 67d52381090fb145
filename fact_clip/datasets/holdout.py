"""Holdouts: which classes training must not see, how new they are, and which to choose (docs/protocol.md)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.config import RECIPES, Count, DataConfig, Natural
from fact_clip.core import ConfigKey, FileLocation, InputError, Vocabulary
from fact_clip.core.arguments import names_of, validated
from fact_clip.core.io import parse_json, parse_value
from fact_clip.core.messages import suggest
from fact_clip.core.paths import write_lines
from fact_clip.datasets.layout import read_lines

HOLDOUTS = RECIPES / "holdouts"  # NAME.json, those that come with the package
Mode = Literal["mask", "drop", "oracle"]
_KEYS = ("unseen", "validation_unseen", "mode", "train_videos", "test_videos")
_NOTES = (
    "test_subjects",
    "subjects",
    "new_factor",
    "note",
)  # further keys that a file may have, for people


@dataclass(frozen=True)
class Holdout:
    """Classes that training does not see, and optionally the videos to train and test on.

    The modes: "mask": their frames in training videos are ignored; "drop": training videos with such a frame are left
    out; "oracle": training sees all classes, which gives an upper bound for the same groups.
    """

    unseen: tuple[str, ...]  # classes of the test; nothing is trained or chosen on them
    validation_unseen: tuple[str, ...] = ()  # not trained either; settings are chosen by them
    mode: Mode = "mask"
    train_videos: tuple[str, ...] | None = None  # None: those of the data set's split
    test_videos: tuple[str, ...] | None = None
    file: Path | None = field(default=None, compare=False)  # that it was read from

    def __post_init__(self) -> None:
        for key in ("unseen", "validation_unseen", "train_videos", "test_videos"):
            if (names := getattr(self, key)) is not None:
                object.__setattr__(self, key, names_of(names, f"holdout.{key}"))
        if not self.unseen:
            raise InputError("holdout.unseen", "no classes", "name at least one")
        if self.mode not in get_args(Mode):
            raise InputError(
                "holdout.mode", f"no mode {self.mode!r}", f"use one of {', '.join(get_args(Mode))}"
            )
        for first, second in (("unseen", "validation_unseen"), ("train_videos", "test_videos")):
            times = Counter((*(getattr(self, first) or ()), *(getattr(self, second) or ())))
            for name in (name for name, count in times.items() if count > 1):
                raise InputError(
                    f"holdout.{second}", f"{name!r} twice in {first} and {second}", "name each once"
                )

    @classmethod
    def read(cls, path: str | Path) -> Holdout:
        """Read a JSON file with the fields above or a list of names, or a text file with an unseen name per line."""
        path = Path(path)
        lines = read_lines(path, "classes to hold out, as JSON or one name per line")
        is_json = path.suffix.lower() == ".json"
        values: Any = (
            parse_json("\n".join(lines), path, "JSON")
            if is_json
            else [line for line in lines if line]
        )
        values = {"unseen": values} if isinstance(values, list) else values
        if not isinstance(values, dict) or values.get("unseen") is None:
            raise InputError(
                path, "no classes to hold out", "write an object with 'unseen', a list of names"
            )
        for key in values.keys() - {*_KEYS, *_NOTES}:
            raise InputError(
                path, f"unknown key {key!r}; the keys are {', '.join(_KEYS)}", suggest(key, _KEYS)
            )
        fields = {key: values[key] for key in _KEYS if values.get(key) is not None}
        return replace(parse_value(cls, fields, path), file=path)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON for `read`; fields that are None are left out."""
        values = {key: getattr(self, key) for key in _KEYS if getattr(self, key) is not None}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }

    def save_json(self, path: Path) -> Path:
        """Write a JSON file for `read`."""
        write_lines(path, [json.dumps(self.to_dict(), indent=1, ensure_ascii=False)])
        return path

    @property
    def hidden(self) -> tuple[str, ...]:
        """Return the classes of both groups."""
        return (*self.unseen, *self.validation_unseen)

    def check(self, vocabulary: Vocabulary) -> Holdout:
        """Return this holdout; an InputError for an unknown or background class, or if no action is left."""
        for name in self.hidden:
            key = "holdout.unseen" if name in self.unseen else "holdout.validation_unseen"
            where = key if self.file is None else FileLocation(self.file, part=key)
            if name not in vocabulary:
                raise InputError(
                    where,
                    f"no class {name!r} among {len(vocabulary)}",
                    suggest(name, vocabulary.names),
                )
            if name in vocabulary.background:
                raise InputError(where, f"{name!r} is background", "name actions only")
        if len(self.hidden) == len(vocabulary) - len(vocabulary.background):
            raise InputError(
                "holdout", f"all {len(self.hidden)} actions are held out", "leave some to train on"
            )
        return self


def check_leak(
    labels: Mapping[str, NDArray[np.int64]], vocabulary: Vocabulary, hidden: Sequence[int]
) -> None:
    """Raise an InputError where training sees a frame of a hidden class; `labels` is video -> class indices (T,)."""
    for video, indices in labels.items():
        frames = np.flatnonzero(np.isin(indices, hidden))
        if frames.size:
            name = vocabulary.names[indices[frames[0]]]
            raise InputError(
                f"training video {video!r}", f"frame {frames[0]} shows {name!r}, which is held out"
            )


def find_holdout(config: DataConfig, root: Path, vocabulary: Vocabulary) -> Holdout | None:
    """Return the holdout of a configuration; None where it has none.

    ``data.holdout`` is a file under the root, a path, a name in `HOLDOUTS`, or a list of classes by name or number.
    """
    source, names = config.holdout, vocabulary.names
    if source is None:
        for key, value in (
            ("holdout_mode", config.holdout_mode),
            ("validation_unseen", config.validation_unseen),
        ):
            if value not in (None, "auto"):
                raise InputError(f"data.{key}", f"{value!r}, but data.holdout names no classes")
        return None
    if isinstance(source, str):
        paths = (root / source, Path(source), HOLDOUTS / f"{source}.json")
        holdout = Holdout.read(next((path for path in paths if path.is_file()), paths[1]))
    else:
        for entry in source:
            if isinstance(entry, int) and not 0 <= entry < len(names):
                raise InputError(
                    ConfigKey("data.holdout"),
                    f"no class number {entry}",
                    f"use 0 to {len(names) - 1}",
                )
        holdout = Holdout(
            tuple(names[entry] if isinstance(entry, int) else entry for entry in source)
        )
    if isinstance(config.validation_unseen, tuple):
        holdout = replace(holdout, validation_unseen=config.validation_unseen)
    return replace(holdout, mode=config.holdout_mode or holdout.mode).check(vocabulary)


def named_holdout(classes: Sequence[str | int]) -> str | tuple[str | int, ...]:
    """Return the name of the holdout in `HOLDOUTS` that masks exactly these classes, else the classes as they are."""
    for path in sorted(HOLDOUTS.glob("*.json")):
        holdout = Holdout.read(path)
        if holdout.mode == "mask" and set(holdout.hidden) == set(classes):
            return path.stem
    return tuple(classes)


Factor = tuple[str, str]  # a slot and its word


def lost_factors(
    vocabulary: Vocabulary, unseen: Iterable[str], counts: ArrayLike | None = None
) -> dict[str, tuple[Factor, ...]]:
    """Return, for each class of a set that is held out together, its factors that no seen class has.

    `counts` are training frames of each class, (C,); a seen class without frames does not count. None: all count.
    """
    held_out = tuple(unseen)
    having, _ = _supporters(vocabulary, held_out, counts, None)
    return {
        name: tuple(pair for pair in _factors(vocabulary, name) if not having[pair])
        for name in held_out
    }


def level(new: Sequence[Factor]) -> Literal["compositional", "new factor"]:
    """Return how new an unseen class is (docs/protocol.md, Levels), by its `lost_factors`."""
    return "new factor" if new else "compositional"


WELL_FILLED = 10, 3  # training frames and segments from which on a class shows a factor well


@dataclass(frozen=True)
class Support:
    """How many other classes have the rarest factor of a class; with 0 it cannot stay compositional."""

    name: str
    classes: int
    rarest: Factor | None  # None for a class without factors
    well_filled: int = 0  # of these classes


@validated("counts", "segments")
def rank(
    vocabulary: Vocabulary,
    held_out: Sequence[str] = (),
    counts: ArrayLike | None = None,
    seed: int = 0,
    segments: ArrayLike | None = None,
) -> list[Support]:
    """Rank actions that could be held out next, best supported first; `counts` as in `lost_factors`.

    The rarest factor is the one with the fewest well-filled other classes (`WELL_FILLED` training frames and
    `segments`, (C,)), up to two of these, then with the fewest other classes. A class comes last if another one has all
    of its factors. Classes in `held_out` support nothing. `seed` orders classes of equal support.
    """
    out = set(held_out)
    having, filled = _supporters(vocabulary, out, counts, segments)
    ranked = []
    for name in _seen(vocabulary, out, counts):
        if name not in vocabulary.background:
            of_class = [
                (len(filled[factor] - {name}), len(having[factor] - {name}), factor)
                for factor in _factors(vocabulary, name)
            ]
            fewest = min(of_class, key=lambda row: (min(row[0], 2), row[1]), default=(0, 0, None))
            ranked.append(Support(name, fewest[1], fewest[2], fewest[0]))
    order = {row.name: hashlib.sha256(f"{seed}\n{row.name}".encode()).digest() for row in ranked}
    twins = _twins(vocabulary)
    return sorted(
        ranked,
        key=lambda row: (
            row.name in twins,
            -min(row.well_filled, 2),
            -row.classes,
            order[row.name],
        ),
    )


def _twins(vocabulary: Vocabulary) -> set[str]:
    """Return the classes whose factors another class has too, all of them, so that only sentences tell them apart."""
    times = Counter(vocabulary.factors)
    return {
        name
        for name, factors in zip(vocabulary, vocabulary.factors, strict=True)
        if times[factors] > 1
    }


def _seen(vocabulary: Vocabulary, held_out: Collection[str], counts: ArrayLike | None) -> list[str]:
    """Return the classes that are not held out and have training frames."""
    frames = np.ones(len(vocabulary)) if counts is None else np.asarray(counts)
    return [
        name
        for name, count in zip(vocabulary, frames, strict=True)
        if count > 0 and name not in held_out
    ]


def _supporters(
    vocabulary: Vocabulary,
    held_out: Collection[str],
    counts: ArrayLike | None,
    segments: ArrayLike | None,
) -> tuple[dict[Factor, set[str]], dict[Factor, set[str]]]:
    """Return factor -> the classes with frames that are not held out and have it, and those of them well-filled."""
    rich = np.ones(len(vocabulary), dtype=bool)
    for values, bound in ((counts, WELL_FILLED[0]), (segments, WELL_FILLED[1])):
        rich &= np.True_ if values is None else np.asarray(values) >= bound
    having, filled = defaultdict[Factor, set[str]](set), defaultdict[Factor, set[str]](set)
    for name in _seen(vocabulary, held_out, counts):
        for factor in _factors(vocabulary, name):
            having[factor].add(name)
            if rich[vocabulary.index(name)]:
                filled[factor].add(name)
    return having, filled


def resting_on_one(
    vocabulary: Vocabulary,
    held_out: Iterable[str],
    counts: ArrayLike | None = None,
    segments: ArrayLike | None = None,
) -> dict[str, dict[Factor, str]]:
    """For each held-out class, its factors that a single seen class has (well-filled, if any), and that class."""
    out = tuple(held_out)
    having, filled = _supporters(vocabulary, out, counts, segments)
    return {
        name: {
            factor: min(filled[factor] or having[factor])
            for factor in _factors(vocabulary, name)
            if having[factor]
            and len(filled[factor]) < 2
            and (len(filled[factor]) == 1 or len(having[factor]) == 1)
        }
        for name in out
    }


def _factors(vocabulary: Vocabulary, name: str) -> list[Factor]:
    entry = vocabulary.factors[vocabulary.index(name)]
    return [
        (slot, factor)
        for slot, factor in zip(vocabulary.slots, entry, strict=True)
        if factor is not None
    ]


@validated("counts", "segments")
def select(
    vocabulary: Vocabulary,
    n_unseen: Count,
    n_validation_unseen: Natural = 0,
    *,
    counts: ArrayLike | None = None,
    segments: ArrayLike | None = None,
    candidates: Sequence[str] | None = None,
    min_support: int = 1,
    seed: int = 0,
    mode: Mode = "mask",
) -> Holdout:
    """Choose classes to hold out such that the whole set stays compositional.

    Classes are taken one by one: the one with which most factors of all that are taken stay in two well-filled seen
    classes (`rank`), then the one that the remaining classes support best. At least `min_support` seen classes have
    each factor of each chosen class, 0 to take any. Classes without training frames (`counts`, (C,)) are not chosen,
    and only `candidates` are; None: all actions. `seed` breaks ties.
    """
    allowed = set(vocabulary if candidates is None else candidates)
    chosen: list[str] = []
    count, twins = n_unseen + n_validation_unseen, _twins(vocabulary)
    while len(chosen) < count:
        possible = [
            row for row in rank(vocabulary, chosen, counts, seed, segments) if row.name in allowed
        ]
        supported = [row for row in possible if row.classes >= min_support]
        if not supported:
            has_parts = any(row.classes for row in possible)
            fix = (
                "choose fewer, or lower min_support"
                if has_parts
                else "give the names parts (data.grammar)"
            )
            raise InputError(
                "holdout", f"only {len(chosen)} of {count} classes can be held out together", fix
            )
        *_, filled = _supporters(vocabulary, chosen, counts, segments)

        def lasting(row: Support, filled: Mapping[Factor, set[str]] = filled) -> tuple[bool, int]:
            """Whether its factors are no other class's; well-filled classes, up to two, of the rarest of each class."""
            least = (
                min(
                    (len(filled[factor] - {row.name}) for factor in _factors(vocabulary, name)),
                    default=0,
                )
                for name in (*chosen, row.name)
            )
            return row.name not in twins, sum(min(others, 2) for others in least)

        chosen.append(max(supported, key=lasting).name)  # of equally good ones the first
    # in turn, so that both groups have well and less well supported classes
    turns = [number * n_validation_unseen // count for number in range(count + 1)]
    validation = tuple(
        name for number, name in enumerate(chosen) if turns[number + 1] > turns[number]
    )
    return Holdout(
        tuple(name for name in chosen if name not in validation), validation, mode
    ).check(vocabulary)


MAX_FRAMES = 0.15  # share of the action frames of seen classes that these classes may take from training, together
MIN_GROUPS, MIN_FRAMES = (
    2,
    10,
)  # of training videos (one validates, the others can), and frames, that such a class has


def choose_validation_unseen(
    vocabulary: Vocabulary,
    unseen: Sequence[str],
    frames: Mapping[str, Mapping[int, int]],
    groups: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
) -> tuple[str, ...]:
    """Choose seen actions to hold out for the choice of settings, if any can be (docs/protocol.md, Validation).

    Half as many as unseen classes, at least two, and at most an eighth of the seen actions (at least one), one by one.
    With all of them out, each of their factors stays in a seen class, no unseen class loses a factor, and they have
    some frames, in two groups of videos or more, but not too many. `frames` is training and validation video -> class
    index -> frames, `groups` video -> group, whose videos validate together; `excluded` classes are not taken.
    """
    hidden = set(vocabulary.encode(unseen).tolist())
    counts, videos = np.zeros(
        (2, len(vocabulary)), np.int64
    )  # of each class; no fewer segments than videos
    groups_of: dict[int, set[str]] = {}
    for video, by_class in frames.items():
        for index, count in by_class.items():
            if count and index >= 0 and index not in hidden:
                counts[index] += count
                videos[index] += 1
                groups_of.setdefault(index, set()).add(video if groups is None else groups[video])
    actions = [index for index in groups_of if index not in vocabulary.background_indices]
    n_chosen = min(max(2, round(len(unseen) / 2)), max(1, len(actions) // 8))
    budget = MAX_FRAMES * counts[actions].sum()
    lost, twins = lost_factors(vocabulary, unseen, counts), _twins(vocabulary)
    chosen: list[str] = []
    while len(chosen) < n_chosen:
        possible = []
        for support in rank(vocabulary, (*unseen, *chosen), counts, segments=videos):
            index, all_out = vocabulary.index(support.name), (*unseen, *chosen, support.name)
            if (
                support.name in excluded
                or support.classes < 1
                or len(groups_of[index]) < MIN_GROUPS
            ):
                continue
            left = lost_factors(vocabulary, all_out, counts)
            fits = MIN_FRAMES <= counts[index] <= budget and not any(
                left[name] for name in (*chosen, support.name)
            )
            if fits and all(left[name] == lost[name] for name in unseen):
                supports = (-min(support.well_filled, 2), -min(support.classes, 2))
                size = (-len(groups_of[index]), int(counts[index]))
                possible.append((support.name in twins, *supports, *size, support.name))
        if not possible:
            break
        *_, count, name = min(possible)
        chosen.append(name)
        budget -= count
    return tuple(name for name in vocabulary if name in chosen)
