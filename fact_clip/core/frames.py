"""Per-frame labels: class indices as int64 arrays (T,), in which -1 is an ignored frame."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core.arguments import array_of, whole_of
from fact_clip.core.arrays import Integers
from fact_clip.core.errors import InputError

IGNORED = -1
"""Label of padding, and of frames that losses and metrics ignore."""


def frame_labels(labels: ArrayLike, where: str) -> Integers:
    """Check per-frame labels.

    Args:
        labels: Class indices (T,).
        where: Name of the argument, for an error.

    Returns:
        The labels as int64 (T,).
    """
    array = array_of(labels, where, "integer class indices, one per frame, shape (T,)", "iu")
    if array.ndim != 1:
        problem = f"an array of shape {array.shape}, not one label per frame, shape (T,)"
        raise InputError(where, problem)
    return array.astype(np.int64, copy=False)


def runs(labels: Integers) -> list[tuple[int, int, int]]:
    """Divide per-frame labels into maximal runs of one label.

    Args:
        labels: Class indices (T,), T > 0.

    Returns:
        (start, stop, label) of each run in order, as half-open ranges.
    """
    changes = np.flatnonzero(np.diff(labels)) + 1
    edges = [0, *changes.tolist(), labels.size]
    return [(start, stop, int(labels[start])) for start, stop in pairwise(edges)]


def majority_stride(labels: Integers, stride: int) -> Integers:
    """Return the most frequent label of each stride. On a tie, the label that occurs first is used.

    Ignored frames are not counted. A stride is ignored only if all its frames are ignored.

    Args:
        labels: Class indices (T,), T > 0.
        stride: Frames per stride.

    Returns:
        Labels (ceil(T / stride),).
    """
    stride = min(stride, labels.size)  # a longer stride would also be the complete video
    padding = np.full(-labels.size % stride, -1, dtype=np.int64)
    windows = np.append(labels, padding).reshape(-1, stride)  # (N, stride)
    # (N, stride): number of frames of the window that have the label of this frame
    votes = np.zeros(windows.shape, dtype=np.int64)
    for offset in range(stride):
        votes += windows == windows[:, offset : offset + 1]
    votes[windows == -1] = 0

    # argmax returns the first frame with the highest count, and therefore the label that comes
    # first.
    winners = votes.argmax(axis=1)  # (N,)
    majority: Integers = windows[np.arange(len(windows)), winners]
    return majority


def stretch(labels: Integers, stride: int, n_frames: int) -> Integers:
    """Repeat labels of strides at full rate: frame t gets label t // stride.

    Args:
        labels: Class indices (ceil(n_frames / stride),).
        stride: Frames per stride.
        n_frames: Length of the video in frames.

    Returns:
        Labels (n_frames,).
    """
    whole_of(stride, "stride", 1, 1 << 62)  # int64 overflows above
    expected = -(-n_frames // stride)
    if labels.size != expected:
        problem = f"{labels.size} at stride {stride}, not {expected} for {n_frames} frames"
        raise InputError("labels", problem)
    return labels[np.arange(n_frames) // stride]
