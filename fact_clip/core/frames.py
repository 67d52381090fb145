"""Algebra of per-frame class indices: runs, majority in strides, and back to full rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core.errors import InputError

_ROUNDING = 1.5e-3  # seconds; files round times to milliseconds


def frame_labels(labels: ArrayLike, where: str) -> NDArray[np.int64]:
    """Check that `labels` are per-frame class indices and give them back as int64.

    Args:
        labels: integers, (T,); anything that numpy reads as an array.
        where: what to call them in the message of an error.

    Raises:
        InputError: not one-dimensional, or not integers. Empty is left to the caller.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise InputError(where, f"an array of shape {array.shape}", "one label a frame, shape (T,)")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(where, f"labels of type {array.dtype}", "integer class indices")
    return array.astype(np.int64, copy=False)


def _not_empty(labels: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    if labels.size == 0:
        raise InputError(where, "no frames", "at least one frame")
    return labels


def _check_stride(stride: int) -> None:
    if stride < 1:
        raise InputError("stride", str(stride), "a whole number of frames, 1 or more")


def runs(labels: ArrayLike) -> list[tuple[int, int, int]]:
    """Cut per-frame labels (T,) into their maximal runs of one label.

    Returns:
        (start, stop, label) a run, half-open frame ranges in order, covering [0, T).

    Raises:
        InputError: no frames, not one-dimensional, or not integers.
    """
    array = _not_empty(frame_labels(labels, "labels"), "labels")
    edges = np.flatnonzero(array[1:] != array[:-1]) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), array.size]
    return list(zip(starts, stops, array[starts].tolist(), strict=True))


def majority_stride(labels: ArrayLike, stride: int, ignore: int = -1) -> NDArray[np.int64]:
    """Most frequent label of each stride: labels (T,) -> (ceil(T / stride),).

    Of equally frequent labels the one that comes first in the stride wins. Frames labelled `ignore`
    have no vote; a stride gets `ignore` only where all its frames have it.

    Raises:
        InputError: no frames, not one-dimensional, not integers, or a stride below 1.
    """
    _check_stride(stride)
    array = _not_empty(frame_labels(labels, "labels"), "labels")
    padded = np.append(array, np.full(-array.size % stride, ignore, dtype=np.int64))
    windows = padded.reshape(-1, stride)  # (N, stride)
    votes = np.zeros(windows.shape, dtype=np.int64)
    for offset in range(stride):
        votes += windows == windows[:, offset : offset + 1]
    votes[windows == ignore] = 0
    # argmax takes the first frame of the highest count, hence the label that comes first
    winner = votes.argmax(axis=1)
    chosen: NDArray[np.int64] = windows[np.arange(len(windows)), winner]
    return chosen


def row_times(shown: ArrayLike, fps: float, end: float | None = None) -> NDArray[np.float64]:
    """When rows that were sampled from a video at n / fps seconds start, and when the last one ends: (T,) -> (T + 1,).

    A row starts with the picture that it shows, which is there since a moment before n / fps. Where several rows show
    one picture, the later ones start at n / fps, as does a row before the first picture. So the times rise.

    Args:
        shown: seconds at which the picture of each row comes up.
        fps: rows a second.
        end: seconds at which the video ends, where it is known; the last row ends then, or at T / fps if sooner.
    """
    times = np.asarray(shown, dtype=np.float64)
    grid = np.arange(len(times) + 1) / fps
    new = np.append(True, times[1:] > times[:-1]) & (times <= grid[:-1] + _ROUNDING)
    starts = np.where(new, np.maximum(times, 0.0), grid[:-1])
    last = grid[-1] if end is None or not starts[-1] + _ROUNDING < end else min(end, grid[-1])
    return np.append(starts, last)


def stretch(labels: ArrayLike, stride: int, n_frames: int) -> NDArray[np.int64]:
    """Labels of strides back to full rate: labels (N,) -> (n_frames,); frame t gets label t // stride.

    Raises:
        InputError: N is not ceil(n_frames / stride), not one-dimensional, not integers, or a stride below 1.
    """
    _check_stride(stride)
    array = _not_empty(frame_labels(labels, "labels"), "labels")
    if array.size != -(-n_frames // stride):
        raise InputError(
            "labels",
            f"{array.size} labels at stride {stride} for {n_frames} frames",
            f"{-(-n_frames // stride)} labels",
        )
    return array[np.arange(n_frames) // stride]
