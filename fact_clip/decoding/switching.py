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
PENALTY = 1.2  # nats, multiplied by a power of the number of rows of a short segment

IMPOSSIBLE = 1e6  # cost of an impossible change; finite, because costs are subtracted
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
        scores: Log-probabilities (T, C), with -inf for a class that is not allowed. (G, T, C) are G
            videos of the same length, or one video scored in G ways, which are decoded in one pass.
        penalty: Cost of a change, in nats.
        costs: Result of `transition_costs`, (C, C). A change from class c to d costs
            ``penalty * costs[c, d]``. With None, each change costs ``penalty``.
        previous: Class of the frame before the first one. A change from it has the usual cost.

    Returns:
        Class indices (T,) or (G, T). The memory is O(G * T * C). The time is the same, or
        O(G * T * C^2) with costs.
    """
    if penalty == 0:
        return scores.argmax(-1)
    n_frames, n_classes = scores.shape[-2:]
    # (T, G, C). Frame by frame, scores are replaced with the value of the best path so far.
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
    """Accumulate the best totals in place, and return the best predecessors, (T, G, C)."""
    for last, row in pairwise(totals):
        row += np.maximum(last, last.max(-1, keepdims=True) - penalty)
    best = totals.argmax(-1)[..., None]  # a change after the frame comes from this class
    continues = totals >= np.take_along_axis(totals, best, -1) - penalty
    return np.where(continues, np.arange(totals.shape[-1]), best)


def _forward_with_costs(totals: Floats, costs: Floats) -> Integers:
    """Accumulate like `_forward`, with a cost of ``costs[c, d]`` for a change from class c to d."""
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
    """Compute the cost of each change of class, such that the usual change costs 1.

    A change of surprise s = -log p(next class | class) costs (1 + weight * s) / (1 + weight * S). S
    is the mean surprise in the training videos. `next_shares` computes the probabilities. A change
    costs 1 if nothing is known about it: after a class that nothing followed, and to and from a
    class that did not occur. The costs are closed (see `close_costs`).

    Args:
        counts: Number of training segments of class c that are followed by class d, (C, C).
        weight: Dependence on the order. 0 gives costs of 1.

    Returns:
        Costs (C, C), with 0 on the diagonal.
    """
    surprise = -np.log(next_shares(counts, occurrences(counts)))
    mean = (counts * surprise).sum() / max(counts.sum(), 1)
    costs = (1 + weight * surprise) / (1 + weight * mean)
    costs[counts.sum(1) == 0] = 1
    costs[:, occurrences(counts) == 0] = 1
    np.fill_diagonal(costs, 0)
    return close_costs(costs)


def listed_counts(counts: Floats, classes: Sequence[int], background: Sequence[int]) -> Floats:
    """Return the changes of training videos, restricted to some of the classes.

    A segment of a different class is skipped, or becomes background if there is one background
    class. Only the average of the next listed action after it is known, as in a Markov chain.
    Args:
        counts: Changes between states in the training videos (see `StateCosts.learned`), (2C, 2C).
        classes: The K listed classes, including the background.
        background: Background classes.

    Returns:
        Changes between the states of the K classes, (2K, 2K).
    """
    n_classes = len(counts) // 2
    states = np.append(classes, n_classes + np.array(classes))  # (2K,)
    if np.array_equal(states, np.arange(len(counts))):
        return counts  # not copied, because a matrix of 2,000 classes takes 128 MB
    passed_states = np.setdiff1d(np.arange(2 * n_classes), states)  # (U,)
    # Each skipped state ends one additional video, so that every path leaves these states.
    n_left = counts[passed_states].sum(1, keepdims=True) + 1
    onward_shares = counts[passed_states] / n_left  # (U, 2C)
    steps = np.eye(len(passed_states)) - onward_shares[:, passed_states]
    arrivals = np.linalg.solve(steps, onward_shares[:, states])  # (U, 2K) of the next named state
    detours = counts[np.ix_(states, passed_states)] @ arrivals
    changes = counts[np.ix_(states, states)]
    is_background = np.isin(classes, background)
    if is_background.sum() != 1 or not counts[:, n_classes:].any():
        return changes + detours
    # The skipped segments are background after the last listed action.
    actions = np.flatnonzero(~is_background)
    backgrounds = len(classes) + actions
    n_passed = counts[np.ix_(states, passed_states)].sum(1)
    changes[backgrounds] += detours[backgrounds] + detours[actions]
    changes[actions, backgrounds] += n_passed[actions]
    (first,) = np.flatnonzero(is_background)
    changes[first] += detours[first]
    return changes


def occurrences(counts: Floats) -> Floats:
    """Return a lower bound of how often each class occurred, (C,).

    A class that begins every training video is often left, but never entered.

    Args:
        counts: Number of training segments of class c that are followed by class d, (C, C).
    """
    return np.maximum(counts.sum(0), counts.sum(1))


def next_shares(counts: Floats, times: Floats) -> Floats:
    """Compute the probability of each next class. All probabilities are positive.

    The counts are mixed with the overall frequency of the classes, which has the weight of one
    segment. This frequency is itself mixed with equal shares, which also have the weight of one
    segment. So the more segments were seen, the less probable are changes that were not seen.

    Args:
        counts: Number of segments in context k that are followed by class c, (K, C).
        times: Number of occurrences of each class, (C,).

    Returns:
        Probabilities (K, C). Each row sums to 1.
    """
    n_classes = counts.shape[1]
    anywhere = (times + 1 / n_classes) / (times.sum() + 1)
    return (counts + anywhere) / (counts.sum(1, keepdims=True) + 1)


@dataclass(frozen=True)
class StateCosts:
    """Costs of changes between states: classes, or background that remembers the last action.

    Attributes:
        costs: Costs of changes in units of the penalty, (S, S).
        class_of_state: Class of each state, (S,).
        last_action: Action that a background state remembers, or -1 for other states, (S,).
    """

    costs: Floats
    class_of_state: Integers
    last_action: Integers

    @classmethod
    def learned(cls, counts: Floats, weight: float, background: Sequence[int]) -> StateCosts | None:
        """Learn the costs from training videos, with memory if the counts have states for it.

        Args:
            counts: Changes between states in the training videos, (2C, 2C).
            weight: Dependence on the order.
            background: Background classes.

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
        """Return costs (C, C) between classes, without memory."""
        return cls(costs, np.arange(len(costs)), np.full(len(costs), -1))

    @classmethod
    def remembering(cls, counts: Floats, weight: float, background: int) -> StateCosts:
        """Compute the costs of changes if the next action depends on the last one.

        Background remembers the last action: state C + a is the background after action a. An
        action is followed by d with probability p(d | last action), and background comes in between
        with a separate probability. A change of surprise s costs (1 + weight * s) / (1 + weight *
        S). S is the mean surprise in the training videos. All other changes are impossible, so that
        no path loses the memory. If nothing is known about a change, it costs 1, as in
        `transition_costs`.

        Args:
            counts: Changes between states in the training videos, (2C, 2C).
            weight: Dependence on the order.
            background: Background class.
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
        """Return the costs of the cheapest paths (see `close_costs`).

        An impossible change stays impossible, because a segment without frames is not a detour.
        """
        costs = np.where(self.costs < IMPOSSIBLE, close_costs(self.costs), IMPOSSIBLE)
        return replace(self, costs=costs)

    def with_class(self) -> StateCosts:
        """Return the costs with an additional last class. Each change to and from it costs 1."""
        costs = np.pad(self.costs, (0, 1), constant_values=1)
        costs[-1, -1] = 0
        return StateCosts(
            costs=costs,
            class_of_state=np.append(self.class_of_state, self.class_of_state.max() + 1),
            last_action=np.append(self.last_action, -1),
        ).closed()

    def of_live(self, is_live: Flags) -> StateCosts:
        """Return the costs between the states of the classes that are flagged, (C,)."""
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
        """Return the state of the last label. The first label is the beginning of the video."""
        states = np.flatnonzero(self.class_of_state == labels[-1])
        other_labels = labels[labels != labels[-1]]
        if len(other_labels):
            states = states[np.argsort(self.last_action[states] != other_labels[-1], kind="stable")]
        return int(states[0])


def shortened(labels: Integers) -> Integers:
    """Return the labels (N,) that decoding needs to continue: the last run and one row before it.

    A run is shortened if it is longer than the longest length that is distinguished.
    """
    if not len(labels):
        return labels
    start = runs(labels)[-1][0]
    last_run = labels[start:][-_LONGEST_RUN:]
    return np.concatenate([labels[max(start - 1, 0) : start], last_run])


def close_costs(costs: Floats) -> Floats:
    """Compute the cheapest path between any two classes, so that no detour is cheaper.

    Otherwise, the best path would insert segments of one frame to save a part of the cost.

    Args:
        costs: Costs of changes, not negative and 0 on the diagonal, (C, C).

    Returns:
        Costs (C, C) for which costs[a, c] <= costs[a, b] + costs[b, c] up to rounding.
    """
    closed = costs.copy()
    detours = np.empty_like(closed)
    for middle in range(len(closed)):  # the Floyd-Warshall algorithm
        np.add(closed[:, middle, None], closed[middle], out=detours)
        np.minimum(closed, detours, out=closed)
    return closed


def raise_background(scores: Reals, background: Sequence[int], threshold: float) -> Reals:
    """Return scores (T, C) in which the background has at least the value `threshold`.

    This is the first background class, or a new last column if there is none.
    """
    if background:
        raised = scores.copy()
        first = background[0]
        raised[:, first] = np.maximum(raised[:, first], threshold)
        return raised
    column = np.full((len(scores), 1), threshold, dtype=scores.dtype)
    return np.concatenate([scores, column], axis=1)


def absorb_short(labels: Integers, scores: Reals, shortest: int, n_final: int = 0) -> Integers:
    """Merge short segments, shortest first, with the neighbour of the higher mean score.

    Args:
        labels: Class indices (T,).
        scores: Class scores (T, K).
        shortest: Length in frames below which a segment is short.
        n_final: Number of frames at the start in which segments are final, even if they are short.

    Returns:
        Class indices (T,).
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

        # Merge with neighbours that have the same label.
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
    """Return the switching penalty in nats for short segments of a given length.

    Args:
        segment: Rows of a short segment, which is the `SHORT` quantile of all lengths.
        factor: Factor of the power of the length.
    """
    return round(factor * segment**PENALTY_POWER, 1)
