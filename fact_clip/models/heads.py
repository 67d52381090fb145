"""Heads: from a block's H-wide result to class scores and the features that are passed on, still H wide.

A head is called as ``head(x, text) -> (features, scores)`` with x (B, N, H). Blocks know no class count:
they make the heads they need through a ``HeadFactory`` and pass the text matrix through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Classes:
    """What a head must know of the vocabulary.

    Attributes:
        count: C, number of classes.
        verb: verb index of each class, for a verb-noun head.
        noun: noun index of each class.
        n_verbs: number of verbs.
        n_nouns: number of nouns.
        factors: for a factored head, one tuple a slot with the factor index of each class.
    """

    count: int
    verb: tuple[int, ...] = ()
    noun: tuple[int, ...] = ()
    n_verbs: int = 0
    n_nouns: int = 0
    factors: tuple[tuple[int, ...], ...] = ()

    @property
    def null_divisor(self) -> float:
        """The class count in the automatic null weight (FACT.md, 'weights')."""
        return (self.n_verbs + self.n_nouns) / 2 if self.verb else self.count


class Head(nn.Module):
    """What every head is: ``head(x, text) -> (features, scores)``, made from a width, the classes and a null switch.

    Attributes:
        log_probabilities: the scores are log-probabilities already and are not normalised again.
    """

    log_probabilities = False

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__()


class ClosedSetHead(Head):
    """The published split: the last C channels (with null C+1) are scores, and their softmax is fed back."""

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.scores = classes.count + int(null)
        if self.scores >= width:
            raise ValueError(f"{self.scores} class scores do not fit in {width} channels; raise model.input.hidden")

    def forward(self, x: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and scores (B, N, C or C+1)."""
        scores = x[..., -self.scores :]
        return torch.cat([x[..., : -self.scores], scores.softmax(-1)], dim=-1), scores


class VerbNounHead(Head):
    """Epic-Kitchens: verb and noun scores apart; an action's score is log p(verb) + log p(noun)."""

    log_probabilities = True

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        if not classes.verb:
            raise ValueError("a verb-noun head needs a vocabulary with the factors (verb, noun)")
        self.sizes = (classes.n_verbs + int(null), classes.n_nouns + int(null))
        if sum(self.sizes) >= width:
            raise ValueError(f"{sum(self.sizes)} class scores do not fit in {width} channels; raise model.input.hidden")
        verb, noun = list(classes.verb), list(classes.noun)
        if null:
            verb, noun = [*verb, classes.n_verbs], [*noun, classes.n_nouns]
        self.register_buffer("verb", torch.tensor(verb), persistent=False)
        self.register_buffer("noun", torch.tensor(noun), persistent=False)

    def forward(self, x: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and action log-probabilities (B, N, C or C+1)."""
        rest, verb, noun = x.split([x.shape[-1] - sum(self.sizes), *self.sizes], dim=-1)
        features = torch.cat([rest, verb.softmax(-1), noun.softmax(-1)], dim=-1)
        scores = verb.log_softmax(-1)[..., self.verb] + noun.log_softmax(-1)[..., self.noun]
        return features, scores


class FactoredHead(Head):
    """Closed set, scored by factors: a class has the sum of its factors' scores, one factor a slot.

    What is learned of a verb with one object serves all its objects (ZEROSHOT.md, 'one softmax a slot', with the
    class loss on the summed scores alone). Each slot's softmax is fed back; null has a channel of its own.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        if not classes.factors:
            raise ValueError("a factored head needs a vocabulary with slots")
        self.sizes, self.null = tuple(max(slot) + 1 for slot in classes.factors), null
        self.channels = sum(self.sizes) + int(null)
        if self.channels >= width:
            raise ValueError(f"{self.channels} scores do not fit in {width} channels; raise model.input.hidden")
        self.factors: Tensor
        self.register_buffer("factors", torch.tensor(classes.factors), persistent=False)  # (slots, C)

    def forward(self, x: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and scores (B, N, C or C+1)."""
        rest, null, *slots = x.split([x.shape[-1] - self.channels, int(self.null), *self.sizes], dim=-1)
        scores = torch.stack([slot[..., of] for slot, of in zip(slots, self.factors, strict=True)]).sum(0)
        features = torch.cat([rest, null.sigmoid(), *(slot.softmax(-1) for slot in slots)], dim=-1)
        return features, torch.cat([scores, null], dim=-1)


HEADS: dict[str, type[Head]] = {
    "closed": ClosedSetHead,
    "factored": FactoredHead,
    "verb-noun": VerbNounHead,
    "fact-clip": ClosedSetHead,
}

HeadFactory = Callable[[int, bool], Head]


class FrameProjection(nn.Module):
    """FACT-CLIP's alignment: unit vectors in the text space, z = normalise(W2 dropout(relu(LayerNorm(W1 x))))."""

    def __init__(self, input_dim: int, hidden: int, output_dim: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(input_dim, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, output_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, input_dim) to (B, T, E)."""
        return nn.functional.normalize(self.projection(x), dim=-1)
