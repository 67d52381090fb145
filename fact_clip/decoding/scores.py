"""From the scores of a video to labels: `decode_scores`, the one way, for all that segments or scores videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import Clock, NewWord, Vocabulary, runs
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.fusion import Voters, fuse, fuse_gammas
from fact_clip.decoding.similarity import mix, transport

Labels = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Index among the candidates and its score for each frame, (T,) and (T,)."""

_VALUES = 4_000_000  # scores that are decoded at once where one video is decoded in several ways: 32 MB in float64


@dataclass(frozen=True)
class CandidateSet:
    """The candidates that frames are named with."""

    vocabulary: Vocabulary  # the candidates; class indices refer to it
    text: Tensor | None = (
        None  # (C, S, E) for a head that reads text; None: that of the training vocabulary
    )
    # (C,) added to the log scores before the softmax (`decoding.Calibration`), -inf for a class that is no candidate;
    # None: nothing
    offset: NDArray[np.float64] | None = None
    trained: NDArray[np.bool_] | None = (
        None  # (C,) the classes that gamma is subtracted from; None: all
    )
    gamma: float = 0.0  # what `offset` subtracts from these
    new_words: tuple[NewWord, ...] = ()  # words of the candidates that no trained class has
    prices: NDArray[np.float64] | None = (
        None  # (C, C) of `change_prices`; None: each change costs the same
    )

    @property
    def ruled_out(self) -> NDArray[np.bool_]:
        """(C,) classes of the vocabulary that are no candidates."""
        return (
            np.zeros(len(self.vocabulary), dtype=bool)
            if self.offset is None
            else np.isneginf(self.offset)
        )

    def with_gamma(self, gamma: float | None) -> CandidateSet:
        """Return the same with another gamma; None: the same."""
        if gamma is None:
            return self
        trained = np.ones(len(self.vocabulary), bool) if self.trained is None else self.trained
        offset = np.zeros(len(trained)) if self.offset is None else self.offset
        return replace(self, offset=offset - (gamma - self.gamma) * trained, gamma=gamma)

    def extend(self, vocabulary: Vocabulary) -> tuple[Vocabulary, NDArray[np.int64]]:
        """Return another vocabulary with the candidates that it lacks, and the index of each candidate in it."""
        factors = dict(zip(self.vocabulary.names, self.vocabulary.factors, strict=True))
        if new := [name for name in factors if name not in vocabulary]:
            vocabulary = vocabulary.extended(new, factors=factors)
        return vocabulary, vocabulary.encode(self.vocabulary.names)


@dataclass(frozen=True)
class Scores:
    """What was found about a video for some candidates: all that decoding needs, in O(T * C) numbers."""

    n_frames: int  # T
    voters: tuple[
        Voters, ...
    ] = ()  # of each model, with a row for each `stride` frames; empty without a trained one
    # (T', C) training-free probabilities of the same rows; they stand alone where there are no voters
    similarity: Tensor | None = None
    frame_weight: float = 1.0  # of the frame voter (`fuse`)
    similarity_weight: float = 0.0  # share of the similarities (`mix`)
    stride: int = 1  # frames that a row stands for
    rate: float = 1.0  # rows a second
    clock: Clock = field(default_factory=Clock)  # when the frames are
    # the same video with all classes of the run beside the candidates, where that was asked for
    rivals: Scores | None = None

    @property
    def row_of_frame(self) -> NDArray[np.int64]:
        """(T,) the row that each frame is named by."""
        return np.arange(self.n_frames) // self.stride

    @property
    def nbytes(self) -> int:
        """Main memory that they take."""
        parts = [
            part for pair in self.voters for part in (pair.frames, pair.tokens, pair.has_token)
        ]
        return sum(
            part.nbytes for part in (*parts, self.similarity, self.rivals) if part is not None
        )

    def to(self, device: torch.device | str) -> Scores:
        """Return the same on another device."""
        similarity = None if self.similarity is None else self.similarity.to(device)
        voters = tuple(pair.map(lambda table: table.to(device)) for pair in self.voters)
        return replace(self, voters=voters, similarity=similarity)


