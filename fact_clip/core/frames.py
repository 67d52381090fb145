"""Per-frame labels: class indices as int64 arrays (T,), where -1 is an ignored frame."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core.arguments import array_of, whole_of
from fact_clip.core.arrays import Integers
from fact_clip.core.errors import InputError

IGNORED = -1
"""Label of a frame that no loss and no metric looks at, and of padding."""


def frame_labels(labels: ArrayLike, where: str) -> Integers:
    """Check per-frame labels.

    Args:
        labels: class indices (T,).
        where: their name in an error.

    Returns:
        The labels as int64 (T,).
    """
    array = array_of(labels, where, "integer class indices, one per frame, shape (T,)", "iu")
    if array.ndim != 1:
        problem = f"an array of shape {array.shape}, not one label per frame, shape (T,)"
        raise InputError(where, problem)
    return array.astype(np.int64, copy=False)


def runs(labels: Integers) -> list[tuple[int, int, int]]:
    """Cut per-frame labels into maximal runs of one label.

    Args:
        labels: class indices (T,), T > 0.

    Returns:
        (start, stop, label) of each run, half-open, in order.
    """
    changes = np.flatnonzero(np.diff(labels)) + 1
    edges = [0, *changes.tolist(), labels.size]
    return [(start, stop, int(labels[start])) for start, stop in pairwise(edges)]


def majority_stride(labels: Integers, stride: int) -> Integers:
    """Return the most frequent label of each stride; of equally frequent ones the first.

    Ignored frames have no vote. A stride is ignored only if all its frames are.

    Args:
        labels: class indices (T,), T > 0.
        stride: frames of a stride.

    Returns:
        Labels (ceil(T / stride),).
    """
    stride = min(stride, labels.size)  # a longer stride is the complete video as well
    padding = np.full(-labels.size % stride, -1, dtype=np.int64)
    windows = np.append(labels, padding).reshape(-1, stride)  # (N, stride)
    # (N, stride), how many frames of the window have the label of each frame
    votes = np.zeros(windows.shape, dtype=np.int64)
    for offset in range(stride):
        votes += windows == windows[:, offset : offset + 1]
    votes[windows == -1] = 0

    # argmax returns the first frame of the highest count, hence the label that comes first
    winners = votes.argmax(axis=1)  # (N,)
    majority: Integers = windows[np.arange(len(windows)), winners]
    return majority


def stretch(labels: Integers, stride: int, n_frames: int) -> Integers:
    """Repeat labels of strides at full rate: frame t gets label t // stride.

    Args:
        labels: class indices (ceil(n_frames / stride),).
        stride: frames of a stride.
        n_frames: length of the video in frames.

    Returns:
        Labels (n_frames,).
    """
    whole_of(stride, "stride", 1, 1 << 62)  # beyond that int64 overflows
    expected = -(-n_frames // stride)
    if labels.size != expected:
        problem = f"{labels.size} at stride {stride}, not {expected} for {n_frames} frames"
        raise InputError("labels", problem)
    return labels[np.arange(n_frames) // stride]
