"""Which classes to hold out so that each of their factors stays in a seen class, and what is left to train on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import Holdout, Mode

Factor = tuple[str, str]
"""A slot and its word."""


def lost_factors(
    vocabulary: Vocabulary, unseen: Iterable[str], counts: ArrayLike | None = None
) -> dict[str, tuple[Factor, ...]]:
    """For each class of a set that is held out as a whole, its factors that no seen class has.

    Args:
        vocabulary: all classes.
        unseen: the whole set, with validation-unseen classes: training sees none of them.
        counts: training frames of each class, (C,); a seen class without frames does not count. None: all count.

    Raises:
        InputError: an unknown name, or counts of another shape.
    """
    held_out = tuple(unseen)
    return _occurring(vocabulary, held_out, counts).is_compositional(held_out)


def _occurring(vocabulary: Vocabulary, held_out: Collection[str], counts: ArrayLike | None) -> Vocabulary:
    """The held-out classes, and the others that have training frames."""
    if counts is None:
        return vocabulary
    frames = np.asarray(counts)
    if frames.shape != (len(vocabulary),):
        raise InputError("counts", f"an array of shape {frames.shape}", f"({len(vocabulary)},), one number per class")
    vocabulary.encode(tuple(held_out))  # an unknown name is an error
    return vocabulary.subset(
        name for name, count in zip(vocabulary, frames.tolist(), strict=True) if count > 0 or name in held_out
    )


@dataclass(frozen=True)
class Level:
    """How new an unseen class is (docs/protocol.md, Levels): `new` are its factors that no seen class has."""

    new: tuple[Factor, ...] = ()

    @property
    def kind(self) -> Literal["compositional", "new factor"]:
        """Whether some factor is new."""
        return "new factor" if self.new else "compositional"


def levels(vocabulary: Vocabulary, holdout: Holdout, counts: ArrayLike | None = None) -> dict[str, Level]:
    """The level of every class of both groups, which are held out together; `counts` as in `lost_factors`."""
    lost = lost_factors(vocabulary, holdout.check(vocabulary).hidden, counts)
    return {name: Level(new) for name, new in lost.items()}


@dataclass(frozen=True)
class Support:
    """How many other classes have the rarest factor of the class `name`; with 0 it cannot stay compositional.

    `rarest` is that factor, None for a class without factors.
    """

    name: str
    classes: int
    rarest: Factor | None


def rank(
    vocabulary: Vocabulary, held_out: Iterable[str] = (), counts: ArrayLike | None = None, seed: int = 0
) -> list[Support]:
    """Actions that could be held out next, best supported first; `counts` as in `lost_factors`.

    Classes in `held_out` are held out already and support nothing. `seed` orders classes of equal support.
    """
    out = set(held_out)
    occurring = _occurring(vocabulary, out, counts)
    having = Counter(factor for name in occurring if name not in out for factor in _factors(occurring, name))
    ranked = []
    for name in occurring:
        if name not in out and name not in vocabulary.background:
            others = {factor: having[factor] - 1 for factor in _factors(occurring, name)}
            rarest = min(others, key=others.__getitem__, default=None)
            ranked.append(Support(name, 0 if rarest is None else others[rarest], rarest))

    def order(support: Support) -> tuple[int, bytes]:
        return -support.classes, hashlib.sha256(f"{seed}\n{support.name}".encode()).digest()

    return sorted(ranked, key=order)


def _factors(vocabulary: Vocabulary, name: str) -> list[Factor]:
    entry = vocabulary.factors[vocabulary.index(name)]
    return [(slot, factor) for slot, factor in zip(vocabulary.slots, entry, strict=True) if factor is not None]


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

    Classes are taken one by one: the one that the remaining classes support best, counted anew each time. Held-out
    classes support nothing, so no two choices can rely on each other, and choices spread over factors.

    Args:
        vocabulary, n_unseen, n_validation_unseen: how many of which classes to choose.
        counts: training frames of each class, (C,); classes without any support nothing and are not chosen.
        candidates: classes to choose from, for example those of the test videos; None: all actions.
        min_support: how many seen classes must have each factor of each chosen class.
        seed: breaks ties.
        mode: of the holdout.

    Raises:
        InputError: fewer classes can be held out, or an unknown candidate.
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
            raise InputError("holdout", found, str(wanted), "choose fewer, or lower min_support")
        chosen.append(best.name)
    # in turn, so that both groups have well and less well supported classes
    turns = [place * n_validation_unseen // wanted for place in range(wanted + 1)]
    validation = tuple(name for place, name in enumerate(chosen) if turns[place + 1] > turns[place])
    return Holdout(tuple(name for name in chosen if name not in validation), validation, mode).check(vocabulary)


def summary(dataset: Dataset, holdout: Holdout) -> dict[str, dict[str, int]]:
    """What there is to train on without a holdout ("all"), and with it in the modes "mask" and "drop".

    Counted over training and validation videos of a data set opened without a holdout: "videos" with a frame to learn
    from, labelled "frames", "segments", and "classes" that occur, background included.
    """
    hidden = dataset.vocabulary.encode(holdout.check(dataset.vocabulary).hidden)
    kept: dict[str, list[list[tuple[int, int, int]]]] = {"all": [], "mask": [], "drop": []}
    for name in dataset.videos_of(holdout)[0]:
        found = runs(dataset.labels(name))
        seen = [run for run in found if run[2] not in hidden]
        kept["all"].append(found)
        kept["mask"].append(seen)
        kept["drop"].append(found if len(seen) == len(found) else [])
    return {
        mode: {
            "videos": sum(map(bool, videos)),
            "frames": sum(stop - start for video in videos for start, stop, _ in video),
            "segments": sum(map(len, videos)),
            "classes": len({label for video in videos for _, _, label in video}),
        }
        for mode, videos in kept.items()
    }
