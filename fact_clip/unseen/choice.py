"""Choice of classes to hold out, by their factors in other classes (docs/protocol.md)."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.config import Count, Natural
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.core.arguments import validated
from fact_clip.unseen.holdout import Holdout, Mode

Factor = tuple[str, str]  # a slot and its word

MIN_WELL_FILLED = 10, 3  # training frames and segments of a class that covers a factor well


class FactorSupport:
    """The seen classes that cover each factor.

    Args:
        vocabulary: Classes.
        held_out: Classes that cover nothing.
        counts: Training frames of each class (C,), or None if all classes have frames. A class
            without frames covers nothing.
        segments: Training segments of each class (C,), or None.
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

    def weakest(self, name: str) -> "Support":
        """Return how well other classes support the rarest factor of a class."""
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
        """Return how many well-filled classes are missing for each factor of `names` to have two.

        The class `without` does not count.
        """
        factors = set[Factor]().union(*(factors_of(self.vocabulary, name) for name in names))
        return sum(max(2 - len(self.well_filled[factor] - {without}), 0) for factor in factors)


@dataclass(frozen=True)
class Support:
    """Other classes with the rarest factor of a class. Without any, it is not compositional.

    Attributes:
        name: Name of the class.
        classes: Number of other classes.
        rarest: Rarest factor, or None for a class without factors.
        well_filled: Number of these classes that are well filled.
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
        vocabulary: Classes.
        unseen: Classes that are held out together.
        counts: Training frames of each class (C,), or None. A seen class without frames does not
            count.

    Returns:
        For each held-out class, its factors that no seen class has.
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


@validated("counts", "segments")
def rank(
    vocabulary: Vocabulary,
    held_out: Sequence[str] = (),
    counts: ArrayLike | None = None,
    seed: int = 0,
    segments: ArrayLike | None = None,
) -> list[Support]:
    """Rank the actions that could be held out next, with the best supported first.

    The rarest factor of a class is the one with the fewest other well-filled classes (up to two),
    and then with the fewest other classes.

    Args:
        vocabulary: Classes.
        held_out: Classes that support nothing.
        counts: Training frames of each class (C,), or None if all classes have enough.
        seed: Seed for the order of equally supported classes.
        segments: Training segments of each class (C,), or None if all classes have enough.

    Returns:
        The support of each action that is not held out and has frames.
    """
    support = FactorSupport(vocabulary, set(held_out), counts, segments)
    actions = [name for name in support.seen if name not in vocabulary.background]
    supports = [support.weakest(name) for name in actions]

    def key(weakest: Support) -> tuple[int, int, bytes]:
        drawn = hashlib.sha256(f"{seed}\n{weakest.name}".encode()).digest()
        return -min(weakest.well_filled, 2), -weakest.classes, drawn

    return sorted(supports, key=key)


def classes_with_twins(vocabulary: Vocabulary) -> set[str]:
    """Return the classes that share all their factors with a different class."""
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
        vocabulary: Classes.
        held_out: Held-out classes.
        counts: Training frames of each class (C,), or None.
        segments: Training segments of each class (C,), or None.

    Returns:
        For each held-out class, its factors that only one (well-filled) seen class covers, each
        with this class.
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
    """What training loses if classes are held out together. The smallest value is preferred."""

    shares_all_factors: bool  # a different class has the same factors, so hiding it hides nothing
    missing_classes: int  # see `FactorSupport.missing`
    videos: int  # number of videos that lose more than `MAX_OF_VIDEO` of their frames


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
    """Choose classes to hold out so that training loses as little as possible.

    Classes are chosen one by one. The first criterion is that as many factors as possible of all
    selected classes remain in two well-filled seen classes. The second is that as few videos as
    possible lose more than `MAX_OF_VIDEO` of their frames. The third is the support by the
    remaining classes (`rank`).

    Args:
        vocabulary: Classes.
        n_unseen: Number of test-unseen classes.
        n_validation_unseen: Number of validation-unseen classes.
        counts: Training frames of each class (C,). Classes without frames are not selected.
        segments: Training segments of each class (C,).
        videos: Frames of each class in each training video, (V, C).
        candidates: Classes to choose from, or None for all actions.
        min_support: Minimum number of seen classes that have each factor of each selected class.
            With 0, any class may be selected.
        seed: Seed for breaking ties.
        mode: Mode of the hold-out.

    Returns:
        The hold-out.

    Raises:
        InputError: Too few classes can be held out together.
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
            fix = "choose fewer, or lower min_support"
            if not any(support.classes for support in possible):
                fix = "divide the names into parts (data.grammar)"
            problem = f"only {len(selected)} of {count} classes can be held out together"
            raise InputError("holdout", problem, fix)

        remaining = FactorSupport(vocabulary, selected, counts, segments)
        losses = []
        for support in supported:
            names = [*selected, support.name]
            hidden = frames[:, vocabulary.encode(names)].sum(1)  # (V,)
            losses.append(
                TrainingLoss(
                    shares_all_factors=support.name in twins,
                    missing_classes=remaining.missing(names, without=support.name),
                    videos=int((hidden > MAX_OF_VIDEO * frames.sum(1)).sum()),
                )
            )
        best = supported[losses.index(min(losses))]  # in a tie, the first
        selected.append(best.name)

    # Alternate, so that both groups contain well and less well supported classes.
    turns = [number * n_validation_unseen // count for number in range(count + 1)]
    unseen: list[str] = []
    validation_unseen: list[str] = []
    for number, name in enumerate(selected):
        group = validation_unseen if turns[number + 1] > turns[number] else unseen
        group.append(name)
    return Holdout(tuple(unseen), tuple(validation_unseen), mode).check(vocabulary)


# Maximum share of the seen classes' action frames that these classes together may remove.
MAX_FRAME_SHARE = 0.15
MIN_GROUPS = 2  # of training videos with such a class, so that one is left for training
MIN_FRAMES = 10  # training frames of such a class


@dataclass(frozen=True, order=True)
class Preference:
    """Order in which classes are chosen as validation-unseen. The smallest comes first."""

    shares_all_factors: bool  # a different class has the same factors, so hiding it hides nothing
    missing_well_filled: int  # lower if two well-filled seen classes keep its rarest factor
    missing_classes: int  # lower if two seen classes keep it
    missing_groups: int  # classes in more groups of videos come first
    frames: int  # if all else is equal, the class with fewer frames comes first
    name: str


def choose_validation_unseen(
    vocabulary: Vocabulary,
    unseen: Sequence[str],
    frames: Mapping[str, Mapping[int, int]],
    groups: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
) -> Names:
    """Choose seen actions to hold out for tuning, if possible (docs/protocol.md, Validation).

    Their number is half the number of unseen classes, at least two, and at most an eighth of the
    seen actions (at least one). If all of them are held out, each of their factors remains in a
    seen class, and no unseen class loses a factor. They have enough frames, but not too many, in at
    least two groups of videos.

    Args:
        vocabulary: Classes.
        unseen: Test-unseen classes.
        frames: Number of frames by training or validation video and class index.
        groups: Group of each video, whose videos are used for validation together, or None if
            each video is a group.
        excluded: Classes that must not be chosen.

    Returns:
        The names of the classes, in the order of the vocabulary.
    """
    frame_counts = np.zeros(len(vocabulary), np.int64)  # for each seen class
    video_counts = np.zeros(len(vocabulary), np.int64)  # lower bound of its number of segments
    groups_of = defaultdict[int, set[str]](set)  # groups of videos by class index
    unseen_indices = set(vocabulary.encode(unseen).tolist())
    for video, counts in frames.items():
        for index, count in counts.items():
            if count and index >= 0 and index not in unseen_indices:
                frame_counts[index] += count
                video_counts[index] += 1
                groups_of[index].add(video if groups is None else groups[video])
    actions = [index for index in groups_of if index not in vocabulary.background_indices]
    n_selected = min(max(2, round(len(unseen) / 2)), max(1, len(actions) // 8))
    budget = MAX_FRAME_SHARE * frame_counts[actions].sum()
    twins = classes_with_twins(vocabulary)
    lost = lost_factors(vocabulary, unseen, frame_counts)

    def hides_a_factor(names: Sequence[str]) -> bool:
        """Return whether holding out these classes loses a factor of these or of unseen classes."""
        lost_together = lost_factors(vocabulary, [*unseen, *names], frame_counts)
        return any(factors != lost.get(name, ()) for name, factors in lost_together.items())

    selected: list[str] = []
    while len(selected) < n_selected:
        preferences = []
        held_out = (*unseen, *selected)
        for support in rank(vocabulary, held_out, frame_counts, segments=video_counts):
            name = support.name
            n_groups = len(groups_of[vocabulary.index(name)])
            n_frames = int(frame_counts[vocabulary.index(name)])
            if name in excluded or support.classes < 1 or n_groups < MIN_GROUPS:
                continue
            if not MIN_FRAMES <= n_frames <= budget or hides_a_factor([*selected, name]):
                continue
            preference = Preference(
                shares_all_factors=name in twins,
                missing_well_filled=-min(support.well_filled, 2),
                missing_classes=-min(support.classes, 2),
                missing_groups=-n_groups,
                frames=n_frames,
                name=name,
            )
            preferences.append(preference)
        if not preferences:
            break
        best = min(preferences)
        selected.append(best.name)
        budget -= best.frames
    return tuple(name for name in vocabulary if name in selected)
