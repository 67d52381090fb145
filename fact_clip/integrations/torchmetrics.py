"""Metrics for torchmetrics, which accumulate over batches and processes (docs/metrics.md)."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from fact_clip.core.extras import require
from fact_clip.metrics.segmental import count_segments, edit, f1_smoothed

require("fact_clip.integrations.torchmetrics", "torchmetrics", "torchmetrics")
from torchmetrics import Metric  # noqa: E402

__all__ = ["EditScore", "FrameAccuracy", "SegmentF1"]


class _VideoMetric(Metric):
    """Sums over videos.

    Args:
        background: Classes whose segments do not count.
        ignore_index: True class of frames to ignore, in addition to all negative classes.
        options: Options of `torchmetrics.Metric`.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    sums: Tensor

    def __init__(
        self, background: Collection[int] = (), ignore_index: int = -100, **options: Any
    ) -> None:
        super().__init__(**options)
        self.background = tuple(background)
        self.ignore_index = ignore_index
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add videos.

        Args:
            preds: Predicted classes, (T,) or (B, T).
            target: True classes, of the same shape.
        """
        for predicted, true in zip(torch.atleast_2d(preds), torch.atleast_2d(target), strict=True):
            is_labelled = (true >= 0) & (true != self.ignore_index)
            if is_labelled.any():
                counts = self._count(true[is_labelled].tolist(), predicted[is_labelled].tolist())
                self.sums += torch.tensor(counts, dtype=torch.float64, device=self.sums.device)

    def _count(self, true: list[int], predicted: list[int]) -> list[float]:
        """Return what one video adds to the sums."""
        raise NotImplementedError

    def compute(self) -> Tensor:
        """Return the score of all videos in percent."""
        return 100 * self.sums[0] / self.sums[1].clamp(min=1)


class FrameAccuracy(_VideoMetric):
    """Share of correct frames, in percent. Frames of `background` count."""

    def _count(self, true: list[int], predicted: list[int]) -> list[float]:
        hits = sum(map(int.__eq__, true, predicted))
        return [hits, len(true), 0]


class EditScore(_VideoMetric):
    """Edit score in percent, averaged over videos."""

    def _count(self, true: list[int], predicted: list[int]) -> list[float]:
        return [edit([true], [predicted], self.background) / 100, 1, 0]


class SegmentF1(_VideoMetric):
    """F1 of segments at an overlap, in percent, pooled over videos.

    Args:
        overlap: Minimum IoU of a hit, in percent.
        options: Options of `torchmetrics.Metric`.
    """

    def __init__(self, overlap: float = 50, **options: Any) -> None:
        super().__init__(**options)
        self.overlap = overlap

    def _count(self, true: list[int], predicted: list[int]) -> list[float]:
        videos = [(torch.tensor(true).numpy(), torch.tensor(predicted).numpy())]
        return list(count_segments(videos, self.overlap, self.background).totals())

    def compute(self) -> Tensor:
        """Return F1 of all videos in percent."""
        hits, false_alarms, misses = self.sums.int().tolist()
        return torch.tensor(f1_smoothed(hits, false_alarms, misses), dtype=torch.float64)
