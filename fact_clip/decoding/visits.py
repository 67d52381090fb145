"""Two rules about whole videos: actions that always occur, and actions that never come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fact_clip.core import Flags, Floats, Integers, runs

NEARLY_ALWAYS = 0.9  # share of the training videos in which an action has to occur
HARDLY_EVER = 0.1  # share of its training videos in which an action comes back
_BONUS = 1.0  # nats a row for an action that always occurs and was not found
_MOST_BONUSES = 2
_EXCLUDED = -5e3  # nats a row; above `_NOT_ALLOWED` of scores.py, for a class that is no candidate


@dataclass(frozen=True)
class VisitRules:
    """The actions that each rule holds for.

    Attributes:
        always: (C,) actions that occur in every video.
        once: (C,) actions that do not come back.
    """

    always: Flags
    once: Flags

    @classmethod
    def learned(
        cls,
        visits: Sequence[tuple[float, float] | None],
        background: Flags,
        *,
        use_always: bool = True,
        use_once: bool = True,
    ) -> VisitRules | None:
        """Return the rules that follow from a training.

        Args:
            visits: of each class the share of the training videos that have it, and the share of
                these in which it comes back; None for a class that was not trained.
            background: (C,) classes that no rule holds for.
            use_always: fill `always`; otherwise no action has to occur.
            use_once: fill `once`; otherwise every action may come back.

        Returns:
            The rules, or None if none is used.
        """
        if not use_always and not use_once:
            return None
        occurs = [pair is not None and pair[0] > NEARLY_ALWAYS for pair in visits]
        once = [pair is not None and pair[0] > 0 and pair[1] < HARDLY_EVER for pair in visits]
        return cls(
            always=np.array(occurs) & ~background & use_always,
            once=np.array(once) & ~background & use_once,
        )

    def decode(self, rows: Floats, decode_rows: Callable[[Floats], Integers]) -> Integers:
        """Decode a video with both rules.

        An action that always occurs and is not found gets a bonus, and the video is decoded again.
        That happens twice at most, and the bonuses add up.
        Of an action that comes back the visit with the largest margin stays.

        Args:
            rows: (T, C) log scores.
            decode_rows: decodes such scores to labels (T,).

        Returns:
            (T,) class indices.
        """
        labels = decode_rows(rows)
        for _ in range(_MOST_BONUSES):
            is_missing = self.always & ~np.isin(np.arange(len(self.always)), labels)
            if not is_missing.any():
                break
            rows = rows + _BONUS * is_missing
            labels = decode_rows(rows)
        settled: set[int] = set()
        while True:
            repeated = self._repeated(labels)
            # Each label is settled once: where all its rivals are excluded too, it may come back
            # for ever.
            unsettled = repeated.keys() - settled
            if not unsettled:
                return labels
            rows = rows.copy()
            for label in unsettled:
                # `rows` has the exclusions of earlier labels of this loop: outside their visits
                # they are no rivals any more. So the order of the labels can matter.
                start, stop = max(repeated[label], key=lambda visit: _margin(rows, label, *visit))
                rows[:start, label] = _EXCLUDED
                rows[stop:, label] = _EXCLUDED
            settled |= unsettled
            labels = decode_rows(rows)

    def _repeated(self, labels: Integers) -> dict[int, list[tuple[int, int]]]:
        """Return the rows `[start, stop)` of each visit of the actions that come back."""
        visits: dict[int, list[tuple[int, int]]] = {}
        for start, stop, label in runs(labels):
            if self.once[label]:
                visits.setdefault(label, []).append((start, stop))
        return {label: ranges for label, ranges in visits.items() if len(ranges) > 1}


def _margin(rows: Floats, label: int, start: int, stop: int) -> float:
    """Return how much the log scores of a label exceed the best other ones in some rows."""
    visit = rows[start:stop]
    rivals = np.delete(visit, label, axis=1).max(axis=1)
    return float((visit[:, label] - rivals).sum())
