"""Figures that count frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.metrics.videos import Labels, Video, class_set, paired, percent


@dataclass(frozen=True)
class FrameCounts:
    """Frames of each true class, all videos pooled.

    Args:
        total: class -> frames whose true label it is.
        right: class -> those of them that are predicted so.
    """

    total: Counter[int]
    right: Counter[int]

    @classmethod
    def of(cls, videos: Iterable[Video]) -> FrameCounts:
        """Count the frames of some videos."""
        total: Counter[int] = Counter()
        right: Counter[int] = Counter()
        for true, predicted in videos:
            total.update(_frequencies(true))
            right.update(_frequencies(true[true == predicted]))
        return cls(total, right)

    def only(self, classes: Collection[int]) -> FrameCounts:
        """The counts of these classes."""
        return FrameCounts(
            Counter({label: count for label, count in self.total.items() if label in classes}), self.right
        )

    def without(self, classes: Collection[int]) -> FrameCounts:
        """The counts of all classes but these."""
        return self.only([label for label in self.total if label not in classes])

    def accuracy(self) -> float:
        """Share of frames that agree in percent; 0 where there are none."""
        return percent(sum(self.right[label] for label in self.total), self.total.total())

    def class_mean(self) -> float:
        """Mean accuracy in percent over the classes that have a true frame; 0 where there are none."""
        shares = [percent(self.right[label], count) for label, count in sorted(self.total.items())]
        return float(np.mean(shares)) if shares else 0.0


def _frequencies(labels: Labels) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def frame_accuracy(
    ground_truth: Sequence[ArrayLike], prediction: Sequence[ArrayLike], background: Iterable[int] = ()
) -> float:
    """Share in percent of frames that agree (MoF), all videos pooled.

    Args:
        ground_truth: class indices (T,) a video; negative ones are ignored frames.
        prediction: class indices (T,) a video.
        background: classes whose true frames are left out; none gives `frame_accuracy`, the background
            classes give `frame_accuracy_foreground`.

    Raises:
        InputError: see `videos.paired` and `videos.class_set`.
    """
    left_out = class_set("background", background)
    return FrameCounts.of(paired(ground_truth, prediction)).without(left_out).accuracy()
