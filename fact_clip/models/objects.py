"""Object columns: input columns that belong to a named object, so that its word and its evidence can be tied.

A detector gives the same few columns (box, motion) of each of O named objects. One small network, shared by all of
them, reads the columns of one object beside the fixed ones and gives that object's evidence. The rest of the model
sees the objects without their names: pooled evidence and the fixed columns. A head names an object by pointing at its
evidence, so that a word which was never trained works like one that was (docs/method.md, 'Object columns').

A class's word means the object whose name is most similar to it, if the cosine is at least 0.6. Words below that get no
evidence: ``unmatched`` tells which. On Epic-Kitchens' nouns, of which no reported figure makes use, that ties 64 % of
their synonyms to the right one and 7 % of the words of other nouns, the best mean of the two from 0.4 to 0.85.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.config import ObjectConfig
from fact_clip.core.errors import InputError
from fact_clip.models.kernels import full_precision

_SHARPNESS = 50.0  # of the softmax from a word to the names: cosine 1 against .85 is 1 against .0006
_HEADS = 4  # of the attention that pools the evidence of the free objects
_LEAST_COSINE = 0.6  # of a word and the name of the object that it means


_Index = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class ObjectSpec:
    """Which input columns belong to which object."""

    # O rows of k columns of the model's input, the same kinds in the same order for each object
    columns: tuple[tuple[_Index, ...], ...]
    fixed: tuple[_Index, ...]  # objects that keep their identity (tools, the person); the others are seen without names
    slot: _Index  # the slot of an action's factors whose words are names of objects

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.columns}
        if len(widths) != 1 or 0 in widths or max(self.fixed, default=0) >= len(self.columns):
            raise InputError("columns", "expected one object or more, each with as many columns, and indices of them")


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
        with warnings.catch_warnings():  # torch warns of a layer without inputs, where no object is fixed
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
        return torch.cat([fixed, pooled, free.amax(2)], dim=-1), evidence.transpose(2, 3).contiguous()

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
