"""The true segments of a padded batch, cut once on the CPU, so that a loss on another device need not ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from fact_clip.datasets.dataset import IGNORED


@dataclass(frozen=True)
class Truth:
    """Frame labels of B videos and their runs of equal label; runs of ignored frames are not segments."""

    labels: Tensor  # (B, T) int64, -1 at padding and at ignored frames
    segment: Tensor  # (B, T) int64, the place of each frame's segment in its video; S, a spare place, at label -1
    classes: Tensor  # (B, S) int64, the class of each segment in order, -1 at padding
    transcripts: tuple[NDArray[np.int64], ...]  # the same without padding, on the CPU

    @classmethod
    def of(cls, labels: Tensor) -> Truth:
        """From the labels (B, T) of a batch; on their device."""
        device, labels = labels.device, labels.cpu()
        known = labels >= 0
        starts = known.clone()
        starts[:, 1:] &= labels[:, 1:] != labels[:, :-1]
        transcripts = [row[own] for row, own in zip(labels, starts, strict=True)]
        classes = torch.nn.utils.rnn.pad_sequence(transcripts, batch_first=True, padding_value=IGNORED)
        segment = torch.where(known, starts.cumsum(1) - 1, classes.shape[1])
        return cls(labels, segment, classes, tuple(each.numpy() for each in transcripts)).to(device)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Truth:
        """The same on another device."""
        return self._with(lambda each: each.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Truth:
        """The same in memory that a GPU reads by itself."""
        return self._with(Tensor.pin_memory)

    def longer(self, frames: int) -> Truth:
        """The same with `frames` frames a video, of which the new ones are padding."""
        more, spare = (0, frames - self.labels.shape[1]), self.classes.shape[1]
        labels, segment = pad(self.labels, more, value=IGNORED), pad(self.segment, more, value=spare)
        return Truth(labels, segment, self.classes, self.transcripts)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Truth:
        return Truth(change(self.labels), change(self.segment), change(self.classes), self.transcripts)
