"""`ClassMap`: the classes of a data set and of a list of candidates as indices of one list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Flags, Integers, Vocabulary
from fact_clip.decoding import CandidateSet

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ClassMap:
    """The classes of a data set, which are those of its run, beside a list of candidates.

    Labels are indices of `vocabulary`, which has the K classes of the data set, then the
    candidates that it lacks. Decoding names frames by an index among the C candidates instead;
    this object alone turns one into the other.

    Attributes:
        vocabulary: of the labels.
        n_classes: of the data set.
        of_candidate: (C,) label of each candidate.
        is_allowed: (C,) the candidates that may be predicted.
    """

    vocabulary: Vocabulary
    n_classes: int
    of_candidate: Integers
    is_allowed: Flags

    @classmethod
    def of(cls, dataset: Vocabulary, candidates: CandidateSet) -> ClassMap:
        """Return the map of the candidates of a run and the classes of its data set."""
        names = candidates.vocabulary.names
        factors = dict(zip(names, candidates.vocabulary.factors, strict=True))
        new = [name for name in names if name not in dataset]
        vocabulary = dataset.extended(new, factors=factors) if new else dataset
        return cls(vocabulary, len(dataset), vocabulary.encode(names), candidates.is_allowed)

    @property
    def added(self) -> range:
        """Return the labels of candidates that the data set lacks."""
        return range(self.n_classes, len(self.vocabulary))

    @property
    def allowed(self) -> Integers:
        """Return the labels that may be predicted."""
        return self.of_candidate[self.is_allowed]

    def labels(self, candidate_indices: Integers) -> Integers:
        """Return the labels of frames that are named by candidates."""
        return self.of_candidate[candidate_indices]

    def allowed_among(self, labels: Collection[int]) -> Flags:
        """Return the candidates, (C,), that may be predicted and have one of these labels."""
        return np.isin(self.of_candidate, [*labels]) & self.is_allowed

    def log_scores(self, rows: Scores) -> Scores:
        """Return log scores (T, C) of candidates by label; -inf for one that is not predicted."""
        table = np.full((len(rows), len(self.vocabulary)), -np.inf)
        table[:, self.allowed] = rows[:, self.is_allowed]
        return table

    def counts(self, of_classes: Integers) -> NDArray[np.int64]:
        """Return numbers of the classes of the data set by label; 0 for the added ones."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        counts[: self.n_classes] = of_classes
        return counts
