"""The true segments of a batch, which tokens are matched to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fact_clip.core import Integers


@dataclass(frozen=True)
class Truth:
    """Frame labels of B videos and their runs of equal label, without ignored frames.

    Attributes:
        labels: Labels (B, T) in int64, -1 at padding and for ignored frames.
        segment: Number of each frame's segment in its video (B, T) in int64, S for label -1.
        classes: Class of each segment in order (B, S) in int64, -1 at padding.
        transcripts: Classes of each video without padding, on the host.
    """

    labels: Tensor
    segment: Tensor
    classes: Tensor
    transcripts: tuple[Integers, ...]

    @classmethod
    def of(cls, labels: Tensor) -> Truth:
        """Divide labels (B, T) into segments. Labels on a GPU are first copied to the host."""
        device = labels.device
        labels = labels.cpu()
        labelled = labels >= 0
        starts = labelled.clone()
        starts[:, 1:] &= labels[:, 1:] != labels[:, :-1]
        transcripts = [row[first] for row, first in zip(labels, starts, strict=True)]
        classes = pad_sequence(transcripts, batch_first=True, padding_value=-1)
        segment = torch.where(labelled, starts.cumsum(1) - 1, classes.shape[1])
        truth = cls(
            labels=labels,
            segment=segment,
            classes=classes,
            transcripts=tuple(row.numpy() for row in transcripts),
        )
        return truth.to(device)

    def to(self, device: torch.device | str) -> Truth:
        """Return the truth on a device. The host does not wait for copies to a GPU."""
        device = torch.device(device)
        if device == self.labels.device:
            return self
        return Truth(
            labels=_copy(self.labels, device),
            segment=_copy(self.segment, device),
            classes=_copy(self.classes, device),
            transcripts=self.transcripts,
        )


def _copy(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
