"""The masks of hidden classes: labels leave a data set through these functions alone."""

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

    A row is ignored where its own frame, or the majority, is of a hidden class. All hidden classes
    vote as one, so that nothing depends on which of them a frame shows.

    Args:
        labels: class indices (T,), with hidden classes.
        hidden: indices of the hidden classes.
        stride: frames of a row.

    Returns:
        (ceil(T / stride),).
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
    """Check that no row of a training batch that shows a hidden class has a label of a person.

    Args:
        videos: names of the B videos.
        frames: the frame of each row, (B, T), -1 at padding.
        labels: of the rows, (B, T), -1 where they are ignored.
        true_labels: video -> its class indices (T,), with hidden classes.
        hidden: indices of the hidden classes.
        class_names: the classes.
        drafts: video -> labels (T,) that a model gave; None: there are none.

    Raises:
        InputError: names the video and the frame.
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
            raise InputError(f"training video {name!r}", problem, "report this fault of fact-clip")
