"""Figures that count frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core import InputError, stretch
from fact_clip.core.segments import frame_labels


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


Labels: TypeAlias = NDArray[np.int64]
Video: TypeAlias = tuple[Labels, Labels]
"""True and predicted labels of one video, both (T,). T is 0 where nothing is left to judge."""


def paired(ground_truth: Sequence[ArrayLike], prediction: Sequence[ArrayLike], stride: int = 1) -> list[Video]:
    """Check two lists of labellings and pair them, without the frames whose true label is negative.

    Args:
        ground_truth: class indices (T,) a video; negative ones are ignored frames.
        prediction: class indices a video, (T,), or (ceil(T / stride),) at a stride above 1.
        stride: temporal stride of the predictions, which are stretched by nearest neighbour.

    Raises:
        InputError: no videos, lists or videos of different length, a video without frames, labels that are
            not integers, or a negative prediction at a frame that is not ignored.
    """
    if len(ground_truth) == 0:
        raise InputError("ground truth", "no videos", "at least one")
    if len(ground_truth) != len(prediction):
        raise InputError(
            "prediction", f"{len(prediction)} videos", f"{len(ground_truth)}, one for each in the ground truth"
        )
    return [
        _pair(place, truth, guess, stride)
        for place, (truth, guess) in enumerate(zip(ground_truth, prediction, strict=True))
    ]


def _pair(place: int, truth: ArrayLike, guess: ArrayLike, stride: int) -> Video:
    true = frame_labels(truth, f"ground truth of video {place}")
    predicted = frame_labels(guess, f"prediction of video {place}")
    if true.size == 0:
        raise InputError(f"ground truth of video {place}", "no frames", "at least one")
    if stride != 1:
        predicted = stretch(predicted, stride, true.size)
    if predicted.size != true.size:
        raise InputError(
            f"prediction of video {place}",
            f"{predicted.size} frames",
            f"{true.size}, as many as the ground truth has",
            "declare the stride if predictions have one",
        )
    known = true >= 0
    true, predicted = true[known], predicted[known]
    if (predicted < 0).any():
        raise InputError(f"prediction of video {place}", f"class {predicted.min()}", "class indices, 0 or more")
    return true, predicted


def without_true(videos: Iterable[Video], classes: Collection[int]) -> list[Video]:
    """The same videos without the frames whose true label is among `classes`."""
    left_out = np.array(sorted(classes), dtype=np.int64)
    kept = [(true, predicted, ~np.isin(true, left_out)) for true, predicted in videos]
    return [(true[mask], predicted[mask]) for true, predicted, mask in kept]


def class_set(where: str, classes: Iterable[int]) -> frozenset[int]:
    """Check class indices given as an option, such as background.

    Raises:
        InputError: anything that is not a whole number of 0 or more; names belong through `Vocabulary`.
    """
    if isinstance(classes, str):
        raise InputError(where, repr(classes), "class indices", "look names up by Vocabulary.index")
    checked = set()
    for value in classes:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InputError(where, repr(value), "class indices, 0 or more", "look names up by Vocabulary.index")
        checked.add(int(value))
    return frozenset(checked)


def percent(part: float, whole: float) -> float:
    """100 · part / whole; a share of nothing is 0, never NaN."""
    return 100.0 * part / whole if whole else 0.0
