"""Which of the training videos validate: the choice hangs on neither order nor seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence


def carve_validation(names: Sequence[str], share: float, part: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut training videos into (train, validation); both keep the order given.

    The videos with the smallest hashes of their names validate, so the choice hangs on neither order nor seed.
    With a share above 0 at least one video validates, and at least one is left to train. Part 1, 2, ... are the videos
    with the next hashes, as long as there are whole parts; then it is part 0 again.
    """
    count = _count(names, share)
    first = _part(names, count, part) * count
    chosen = set(_by_hash(names)[first : first + count])
    return tuple(n for n in names if n not in chosen), tuple(n for n in names if n in chosen)


def _count(names: Sequence[str], share: float) -> int:
    return min(max(round(share * len(names)), 1), len(names) - 1) if share > 0 else 0


def _part(names: Sequence[str], count: int, part: int) -> int:
    return part % max(len(names) // max(count, 1), 1)


def _by_hash(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def carve_covering(
    learning: Sequence[str],
    share: float,
    frames: Mapping[str, Mapping[int, int]],
    seen: set[int],
    validation_unseen: set[int],
    part: int = 0,
) -> tuple[str, ...]:
    """Videos that validate: as many as `Dataset` takes, but such that validation-unseen classes occur in them.

    One by one: the video with the most validation-unseen classes that no chosen one has; of those, the one that
    takes the fewest seen classes out of training for good; of those, the one with the most frames of
    validation-unseen classes; of those, the smallest hash of its name.

    Args:
        learning: videos to choose from; the choice keeps their order.
        share: how large a part of them validates.
        frames: for each, class index -> frames.
        seen, validation_unseen: class indices.
        part: 0: the videos so chosen; 1, 2, ...: the same from those that no earlier part has, see `carve_validation`.
    """
    count = _count(learning, share)
    left, chosen = _by_hash(learning), list[str]()
    for turn in range(count * (_part(learning, count, part) + 1)):
        if turn % count == 0:
            chosen = []
        uncovered = validation_unseen.difference(*(frames[name] for name in chosen))
        holders = Counter(index for name in learning if name not in chosen for index in frames[name])
        last = {index for index in seen if holders[index] == 1}
        cost = {
            name: (
                -len(uncovered & found.keys()),
                len(last & found.keys()),
                -sum(found.get(index, 0) for index in validation_unseen),
            )
            for name, found in ((name, frames[name]) for name in left)
        }
        chosen.append(min(cost, key=cost.__getitem__))
        left.remove(chosen[-1])
    return tuple(name for name in learning if name in chosen)
