"""Holdouts: classes hidden from training, their novelty, and their choice (docs/protocol.md)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.config import RECIPES, Count, DataConfig, Natural
from fact_clip.core import (
    FileLocation,
    InputError,
    Integers,
    Json,
    Location,
    Names,
    Vocabulary,
)
from fact_clip.core.arguments import names_of, validated
from fact_clip.core.io import parse_json, parse_value
from fact_clip.core.messages import suggest
from fact_clip.core.paths import write_lines
from fact_clip.datasets.layout import read_lines

HOLDOUTS = RECIPES / "holdouts"  # NAME.json, those that come with the package
Mode = Literal["mask", "drop", "oracle"]
_KEYS = ("unseen", "validation_unseen", "mode", "train_videos", "test_videos")
_NOTES = ("test_subjects", "subjects", "new_factor", "note")  # keys of a file for people


@dataclass(frozen=True)
class Holdout:
    """Classes that training does not see, and optionally the videos to train and test on.

    Attributes:
        unseen: classes of the test. Nothing is trained or tuned on them.
        validation_unseen: not trained either, but settings are tuned on them.
        mode: "mask" ignores their frames in training videos, "drop" leaves out training videos
            with such a frame, "oracle" trains on all classes, which gives an upper bound for the
            same groups.
        train_videos: None for those of the data set's split.
        test_videos: None for those of the data set's split.
        file: the file that it was read from.
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
                    problem = f"{name!r} twice in {first} and {second}"
                    raise InputError(f"holdout.{second}", problem, "name each once")

    @classmethod
    def read(cls, path: str | Path) -> Holdout:
        """Read a holdout from a file.

        Args:
            path: a JSON file with the attributes above or a list of names, or a text file with an
                unseen class name per line.

        Returns:
            The holdout.
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

    def check(self, vocabulary: Vocabulary) -> Holdout:
        """Check the names against a vocabulary. Return this holdout.

        Raises:
            InputError: an unknown or background class, or no action is left to train on.
        """
        for name in self.hidden:
            if name not in vocabulary:
                problem = f"no class {name!r} among {len(vocabulary)}"
                raise InputError(self._location(name), problem, suggest(name, vocabulary.names))
            if name in vocabulary.background:
                problem = f"{name!r} is background"
                raise InputError(self._location(name), problem, "name actions only")
        if len(self.hidden) == len(vocabulary) - len(vocabulary.background):
            problem = f"all {len(self.hidden)} actions are held out"
            raise InputError("holdout", problem, "leave some to train on")
        return self

    def _location(self, name: str) -> Location:
        key = "holdout.unseen" if name in self.unseen else "holdout.validation_unseen"
        return key if self.file is None else FileLocation(self.file, part=key)


def check_leak(
    labels: Mapping[str, Integers], vocabulary: Vocabulary, hidden: Sequence[int]
) -> None:
    """Check that training sees no frame of a hidden class.

    Args:
        labels: training video -> class indices (T,).
        vocabulary: the classes.
        hidden: indices of the hidden classes.
    """
    for video, indices in labels.items():
        frames = np.flatnonzero(np.isin(indices, hidden))
        if frames.size:
            frame = frames[0]
            name = vocabulary.names[indices[frame]]
            problem = f"frame {frame} shows {name!r}, which is held out"
            raise InputError(f"training video {video!r}", problem)


def find_holdout(config: DataConfig, root: Path | None, vocabulary: Vocabulary) -> Holdout | None:
    """Return the holdout of a configuration, or None.

    ``data.holdout`` is a file under the root, a path, a name in `HOLDOUTS`, or a list of classes by
    name or number.
    """
    source = config.holdout
    if source is None:
        for key in ("holdout_mode", "validation_unseen"):
            value = getattr(config, key)
            if value not in (None, "auto"):
                raise InputError(f"data.{key}", f"{value!r}, but data.holdout names no classes")
        return None

    if isinstance(source, str):
        holdout = Holdout.read(_holdout_path(source, root))
    else:
        holdout = Holdout(_class_names(source, vocabulary))
    if isinstance(config.validation_unseen, tuple):
        holdout = replace(holdout, validation_unseen=config.validation_unseen)
    return replace(holdout, mode=config.holdout_mode or holdout.mode).check(vocabulary)


def _holdout_path(source: str, root: Path | None) -> Path:
    candidates = [Path(source), HOLDOUTS / f"{source}.json"]
    if root is not None:
        candidates.insert(0, root / source)
    for path in candidates:
        if path.is_file():
            return path
    return Path(source)


def _class_names(classes: Sequence[str | int], vocabulary: Vocabulary) -> Names:
    """Return the names of classes that are listed by name or number."""
    names = []
    for name in classes:
        if isinstance(name, int):
            if not 0 <= name < len(vocabulary):
                fix = f"use 0 to {len(vocabulary) - 1}"
                raise InputError("data.holdout", f"no class number {name}", fix)
            names.append(vocabulary.names[name])
        else:
            names.append(name)
    return tuple(names)


Factor = tuple[str, str]  # a slot and its word

MIN_WELL_FILLED = 10, 3  # training frames and segments with which a class covers a factor well


class FactorSupport:
    """The seen classes that cover each factor.

    Args:
        vocabulary: the classes.
        held_out: classes that cover nothing.
        counts: training frames of each class, (C,). A class without frames covers nothing. None:
            all classes have frames.
        segments: training segments of each class, (C,), or None.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        held_out: Collection[str],
        counts: ArrayLike | None = None,
        segments: ArrayLike | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.seen = []  # the classes that are not held out and have training frames
        frames = np.ones(len(vocabulary)) if counts is None else np.asarray(counts)
        for name, count in zip(vocabulary, frames, strict=True):
            if count > 0 and name not in held_out:
                self.seen.append(name)

        is_well_filled = np.ones(len(vocabulary), dtype=bool)
        for values, least in zip((counts, segments), MIN_WELL_FILLED, strict=True):
            if values is not None:
                is_well_filled &= np.asarray(values) >= least
        self.classes = defaultdict[Factor, set[str]](set)  # the seen classes with a factor
        self.well_filled = defaultdict[Factor, set[str]](set)
        for name in self.seen:
            for factor in factors_of(vocabulary, name):
                self.classes[factor].add(name)
                if is_well_filled[vocabulary.index(name)]:
                    self.well_filled[factor].add(name)

    def weakest(self, name: str) -> Support:
        """Return the support of the rarest factor of a class by other classes."""
        supports = [
            Support(
                name=name,
                classes=len(self.classes[factor] - {name}),
                rarest=factor,
                well_filled=len(self.well_filled[factor] - {name}),
            )
            for factor in factors_of(self.vocabulary, name)
        ]
        return min(supports, key=_rarity, default=Support(name, 0, None))

    def missing(self, names: Iterable[str], without: str) -> int:
        """Return how many well-filled classes the factors of names lack to have two each.

        The class `without` does not count.
        """
        factors: set[Factor] = set()
        for name in names:
            factors.update(factors_of(self.vocabulary, name))
        total = 0
        for factor in factors:
            total += max(2 - len(self.well_filled[factor] - {without}), 0)
        return total


