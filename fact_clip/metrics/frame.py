"""Frame metrics, and the input checks that all metrics share."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import InputError, Integers, frame_labels, stretch
from fact_clip.core.arguments import is_list, whole_of

Labellings: TypeAlias = Sequence[ArrayLike]
"""Class indices (T,) of each video. In the ground truth, negative ones are ignored frames."""

Classes: TypeAlias = Iterable[int]

Labels: TypeAlias = Integers
Video: TypeAlias = tuple[Labels, Labels]
"""True and predicted labels of one video, both (T,). T is 0 if all frames are ignored."""


def paired(ground_truth: Labellings, prediction: Labellings, stride: int = 1) -> list[Video]:
    """Check two lists of labellings and pair them, without ignored frames.

    Args:
        ground_truth: Class indices (T,) of each video. Frames with negative ones are ignored.
        prediction: Class indices (T,), or (ceil(T / stride),) if the stride is above 1. These are
            stretched by nearest neighbour.
        stride: Frames per prediction.

    Returns:
        True and predicted labels of each video.

    Raises:
        InputError: Lists or videos are empty or differ in length, or a frame that is not ignored
            has a negative prediction.
    """
    for where, labellings in (("ground truth", ground_truth), ("prediction", prediction)):
        if isinstance(labellings, str | Mapping) or not is_list(labellings) or not len(labellings):
            problem = f"{labellings!r} is not a list of labellings, one for each video"
            raise InputError(where, problem)
    n_videos = len(ground_truth)
    if len(prediction) != n_videos:
        problem = f"{len(prediction)} videos, but the ground truth has {n_videos}"
        raise InputError("prediction", problem)
    videos = []
    for index in range(n_videos):
        where = f"prediction of video {index}"
        true = frame_labels(ground_truth[index], f"ground truth of video {index}")
        predicted = frame_labels(prediction[index], where)
        if true.size == 0:
            raise InputError(f"ground truth of video {index}", "no frames")
        if stride != 1:
            predicted = stretch(predicted, stride, true.size)
        if predicted.size != true.size:
            problem = f"{predicted.size} frames, but the ground truth has {true.size}"
            raise InputError(where, problem, "declare the stride if predictions have one")

        predicted = predicted[true >= 0]
        if (predicted < 0).any():
            raise InputError(where, f"class {predicted.min()} is below 0")
        videos.append((true[true >= 0], predicted))
    return videos


def without_true(videos: Iterable[Video], classes: Collection[int]) -> list[Video]:
    """Return the videos without the frames that have certain true labels.

    Args:
        videos: True and predicted labels of each video.
        classes: Class indices to exclude.

    Returns:
        The remaining frames of each video.
    """
    reduced = []
    for true, predicted in videos:
        mask = ~np.isin(true, sorted(classes))
        reduced.append((true[mask], predicted[mask]))
    return reduced


def class_set(where: str, classes: Classes) -> frozenset[int]:
    """Check the class indices of an option, such as background.

    Args:
        where: Name of the option, for errors.
        classes: Whole numbers, at least 0.

    Returns:
        The class indices.
    """
    indices = [classes] if isinstance(classes, str | bytes) or not is_list(classes) else classes
    return frozenset(whole_of(value, where, 0, 1 << 62) for value in indices)


def percent(part: float, total: float) -> float:
    """Return a share in percent.

    Args:
        part: Number from 0 to `total`.
        total: The whole.

    Returns:
        100 · part / total, or 0 (never NaN) if the total is 0.
    """
    return 100.0 * part / total if total else 0.0


@dataclass(frozen=True)
class ClassCounts:
    """Counters by class. A subclass defines them as its fields."""

    def only(self, classes: Collection[int]) -> Self:
        """Return the counts of these classes.

        Args:
            classes: Class indices.

        Returns:
            The counts.
        """
        counters = {}
        for name, counter in vars(self).items():
            counters[name] = Counter({key: counter[key] for key in counter if key in classes})
        return replace(self, **counters)

    def without(self, classes: Collection[int]) -> Self:
        """Return the counts of all other classes.

        Args:
            classes: Class indices to exclude.

        Returns:
            The counts.
        """
        counted = set[int]().union(*vars(self).values())
        return self.only(counted - set(classes))


@dataclass(frozen=True)
class FrameCounts(ClassCounts):
    """Frames of each true class, pooled over all videos.

    Args:
        total: Number of frames with each true label.
        right: Number of correctly predicted frames among them.
    """

    total: Counter[int]
    right: Counter[int]

    @classmethod
    def of(cls, videos: Sequence[Video]) -> "FrameCounts":
        """Count the frames of some videos.

        Args:
            videos: True and predicted labels of each video.

        Returns:
            The counts.
        """
        counts = cls(Counter(), Counter())
        for true, predicted in videos:
            counts.total.update(true.tolist())
            counts.right.update(true[true == predicted].tolist())
        return counts

    @classmethod
    def of_arrays(cls, total: Labels, right: Labels) -> "FrameCounts":
        """Convert arrays of counts.

        Args:
            total: Number of frames with each true label, (C,).
            right: Number of correctly predicted frames among them, (C,).

        Returns:
            The counts.
        """
        return cls(_counter(total), _counter(right))

    def accuracy(self) -> float:
        """Return the share of correct frames in percent, or 0 without frames."""
        return percent(sum(self.right[label] for label in self.total), self.total.total())

    def class_mean(self) -> float:
        """Return the mean accuracy in percent over classes with true frames, or 0 without any."""
        shares = [percent(self.right[label], count) for label, count in sorted(self.total.items())]
        return float(np.mean(shares)) if shares else 0.0


def _counter(counts: Labels) -> Counter[int]:
    return Counter({label: count for label, count in enumerate(counts.tolist()) if count})


def frame_accuracy(
    ground_truth: Labellings, prediction: Labellings, background: Classes = ()
) -> float:
    """Return the share of correct frames (MoF), pooled over all videos.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        background: Classes whose true frames do not count.

    Returns:
        The accuracy in percent.
    """
    background = class_set("background", background)
    return FrameCounts.of(paired(ground_truth, prediction)).without(background).accuracy()


def cohen_kappa(ground_truth: Labellings, prediction: Labellings) -> float:
    """Return the agreement beyond chance, (p_o - p_e) / (1 - p_e) over all frames pooled.

    p_o is the share of frames that agree. p_e is the share expected for two labellings with these
    class frequencies. The value is symmetric. Cohen, "A Coefficient of Agreement for Nominal
    Scales", Educational and Psychological Measurement 20 (1960).

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.

    Returns:
        Kappa, which is at most 1, and 0 for agreement by chance. It is undefined (NaN) if there are
        no frames or if both labellings consist of the same single class.
    """
    videos = paired(ground_truth, prediction)
    true = np.concatenate([labels for labels, _ in videos])
    guess = np.concatenate([labels for _, labels in videos])
    n_frames = true.size
    if not n_frames:
        return float("nan")

    # Classes may have any numbers, so renumber them.
    _, index = np.unique(np.concatenate([true, guess]), return_inverse=True)
    size = int(index.max()) + 1
    true_shares = np.bincount(index[:n_frames], minlength=size) / n_frames
    guess_shares = np.bincount(index[n_frames:], minlength=size) / n_frames
    expected = float(true_shares @ guess_shares)
    observed = float((true == guess).mean())
    return float("nan") if expected >= 1 else (observed - expected) / (1 - expected)
