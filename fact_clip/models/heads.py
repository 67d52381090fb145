"""Heads: from a block's H-wide result to class scores and the features that are passed on, H wide again.

A head is called as ``head(x, text, evidence) -> (features, scores)`` with x (B, N, H). Blocks know no class count:
they make their heads through a ``HeadFactory`` and hand the candidates' text through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear

from fact_clip.core.errors import InputError
from fact_clip.core.plugins import Table
from fact_clip.models.kernels import full_precision

KEY_WIDTH = 64  # Width in which the text head compares features and text


_Size = Annotated[int, Field(ge=0, le=1_000_000)]
_Positive = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True)
class Classes:
    """What a head must know of the vocabulary: of the C classes, their verbs and nouns, or the sizes of their texts."""

    count: _Positive  # C
    verb: tuple[int, ...] = ()  # verb index of each class, for a verb-noun head
    noun: tuple[int, ...] = ()
    n_verbs: _Size = 0
    n_nouns: _Size = 0
    n_slots: _Size = 0  # text vectors of a class, for a text head
    text_width: _Size = 0
    evidence_slot: _Size = 0  # the slot whose words are names of object columns
    evidence_width: _Size = 0  # width of the evidence of object columns; 0: there are none
    channels: tuple[
        int, ...
    ] = ()  # score channel of each class, for a closed head that has learned more; (): in order

    def __post_init__(self) -> None:
        for name, indices, size in (
            ("verb", self.verb, self.n_verbs),
            ("noun", self.noun, self.n_nouns),
        ):
            if indices and (
                len(indices) != self.count or not 0 <= min(indices) <= max(indices) < size
            ):
                raise InputError(
                    f"classes.{name}",
                    f"expected one index below {size} for each of {self.count} classes",
                )
        if self.channels and sorted(self.channels) != list(range(self.count)):
            raise InputError("classes.channels", f"expected a permutation of {self.count} channels")

    @property
    def null_divisor(self) -> float:
        """The class count in the automatic null weight (docs/method.md, 'Loss')."""
        return (self.n_verbs + self.n_nouns) / 2 if self.verb else self.count


@dataclass(frozen=True)
class Candidates:
    """The classes to choose from, for heads that read text."""

    text: Tensor  # (C, S, W) one vector per slot; zero where a class has no word (the background has none at all)
    objects: Tensor | None = (
        None  # (C, O) how far a class's word means each object, where there are object columns
    )

    @cached_property
    def present(self) -> Tensor:
        """(C, S, 1) true where a class has a word."""
        return (self.text != 0).any(-1, keepdim=True)


class Head(nn.Module):
    """What every head is: ``head(x, text, evidence)``, made from a width, the classes, and whether null is scored."""

    log_probabilities = (
        False  # the scores are log-probabilities already and are not normalised again
    )
    is_open = False  # of a plug-in: scores the candidates of `text`, so that any name can be one

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__()


def _check_width(scores: int, width: int) -> None:
    if scores >= width:
        raise InputError(
            "head",
            f"{scores} class scores do not fit in {width} channels",
            "raise model.input.hidden",
        )


class ClosedSetHead(Head):
    """As published: the last C channels (with null C+1) are the scores, and their softmax is fed back.

    Classes that were added to a trained model have the channels before those of the others.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.scores = classes.count + int(null)
        _check_width(self.scores, width)
        self.channels = (
            [*classes.channels, *range(classes.count, self.scores)] if classes.channels else None
        )

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H), without gradients in the place of ``x``, and scores (B, N, C or C+1)."""
        in_place = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        scores = x[..., -self.scores :].to(torch.float32, copy=in_place)
        if in_place:
            x[..., -self.scores :] = scores.softmax(-1)
        else:
            x = torch.cat([x[..., : -self.scores], scores.softmax(-1)], dim=-1)
        return x, scores if self.channels is None else scores[..., self.channels]


class VerbNounHead(Head):
    """For Epic-Kitchens, as published: an action's score is log p(verb) + log p(noun)."""

    log_probabilities = True
    verb: Tensor
    noun: Tensor

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        if not classes.verb:
            raise InputError("head 'verb-noun'", "the vocabulary has no verbs and nouns")
        self.sizes = (classes.n_verbs + int(null), classes.n_nouns + int(null))
        _check_width(sum(self.sizes), width)
        nulls = (classes.n_verbs, classes.n_nouns) if null else ()
        self.register_buffer("verb", torch.tensor([*classes.verb, *nulls[:1]]), persistent=False)
        self.register_buffer("noun", torch.tensor([*classes.noun, *nulls[1:]]), persistent=False)

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and action log-probabilities (B, N, C or C+1)."""
        rest, verb, noun = x.split([x.shape[-1] - sum(self.sizes), *self.sizes], dim=-1)
        verb, noun = verb.float(), noun.float()
        features = torch.cat([rest, verb.softmax(-1), noun.softmax(-1)], dim=-1)
        scores = verb.log_softmax(-1)[..., self.verb] + noun.log_softmax(-1)[..., self.noun]
        return features, scores


class TextHead(Head):
    """Open set: a class scores the sum over slots of exp(tau) * cos(W x, V t) (docs/method.md, 'Text head').

    One slot is a text head on sentences, several make a factored one. A slot without a word (no tool; the background
    has no word in any slot) has a learned key, and so has null. What is fed back is the expected key of each slot,
    under the softmax of the scores. With object columns the words of their slot are also scored by pointing at the
    evidence, and the expected evidence is fed back in place of that slot's key, so that no identity comes in.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.n_slots, evidence = classes.n_slots, classes.evidence_width
        self.fed = [
            slot for slot in range(self.n_slots) if not evidence or slot != classes.evidence_slot
        ]
        self.query = nn.Linear(width, self.n_slots * KEY_WIDTH)
        self.key = nn.Parameter(torch.empty(self.n_slots, KEY_WIDTH, classes.text_width))
        for slot in self.key:
            nn.init.orthogonal_(slot)
        self.absent = nn.Parameter(torch.randn(self.n_slots, KEY_WIDTH) / math.sqrt(KEY_WIDTH))
        self.log_scale = nn.Parameter(torch.full((self.n_slots,), math.log(1 / 0.07)))
        self.null_key = (
            nn.Parameter(torch.randn(self.n_slots, KEY_WIDTH) / math.sqrt(KEY_WIDTH))
            if null
            else None
        )
        self.point = nn.Linear(width, evidence) if evidence else None
        self.ask = nn.Linear(len(self.fed) * KEY_WIDTH, evidence, bias=False) if evidence else None
        self.feed = nn.Linear(len(self.fed) * KEY_WIDTH + evidence, width)

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, N, H), and evidence (B, N, E, O), to features (B, N, H) and scores (B, N, C or C+1)."""
        if text is None:
            raise InputError("text", "none for a head that reads it")
        with full_precision(x):  # a cosine times 100 needs more digits than bfloat16 has
            return self._forward(x.float(), text, None if evidence is None else evidence.float())

    def compared(self, x: Tensor, text: Candidates) -> tuple[Tensor, Tensor]:
        """(B, N, S, P) and (C or C+1, S, P): the unit vectors of features and of classes whose cosines are scored."""
        return self._queries(x), self._keys(text)

    def _queries(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.query(x).unflatten(-1, (self.n_slots, -1)), dim=-1)

    def _forward(
        self, x: Tensor, text: Candidates, evidence: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        keys = self._keys(text)  # (C or C+1, S, P)
        scores = self._word_scores(x, keys)
        fed_keys = keys[:, self.fed].flatten(1)
        # What is fed back is multiplied by the keys of all classes, of which there are fewer than frames.
        of_keys, of_evidence = self.feed.weight.split(
            [fed_keys.shape[1], self.feed.in_features - fed_keys.shape[1]], 1
        )
        fed = fed_keys @ of_keys.T  # (C or C+1, H)
        if self.point is None or self.ask is None or evidence is None or text.objects is None:
            return x + (scores.softmax(-1) @ fed + self.feed.bias), scores
        objects = nn.functional.pad(
            text.objects, (0, 0, 0, int(self.null_key is not None))
        )  # (C or C+1, O)
        # A class is scored by the evidence of its own object, sum over e and o of objects[c, o] evidence[e, o]
        # (point[e] + asked[c, e]), taken apart so that nothing is as large as frames x evidence x classes.
        pointed = (self.point(x).unsqueeze(-2) @ evidence).squeeze(-2)  # (B, N, O)
        wanted = self.ask(fed_keys)  # (C or C+1, E), what its verb and tool look for
        sought = (wanted.unsqueeze(-1) * objects.unsqueeze(1)).flatten(1)  # (C or C+1, E*O)
        scores = scores + pointed @ objects.T + evidence.flatten(-2) @ sought.T
        probs = scores.softmax(-1)
        matched = (evidence @ (probs @ objects).unsqueeze(-1)).squeeze(-1)  # (B, N, E)
        return x + (probs @ fed + linear(matched, of_evidence, self.feed.bias)), scores

    def _word_scores(self, x: Tensor, keys: Tensor) -> Tensor:
        """(B, N, C or C+1) scores by the keys (C or C+1, S, P) alone."""
        query = self._queries(x)  # (B, N, S, P)
        scale = self.log_scale.clamp(max=math.log(100.0)).exp().unsqueeze(-1)
        return query.flatten(-2) @ (keys * scale).flatten(1).T

    def _keys(self, text: Candidates) -> Tensor:
        """(C or C+1, S, P) unit keys of the classes and, for a token head, of null."""
        keys = torch.einsum("csw,spw->csp", text.text, self.key)
        keys = torch.where(text.present, keys, self.absent)
        if self.null_key is not None:
            keys = torch.cat([keys, self.null_key.unsqueeze(0)])
        return nn.functional.normalize(keys, dim=-1)


class SimilarityHead(TextHead):
    """The evidence of each candidate beside the text head (docs/method.md, 'Similarity evidence').

    A candidate's score is the product of its evidence and what the frame, segment or token looks for in any candidate's
    evidence. The background and null have no evidence, and the score of the text head. The expected evidence is fed
    back too. Where there is no evidence (tokens that have attended to nothing yet) this is the text head.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, replace(classes, evidence_width=0), null)
        self.look = nn.Linear(width, classes.evidence_width)
        self.feed_evidence = nn.Linear(classes.evidence_width, width, bias=False)

    def _forward(
        self, x: Tensor, text: Candidates, evidence: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if evidence is None:
            return super()._forward(x, text, None)
        keys = self._keys(text)  # (C or C+1, S, P)
        weight = torch.where(text.present.flatten(1).any(1), 0.0, 1.0)  # (C,)
        if self.null_key is not None:  # which has no evidence
            evidence, weight = (
                nn.functional.pad(evidence, (0, 1)),
                nn.functional.pad(weight, (0, 1), value=1.0),
            )
        looked_for = (self.look(x).unsqueeze(-2) @ evidence).squeeze(-2)  # (B, N, C or C+1)
        scores = self._word_scores(x, keys) * weight + looked_for
        probs = scores.softmax(-1)
        expected = (evidence @ probs.unsqueeze(-1)).squeeze(-1)  # (B, N, E)
        fed = keys.flatten(1) @ self.feed.weight.T  # (C or C+1, H)
        return x + (probs @ fed + self.feed.bias + self.feed_evidence(expected)), scores


def _adopt(name: str, part: Any) -> type[Head]:
    if not (isinstance(part, type) and issubclass(part, Head)):
        raise ValueError("not a class of fact_clip.models.heads.Head")
    return part


_HEADS: dict[str, type[Head]] = {
    "closed": ClosedSetHead,
    "verb-noun": VerbNounHead,
    "fact-clip": ClosedSetHead,
    "text": TextHead,
    "similarity": SimilarityHead,
}
HEADS = Table("fact_clip.heads", _HEADS, _adopt)

HeadFactory = Callable[[int, bool], Head]


class FrameProjection(nn.Module):
    """FACT-CLIP's alignment: unit vectors in the text space, z = normalise(W2 dropout(relu(LayerNorm(W1 x))))."""

    def __init__(self, input_dim: int, hidden: int, output_dim: int, dropout: float) -> None:
        super().__init__()
        first, last = nn.Linear(input_dim, hidden), nn.Linear(hidden, output_dim)
        self.projection = nn.Sequential(
            first, nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(dropout), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, input_dim) to (B, T, E)."""
        return nn.functional.normalize(self.projection(x), dim=-1)