@torch.inference_mode()
def decode_scores(
    scores: Scores,
    candidates: CandidateSet,
    settings: DecodeSettings | None = None,
    final: NDArray[np.int64] | None = None,
) -> Labels:
    """Return the index among the candidates and its score for each frame, (T,) and (T,).

    With a threshold and no background among the candidates, index C is the background. `reject` is left to
    `Segmenter.decode`, which knows the confidences of the run. `final` are labels of the first frames, a multiple of
    `Scores.stride`, which stay and from which the others go on.
    """
    settings = settings or DecodeSettings()
    fixed = np.empty(0, np.int64) if final is None else final[:: scores.stride]
    n_final = len(fixed)
    table, ruled_out = (
        class_scores(scores, candidates.with_gamma(settings.gamma)),
        candidates.ruled_out,
    )
    if settings.threshold is not None:
        values, background = table.cpu().numpy(), candidates.vocabulary.background_indices
        table = torch.from_numpy(raise_background(values, background, settings.threshold))
        ruled_out = np.append(ruled_out, [False] * (table.shape[1] - len(ruled_out)))
    if scores.voters:
        prices = candidates.prices
        if prices is not None:  # a background of a threshold comes last
            prices = np.pad(prices, (0, table.shape[1] - len(prices)), constant_values=1)
        previous = int(fixed[-1]) if n_final else None
        labels = _switch(
            table[n_final:].clone(), ruled_out, settings.switch_penalty, prices, previous
        )
        labels = np.concatenate([fixed, labels])
        shares = (
            table.clamp(0, 1).cpu().numpy()
        )  # the rounding of a mean may end a little above one
    else:
        shares = transport(table.numpy()) * np.float32(len(table))
        labels = np.concatenate([fixed, shares[n_final:].argmax(axis=1)])
    if settings.shortest:
        labels = absorb_short(
            labels, shares, math.ceil(settings.shortest * scores.rate - 1e-6), n_final
        )
    confidence, index = shares[np.arange(len(labels)), labels].clip(0, 1), scores.row_of_frame
    return labels[index], confidence[index]


@torch.inference_mode()
def class_scores(scores: Scores, candidates: CandidateSet) -> Tensor:
    """Return (T', C) class probabilities before decoding: of one model, or the mean over several."""
    if not scores.voters:
        assert scores.similarity is not None
        return scores.similarity
    offset = None
    if candidates.offset is not None:
        offset = torch.from_numpy(candidates.offset).float().to(scores.voters[0].frames.device)
    return _combined(
        [fuse(voters, scores.frame_weight, offset)[0] for voters in scores.voters],
        scores,
        candidates,
    )


@torch.inference_mode()
def voter_labels(scores: Scores, candidates: CandidateSet) -> dict[str, Labels]:
    """Return what each voter alone says: "frames" and, where there are any, "tokens" -> as `decode_scores`."""
    weights = {"frames": 1.0} if scores.voters[0].tokens is None else {"frames": 1.0, "tokens": 0.0}
    labels, index = {}, scores.row_of_frame
    for name, weight in weights.items():
        best = class_scores(replace(scores, frame_weight=weight, similarity=None), candidates).max(
            -1
        )
        labels[name] = (
            best.indices.cpu().numpy()[index],
            best.values.clamp(0, 1).cpu().numpy()[index],
        )
    return labels


