"""Evidence: what the input says of each object or candidate, which heads read beside the features.

Object columns: input columns that belong to a named object, so that its word and its evidence can be tied
(docs/method.md, 'Object columns'). Similarity: for features that live in one space with text, what each candidate's own
similarity curve says (docs/method.md, 'Similarity evidence').
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.config import ObjectConfig
from fact_clip.core.errors import InputError
from fact_clip.models.kernels import FrameConv, full_precision

# --- object columns ---------------------------------------------------------------------------------------------------
#
# A detector gives the same few columns (box, motion) of each of O named objects. One small network, shared by all of
# them, reads the columns of one object beside the fixed ones and gives that object's evidence. The rest of the model
# sees the objects without their names: pooled evidence and the fixed columns. A head names an object by pointing at its
# evidence, so that a word which was never trained works like one that was.
#
# A class's word means the object whose name is most similar to it, if the cosine is at least 0.6. Words below that get
# no evidence: ``unmatched`` tells which. On Epic-Kitchens' nouns, of which no reported figure makes use, that ties 64 %
# of their synonyms to the right one and 7 % of the words of other nouns, the best mean of the two from 0.4 to 0.85.

_SHARPNESS = (
    50.0  # of the softmax from a word to the names: cosine 1 against .85 is 1 against .0006
)
_HEADS = 4  # of the attention that pools the evidence of the free objects
_LEAST_COSINE = 0.6  # of a word and the name of the object that it means


_Index = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class ObjectSpec:
    """Which input columns belong to which object."""

    # O rows of k columns of the model's input, the same kinds in the same order for each object
    columns: tuple[tuple[_Index, ...], ...]
    fixed: tuple[
        _Index, ...
    ]  # objects that keep their identity (tools, the person); the others are seen without names
    slot: _Index  # the slot of an action's factors whose words are names of objects

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.columns}
        if len(widths) != 1 or 0 in widths or max(self.fixed, default=0) >= len(self.columns):
            raise InputError(
                "columns",
                "expected one object or more, each with as many columns, and indices of them",
            )


class ObjectEvidence(nn.Module):
    """The input (B, T, D) to a frame stream without identities (B, T, width) and evidence (B, T, E, O).

    `names` are the (O, W) unit text vectors of the objects' names, zero for an object without one.
    """

    columns: Tensor  # (O, k)
    fixed: Tensor
    free: Tensor
    names: Tensor

    def __init__(self, config: ObjectConfig, spec: ObjectSpec, names: Tensor) -> None:
        super().__init__()
        kinds, hidden, evidence = len(spec.columns[0]), config.hidden, config.width
        free = [index for index in range(len(spec.columns)) if index not in spec.fixed]
        self.slot = spec.slot
        self.register_buffer("columns", torch.tensor(spec.columns), persistent=False)
        self.register_buffer("fixed", torch.tensor(spec.fixed, dtype=torch.long), persistent=False)
        self.register_buffer("free", torch.tensor(free), persistent=False)
        self.register_buffer("names", names)
        self.own = nn.Linear(kinds, hidden)
        with (
            warnings.catch_warnings()
        ):  # torch warns of a layer without inputs, where no object is fixed
            warnings.filterwarnings("ignore", "Initializing zero-element")
            self.beside = nn.Linear(len(spec.fixed) * kinds, hidden, bias=False)
        self.out = nn.Linear(hidden, evidence)
        self.attend = nn.Linear(evidence, _HEADS)
        self.width = len(spec.fixed) * kinds + (_HEADS + 1) * evidence

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) to the stream (B, T, width) and the evidence (B, T, E, O)."""
        object_rows = x[..., self.columns]  # (B, T, O, k)
        fixed = object_rows[..., self.fixed, :].flatten(2)  # (B, T, F*k)
        hidden = torch.relu(self.own(object_rows) + self.beside(fixed).unsqueeze(2))
        evidence = torch.relu(self.out(hidden))  # (B, T, O, E)
        free = evidence[..., self.free, :]
        weights = self.attend(free).softmax(2)  # (B, T, O', heads)
        pooled = (weights.transpose(2, 3) @ free).flatten(2)  # (B, T, heads*E)
        return torch.cat([fixed, pooled, free.amax(2)], dim=-1), evidence.transpose(
            2, 3
        ).contiguous()

    def objects_of(self, text: Tensor) -> Tensor:
        """(C, O) for class texts (C, S, W): how far a class's word means each object; a row sums to 1, or to 0."""
        share = self._cosine(_SHARPNESS * text).softmax(-1)
        return share * (self._cosine(text).amax(-1, keepdim=True) >= _LEAST_COSINE)

    def unmatched(self, text: Tensor) -> Tensor:
        """(C,) bool for class texts (C, S, W): classes with a word that means none of the objects."""
        return text[:, self.slot].any(-1) & (self._cosine(text).amax(-1) < _LEAST_COSINE)

    def _cosine(self, text: Tensor) -> Tensor:
        with full_precision(text):
            return text[:, self.slot] @ self.names.T  # (C, O)

    def swapped(self, x: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Swap augmentation: the free objects in a random new order, in input (B, T, D) and texts (C, S, W) alike.

        A frame of "move ham" then shows the columns of the ham as those of the plate, and its class has the plate's
        word.
        """
        order = self.free[torch.randperm(len(self.free), device=x.device)]
        x, text = x.clone(), text.clone()
        x[..., self.columns[order]] = x[..., self.columns[self.free]]
        share, meant = self.objects_of(text).max(-1)  # (C,)
        target = torch.arange(len(self.names), device=x.device)
        target[self.free] = order
        moved = (share > 0.5) & (target[meant] != meant)
        text[moved, self.slot] = self.names[target[meant[moved]]]
        return x, text


# --- similarity -------------------------------------------------------------------------------------------------------
#
# Frames and names are compared by their cosine, and one small network over time, shared by all candidates, reads the
# curves of one candidate: its cosine, the same smoothed, less its mean over the video, and less the best of the other
# candidates. It knows no class, so that a name that was never trained is read like one that was; a permutation of the
# candidates permutes the result. Heads score a candidate by its evidence.


CHANNELS = 16  # width of the network that all candidates share
LAYERS = 4  # its dilated layers
WINDOWS = (5, 25)  # rows over which similarities are smoothed

# Rows on each side of a row that the evidence depends on.
SIMILARITY_REACH = max(WINDOWS) // 2 + 2**LAYERS - 1


class SimilarityEvidence(nn.Module):
    """The input (B, T, D) and class texts (C, S, W) to the evidence of the candidates (B, T, E, C).

    The first W columns of the input are the frame's vector in the space of the texts, before ``data.standardize``
    scaled them; less its mean over the training frames it is column * space[0] - space[1]. Texts are taken less
    `centre` (S, W), their mean over the training classes: a constant gap between both sides has no effect.
    """

    space: Tensor
    centre: Tensor

    def __init__(
        self,
        input_dim: int,
        slots: int,
        space: Tensor,
        centre: Tensor,
        channels: int = CHANNELS,
        layers: int = LAYERS,
        windows: Sequence[int] = WINDOWS,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.register_buffer("space", space)
        self.register_buffer("centre", centre)
        self.gain = space.shape[1] ** 0.5  # the cosine of two random vectors deviates by 1 / gain
        curves = slots * (3 + 2 * len(windows))
        self.read = nn.Linear(curves, channels)
        self.beside = nn.Linear(input_dim, channels, bias=False)
        self.dilated = nn.ModuleList(
            FrameConv(channels, channels, 3, 2**layer) for layer in range(layers)
        )
        self.mix = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None, text: Tensor) -> Tensor:
        """(B, T, D), real frames (B, T) or None, and (C, S, W) to (B, T, E, C); zero for a candidate without words."""
        with full_precision(x):  # differences of cosines need more digits than bfloat16 has
            x = x.float()
            present = (text != 0).any(-1)  # (C, S)
            hidden = self.read(
                self._curves(self.cosines(x, text, present), mask, present)
            )  # (B, C, T, E)
            hidden = torch.relu(hidden + self.beside(x).unsqueeze(1)).flatten(0, 1)  # (B*C, T, E)
            real = (
                None
                if mask is None
                else mask.unsqueeze(1).expand(-1, len(text), -1).flatten(0, 1).unsqueeze(-1)
            )
            for dilated, mix in zip(self.dilated, self.mix, strict=True):
                inside = dilated(hidden if real is None else hidden * real)
                hidden = hidden + mix(torch.relu(inside))
            evidence = torch.relu(hidden).unflatten(0, (len(x), len(text)))  # (B, C, T, E)
            evidence = evidence * present.any(-1)[:, None, None]
            return evidence.permute(0, 2, 3, 1).contiguous()

    def cosines(self, x: Tensor, text: Tensor, present: Tensor) -> Tensor:
        """(B, C, S, T) cosines of frames and words, both centred, times sqrt(W); zero where there is no word."""
        scale, shift = self.space
        frames = x[..., : len(scale)] * scale - shift  # (B, T, W)
        frames = nn.functional.normalize(frames, dim=-1)
        words = (
            nn.functional.normalize(text - self.centre, dim=-1) * present.unsqueeze(-1) * self.gain
        )
        return (words.flatten(0, 1) @ frames.transpose(1, 2)).unflatten(1, present.shape)

    def _curves(self, cosines: Tensor, mask: Tensor | None, present: Tensor) -> Tensor:
        """(B, C, T, S*K): the curves of each word: as it is, smoothed, less its mean, and less the best other."""
        real = (
            cosines.new_ones(1, 1, cosines.shape[-1])
            if mask is None
            else mask.unsqueeze(1).to(cosines.dtype)
        )
        flat = cosines.flatten(1, 2) * real  # (B, C*S, T)
        curves = [
            flat,
            *(
                _smoothed(flat, window) / _smoothed(real, window).clamp(min=1e-6)
                for window in self.windows
            ),
        ]
        mean = flat.sum(-1, keepdim=True) / real.sum(-1, keepdim=True)
        curves += [curve - mean for curve in curves[:1]] + [
            _margin(curve, present) for curve in curves
        ]
        stacked = torch.stack(curves, -1).unflatten(1, present.shape)  # (B, C, S, T, K)
        return stacked.transpose(2, 3).flatten(3)


def centre_of(text: Tensor) -> Tensor:
    """(S, W) mean of the words (C, S, W) that there are."""
    count = (text != 0).any(-1, keepdim=True).sum(0)  # (S, 1)
    return text.sum(0) / count.clamp(min=1)


def _smoothed(curves: Tensor, window: int) -> Tensor:
    """Centred mean of (B, N, T) over `window` rows, zeros beyond the ends; an even number is rounded up."""
    half = window // 2
    return nn.functional.avg_pool1d(
        curves, 2 * half + 1, stride=1, padding=half, count_include_pad=True
    )


def _margin(curves: Tensor, present: Tensor) -> Tensor:
    """(B, C*S, T) less the best of the same slot's other words; 0 without a word, or where there is no other."""
    curve = curves.unflatten(1, present.shape)  # (B, C, S, T)
    among = curve.masked_fill(~present.unsqueeze(-1), -torch.inf)
    first, *further = among.topk(min(2, len(present)), dim=1).values.split(
        1, dim=1
    )  # (B, 1, S, T) each
    second = further[0] if further else torch.full_like(first, -torch.inf)
    other = torch.where(curve < first, first, second)
    present_ = present.unsqueeze(-1) & (other > -torch.inf)
    return torch.where(present_, curve - other.masked_fill(~present_, 0.0), 0.0).flatten(1, 2)
