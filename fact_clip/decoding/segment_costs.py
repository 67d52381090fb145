"""`SegmentCosts`: what a labelling costs in addition to the scores of its frames, and its decoding.

    decode
        _decode_rows: chooses the decoder.
            decode_switching: every change costs the same.
            _decode_states: costs of changes, or lengths of segments.
        rules.decode: repeats `_decode_rows` until the rules about whole videos are fulfilled.

Several ways to score a video are decoded in one call, with the same results as one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fact_clip.core import Flags, Integers, Reals, runs
from fact_clip.decoding.durations import Durations, decode_durations
from fact_clip.decoding.switching import IMPOSSIBLE, StateCosts, decode_switching
from fact_clip.decoding.visits import VisitRules

_LIVE = float(np.log(0.05))  # a class is decoded only if it comes this close to the best of a row
_NOT_ALLOWED = -1e4  # nats per row; finite, because lengths need sums of scores


@dataclass(frozen=True)
class SegmentCosts:
    """The costs of a labelling in addition to the scores of frames: order, lengths, rules.

    Attributes:
        transitions: Costs of changes, in units of the switching penalty, or None for costs of 1.
        durations: Lengths of the segments of the classes, or None if all lengths are equally good.
        rules: Rules about whole videos (see `VisitRules`). They are applied only if no rows are
            fixed.
    """

    transitions: StateCosts | None = None
    durations: Durations | None = None
    rules: VisitRules | None = None

    def with_class(self) -> SegmentCosts:
        """Return the costs with an additional last class, the background that a threshold adds."""
        rules = self.rules
        if rules is not None:
            rules = VisitRules(np.append(rules.always, False), np.append(rules.once, False))
        return SegmentCosts(
            transitions=None if self.transitions is None else self.transitions.with_class(),
            durations=None if self.durations is None else self.durations.with_class(),
            rules=rules,
        )

    def decode(
        self, probabilities: Tensor, allowed: Flags, penalty: float, fixed: Integers | None = None
    ) -> Integers:
        """Decode probabilities to labels.

        Args:
            probabilities: Probabilities (T', C) of a video, or (G, T', C) if it is scored in G
                ways. They are overwritten.
            allowed: Classes that may be predicted, (C,).
            penalty: Penalty of a usual change, in nats.
            fixed: Labels of the rows before the first one.

        Returns:
            Class indices (T',) or (G, T').
        """
        rows = self._rows(probabilities, allowed, penalty)
        fixed = np.empty(0, np.int64) if fixed is None else fixed
        decode_rows = partial(self._decode_rows, penalty=penalty, fixed=fixed)
        if self.rules is None or len(fixed):
            return decode_rows(rows)
        if rows.ndim == 3:
            return np.stack([self.rules.decode(way, decode_rows) for way in rows])
        return self.rules.decode(rows, decode_rows)

    def _rows(self, probabilities: Tensor, allowed: Flags, penalty: float) -> Reals:
        """Turn probabilities into the scores of the search, in place.

        These are log-scores if the search adds the scores of rows. Otherwise, each row gets its
        most probable class, and the probabilities are kept.
        """
        if penalty or self.durations is not None or self.rules is not None:
            # A score of zero must stay above the score of a class that is not allowed.
            smallest = torch.finfo(probabilities.dtype).tiny
            probabilities.clamp_(min=smallest).log_()
        if not allowed.all():
            probabilities[..., torch.from_numpy(~allowed)] = _NOT_ALLOWED
        return probabilities.cpu().numpy()

    def _decode_rows(self, rows: Reals, penalty: float, fixed: Integers) -> Integers:
        """Decode the result of `_rows`, (T', C) or (G, T', C)."""
        if self.durations is None and (self.transitions is None or not penalty):
            previous = int(fixed[-1]) if len(fixed) else None
            return decode_switching(rows, penalty, None, previous)
        n_classes = rows.shape[-1]
        states = self.transitions or StateCosts.plain(1 - np.eye(n_classes))
        is_live = _live_classes(rows, states, fixed)
        if rows.ndim == 2:
            return self._decode_states(rows, states.of_live(is_live), penalty, fixed)

        # Ways with the same live classes are decoded in one pass, except for lengths of segments.
        labels = np.empty(rows.shape[:2], np.int64)
        live_sets, set_of_way = np.unique(is_live, axis=0, return_inverse=True)
        for index, live_set in enumerate(live_sets):
            live_states = states.of_live(live_set)
            ways = np.flatnonzero(set_of_way.ravel() == index)
            if self.durations is None:
                labels[ways] = self._decode_states(rows[ways], live_states, penalty, fixed)
                continue
            for way in ways:
                labels[way] = self._decode_states(rows[way], live_states, penalty, fixed)
        return labels

    def _decode_states(
        self, rows: Reals, states: StateCosts, penalty: float, fixed: Integers
    ) -> Integers:
        """Decode log-scores (T', C), or (G, T', C) without lengths, into the classes of the given
        states.

        Args:
            rows: Log-scores of all classes.
            states: States that are decoded, with the costs of their changes.
            penalty: Penalty of a usual change, in nats.
            fixed: Labels of the rows before the first one.
        """
        classes = states.class_of_state  # (S,)
        rows = rows[..., classes]  # a copy
        previous = None
        n_previous = 0
        if len(fixed):
            previous = states.state_after(fixed)
            n_previous = len(fixed) - runs(fixed)[-1][0]
        else:
            # No action comes before the first row.
            rows[..., 0, states.last_action >= 0] = _NOT_ALLOWED
        costs = penalty * states.costs
        costs[states.costs >= IMPOSSIBLE] = IMPOSSIBLE
        if self.durations is None:
            return classes[decode_switching(rows, 1.0, costs, previous)]
        decoded = decode_durations(
            rows,
            costs,
            self.durations.log_scores[:, classes],
            previous,
            n_previous,
            self.durations.log_survival[:, classes],
            is_first=n_previous == len(fixed),
        )
        return classes[decoded]


def _live_classes(rows: Reals, states: StateCosts, fixed: Integers) -> Flags:
    """Return the classes that are worth decoding, because the time grows with their square.

    These are the classes that come close to the best class in some row, the background that
    remembers actions, and the classes of fixed rows.

    Args:
        rows: Log-scores (T', C) or (G, T', C).
        states: States of the C classes.
        fixed: Labels of the rows before the first one.

    Returns:
        Flags (C,) or (G, C). The flags of a way do not depend on other ways.
    """
    is_live = (rows >= rows.max(-1, keepdims=True) + _LIVE).any(-2)
    is_live[..., states.class_of_state[states.last_action >= 0]] = True
    is_live[..., fixed] = True
    return is_live
