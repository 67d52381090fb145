"""Which classes to hold out, so that what is left still shows every part of them; and what is left."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import Holdout, Mode

Factor = tuple[str, str]
"""A slot and what stands in it."""


def lost_factors(
    vocabulary: Vocabulary, unseen: Iterable[str], counts: ArrayLike | None = None
) -> dict[str, tuple[Factor, ...]]:
    """For each class of a set that is held out as a whole, its factors that no seen class has.

    Args:
        vocabulary: the classes.
        unseen: the whole set, validation-unseen classes included: training sees none of them.
        counts: training frames of each class, (C,); a seen class without any shows nothing. None: all show.

    Raises:
        InputError: an unknown name.
    """
    held_out = tuple(unseen)
    return _shown(vocabulary, held_out, counts).is_compositional(held_out)


def _shown(vocabulary: Vocabulary, held_out: Collection[str], counts: ArrayLike | None) -> Vocabulary:
    if counts is None:
        return vocabulary
    frames = _frames(vocabulary, counts)
    for name in held_out:
        vocabulary.index(name)
    return vocabulary.subset(
        name for name, count in zip(vocabulary, frames.tolist(), strict=True) if count > 0 or name in held_out
    )


def _frames(vocabulary: Vocabulary, counts: ArrayLike) -> NDArray[np.int64]:
    frames = np.asarray(counts)
    if frames.shape != (len(vocabulary),):
        raise InputError("counts", f"an array of shape {frames.shape}", f"({len(vocabulary)},), one number a class")
    return frames.astype(np.int64)


@dataclass(frozen=True)
class Level:
    """How new an unseen class is.

    Args:
        kind: "compositional", each of its factors is in a seen class; "new factor", some are not.
        new: those that are not.
    """

    kind: Literal["compositional", "new factor"]
    new: tuple[Factor, ...] = ()


def levels(vocabulary: Vocabulary, holdout: Holdout, counts: ArrayLike | None = None) -> dict[str, Level]:
    """The level of every class of both groups, with both held out together; `counts` as in `lost_factors`."""
    lost = lost_factors(vocabulary, holdout.check(vocabulary).hidden, counts)
    return {name: Level("new factor", new) if new else Level("compositional") for name, new in lost.items()}


@dataclass(frozen=True)
class Support:
    """How well other classes show the factors of a class.

    Args:
        name: the class.
        classes: how many other classes show its rarest factor; 0: it cannot be held out compositionally.
        rarest: that factor; None for a class that has none.
    """

    name: str
    classes: int
    rarest: Factor | None


def rank(
    vocabulary: Vocabulary, held_out: Iterable[str] = (), counts: ArrayLike | None = None, seed: int = 0
) -> list[Support]:
    """Classes that could be held out next, best supported first; background is left out.

    Args:
        vocabulary: the classes.
        held_out: classes that are out already; they support nothing.
        counts: as in `lost_factors`.
        seed: orders classes of equal support, by a hash of their names.
    """
    out = set(held_out)
    shown = _shown(vocabulary, out, counts)
    showing = Counter(factor for name in shown if name not in out for factor in _factors(shown, name))
    ranked = [_support(shown, name, showing) for name in shown if name not in out and name not in vocabulary.background]
    return sorted(ranked, key=lambda support: (-support.classes, _shuffled(seed, support.name)))


def _factors(vocabulary: Vocabulary, name: str) -> list[Factor]:
    entry = vocabulary.factors[vocabulary.index(name)]
    return [(slot, factor) for slot, factor in zip(vocabulary.slots, entry, strict=True) if factor is not None]


def _support(vocabulary: Vocabulary, name: str, showing: Counter[Factor]) -> Support:
    others = {factor: showing[factor] - 1 for factor in _factors(vocabulary, name)}
    rarest = min(others, key=others.__getitem__, default=None)
    return Support(name, 0 if rarest is None else others[rarest], rarest)


def _shuffled(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()


def select(
    vocabulary: Vocabulary,
    n_unseen: int,
    n_validation_unseen: int = 0,
    *,
    counts: ArrayLike | None = None,
    candidates: Iterable[str] | None = None,
    min_support: int = 1,
    seed: int = 0,
    mode: Mode = "mask",
) -> Holdout:
    """Choose classes to hold out such that the whole set stays compositional.

    One by one the class is taken that the remaining classes support best, counted anew each time: what is held out
    no longer supports anything. So no two choices can lean on each other, and choices spread over factors.

    Args:
        vocabulary: the classes.
        n_unseen, n_validation_unseen: how many classes to choose.
        counts: training frames of each class, (C,); classes without any support nothing and are not chosen.
        candidates: classes to choose from, as those that the test videos have; None: all actions.
        min_support: how many seen classes must show each factor of each chosen class.
        seed: breaks ties.
        mode: of the holdout.

    Raises:
        InputError: not so many classes can be held out, or an unknown candidate.
    """
    allowed = None if candidates is None else set(candidates)
    for name in allowed or ():
        vocabulary.index(name)
    chosen: list[str] = []
    wanted = n_unseen + n_validation_unseen
    while len(chosen) < wanted:
        possible = (
            support
            for support in rank(vocabulary, chosen, counts, seed)
            if support.classes >= min_support and (allowed is None or support.name in allowed)
        )
        best = next(possible, None)
        if best is None:
            found = f"{len(chosen)} classes can be held out together"
            raise InputError("holdout", found, f"{wanted}", "ask for fewer, or for a lower min_support")
        chosen.append(best.name)
    # dealt out in turn, so that both groups have well and less well supported classes
    turns = [place * n_validation_unseen // wanted for place in range(wanted + 1)]
    validation = tuple(name for place, name in enumerate(chosen) if turns[place + 1] > turns[place])
    return Holdout(tuple(name for name in chosen if name not in validation), validation, mode).check(vocabulary)


def summary(dataset: Dataset, holdout: Holdout) -> dict[str, dict[str, int]]:
    """What there is to train on, without a holdout ("all"), and with it under "mask" and under "drop".

    Counted over training and validation videos together: "videos" with a frame to learn from, labelled "frames",
    "segments", and "classes" that occur, background included.
    """
    hidden = dataset.vocabulary.encode(holdout.check(dataset.vocabulary).hidden)
    result = {way: {"videos": 0, "frames": 0, "segments": 0, "classes": 0} for way in ("all", "mask", "drop")}
    classes: dict[str, set[int]] = {way: set() for way in result}
    for name in dataset.videos_of(holdout)[0]:
        found = runs(dataset.labels(name))
        masked = [run for run in found if run[2] not in hidden]
        ways = {"all": found, "mask": masked, "drop": found if len(masked) == len(found) else []}
        for way, kept in ways.items():
            result[way]["videos"] += bool(kept)
            result[way]["frames"] += sum(stop - start for start, stop, _ in kept)
            result[way]["segments"] += len(kept)
            classes[way] |= {label for _, _, label in kept}
    for way, labels in classes.items():
        result[way]["classes"] = len(labels)
    return result
