"""Heads: from the H-wide result of a block to class scores and features of the same width.

A head is called as ``head(x, text, evidence) -> (features, scores)`` with x (B, N, H). Blocks do
not depend on the number of classes: they create their heads through a ``HeadFactory`` and pass on
the candidates' text.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, pad

from fact_clip.core.errors import InputError
from fact_clip.core.plugins import PluginTable
from fact_clip.models.kernels.base import full_precision

KEY_WIDTH = 64  # width in which the text head compares features and text


_Size = Annotated[int, Field(ge=0, le=1_000_000)]
_Positive = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True)
class Classes:
    """Facts about the vocabulary that a head needs.

    Attributes:
        count: Number of classes, C.
        verb: Verb index of each class, for a verb-noun head.
        noun: Noun index of each class, for a verb-noun head.
        n_verbs: Number of verbs.
        n_nouns: Number of nouns.
        n_slots: Number of text vectors per class, for a text head.
        text_width: Width of a text vector.
        evidence_slot: Slot whose words are names of object columns.
        evidence_width: Width of the evidence of object columns, or 0 without such columns.
        channels: Score channel of each class, for a closed head that was trained on more classes
            later. Empty if they are in order.
    """

    count: _Positive
    verb: tuple[int, ...] = ()
    noun: tuple[int, ...] = ()
    n_verbs: _Size = 0
    n_nouns: _Size = 0
    n_slots: _Size = 0
    text_width: _Size = 0
    evidence_slot: _Size = 0
    evidence_width: _Size = 0
    channels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        slots = {"verb": (self.verb, self.n_verbs), "noun": (self.noun, self.n_nouns)}
        for name, (indices, size) in slots.items():
            fits = len(indices) == self.count and min(indices) >= 0 and max(indices) < size
            if indices and not fits:
                problem = f"expected one index below {size} for each of {self.count} classes"
                raise InputError(f"classes.{name}", problem)
        if self.channels and sorted(self.channels) != list(range(self.count)):
            raise InputError("classes.channels", f"expected a permutation of {self.count} channels")

    @property
    def null_divisor(self) -> float:
        """Return the number of classes in the automatic null weight (docs/method.md, 'Loss')."""
        return (self.n_verbs + self.n_nouns) / 2 if self.verb else self.count


@dataclass(frozen=True)
class Candidates:
    """The candidate classes, for heads that read text."""

    embeddings: Tensor  # (C, S, W) zero for a missing word (background has none)
    objects: Tensor | None = None  # (C, O) degree to which a class's word means each object

    @cached_property
    def present(self) -> Tensor:
        """Return (C, S, 1), true if a class has a word."""
        return (self.embeddings != 0).any(-1, keepdim=True)


class Head(nn.Module):
    """Base class of heads, called as ``head(x, text, evidence)``.

    Args:
        width: Width H.
        classes: Facts about the vocabulary.
        null: Whether the head also scores the null class.
    """

    # Whether the scores are already log-probabilities, which are not normalised again.
    log_probabilities = False
    # Whether the head scores the candidates in `text`, so that it accepts any name.
    is_open = False

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__()


def _check_width(scores: int, width: int) -> None:
    if scores >= width:
        problem = f"{scores} class scores do not fit in {width} channels"
        raise InputError("head", problem, "raise model.input.hidden")


class ClosedSetHead(Head):
    """The published head: the last C (with null, C+1) channels are the scores.

    Their softmax is fed back. Classes that were added to a trained model have the channels before
    the original classes.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.scores = classes.count + int(null)
        _check_width(self.scores, width)
        self.channels: list[int] | None = None
        if classes.channels:
            self.channels = [*classes.channels, *range(classes.count, self.scores)]

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return features (B, N, H) and scores (B, N, C or C+1).

        Without gradients, the features overwrite ``x``.
        """
        in_place = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        scores = x[..., -self.scores :].to(torch.float32, copy=in_place)
        if in_place:
            x[..., -self.scores :] = scores.softmax(-1)
        else:
            x = torch.cat([x[..., : -self.scores], scores.softmax(-1)], dim=-1)
        if self.channels is not None:
            scores = scores[..., self.channels]
        return x, scores


class VerbNounHead(Head):
    """The published head for Epic-Kitchens. An action's score is log p(verb) + log p(noun)."""

    log_probabilities = True
    verb: Tensor
    noun: Tensor

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        if not classes.verb:
            raise InputError("head 'verb-noun'", "the vocabulary has no verbs and nouns")
        self.sizes = (classes.n_verbs + int(null), classes.n_nouns + int(null))
        _check_width(sum(self.sizes), width)
        verb = [*classes.verb]
        noun = [*classes.noun]
        if null:
            verb.append(classes.n_verbs)
            noun.append(classes.n_nouns)
        self.register_buffer("verb", torch.tensor(verb), persistent=False)
        self.register_buffer("noun", torch.tensor(noun), persistent=False)

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return features (B, N, H) and action log-probabilities (B, N, C or C+1)."""
        n_verbs, n_nouns = self.sizes
        features, verb, noun = x.split([x.shape[-1] - n_verbs - n_nouns, n_verbs, n_nouns], dim=-1)
        verb = verb.float()
        noun = noun.float()
        features = torch.cat([features, verb.softmax(-1), noun.softmax(-1)], dim=-1)
        scores = verb.log_softmax(-1)[..., self.verb] + noun.log_softmax(-1)[..., self.noun]
        return features, scores


class TextHead(Head):
    """Open-set head. The score of a class is the sum over slots of exp(tau) * cos(W x, V t).

    With one slot, this is a text head on sentences. With several, it is factored. A slot without a
    word (no tool, or all slots of background) has a learned key, and so does null. The features
    receive the expected key of each slot under the softmax of the scores. With object columns, the
    words of their slot are also scored by pointing at the evidence. The expected evidence is then
    fed back instead of this slot's key, so that no identity enters (docs/method.md, 'Text head').
    """

    is_open = True

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.n_slots = classes.n_slots
        evidence = classes.evidence_width
        evidence_slot = classes.evidence_slot if evidence else None
        self.fed_slots = [slot for slot in range(self.n_slots) if slot != evidence_slot]
        fed_width = len(self.fed_slots) * KEY_WIDTH

        self.query = nn.Linear(width, self.n_slots * KEY_WIDTH)
        self.key = nn.Parameter(torch.empty(self.n_slots, KEY_WIDTH, classes.text_width))
        for slot in self.key:
            nn.init.orthogonal_(slot)
        self.absent = self._random_keys()
        self.log_scale = nn.Parameter(torch.full((self.n_slots,), math.log(1 / 0.07)))
        self.null_key = self._random_keys() if null else None
        self.point = nn.Linear(width, evidence) if evidence else None
        self.ask = nn.Linear(fed_width, evidence, bias=False) if evidence else None
        self.feed = nn.Linear(fed_width + evidence, width)

    def _random_keys(self) -> nn.Parameter:
        return nn.Parameter(torch.randn(self.n_slots, KEY_WIDTH) / math.sqrt(KEY_WIDTH))

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the candidates, in float32.

        Args:
            x: Features, (B, N, H).
            text: Candidates.
            evidence: Evidence of object columns, (B, N, E, O).

        Returns:
            Features (B, N, H) and scores (B, N, C or C+1).
        """
        if text is None:
            raise InputError("text", "none for a head that reads it")
        with full_precision(x):  # a cosine times 100 needs more digits than bfloat16 has
            if evidence is not None:
                evidence = evidence.float()
            return self._forward(x.float(), text, evidence)

    def _forward(
        self, x: Tensor, text: Candidates, evidence: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        keys = self._keys(text)  # (C or C+1, S, P)
        scores = self._word_scores(x, keys)
        fed_keys = keys[:, self.fed_slots].flatten(1)  # (C or C+1, S' * P)
        fed_width = fed_keys.shape[1]
        evidence_width = self.feed.in_features - fed_width
        key_weight, evidence_weight = self.feed.weight.split([fed_width, evidence_width], dim=1)
        # Project class keys before averaging them, because there are fewer classes than frames.
        fed = fed_keys @ key_weight.T  # (C or C+1, H)
        if self.point is None or self.ask is None or evidence is None or text.objects is None:
            return x + (scores.softmax(-1) @ fed + self.feed.bias), scores

        objects = text.objects  # (C, O)
        if self.null_key is not None:
            objects = pad(objects, (0, 0, 0, 1))  # (C+1, O)
        # The score of a class by the evidence of its object is the sum over e and o of
        # objects[c, o] evidence[e, o] (point[e] + query[c, e]). The two terms are computed
        # separately, to avoid a tensor as large as frames x evidence x classes.
        pointed = (self.point(x).unsqueeze(-2) @ evidence).squeeze(-2)  # (B, N, O)
        query = self.ask(fed_keys)  # (C or C+1, E), what the verb and tool look for
        of_objects = (query.unsqueeze(-1) * objects.unsqueeze(1)).flatten(1)  # (C or C+1, E * O)
        scores = scores + pointed @ objects.T + evidence.flatten(-2) @ of_objects.T

        probs = scores.softmax(-1)
        expected = (evidence @ (probs @ objects).unsqueeze(-1)).squeeze(-1)  # (B, N, E)
        return x + (probs @ fed + linear(expected, evidence_weight, self.feed.bias)), scores

    def _word_scores(self, x: Tensor, keys: Tensor) -> Tensor:
        """Return scores (B, N, C or C+1) that use only the keys (C or C+1, S, P)."""
        query = normalize(self.query(x).unflatten(-1, (self.n_slots, -1)), dim=-1)  # (B, N, S, P)
        scale = self.log_scale.clamp(max=math.log(100.0)).exp().unsqueeze(-1)  # (S, 1)
        return query.flatten(-2) @ (keys * scale).flatten(1).T

    def _keys(self, text: Candidates) -> Tensor:
        """Return unit keys (C or C+1, S, P) of the classes and, for a token head, of null."""
        keys = torch.einsum("csw,spw->csp", text.embeddings, self.key)
        keys = torch.where(text.present, keys, self.absent)
        if self.null_key is not None:
            keys = torch.cat([keys, self.null_key.unsqueeze(0)])
        return normalize(keys, dim=-1)


class SimilarityHead(TextHead):
    """The text head with additional scores from the evidence of each candidate.

    A candidate's score is the product of its evidence and a query of the frame, segment or token,
    which is the same for all candidates. Background and null have no evidence and keep the score
    of the text head. The expected evidence is also fed back. Without evidence (for tokens that have
    not attended to anything yet), this is the text head (docs/method.md, 'Similarity evidence').
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
        has_words = text.present.flatten(1).any(1)  # (C,)
        weight = torch.where(has_words, 0.0, 1.0)
        if self.null_key is not None:  # null has no evidence
            evidence = pad(evidence, (0, 1))
            weight = pad(weight, (0, 1), value=1.0)
        evidence_scores = (self.look(x).unsqueeze(-2) @ evidence).squeeze(-2)  # (B, N, C or C+1)
        scores = self._word_scores(x, keys) * weight + evidence_scores

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
HEADS = PluginTable("fact_clip.heads", _HEADS, _adopt)


def is_open(head: str) -> bool:
    """Return whether a head scores candidates by their texts, so that it accepts any name.

    For a missing or broken plug-in, return False.

    Args:
        head: Name in `HEADS`.
    """
    with suppress(InputError):
        return bool(getattr(HEADS.get(head), "is_open", False))
    return False


def reads_text(head: str) -> bool:
    """Return whether a head uses vectors of class names."""
    return head == "fact-clip" or is_open(head)


HeadFactory = Callable[[int, bool], Head]


class FrameProjection(nn.Module):
    """FACT-CLIP's alignment: z = normalise(W2 dropout(relu(LayerNorm(W1 x)))) in the text space.

    Args:
        input_dim: Width of x.
        hidden: Width between the two layers.
        output_dim: Width E of the texts.
        dropout: Share of channels that are dropped.
    """

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
        """Return unit vectors (B, T, E) for (B, T, input_dim)."""
        return normalize(self.projection(x), dim=-1)
