"""`ClassMap`: the two ways to number classes in an evaluation, and the map between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fact_clip.core import Flags, Floats, Integers, Vocabulary
from fact_clip.decoding import CandidateSet


@dataclass(frozen=True)
class ClassMap:
    """Map between the classes of a data set, which are also the run's classes, and candidates.

    Labels are indices of `vocabulary`: the K classes of the data set, then the candidates that it
    lacks. Decoding instead gives each frame an index among the C candidates. Only this class
    converts between the two.

    Attributes:
        vocabulary: Vocabulary of the labels.
        n_classes: Number of classes of the data set.
        of_candidate: Label of each candidate, (C,).
        is_allowed: Whether each candidate may be predicted, (C,).
    """

    vocabulary: Vocabulary
    n_classes: int
    of_candidate: Integers
    is_allowed: Flags

    @classmethod
    def of(cls, dataset: Vocabulary, candidates: CandidateSet) -> ClassMap:
        """Return the map between a run's candidates and the classes of its data set."""
        names = candidates.vocabulary.names
        factors = dict(zip(names, candidates.vocabulary.factors, strict=True))
        new = [name for name in names if name not in dataset]
        vocabulary = dataset.extended(new, factors=factors)
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
        """Return the labels for candidate indices."""
        return self.of_candidate[candidate_indices]

    def log_scores(self, rows: Floats) -> Floats:
        """Return log scores (T, C) of candidates by label, -inf for labels that are not allowed."""
        table = np.full((len(rows), len(self.vocabulary)), -np.inf)
        table[:, self.allowed] = rows[:, self.is_allowed]
        return table

    def counts(self, of_classes: Integers) -> Integers:
        """Return counts of the data set's classes by label, with 0 for added candidates."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        counts[: self.n_classes] = of_classes
        return counts
