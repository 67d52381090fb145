"""Windows of a long video: where they lie, which rows of each are kept, and which go through a model together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import ModelConfig
from fact_clip.core import InputError
from fact_clip.core.errors import ConfigKey
from fact_clip.models.blocks import convolution_reach


@dataclass(frozen=True)
class Window:
    """Rows [start, stop) that a model reads in one pass, and the rows [first, last) of them that are kept."""

    start: int
    stop: int
    first: int
    last: int


def grouped(
    passes: Iterable[tuple[int, NDArray[np.float32]]], budget: int
) -> Iterator[list[tuple[int, NDArray[np.float32]]]]:
    """Consecutive passes in groups that have at most `budget` rows when padded, or one pass each."""
    group: list[tuple[int, NDArray[np.float32]]] = []
    for one in passes:
        longest = max(len(rows) for _, rows in [*group, one])
        if group and longest * (len(group) + 1) > budget:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def cut_windows(n_rows: int, window: int, overlap: int) -> list[Window]:
    """Windows of equal length over a video; each row is kept from the one in which it lies deepest.

    Two neighbours share `overlap` rows and meet in the middle of them, so that a row has at least ``overlap // 2`` rows
    of its window on each side, or the end of the video. The last window is moved back to end with the video. With a
    window of 0, or a video that is no longer, there is one for all.
    """
    if window == 0 or n_rows <= window:
        return [Window(0, n_rows, 0, n_rows)]
    if not 0 <= overlap < window:
        raise InputError(
            ConfigKey("decode.overlap"), f"{overlap} rows of a window of {window}; expected fewer than the window has"
        )
    starts = [*range(0, n_rows - window, window - overlap), n_rows - window]
    cuts = [(left + window + right) // 2 for left, right in pairwise(starts)]
    return [
        Window(start, start + window, first, last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, n_rows], strict=True)
    ]


def overlap_of(config: ModelConfig, window: int) -> int:
    """Rows that neighbours share unless told: what the convolutions see, and at most half a window."""
    return min(2 * convolution_reach(config), window // 2)
