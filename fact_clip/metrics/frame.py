"""What all figures start from, checked pairs of labellings, and the figures that count frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core import InputError, frame_labels, stretch
from fact_clip.core.arguments import is_list, whole_of

Labellings: TypeAlias = Sequence[ArrayLike]
"""Class indices (T,) of each video; in the ground truth negative ones are ignored frames, which are left out."""

Classes: TypeAlias = Iterable[int]

Labels: TypeAlias = NDArray[np.int64]
Video: TypeAlias = tuple[Labels, Labels]
"""True and predicted labels of one video, both (T,). T is 0 if nothing is left to judge."""


def paired(ground_truth: Labellings, prediction: Labellings, stride: int = 1) -> list[Video]:
    """Check two lists of labellings and pair them, without the frames whose true label is negative.

    Predictions (ceil(T / stride),) at a stride above 1 are stretched by nearest neighbour. An InputError for lists or
    videos that are empty or of different length, and for a negative prediction at a frame that is not ignored.
    """
    for where, labellings in (("ground truth", ground_truth), ("prediction", prediction)):
        if isinstance(labellings, str | Mapping) or not is_list(labellings) or not len(labellings):
            raise InputError(
                where, f"{labellings!r} is not a list of labellings, one for each video"
            )
    if len(ground_truth) != len(prediction):
        raise InputError(
            "prediction", f"{len(prediction)} videos, but the ground truth has {len(ground_truth)}"
        )
    videos = []
    for index, (truth, guess) in enumerate(zip(ground_truth, prediction, strict=True)):
        where = f"prediction of video {index}"
        true, predicted = (
            frame_labels(truth, f"ground truth of video {index}"),
            frame_labels(guess, where),
        )
        if true.size == 0:
            raise InputError(f"ground truth of video {index}", "no frames")
        if stride != 1:
            predicted = stretch(predicted, stride, true.size)
        if predicted.size != true.size:
            problem = f"{predicted.size} frames, but the ground truth has {true.size}"
            raise InputError(where, problem, "declare the stride if predictions have one")
        true, predicted = true[true >= 0], predicted[true >= 0]
        if (predicted < 0).any():
            raise InputError(where, f"class {predicted.min()} is below 0")
        videos.append((true, predicted))
    return videos


def without_true(videos: Iterable[Video], classes: Collection[int]) -> list[Video]:
    """The same videos without the frames whose true label is among `classes`."""
    remaining = [(true, predicted, ~np.isin(true, sorted(classes))) for true, predicted in videos]
    return [(true[mask], predicted[mask]) for true, predicted, mask in remaining]


def class_set(where: str, classes: Classes) -> frozenset[int]:
    """Check class indices given as an option, such as background; an InputError unless whole numbers of 0 or more."""
    indices: list[Any] = (
        list(classes) if is_list(classes) and not isinstance(classes, str | bytes) else [classes]
    )
    return frozenset(whole_of(value, where, 0, 1 << 62) for value in indices)


def percent(part: float, total: float) -> float:
    """100 · part / whole; a share of nothing is 0, never NaN."""
    return 100.0 * part / total if total else 0.0


@dataclass(frozen=True)
class FrameCounts:
    """Frames of each true class, all videos pooled."""

    total: Counter[int]  # class -> frames with this true label
    right: Counter[int]  # class -> how many of them are predicted as such

    @classmethod
    def of(cls, videos: Sequence[Video]) -> FrameCounts:
        """Count the frames of some videos."""
        total, right = Counter[int](), Counter[int]()
        for true, predicted in videos:
            total.update(true.tolist())
            right.update(true[true == predicted].tolist())
        return cls(total, right)

    @classmethod
    def of_arrays(cls, total: Labels, right: Labels) -> FrameCounts:
        """From frames a class, (C,) and (C,)."""
        return cls(
            *(
                Counter({label: n for label, n in enumerate(counts.tolist()) if n})
                for counts in (total, right)
            )
        )

    def only(self, classes: Collection[int]) -> FrameCounts:
        """The counts of these classes."""
        frames = {label: count for label, count in self.total.items() if label in classes}
        return FrameCounts(Counter(frames), self.right)

    def without(self, classes: Collection[int]) -> FrameCounts:
        """The counts of all classes but these."""
        return self.only(self.total.keys() - set(classes))

    def accuracy(self) -> float:
        """Share of frames that agree, in percent; 0 without frames."""
        return percent(sum(self.right[label] for label in self.total), self.total.total())

    def class_mean(self) -> float:
        """Mean accuracy in percent over the classes that have a true frame; 0 without any."""
        shares = [percent(self.right[label], count) for label, count in sorted(self.total.items())]
        return float(np.mean(shares)) if shares else 0.0


def frame_accuracy(
    ground_truth: Labellings, prediction: Labellings, background: Classes = ()
) -> float:
    """Share in percent of frames that agree (MoF), all videos pooled; without true frames of `background` classes."""
    left_out = class_set("background", background)
    return FrameCounts.of(paired(ground_truth, prediction)).without(left_out).accuracy()


def cohen_kappa(ground_truth: Labellings, prediction: Labellings) -> float:
    """Agreement beyond chance, (p_o - p_e) / (1 - p_e) over all frames pooled; at most 1, and 0 is chance.

    p_o is the share of frames that agree, p_e that expected of two labellings with these class frequencies. Symmetric.
    Two labellings that consist of one and the same class agree by 1. Cohen, "A Coefficient of Agreement for Nominal
    Scales", Educational and Psychological Measurement 20 (1960).
    """
    true, guess = (
        np.concatenate(parts) for parts in zip(*paired(ground_truth, prediction), strict=True)
    )
    if not true.size:
        return 0.0
    _, index = np.unique(
        np.concatenate([true, guess]), return_inverse=True
    )  # a class may have any number
    size = int(index.max()) + 1
    shares = [np.bincount(labels, minlength=size) / true.size for labels in np.split(index, 2)]
    expected, observed = float(shares[0] @ shares[1]), float((true == guess).mean())
    return 1.0 if expected >= 1 else (observed - expected) / (1 - expected)