@dataclass(frozen=True)
class Support:
    """Other classes with the rarest factor of a class. With none it cannot stay compositional.

    Attributes:
        name: the class.
        classes: the number of other classes.
        rarest: the factor, or None for a class without factors.
        well_filled: the number of those classes that are well filled.
    """

    name: str
    classes: int
    rarest: Factor | None
    well_filled: int = 0


def _rarity(support: Support) -> tuple[int, int]:
    return min(support.well_filled, 2), support.classes


def lost_factors(
    vocabulary: Vocabulary, unseen: Iterable[str], counts: ArrayLike | None = None
) -> dict[str, tuple[Factor, ...]]:
    """Find the factors that no seen class covers.

    Args:
        vocabulary: the classes.
        unseen: the classes that are held out together.
        counts: training frames of each class, (C,), or None. A seen class without frames does not
            count.

    Returns:
        Held-out class -> its factors that no seen class has.
    """
    held_out = tuple(unseen)
    support = FactorSupport(vocabulary, held_out, counts)
    lost = {}
    for name in held_out:
        factors = factors_of(vocabulary, name)
        lost[name] = tuple(factor for factor in factors if not support.classes[factor])
    return lost


def level(new: Sequence[Factor]) -> Literal["compositional", "new factor"]:
    """Return the novelty of an unseen class (docs/protocol.md, Levels), by its `lost_factors`."""
    return "new factor" if new else "compositional"


