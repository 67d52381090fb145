"""What can be wrong with feature files, looked at together: a file is odd against the others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.data.benchmarks import Layout
from fact_clip.data.features import check_finite, lengths_agree, load_features, read_layout

if TYPE_CHECKING:
    from fact_clip.data.faults import Inspection

Arrays = dict[str, NDArray[Any]]

LOOK_BYTES = 256 << 20
"""Feature values that a check reads for NaN unless all are asked for; what a disk gives in about a second."""


def feature_faults(
    config: DataConfig, seen: Inspection, full: bool, progress: Callable[[int, int, str], None] | None
) -> None:
    """Add the faults of all feature files to what was seen: missing and unreadable ones, orientation, length, width,
    NaN.
    """
    folder = seen.root / seen.benchmark.features
    if not folder.is_dir():
        seen.add("folder", InputError(folder, "no such folder", "a .npy file a video"))
        return
    stored: Arrays = {}
    for video, where in seen.videos.items():
        path = folder / f"{video}.npy"
        try:
            if path.is_file():
                stored[video] = load_features(path, "TD")  # as it lies in the file
            else:
                seen.add("features", InputError(where, f"video {video!r} without features", str(path)))
        except InputError as fault:
            seen.add("features", fault)
    layout = _layout(config, seen, stored)
    if layout is None:
        return
    turned = _look_at_shapes(config, seen, stored, layout)
    _look_at_widths(seen, {video: array for video, array in stored.items() if video not in turned}, layout)
    _look_for_nan(seen, stored, layout, full, progress)


def _layout(config: DataConfig, seen: Inspection, stored: Arrays) -> Layout | None:
    """The orientation that is known, else the one that most videos tell."""
    given = config.layout or seen.benchmark.layout
    if given is not None or not stored:
        return given
    votes: Counter[Layout] = Counter()
    allowed = config.tolerance, config.tolerance_frames
    for video, n_labels in seen.lengths.items():
        if video in stored:
            try:
                vote = read_layout(video, stored[video].shape, n_labels, *allowed)
            except InputError:
                continue
            votes.update([vote] if vote is not None else [])
    if votes:
        return votes.most_common(1)[0][0]
    if seen.lengths:
        found = "feature files whose shapes and labels do not tell which side is time"
        where = seen.root / seen.benchmark.features
        seen.add("orientation", InputError(where, found, "one side near the labels", "set data.layout to TD or DT"))
    return None


def _look_at_shapes(config: DataConfig, seen: Inspection, stored: Arrays, layout: Layout) -> set[str]:
    """Orientation and length against the labels; the videos that are turned."""
    allowed = config.tolerance, config.tolerance_frames
    turned = set()
    for video, array in stored.items():
        if video not in seen.lengths:
            continue
        path, n_labels = seen.root / seen.benchmark.features / f"{video}.npy", seen.lengths[video]
        time, other = array.shape if layout == "TD" else array.shape[::-1]
        if lengths_agree(time, n_labels, *allowed):
            continue
        if lengths_agree(other, n_labels, *allowed):
            turned.add(video)
            found = f"shape {array.shape} read as {layout}: {time} frames for {n_labels} labels"
            seen.add("orientation", InputError(path, found, f"labels of shape ({time},)", "the other layout fits"))
        else:
            expected = f"a difference of at most {allowed[0]:.0%} or {allowed[1]} frames"
            seen.add("length", InputError(path, f"{time} feature rows for {n_labels} labels", expected))
    return turned


def _look_at_widths(seen: Inspection, stored: Arrays, layout: Layout) -> None:
    widths = {video: array.shape[1 if layout == "TD" else 0] for video, array in stored.items()}
    if not widths:
        return
    # of equally frequent widths the first
    seen.columns = Counter(widths.values()).most_common(1)[0][0]
    for video, width in widths.items():
        if width != seen.columns:
            path = seen.root / seen.benchmark.features / f"{video}.npy"
            found = f"{width} columns (shape {stored[video].shape})"
            seen.add("width", InputError(path, found, f"{seen.columns}, as in most files"))


def _look_for_nan(
    seen: Inspection, stored: Arrays, layout: Layout, full: bool, progress: Callable[[int, int, str], None] | None
) -> None:
    total = sum(array.nbytes for array in stored.values())
    everything = full or total <= LOOK_BYTES
    looked_at = 0
    for done, (video, array) in enumerate(stored.items()):
        if progress is not None:
            progress(done, len(stored), video)
        path = seen.root / seen.benchmark.features / f"{video}.npy"
        try:
            if everything:
                check_finite(path, array if layout == "TD" else array.T)
                continue
            lies: Layout = layout
            if array.flags.f_contiguous and not array.flags.c_contiguous:  # saved in Fortran's order
                array, lies = array.T, "DT" if layout == "TD" else "TD"
            n_rows = min(len(array), max(3, LOOK_BYTES * len(array) // total))
            looked_at += n_rows * array[0].nbytes
            _check_rows(path, array, np.linspace(0, len(array) - 1, n_rows).astype(np.int64), lies)
        except InputError as fault:
            seen.add("not finite", fault)
    seen.looked_at = 1.0 if everything else looked_at / total


def _check_rows(path: Path, array: NDArray[Any], rows: NDArray[np.int64], layout: Layout) -> None:
    """Look at some rows of a file as it is stored; each lies in one piece on the disk.

    Read and not mapped: a mapped file makes the system read far more around each row than is asked for.
    """
    assert isinstance(array, np.memmap)
    if array.dtype.kind != "f":
        return
    n_bytes = array[0].nbytes
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for row in rows.tolist():
            file.seek(array.offset + row * n_bytes)
            values = np.frombuffer(file.read(n_bytes), array.dtype)
            fine = np.isfinite(values)
            if not fine.all():
                column = int(fine.argmin())
                frame, channel = (row, column) if layout == "TD" else (column, row)
                found = f"{values[column]} in frame {frame}, column {channel}"
                raise InputError(path, found, "finite numbers", "extract the features of this video again")
