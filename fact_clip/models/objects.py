"""Object columns: columns that belong to a thing with a name, so that its word and its evidence can be tied.

A detector gives the same few columns (box, motion) of each of O named things. One small network, shared by all of
them, reads the columns of one thing beside those of the fixed ones; what it gives is that thing's evidence. The rest of
the model sees the things without their names: pooled evidence and the fixed columns. A head names a thing by pointing
at its evidence. So a word that was never trained is as good as one that was (ZEROSHOT.md, 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fact_clip.config import ObjectConfig

_SHARPNESS = 50.0  # of the softmax from a word to the names: cosine 1 against .85 is 1 against .0006


@dataclass(frozen=True)
class ObjectSpec:
    """Which input columns are whose.

    Attributes:
        columns: O rows of k columns of the model's input, the same kinds in the same order for each thing.
        fixed: things that keep their identity (tools, the person); the others are seen without names.
        slot: the slot of an action's factors whose words are names of things.
    """

    columns: tuple[tuple[int, ...], ...]
    fixed: tuple[int, ...]
    slot: int


class ObjectEvidence(nn.Module):
    """The input (B, T, D) to a frame stream without identities (B, T, width) and evidence (B, T, E, O)."""

    def __init__(self, config: ObjectConfig, spec: ObjectSpec, names: Tensor) -> None:
        super().__init__()
        kinds, hidden, evidence = len(spec.columns[0]), config.hidden, config.width
        self.slot = spec.slot
        self.columns: Tensor
        self.fixed: Tensor
        self.register_buffer("columns", torch.tensor(spec.columns), persistent=False)  # (O, k)
        self.register_buffer("fixed", torch.tensor(spec.fixed, dtype=torch.long), persistent=False)
        free = [thing for thing in range(len(spec.columns)) if thing not in spec.fixed]
        self.free: Tensor
        self.register_buffer("free", torch.tensor(free), persistent=False)
        self.names: Tensor
        self.register_buffer("names", names)  # (O, W) text vectors
        self.own = nn.Linear(kinds, hidden)
        self.beside = nn.Linear(len(spec.fixed) * kinds, hidden, bias=False)
        self.out = nn.Linear(hidden, evidence)
        self.layers = nn.ModuleList(
            nn.Conv1d(evidence, evidence, 3, padding=4**layer, dilation=4**layer) for layer in range(config.layers)
        )
        self.attend = nn.Linear(evidence, config.heads)
        self.dropout = nn.Dropout(config.dropout)
        self.width = len(spec.fixed) * kinds + (config.heads + 1) * evidence

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) to the stream (B, T, width) and the evidence (B, T, E, O)."""
        own = x[..., self.columns]  # (B, T, O, k)
        fixed = own[..., self.fixed, :].flatten(2)  # (B, T, F*k)
        hidden = torch.relu(self.own(own) + self.beside(fixed).unsqueeze(2))
        evidence = torch.relu(self.out(self.dropout(hidden)))  # (B, T, O, E)
        evidence = self._over_time(evidence, mask)
        free = evidence[..., self.free, :]
        share = self.attend(free).softmax(2)  # (B, T, O', heads)
        pooled = (share.transpose(2, 3) @ free).flatten(2)  # (B, T, heads*E)
        return torch.cat([fixed, pooled, free.amax(2)], dim=-1), evidence.transpose(2, 3).contiguous()

    def _over_time(self, evidence: Tensor, mask: Tensor) -> Tensor:
        """(B, T, O, E) to the same: each thing's evidence beside that of the frames around."""
        if not self.layers:
            return evidence
        batch, frames, things, width = evidence.shape
        rows = evidence.permute(0, 2, 3, 1).reshape(batch * things, width, frames)  # (B*O, E, T)
        real = mask.to(rows.dtype).repeat_interleave(things, 0).unsqueeze(1)  # (B*O, 1, T)
        for layer in self.layers:
            rows = rows + torch.relu(layer(rows * real))
        return rows.view(batch, things, width, frames).permute(0, 3, 1, 2)

    def swapped(self, x: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """The things without names in a random new order, in the input (B, T, D) and in class texts (C, S, W) alike.

        A frame of "move ham" that shows the columns of the ham as those of the plate is one of "move plate" then: its
        class keeps its index, and its word is the plate's. Source: ZEROSHOT.md 2, swap augmentation.
        """
        order = self.free[torch.randperm(len(self.free), device=x.device)]
        x, text = x.clone(), text.clone()
        x[..., self.columns[order]] = x[..., self.columns[self.free]]
        share, thing = self.objects_of(text).max(-1)  # (C,)
        target = torch.arange(len(self.names), device=x.device)
        target[self.free] = order
        moved = (share > 0.5) & (target[thing] != thing)
        text[moved, self.slot] = self.names[target[thing[moved]]]
        return x, text

    def objects_of(self, text: Tensor) -> Tensor:
        """(C, O) for class texts (C, S, W): how far each thing is meant by a class's word; a row sums to 1 or 0."""
        words = text[:, self.slot]  # (C, W)
        with torch.autocast(text.device.type, enabled=False):
            share = (_SHARPNESS * words @ self.names.T).softmax(-1)
        return share * (words.abs().sum(-1, keepdim=True) > 0)