@dataclass(frozen=True, order=True)
class RankKey:
    """Order of classes that could be held out next: the smallest comes first."""

    shares_all_factors: bool  # another class has the same factors
    missing_well_filled: int
    missing_classes: int
    shuffle: bytes  # an order that depends on the seed


@validated("counts", "segments")
def rank(
    vocabulary: Vocabulary,
    held_out: Sequence[str] = (),
    counts: ArrayLike | None = None,
    seed: int = 0,
    segments: ArrayLike | None = None,
) -> list[Support]:
    """Rank the actions that could be held out next, best supported first.

    The rarest factor of a class is the one with the fewest well-filled other classes, up to two,
    then with the fewest other classes. A class comes last if another class has all of its factors.

    Args:
        vocabulary: the classes.
        held_out: classes that support nothing.
        counts: training frames of each class, (C,). None: all classes have enough.
        seed: orders classes of equal support.
        segments: training segments of each class, (C,). None: all classes have enough.

    Returns:
        The support of each action that is not held out and has frames.
    """
    support = FactorSupport(vocabulary, set(held_out), counts, segments)
    twins = classes_with_twins(vocabulary)
    actions = [name for name in support.seen if name not in vocabulary.background]
    supports = [support.weakest(name) for name in actions]

    def key(weakest: Support) -> RankKey:
        return RankKey(
            shares_all_factors=weakest.name in twins,
            missing_well_filled=-min(weakest.well_filled, 2),
            missing_classes=-weakest.classes,
            shuffle=hashlib.sha256(f"{seed}\n{weakest.name}".encode()).digest(),
        )

    return sorted(supports, key=key)


def classes_with_twins(vocabulary: Vocabulary) -> set[str]:
    """Return the classes that share all their factors with another class."""
    times = Counter(vocabulary.factors)
    pairs = zip(vocabulary, vocabulary.factors, strict=True)
    return {name for name, factors in pairs if times[factors] > 1}


def resting_on_one(
    vocabulary: Vocabulary,
    held_out: Iterable[str],
    counts: ArrayLike | None = None,
    segments: ArrayLike | None = None,
) -> dict[str, dict[Factor, str]]:
    """Find the factors of held-out classes that only one seen class covers.

    Args:
        vocabulary: the classes.
        held_out: the held-out classes.
        counts: training frames of each class, (C,), or None.
        segments: training segments of each class, (C,), or None.

    Returns:
        Held-out class -> its factors that one (well-filled) seen class covers -> that class.
    """
    names = tuple(held_out)
    support = FactorSupport(vocabulary, names, counts, segments)
    resting: dict[str, dict[Factor, str]] = {}
    for name in names:
        resting[name] = {}
        for factor in factors_of(vocabulary, name):
            classes = support.classes[factor]
            well_filled = support.well_filled[factor]
            if len(well_filled) == 1:
                resting[name][factor] = min(well_filled)
            elif not well_filled and len(classes) == 1:
                resting[name][factor] = min(classes)
    return resting


def factors_of(vocabulary: Vocabulary, name: str) -> list[Factor]:
    """Return the factors of a class."""
    factors = vocabulary.factors[vocabulary.index(name)]
    pairs = zip(vocabulary.slots, factors, strict=True)
    return [(slot, word) for slot, word in pairs if word is not None]


MAX_OF_VIDEO = 0.25  # share of a training video's frames that hidden classes should take


@dataclass(frozen=True, order=True)
class TrainingLoss:
    """What training loses if classes are held out together: the smallest is preferred."""

    shares_all_factors: bool  # another class has the same factors, so hiding it hides nothing
    missing_classes: int  # see `FactorSupport.missing`
    videos: int  # that lose more than `MAX_OF_VIDEO` of their frames


