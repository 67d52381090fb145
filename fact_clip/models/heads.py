"""Heads: from a block's H-wide result to class scores and the features that are passed on, still H wide.

A head is called as ``head(x, text, evidence) -> (features, scores)`` with x (B, N, H). Blocks know no class count:
they make the heads they need through a ``HeadFactory`` and pass the candidates' text through.
"""

from __future__ import annotations

import math
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
        n_slots: for a text head, text vectors a class.
        text_width: ... and their width.
        key_width: ... and the width that they and the features are compared in.
        evidence_slot: ... and the slot that object columns are tied to.
        evidence_width: ... and the width of their evidence; 0: there are none.
    """

    count: int
    verb: tuple[int, ...] = ()
    noun: tuple[int, ...] = ()
    n_verbs: int = 0
    n_nouns: int = 0
    factors: tuple[tuple[int, ...], ...] = ()
    n_slots: int = 0
    text_width: int = 0
    key_width: int = 64
    evidence_slot: int = 0
    evidence_width: int = 0
    words: bool = True

    @property
    def null_divisor(self) -> float:
        """The class count in the automatic null weight (FACT.md, 'weights')."""
        return (self.n_verbs + self.n_nouns) / 2 if self.verb else self.count


@dataclass(frozen=True)
class Candidates:
    """The classes to choose from, for heads that read text.

    Attributes:
        text: (C, S, W) one vector a slot; zero where a class has no word there (the background has none at all).
        things: (C, O) share of each named thing in a class's word, where there are object columns.
    """

    text: Tensor
    things: Tensor | None = None


class Head(nn.Module):
    """What every head is: ``head(x, text, evidence)``, made from a width, the classes and a null switch.

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

    def forward(self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
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

    def forward(self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
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

    def forward(self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and scores (B, N, C or C+1)."""
        rest, null, *slots = x.split([x.shape[-1] - self.channels, int(self.null), *self.sizes], dim=-1)
        scores = torch.stack([slot[..., of] for slot, of in zip(slots, self.factors, strict=True)]).sum(0)
        features = torch.cat([rest, null.sigmoid(), *(slot.softmax(-1) for slot in slots)], dim=-1)
        return features, torch.cat([scores, null], dim=-1)


class TextHead(Head):
    """Open set: a class has the sum over slots of exp(tau) * cos(W x, V t), tau learned a slot (ZEROSHOT.md, 1 and 2).

    With one slot that is the text head on whole sentences; with several the factored one. A slot without a word (no
    tool; the background has no word in any slot) is a learned vector, and so is null. The expected text vector of each
    slot, softmax(scores) V T, is what is fed back. With object columns the words of their slot are scored by pointing
    at the evidence too, and the expected evidence is fed back in place of the text, so that no identity comes in.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.n_slots, keys = classes.n_slots, classes.key_width
        self.query = nn.Linear(width, self.n_slots * keys)
        self.key = nn.Parameter(torch.empty(self.n_slots, keys, classes.text_width))
        for slot in self.key:
            nn.init.orthogonal_(slot)
        self.absent = nn.Parameter(torch.randn(self.n_slots, keys) / math.sqrt(keys))
        self.log_scale = nn.Parameter(torch.full((self.n_slots,), math.log(1 / 0.07)))
        self.null_key = nn.Parameter(torch.randn(self.n_slots, keys) / math.sqrt(keys)) if null else None
        self.slot, evidence = classes.evidence_slot, classes.evidence_width
        self.rest = [slot for slot in range(self.n_slots) if not evidence or slot != self.slot]
        self.point = nn.Linear(width, evidence) if evidence else None
        counted = torch.ones(self.n_slots)  # slots whose words have a say of their own
        if evidence and not classes.words:
            counted[self.slot] = 0
        self.counted: Tensor
        self.register_buffer("counted", counted, persistent=False)
        self.ask = nn.Linear(len(self.rest) * keys, evidence, bias=False) if evidence else None
        self.feed = nn.Linear(len(self.rest) * keys + evidence, width)

    def forward(self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, H), and evidence (B, N, E, O), to features (B, N, H) and scores (B, N, C or C+1)."""
        if text is None:
            raise ValueError("this head reads text; give text=(C, slots, width)")
        keys = self._keys(text.text)  # (C, S, P)
        if self.null_key is not None:
            keys = torch.cat([keys, self.null_key.unsqueeze(0)])
        keys = nn.functional.normalize(keys, dim=-1)
        query = nn.functional.normalize(self.query(x).unflatten(-1, (self.n_slots, -1)), dim=-1)  # (B, N, S, P)
        scale = self.log_scale.clamp(max=math.log(100.0)).exp() * self.counted
        query = query * scale.unsqueeze(-1)
        scores = query.flatten(-2) @ keys.flatten(1).T  # (B, N, C or C+1)
        things = None
        if self.point is not None and self.ask is not None and evidence is not None and text.things is not None:
            things = nn.functional.pad(text.things, (0, 0, 0, int(self.null_key is not None)))  # (C or C+1, O)
            asked = self.ask(keys[:, self.rest].flatten(1))  # (C or C+1, E), what its verb and tool look for
            # A class is scored by the evidence of its own thing, sum over e and o of things[c, o] evidence[e, o]
            # (point[e] + asked[c, e]), taken apart so that nothing is as large as frames x evidence x classes.
            pointed = (self.point(x).unsqueeze(-2) @ evidence).squeeze(-2)  # (B, N, O)
            sought = (asked.unsqueeze(-1) * things.unsqueeze(1)).flatten(1)  # (C or C+1, E*O)
            scores = scores + pointed @ things.T + evidence.flatten(-2) @ sought.T
        return x + self.feed(self._expected(scores.softmax(-1), keys, things, evidence)), scores

    def _keys(self, text: Tensor) -> Tensor:
        keys = torch.einsum("csw,spw->csp", text, self.key)
        return torch.where((text != 0).any(-1, keepdim=True), keys, self.absent)

    def _expected(self, probs: Tensor, keys: Tensor, things: Tensor | None, evidence: Tensor | None) -> Tensor:
        """What is fed back: of each slot the expected key, or of the object columns' slot the expected evidence."""
        words = probs @ keys[:, self.rest].flatten(1)
        if self.point is None:
            return words
        if things is None or evidence is None:
            return torch.cat([words, words.new_zeros(*words.shape[:-1], self.point.out_features)], dim=-1)
        seen = evidence @ (probs @ things).unsqueeze(-1)  # (B, N, E, 1)
        return torch.cat([words, seen.squeeze(-1)], dim=-1)


HEADS: dict[str, type[Head]] = {
    "closed": ClosedSetHead,
    "factored": FactoredHead,
    "verb-noun": VerbNounHead,
    "fact-clip": ClosedSetHead,
    "text": TextHead,
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
