"""Which of the training videos validate: the choice hangs on neither order nor seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence


def carve_validation(names: Sequence[str], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut training videos into (train, validation); both keep the order given.

    The videos with the smallest hashes of their names validate, so the choice hangs on neither order nor seed.
    With a share above 0 at least one video validates, and at least one is left to train.
    """
    n_validation = min(max(round(share * len(names)), 1), len(names) - 1) if share > 0 else 0
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen = set(by_hash[:n_validation])
    return tuple(n for n in names if n not in chosen), tuple(n for n in names if n in chosen)


def carve_covering(
    learning: Sequence[str],
    share: float,
    frames: Mapping[str, Mapping[int, int]],
    seen: set[int],
    validation_unseen: set[int],
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
    """
    count = min(max(round(share * len(learning)), 1), len(learning) - 1) if share > 0 else 0
    left, chosen = sorted(learning, key=lambda name: hashlib.sha256(name.encode()).digest()), list[str]()
    for _ in range(count):
        uncovered = validation_unseen.difference(*(frames[name] for name in chosen))
        holders = Counter(index for name in left for index in frames[name])
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
