"""Evidence of object columns: input columns of named objects (docs/method.md, 'Object columns').

A detector gives the same few columns (box, motion) for each of O named objects. One small network,
shared by all objects, reads the columns of one object and of the fixed objects, and returns the
evidence of this object. The rest of the model sees the objects without their names: as pooled
evidence and fixed columns. A head names an object by pointing at its evidence, so a word that was
never trained works like a trained one.

A class's word means the object with the most similar name, if the cosine is at least 0.6. A less
similar word has no evidence (`unmatched`). For Epic-Kitchens' nouns, which no reported figure uses,
this ties 64 % of their synonyms to the correct noun, and 7 % of other nouns' words to a noun. This
is the best balance of the two for thresholds from 0.4 to 0.85.
"""

import warnings
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.config.schema import Width
from fact_clip.core.errors import InputError
from fact_clip.models.kernels.base import full_precision

_SHARPNESS = 50.0  # factor in the softmax over names: cosine 1 against .85 gives 1 against .0006
_HEADS = 4  # heads of the attention that pools the evidence of free objects
_MIN_COSINE = 0.6  # minimum cosine of a word and the name of the object that it means

_Index = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class ObjectSpec:
    """Input columns of each object.

    Attributes:
        columns: O rows of k input columns, with the same kinds in the same order for each object.
        fixed: Objects that keep their identity (tools, the person). Others lose their names.
        slot: Slot of an action's factors whose words are names of objects.
        hidden: Width of the network that all objects share.
        width: Width of the evidence of an object.
    """

    columns: tuple[tuple[_Index, ...], ...]
    fixed: tuple[_Index, ...]
    slot: _Index
    hidden: Width = 32
    width: Width = 16

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.columns}
        if len(widths) != 1 or 0 in widths or max(self.fixed, default=0) >= len(self.columns):
            problem = "expected at least one object, each with as many columns, and valid indices"
            raise InputError("columns", problem)


class ObjectEvidence(nn.Module):
    """Converts the input to a frame stream without identities, and to evidence of each object.

    Args:
        spec: Input columns of the objects, and the widths of the network.
        names: Unit text vectors of the object names (O, W), zero for an object without a name.
    """

    columns: Tensor  # (O, k)
    fixed: Tensor
    free: Tensor
    names: Tensor

    def __init__(self, spec: ObjectSpec, names: Tensor) -> None:
        super().__init__()
        kinds = len(spec.columns[0])
        fixed_width = len(spec.fixed) * kinds
        free = [index for index in range(len(spec.columns)) if index not in spec.fixed]
        self.slot = spec.slot
        self.register_buffer("columns", torch.tensor(spec.columns), persistent=False)
        self.register_buffer("fixed", torch.tensor(spec.fixed, dtype=torch.long), persistent=False)
        self.register_buffer("free", torch.tensor(free), persistent=False)
        self.register_buffer("names", names)
        self.own = nn.Linear(kinds, spec.hidden)
        with warnings.catch_warnings():  # torch warns about a layer without inputs
            warnings.filterwarnings("ignore", "Initializing zero-element")
            self.beside = nn.Linear(fixed_width, spec.hidden, bias=False)
        self.out = nn.Linear(spec.hidden, spec.width)
        self.attend = nn.Linear(spec.width, _HEADS)
        self.width = fixed_width + (_HEADS + 1) * spec.width

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream (B, T, width) and the evidence (B, T, E, O) of (B, T, D)."""
        columns = x[..., self.columns]  # (B, T, O, k)
        fixed = columns[..., self.fixed, :].flatten(2)  # (B, T, F * k)
        hidden = torch.relu(self.own(columns) + self.beside(fixed).unsqueeze(2))
        evidence = torch.relu(self.out(hidden))  # (B, T, O, E)

        free = evidence[..., self.free, :]  # (B, T, O', E)
        weights = self.attend(free).softmax(2)  # (B, T, O', heads)
        pooled = (weights.transpose(2, 3) @ free).flatten(2)  # (B, T, heads * E)
        stream = torch.cat([fixed, pooled, free.amax(2)], dim=-1)  # (B, T, width)
        return stream, evidence.transpose(2, 3).contiguous()

    def objects_of(self, text: Tensor) -> Tensor:
        """Return the degree to which the word of each class means each object.

        Args:
            text: Class texts, (C, S, W).

        Returns:
            Degrees (C, O). A row sums to 1, or to 0 if the word means none of the objects.
        """
        share = self._cosine(_SHARPNESS * text).softmax(-1)
        return share * (self._cosine(text).amax(-1, keepdim=True) >= _MIN_COSINE)

    def unmatched(self, text: Tensor) -> Tensor:
        """Return whether each class has a word that means none of the objects, (C,).

        Args:
            text: Class texts, (C, S, W).
        """
        has_word = text[:, self.slot].any(-1)
        return has_word & (self._cosine(text).amax(-1) < _MIN_COSINE)

    def _cosine(self, text: Tensor) -> Tensor:
        with full_precision(text):
            return text[:, self.slot] @ self.names.T  # (C, O)

    def swapped(self, x: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Put the free objects in a random order (swap augmentation).

        For example, a frame of "move ham" then has the ham's columns in place of the plate's, and
        its class has the word of the plate.

        Args:
            x: Input, (B, T, D).
            text: Class texts, (C, S, W).

        Returns:
            The changed input and class texts.
        """
        order = self.free[torch.randperm(len(self.free), device=x.device)]
        x = x.clone()
        x[..., self.columns[order]] = x[..., self.columns[self.free]]

        share, meaning = self.objects_of(text).max(-1)  # (C,)
        target = torch.arange(len(self.names), device=x.device)
        target[self.free] = order
        moved = (share > 0.5) & (target[meaning] != meaning)
        swapped_text = text.clone()
        swapped_text[moved, self.slot] = self.names[target[meaning[moved]]]
        return x, swapped_text