@torch.inference_mode()
def decode_gammas(
    scores: Scores,
    candidates: CandidateSet,
    trained: NDArray[np.bool_],
    gammas: Sequence[float],
    settings: DecodeSettings | None = None,
) -> NDArray[np.int64]:
    """Return (G, T) the labels with each of G gammas subtracted from the scores of the `trained` classes (C,)."""
    first, penalty = scores.voters[0], None if settings is None else settings.switch_penalty
    if first.aligned:  # they use no offset
        return np.tile(decode_scores(scores, candidates, settings)[0], (len(gammas), 1))
    (n_rows, n_classes), device = first.frames.shape[1:], first.frames.device
    offset = torch.from_numpy(
        np.zeros(n_classes) if candidates.offset is None else candidates.offset
    ).float()
    offset, subtracted, parts = offset.to(device), torch.from_numpy(trained).to(device), []
    for some in torch.tensor(gammas, device=device).split(max(_VALUES // (n_rows * n_classes), 1)):
        tables = [
            fuse_gammas(pair, scores.frame_weight, offset, subtracted, some)
            for pair in scores.voters
        ]
        table = _combined(tables, scores, candidates)
        parts.append(_switch(table, candidates.ruled_out, penalty, candidates.prices))
    return np.concatenate(parts)[:, scores.row_of_frame]


def _combined(tables: list[Tensor], scores: Scores, candidates: CandidateSet) -> Tensor:
    """The probabilities (..., T', C) of one model, or the mean of several logs, with training-free ones mixed in."""
    table = tables[0]
    if len(tables) > 1:
        table = (
            torch.stack(tables).clamp(min=torch.finfo(table.dtype).tiny).log().mean(0).softmax(-1)
        )
    if scores.similarity is None:
        return table
    allowed = torch.from_numpy(~candidates.ruled_out).to(scores.similarity.device)
    return mix(table, scores.similarity * allowed, scores.similarity_weight)


def _switch(
    table: Tensor,
    ruled_out: NDArray[np.bool_],
    penalty: float | None,
    prices: NDArray[np.float64] | None,
    previous: int | None = None,
) -> NDArray[np.int64]:
    """Scores (T', C) or (G, T', C), which are overwritten, to labels (T',) or (G, T'); `ruled_out` is (C,)."""
    if penalty:
        # A score that has become zero still stays above what is ruled out.
        table = table.clamp_(min=torch.finfo(table.dtype).tiny).log_()
    if ruled_out.any():
        table[..., torch.from_numpy(ruled_out)] = -math.inf
    return decode_switching(table.cpu().numpy(), penalty or 0.0, prices, previous)


def decode_switching(
    scores: NDArray[np.floating],
    penalty: float,
    prices: NDArray[np.float64] | None = None,
    previous: int | None = None,
) -> NDArray[np.int64]:
    """Return the labelling y of T frames that maximises sum_t scores[t, y_t] - penalty * (number of changes in y).

    `scores` (T, C) are log-probabilities, -inf where a class is ruled out; (G, T, C) are G videos of one length, or one
    video scored in G ways, decoded in one pass over the frames. With `prices` (C, C) of `change_prices` a change from
    class c to d costs ``penalty * prices[c, d]``. A change from `previous`, the class of the frame before the first,
    costs as any. Memory is O(G * T * C), time the same, or O(G * T * C^2) with prices.
    """
    if penalty == 0:
        return scores.argmax(-1)
    *_, n_frames, n_classes = scores.shape
    # frame by frame in place: from scores to the value of the best path so far, (T, G, C)
    totals = np.array(np.moveaxis(scores, -2, 0), np.float64, order="C").reshape(
        n_frames, -1, n_classes
    )
    if previous is not None:
        totals[0] -= (
            penalty * (np.arange(n_classes) != previous)
            if prices is None
            else penalty * prices[previous]
        )
    if prices is None:
        for before, row in pairwise(totals):
            row += np.maximum(before, before.max(-1, keepdims=True) - penalty)
        best = totals.argmax(-1)[..., None]  # what a change after the frame comes from
        continued = totals >= np.take_along_axis(totals, best, -1) - penalty
        sources = np.where(
            continued, np.arange(n_classes), best
        )  # (T, G, C) the best class before a class
    else:
        sources, costs = np.empty(totals.shape, np.int64), np.ascontiguousarray(penalty * prices.T)
        ways = np.empty((len(totals[0]), n_classes, n_classes))  # (G, to, from)
        for before, row, source in zip(totals, totals[1:], sources, strict=False):
            np.subtract(before[:, None], costs, out=ways)
            ways.argmax(-1, out=source)
            row += ways.max(-1)
    labels = totals.argmax(-1)  # (T, G)
    numbers = np.arange(labels.shape[1])
    for frame in range(n_frames - 2, -1, -1):
        labels[frame] = sources[frame, numbers, labels[frame + 1]]
    return labels.T.reshape(scores.shape[:-1])


def change_prices(
    transitions: Sequence[tuple[int, int, int]], n_classes: int, weight: float
) -> NDArray[np.float64]:
    """Return (C, C): what a change from one class to another costs, where a usual change costs 1; 0 on the diagonal.

    A change of surprise s = -log p(next class | class) costs (1 + weight * s) / (1 + weight * S), with S the mean over
    the training. The frequencies are those of (class, next class, times), mixed with how often a class follows any
    other as if that had been seen once more. A class that no transition names costs 1 both ways.
    """
    counts = np.zeros((n_classes, n_classes))
    for before, after, times in transitions:
        counts[before, after] += times
    follows = counts.sum(0) / max(counts.sum(), 1)
    shares = (counts + follows) / (counts.sum(1, keepdims=True) + 1)
    surprise = -np.log(np.maximum(shares, 1e-6))
    mean = (counts * surprise).sum() / max(counts.sum(), 1)
    prices = (1 + weight * surprise) / (1 + weight * mean)
    unnamed = counts.sum(0) + counts.sum(1) == 0
    prices[unnamed], prices[:, unnamed] = 1, 1
    np.fill_diagonal(prices, 0)
    return prices


def raise_background(
    scores: NDArray[np.floating], background: Sequence[int], threshold: float
) -> NDArray[np.floating]:
    """Return scores (T, C) with the background at `threshold` at least: its first class, or a new last column."""
    if background:
        raised = scores.copy()
        raised[:, background[0]] = np.maximum(raised[:, background[0]], threshold)
        return raised
    return np.concatenate(
        [scores, np.full((len(scores), 1), threshold, dtype=scores.dtype)], axis=1
    )


def absorb_short(
    labels: NDArray[np.int64], scores: NDArray[np.floating], shortest: int, n_final: int = 0
) -> NDArray[np.int64]:
    """Give segments of fewer than `shortest` frames, the shortest first, to the neighbour that scores higher (T, K).

    Segments that begin in the first `n_final` frames stay, however short.
    """
    labels, segments = labels.copy(), runs(labels)
    stop_of = {start: stop for start, stop, _ in segments}
    label_of = {start: label for start, _, label in segments}
    before = {stop: start for start, stop, _ in segments}
    queue = [(stop - start, start) for start, stop, _ in segments]
    heapify(queue)
    while queue and len(stop_of) > 1:
        length, start = heappop(queue)
        stop = start + length
        if (
            stop_of.get(start) != stop or start < n_final
        ):  # it has become a part of another one, or is to stay
            continue
        if length >= shortest:
            break
        neighbours = [
            label_of[segment] for segment in (before.get(start), stop) if segment in stop_of
        ]
        winner = max(neighbours, key=lambda label: float(scores[start:stop, label].mean()))
        labels[start:stop] = winner
        # The neighbours of the same label become one with it.
        first, after = start, stop
        if start in before and label_of[before[start]] == winner:
            first = before[start]
            del stop_of[start]
        if stop in stop_of and label_of[stop] == winner:
            after = stop_of.pop(stop)
        stop_of[first], label_of[first], before[after] = after, winner, first
        heappush(queue, (after - first, first))
    return labels
