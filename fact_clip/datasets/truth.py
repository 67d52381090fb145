"""The true segments of a padded batch, cut once on the CPU, so that a loss on another device need not ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fact_clip.datasets.dataset import IGNORED


@dataclass(frozen=True)
class Truth:
    """Frame labels of B videos and their runs of equal label; runs of ignored frames are not segments."""

    labels: Tensor  # (B, T) int64, -1 at padding and at ignored frames
    segment: Tensor  # (B, T) int64, the place of each frame's segment in its video, -1 where the label is -1
    classes: Tensor  # (B, S) int64, the class of each segment in order (the transcript), -1 at padding

    @classmethod
    def of(cls, labels: Tensor) -> Truth:
        """From the labels (B, T) of a batch."""
        known = labels >= 0
        starts = known.clone()
        starts[:, 1:] &= labels[:, 1:] != labels[:, :-1]
        segment = torch.where(known, starts.cumsum(1) - 1, IGNORED)
        classes = labels.new_full((len(labels), int(starts.sum(1).max())), IGNORED)
        videos, frames = starts.nonzero(as_tuple=True)
        classes[videos, segment[videos, frames]] = labels[videos, frames]
        return cls(labels, segment, classes)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Truth:
        """The same on another device."""
        parts = (self.labels, self.segment, self.classes)
        return Truth(*(each.to(device, non_blocking=non_blocking) for each in parts))