@validated("counts", "segments", "videos")
def select(
    vocabulary: Vocabulary,
    n_unseen: Count,
    n_validation_unseen: Natural = 0,
    *,
    counts: ArrayLike | None = None,
    segments: ArrayLike | None = None,
    videos: ArrayLike | None = None,
    candidates: Sequence[str] | None = None,
    min_support: int = 1,
    seed: int = 0,
    mode: Mode = "mask",
) -> Holdout:
    """Choose classes to hold out such that training stays as intact as possible.

    Classes are taken one by one: the one with which the most factors of all selected classes stay
    in two well-filled seen classes, then the one with which the fewest videos lose more than
    `MAX_OF_VIDEO` of their frames, then the one that the remaining classes support best (`rank`).

    Args:
        vocabulary: the classes.
        n_unseen: number of test-unseen classes.
        n_validation_unseen: number of validation-unseen classes.
        counts: training frames of each class, (C,). Classes without frames are not selected.
        segments: training segments of each class, (C,).
        videos: frames of each class in each training video, (V, C).
        candidates: the classes to choose from. None: all actions.
        min_support: seen classes that have each factor of each selected class. 0 takes any class.
        seed: breaks ties.
        mode: the mode of the holdout.

    Returns:
        The holdout.

    Raises:
        InputError: too few classes can be held out together.
    """
    allowed = set(vocabulary if candidates is None else candidates)
    twins = classes_with_twins(vocabulary)
    if videos is None:
        videos = np.zeros((0, len(vocabulary)))
    frames = np.asarray(videos)  # (V, C)
    count = n_unseen + n_validation_unseen
    selected: list[str] = []
    while len(selected) < count:
        ranked = rank(vocabulary, selected, counts, seed, segments)
        possible = [support for support in ranked if support.name in allowed]
        supported = [support for support in possible if support.classes >= min_support]
        if not supported:
            has_parts = any(support.classes for support in possible)
            fix = "choose fewer, or lower min_support"
            if not has_parts:
                fix = "give the names parts (data.grammar)"
            problem = f"only {len(selected)} of {count} classes can be held out together"
            raise InputError("holdout", problem, fix)

        remaining = FactorSupport(vocabulary, selected, counts, segments)
        losses = []
        for support in supported:
            names = [*selected, support.name]
            hidden = frames[:, vocabulary.encode(names)].sum(1)  # (V,)
            loss = TrainingLoss(
                shares_all_factors=support.name in twins,
                missing_classes=remaining.missing(names, without=support.name),
                videos=int((hidden > MAX_OF_VIDEO * frames.sum(1)).sum()),
            )
            losses.append(loss)
        best = supported[losses.index(min(losses))]  # of equally good ones the first
        selected.append(best.name)

    # in turn, so that both groups have well and less well supported classes
    turns = [number * n_validation_unseen // count for number in range(count + 1)]
    unseen: list[str] = []
    validation_unseen: list[str] = []
    for number, name in enumerate(selected):
        group = validation_unseen if turns[number + 1] > turns[number] else unseen
        group.append(name)
    return Holdout(tuple(unseen), tuple(validation_unseen), mode).check(vocabulary)


# Share of the action frames of seen classes that these classes may take from training, together.
MAX_FRAMES = 0.15
MIN_GROUPS = 2  # of training videos with such a class: one validates, the others can
MIN_FRAMES = 10  # of training, of such a class


@dataclass(frozen=True, order=True)
class Preference:
    """Order in which classes are taken as validation-unseen: the smallest comes first."""

    shares_all_factors: bool  # another class has the same factors, so hiding it hides nothing
    missing_well_filled: int  # lower if two well-filled seen classes keep its rarest factor
    missing_classes: int  # lower if two seen classes keep it
    missing_groups: int  # classes in more groups of videos come first
    frames: int  # of equal classes, the one with fewer frames
    name: str


class HoldoutContext:
    """The training material from which validation-unseen classes are chosen.

    Args:
        vocabulary: the classes.
        unseen: the test-unseen classes.
        frames: video -> class index -> frames.
        groups: video -> its group, or None if each video is a group.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        unseen: Sequence[str],
        frames: Mapping[str, Mapping[int, int]],
        groups: Mapping[str, str] | None,
    ) -> None:
        self.vocabulary = vocabulary
        self.unseen = tuple(unseen)
        self.frame_counts = np.zeros(len(vocabulary), np.int64)  # of each seen class
        self.video_counts = np.zeros(len(vocabulary), np.int64)  # no more than its segments
        self.groups_of: dict[int, set[str]] = {}  # class index -> groups of videos

        unseen_indices = set(vocabulary.encode(unseen).tolist())
        for video, counts in frames.items():
            group = video if groups is None else groups[video]
            for index, count in counts.items():
                if count and index >= 0 and index not in unseen_indices:
                    self.frame_counts[index] += count
                    self.video_counts[index] += 1
                    self.groups_of.setdefault(index, set()).add(group)
        self.twins = classes_with_twins(vocabulary)
        self.lost = lost_factors(vocabulary, self.unseen, self.frame_counts)

    @property
    def actions(self) -> list[int]:
        """Return the indices of the seen actions with frames."""
        background = self.vocabulary.background_indices
        return [index for index in self.groups_of if index not in background]

    def hides_a_factor(self, names: Sequence[str]) -> bool:
        """Return whether holding these classes out loses a factor of them or of unseen ones."""
        lost = lost_factors(self.vocabulary, [*self.unseen, *names], self.frame_counts)
        if any(lost[name] for name in names):
            return True
        return any(lost[name] != self.lost[name] for name in self.unseen)


def candidate_preferences(
    context: HoldoutContext, selected: Sequence[str], excluded: Collection[str], budget: float
) -> list[Preference]:
    """Return the classes that may be held out next, each with its preference."""
    ranked = rank(
        context.vocabulary,
        (*context.unseen, *selected),
        context.frame_counts,
        segments=context.video_counts,
    )
    preferences = []
    for support in ranked:
        name = support.name
        index = context.vocabulary.index(name)
        n_groups = len(context.groups_of[index])
        n_frames = int(context.frame_counts[index])
        if name in excluded or support.classes < 1 or n_groups < MIN_GROUPS:
            continue
        if not MIN_FRAMES <= n_frames <= budget:
            continue
        if context.hides_a_factor([*selected, name]):
            continue
        preference = Preference(
            shares_all_factors=name in context.twins,
            missing_well_filled=-min(support.well_filled, 2),
            missing_classes=-min(support.classes, 2),
            missing_groups=-n_groups,
            frames=n_frames,
            name=name,
        )
        preferences.append(preference)
    return preferences


def choose_validation_unseen(
    vocabulary: Vocabulary,
    unseen: Sequence[str],
    frames: Mapping[str, Mapping[int, int]],
    groups: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
) -> Names:
    """Choose seen actions to hold out for tuning, if any can be (docs/protocol.md, Validation).

    They are half as many as the unseen classes, at least two, and at most an eighth of the seen
    actions (at least one). With all of them held out, each of their factors stays in a seen class
    and no unseen class loses a factor. They have some frames, in two groups of videos or more, but
    not too many.

    Args:
        vocabulary: the classes.
        unseen: the test-unseen classes.
        frames: training and validation video -> class index -> frames.
        groups: video -> its group, whose videos validate together. None: each is a group.
        excluded: classes that are not taken.

    Returns:
        The names of the classes, in the order of the vocabulary.
    """
    context = HoldoutContext(vocabulary, unseen, frames, groups)
    actions = context.actions
    n_selected = min(max(2, round(len(unseen) / 2)), max(1, len(actions) // 8))
    budget = MAX_FRAMES * context.frame_counts[actions].sum()
    selected: list[str] = []
    while len(selected) < n_selected:
        preferences = candidate_preferences(context, selected, excluded, budget)
        if not preferences:
            break
        best = min(preferences)
        selected.append(best.name)
        budget -= best.frames
    return tuple(name for name in vocabulary if name in selected)
