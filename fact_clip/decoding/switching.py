"""Label sequences from frame scores: penalties, costs, threshold, short segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np

from fact_clip.config.rows import PENALTY_POWER
from fact_clip.core import Flags, Floats, Integers, Reals, runs

SHORT = 0.2  # quantile of the lengths of action segments
PENALTY = 1.2  # nats, times a power of the rows of a short segment

IMPOSSIBLE = 1e6  # cost of a change that no labelling has; finite, since costs are subtracted
_LONGEST_RUN = 10_000  # rows
_RESTS = (0.02, 0.98)  # bounds of the probability that background follows an action


def decode_switching(
    scores: Reals,
    penalty: float,
    costs: Floats | None = None,
    previous: int | None = None,
) -> Integers:
    """Find the labels y that maximise sum_t scores[t, y_t] - penalty * (number of changes in y).

    Args:
        scores: (T, C) log-probabilities, -inf where a class is not allowed. (G, T, C) are G videos
            of one length, or one video scored in G ways, decoded in one pass over the frames.
        penalty: cost of a change in nats.
        costs: (C, C) of `transition_costs`: a change from class c to d costs
            ``penalty * costs[c, d]``. None: each change costs ``penalty``.
        previous: class of the frame before the first one. A change from it costs as any other.

    Returns:
        (T,) or (G, T) class indices. Memory is O(G * T * C); time is the same, or O(G * T * C^2)
        with costs.
    """
    if penalty == 0:
        return scores.argmax(-1)
    n_frames, n_classes = scores.shape[-2:]
    # (T, G, C); frame by frame, in place, from scores to the value of the best path so far
    time_first = np.moveaxis(scores, -2, 0)
    totals = np.array(time_first, np.float64, order="C").reshape(n_frames, -1, n_classes)
    if previous is not None:
        if costs is None:
            totals[0] -= penalty * (np.arange(n_classes) != previous)
        else:
            totals[0] -= penalty * costs[previous]
    if costs is None:
        sources = _forward(totals, penalty)
    else:
        sources = _forward_with_costs(totals, penalty * costs)

    labels = totals.argmax(-1)  # (T, G)
    ways = np.arange(labels.shape[1])
    for frame in range(n_frames - 2, -1, -1):
        labels[frame] = sources[frame, ways, labels[frame + 1]]
    return labels.T.reshape(scores.shape[:-1])


def _forward(totals: Floats, penalty: float) -> Integers:
    """Accumulate the best totals in place; return the best predecessor of each class, (T, G, C)."""
    for last, row in pairwise(totals):
        row += np.maximum(last, last.max(-1, keepdims=True) - penalty)
    best = totals.argmax(-1)[..., None]  # a change after the frame comes from this class
    continues = totals >= np.take_along_axis(totals, best, -1) - penalty
    return np.where(continues, np.arange(totals.shape[-1]), best)


def _forward_with_costs(totals: Floats, costs: Floats) -> Integers:
    """Accumulate as `_forward`, where a change from class c to d costs ``costs[c, d]``."""
    n_classes = totals.shape[-1]
    sources = np.empty(totals.shape, np.int64)
    cost_to_from = np.ascontiguousarray(costs.T)
    values = np.empty((len(totals[0]), n_classes, n_classes))  # (G, to, from)
    for (last, row), source in zip(pairwise(totals), sources[:-1], strict=True):
        np.subtract(last[:, None], cost_to_from, out=values)
        values.argmax(-1, out=source)
        row += values.max(-1)
    return sources


def transition_costs(counts: Floats, weight: float) -> Floats:
    """Compute the cost of each change of class, where the usual change costs 1.

    A change of surprise s = -log p(next class | class) costs (1 + weight * s) / (1 + weight * S),
    with S the mean over the training. The probabilities are those of `next_shares`. Where nothing
    is known, a change costs 1: after a class that nothing followed, and to and from a class that
    did not occur. The costs are closed, see `close_costs`.

    Args:
        counts: (C, C) number of training segments of class c that are followed by class d.
        weight: dependence on the order; 0 gives costs of 1.

    Returns:
        (C, C) costs, 0 on the diagonal.
    """
    surprise = -np.log(next_shares(counts, occurrences(counts)))
    mean = (counts * surprise).sum() / max(counts.sum(), 1)
    costs = (1 + weight * surprise) / (1 + weight * mean)
    costs[counts.sum(1) == 0] = 1
    costs[:, occurrences(counts) == 0] = 1
    np.fill_diagonal(costs, 0)
    return close_costs(costs)


def listed_counts(counts: Floats, classes: Sequence[int], background: Sequence[int]) -> Floats:
    """Return the changes of a training in which only some of its classes are named.

    A segment of a different action is passed over, or is background if there is one background
    class. The next listed action after it is only known in the mean, as for a Markov chain.

    Args:
        counts: (2C, 2C) changes between states in the training, see `StateCosts.learned`.
        classes: The K classes that are named, the background among them.
        background: Background classes.

    Returns:
        (2K, 2K) changes between the states of the K classes.
    """
    n_classes = len(counts) // 2
    states = np.append(classes, n_classes + np.array(classes))  # (2K,)
    if np.array_equal(states, np.arange(len(counts))):
        return counts  # no copy, because a matrix of 2,000 classes has 128 MB
    passed_states = np.setdiff1d(np.arange(2 * n_classes), states)  # (U,)
    # Each passed state ends a video once more than it was seen to, so that every way leads out.
    n_left = counts[passed_states].sum(1, keepdims=True) + 1
    onward_shares = counts[passed_states] / n_left  # (U, 2C)
    steps = np.eye(len(passed_states)) - onward_shares[:, passed_states]
    arrivals = np.linalg.solve(steps, onward_shares[:, states])  # (U, 2K) of the next named state
    detours = counts[np.ix_(states, passed_states)] @ arrivals
    changes = counts[np.ix_(states, states)]
    is_background = np.isin(classes, background)
    if is_background.sum() != 1 or not counts[:, n_classes:].any():
        return changes + detours
    # The passed segments are background after the last named action.
    actions = np.flatnonzero(~is_background)
    backgrounds = len(classes) + actions
    n_passed = counts[np.ix_(states, passed_states)].sum(1)
    changes[backgrounds] += detours[backgrounds] + detours[actions]
    changes[actions, backgrounds] += n_passed[actions]
    (first,) = np.flatnonzero(is_background)
    changes[first] += detours[first]
    return changes


def occurrences(counts: Floats) -> Floats:
    """Return how often each class occurred at least, (C,).

    A class that begins every training video is often left, but never entered.

    Args:
        counts: (C, C) number of training segments of class c that are followed by class d.
    """
    return np.maximum(counts.sum(0), counts.sum(1))


def next_shares(counts: Floats, times: Floats) -> Floats:
    """Compute the probability of each next class, none of which is 0.

    The counts are mixed with how often each class occurs anywhere, which counts as much as one
    segment. How often classes occur is itself mixed with equal shares, which count as much as one
    segment. So what was not seen is the less probable, the more was seen.

    Args:
        counts: (K, C) number of segments in context k that are followed by class c.
        times: (C,) how often each class occurred.

    Returns:
        (K, C) probabilities; each row sums to 1.
    """
    n_classes = counts.shape[1]
    anywhere = (times + 1 / n_classes) / (times.sum() + 1)
    return (counts + anywhere) / (counts.sum(1, keepdims=True) + 1)


@dataclass(frozen=True)
class StateCosts:
    """Costs of changes between states, which are classes, or background that remembers an action.

    Attributes:
        costs: (S, S) of changes, in units of the penalty.
        class_of_state: (S,).
        last_action: (S,) the action that a background remembers, -1 in other states.
    """

    costs: Floats
    class_of_state: Integers
    last_action: Integers

    @classmethod
    def learned(cls, counts: Floats, weight: float, background: Sequence[int]) -> StateCosts | None:
        """Return the costs that a training gives, with a memory if its changes were counted so.

        Args:
            counts: (2C, 2C) changes between states in the training.
            weight: dependence on the order.
            background: the background classes.

        Returns:
            The costs, or None if the weight is 0.
        """
        if not weight:
            return None
        n_classes = len(counts) // 2
        if len(background) == 1 and counts[:, n_classes:].any():
            return cls.remembering(counts, weight, background[0])
        return cls.plain(transition_costs(counts[:n_classes, :n_classes], weight))

    @classmethod
    def plain(cls, costs: Floats) -> StateCosts:
        """Return costs (C, C) between classes."""
        return cls(costs, np.arange(len(costs)), np.full(len(costs), -1))

    @classmethod
    def remembering(cls, counts: Floats, weight: float, background: int) -> StateCosts:
        """Compute the costs of changes where the next action follows from the last one.

        The last action is known through background: state C + a is the background after action a.
        An action is followed by d with probability p(d | last action), and background comes between
        with a probability of its own. A change of surprise s costs (1 + weight * s) / (1 + weight *
        S), with S the mean over the training. All other changes are impossible, so that no path
        forgets. Where nothing is known, a change costs 1, as in `transition_costs`.

        Args:
            counts: (2C, 2C) changes between states in the training.
            weight: dependence on the order.
            background: the background class.
        """
        n_classes = len(counts) // 2
        actions = np.flatnonzero(np.arange(n_classes) != background)
        after = n_classes + actions  # background after each action
        direct = counts[np.ix_(actions, actions)]
        through = counts[np.ix_(after, actions)]
        first = counts[background, actions]
        n_background = counts[actions, after]

        pairs = direct + through
        n_all = n_background + direct.sum(1)
        times = np.maximum(pairs.sum(0) + first, n_all)
        next_action = next_shares(pairs, times)
        (first_action,) = next_shares(first[None], times)
        share = n_background.sum() / max(n_all.sum(), 1)
        rests = np.clip((n_background + share) / (n_all + 1), *_RESTS)

        surprise = np.full(counts.shape, np.inf)
        surprise[np.ix_(actions, actions)] = -np.log((1 - rests)[:, None] * next_action)
        surprise[np.ix_(after, actions)] = -np.log(next_action)
        surprise[actions, after] = -np.log(rests)
        surprise[background, actions] = -np.log(first_action)
        is_possible = np.isfinite(surprise)
        n_changes = counts[is_possible]
        mean = (n_changes * surprise[is_possible]).sum() / max(n_changes.sum(), 1)
        costs = (1 + weight * surprise) / (1 + weight * mean)

        has_no_next = pairs.sum(1) == 0
        for rows in (actions[has_no_next], after[has_no_next]):
            costs[np.ix_(rows, actions)] = 1
        if not first.sum():
            costs[background, actions] = 1
        is_absent = times == 0
        costs[actions[is_absent], after[is_absent]] = 1
        absent = actions[is_absent]
        costs[:, absent] = np.where(is_possible[:, absent], 1, np.inf)
        np.fill_diagonal(costs, 0)
        states = np.append(np.arange(n_classes), after)
        is_memory = states >= n_classes
        return cls(
            costs=np.minimum(costs, IMPOSSIBLE)[np.ix_(states, states)],
            class_of_state=np.where(is_memory, background, states),
            last_action=np.where(is_memory, states - n_classes, -1),
        ).closed()

    def closed(self) -> StateCosts:
        """Return the costs of the cheapest ways, see `close_costs`.

        A change that is impossible stays impossible: a segment without frames is no way around it.
        """
        costs = np.where(self.costs < IMPOSSIBLE, close_costs(self.costs), IMPOSSIBLE)
        return replace(self, costs=costs)

    def with_class(self) -> StateCosts:
        """Return the costs with a last class more, to and from which each change costs 1."""
        costs = np.pad(self.costs, (0, 1), constant_values=1)
        costs[-1, -1] = 0
        return StateCosts(
            costs=costs,
            class_of_state=np.append(self.class_of_state, self.class_of_state.max() + 1),
            last_action=np.append(self.last_action, -1),
        ).closed()

    def of_live(self, is_live: Flags) -> StateCosts:
        """Return the costs between the states of some classes, (C,), and of no other."""
        is_kept = is_live[self.class_of_state] & (
            (self.last_action < 0) | is_live[self.last_action]
        )
        states = np.flatnonzero(is_kept)
        return StateCosts(
            costs=self.costs[np.ix_(states, states)],
            class_of_state=self.class_of_state[states],
            last_action=self.last_action[states],
        )

    def state_after(self, labels: Integers) -> int:
        """Return the state of the last of some labels, whose first one begins the video."""
        states = np.flatnonzero(self.class_of_state == labels[-1])
        other_labels = labels[labels != labels[-1]]
        if len(other_labels):
            states = states[np.argsort(self.last_action[states] != other_labels[-1], kind="stable")]
        return int(states[0])


def shortened(labels: Integers) -> Integers:
    """Return the labels (N,) of rows that decoding goes on from: the last run and a row before it.

    A run beyond all lengths that are told apart is shortened, too.
    """
    if not len(labels):
        return labels
    start = runs(labels)[-1][0]
    last_run = labels[start:][-_LONGEST_RUN:]
    return np.concatenate([labels[max(start - 1, 0) : start], last_run])


def close_costs(costs: Floats) -> Floats:
    """Compute the cheapest way between any two classes, so that no detour is cheaper.

    Otherwise the best path would insert segments of one frame to save a part of the cost.

    Args:
        costs: (C, C) costs of changes, not negative, 0 on the diagonal.

    Returns:
        (C, C) costs, for which costs[a, c] <= costs[a, b] + costs[b, c] up to rounding.
    """
    closed = costs.copy()
    detours = np.empty_like(closed)
    for middle in range(len(closed)):  # Floyd and Warshall
        np.add(closed[:, middle, None], closed[middle], out=detours)
        np.minimum(closed, detours, out=closed)
    return closed


def raise_background(scores: Reals, background: Sequence[int], threshold: float) -> Reals:
    """Return scores (T, C) in which the background has at least `threshold`.

    It is the first background class, or a new last column where there is none.
    """
    if background:
        raised = scores.copy()
        first = background[0]
        raised[:, first] = np.maximum(raised[:, first], threshold)
        return raised
    column = np.full((len(scores), 1), threshold, dtype=scores.dtype)
    return np.concatenate([scores, column], axis=1)


def absorb_short(labels: Integers, scores: Reals, shortest: int, n_final: int = 0) -> Integers:
    """Give short segments, the shortest first, to the neighbour with the higher mean score.

    Args:
        labels: (T,) class indices.
        scores: (T, K) class scores.
        shortest: length in frames below which a segment is short.
        n_final: segments that begin in the first `n_final` frames stay, however short.

    Returns:
        (T,) class indices.
    """
    labels = labels.copy()
    segments = runs(labels)
    stop_of = {start: stop for start, stop, _ in segments}
    start_of = {stop: start for start, stop, _ in segments}
    queue = [(stop - start, start) for start, stop, _ in segments]
    heapify(queue)
    while queue and len(stop_of) > 1:
        length, start = heappop(queue)
        stop = start + length
        was_merged = stop_of.get(start) != stop
        if was_merged or start < n_final:
            continue
        if length >= shortest:
            break
        neighbours = [labels[frame] for frame in (start - 1, stop) if 0 <= frame < len(labels)]
        means = [float(scores[start:stop, label].mean()) for label in neighbours]
        winner = neighbours[means.index(max(means))]
        labels[start:stop] = winner

        # Merge with the neighbours of the same label.
        first = start
        if start and labels[start - 1] == winner:
            first = start_of[start]
            del stop_of[start]
        end = stop
        if stop in stop_of and labels[stop] == winner:
            end = stop_of.pop(stop)
        stop_of[first] = end
        start_of[end] = first
        heappush(queue, (end - first, first))
    return labels


def short_segment_penalty(segment: float, factor: float = PENALTY) -> float:
    """Return the switching penalty in nats for short segments of so many rows.

    Args:
        segment: rows of a short segment, the `SHORT` quantile of all.
        factor: of the power of its length.
    """
    return round(factor * segment**PENALTY_POWER, 1)
