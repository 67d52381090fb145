"""The masks of hidden classes. All labels that leave a data set pass through these functions."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Integers, Names, majority_stride
from fact_clip.core.frames import IGNORED


def masked(labels: Integers, hidden: Sequence[int]) -> Integers:
    """Return labels (T,), read-only, with -1 for hidden classes."""
    if not hidden:
        return labels
    result: Integers = np.where(np.isin(labels, hidden), IGNORED, labels)
    result.flags.writeable = False
    return result


def masked_rows(labels: Integers, hidden: Sequence[int], stride: int) -> Integers:
    """Return the labels of every `stride`-th frame, by majority of its stride.

    A row is ignored if its own frame or most of its stride belongs to a hidden class. All hidden
    classes count as one class, so the result does not depend on which of them a frame shows.

    Args:
        labels: Class indices (T,), including hidden classes.
        hidden: Indices of the hidden classes.
        stride: Frames per row.

    Returns:
        Class indices (ceil(T / stride),), -1 for ignored rows.
    """
    if not hidden:
        return majority_stride(labels, stride)
    pooled_class = min(hidden)
    pooled = np.where(np.isin(labels, hidden), pooled_class, labels)
    rows = majority_stride(pooled, stride)
    return np.where((rows == pooled_class) | (pooled[::stride] == pooled_class), IGNORED, rows)


def check_leak(
    videos: Names,
    frames: NDArray[np.int64],
    labels: NDArray[np.int64],
    true_labels: Callable[[str], Integers],
    hidden: Sequence[int],
    class_names: Names,
    drafts: Callable[[str], Integers] | None = None,
) -> None:
    """Check that no row in a training batch shows a hidden class and has a label by a person.

    Args:
        videos: Names of the B videos.
        frames: Frame of each row, (B, T), -1 in padding.
        labels: Label of each row, (B, T), -1 for ignored rows.
        true_labels: Function that returns all class indices (T,) of a video, including hidden ones.
        hidden: Indices of the hidden classes.
        class_names: Names of the classes.
        drafts: Function that returns the labels (T,) that a model gave to a video, or None. They
            have the same numbers as `labels`.

    Raises:
        InputError: A row has such a label. The message names the video and the frame.
    """
    for name, rows, targets in zip(videos, frames, labels, strict=True):
        is_labelled = (rows >= 0) & (targets != IGNORED)
        if drafts is not None:
            is_labelled &= targets != drafts(name)[rows]
        labelled = rows[is_labelled]
        leaks = labelled[np.isin(true_labels(name)[labelled], hidden)]
        if leaks.size:
            leaked = class_names[true_labels(name)[leaks[0]]]
            problem = f"frame {leaks[0]} shows {leaked!r}, which is held out, and has a label"
            raise InputError(f"training video {name!r}", problem, "report this bug in fact-clip")
