"""Two rules about whole videos: actions that always occur, and actions that never recur."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fact_clip.core import Flags, Integers, Reals, runs

NEARLY_ALWAYS = 0.9  # share of the training videos in which an action has to occur
HARDLY_EVER = 0.1  # maximum share of its training videos in which an action recurs
_BONUS = 1.0  # nats per row for an action that always occurs and was not predicted
_MOST_BONUSES = 2
_EXCLUDED = -5e3  # nats per row; above `_NOT_ALLOWED` of segment_costs.py


@dataclass(frozen=True)
class VisitRules:
    """The actions to which each rule applies.

    Attributes:
        always: Actions that occur in nearly every video, (C,).
        once: Actions that do not recur, (C,).
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
        """Return the rules that follow from training videos.

        Args:
            visits: For each class, the share of training videos that have it, and the share of
                these in which it recurs, or None for a class that was not trained.
            background: Classes to which no rule applies, (C,).
            use_always: Whether to fill `always`. Otherwise, no action has to occur.
            use_once: Whether to fill `once`. Otherwise, every action may recur.

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

    def decode(self, rows: Reals, decode_rows: Callable[[Reals], Integers]) -> Integers:
        """Decode a video with both rules.

        If an action always occurs and is not predicted, it gets a bonus, and the video is decoded
        again. This happens at most twice, and the bonuses add up. If an action recurs that should
        not, only the visit with the largest margin remains.

        Args:
            rows: Log-scores (T, C).
            decode_rows: Function that decodes such scores to labels (T,).

        Returns:
            Class indices (T,).
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
            # Each label is processed once. Otherwise, it could recur forever if all its rivals are
            # also excluded.
            unsettled = repeated.keys() - settled
            if not unsettled:
                return labels
            rows = rows.copy()
            for label in unsettled:
                # `rows` has the exclusions of earlier labels in this loop. Outside their visits,
                # these labels are not rivals, so the order of the labels can matter.
                start, stop = max(repeated[label], key=lambda visit: _margin(rows, label, *visit))
                rows[:start, label] = _EXCLUDED
                rows[stop:, label] = _EXCLUDED
            settled |= unsettled
            labels = decode_rows(rows)

    def _repeated(self, labels: Integers) -> dict[int, list[tuple[int, int]]]:
        """Return the rows `[start, stop)` of each visit of the actions that recur."""
        visits: dict[int, list[tuple[int, int]]] = {}
        for start, stop, label in runs(labels):
            if self.once[label]:
                visits.setdefault(label, []).append((start, stop))
        return {label: ranges for label, ranges in visits.items() if len(ranges) > 1}


def _margin(rows: Reals, label: int, start: int, stop: int) -> float:
    """Return how much the log-scores of a label exceed the best other scores in some rows."""
    visit = rows[start:stop]
    rivals = np.delete(visit, label, axis=1).max(axis=1)
    return float((visit[:, label] - rivals).sum())
