"""Long videos in windows that overlap: where they lie, and how far a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from fact_clip.config import BlockConfig, ModelConfig
from fact_clip.core import InputError


@dataclass(frozen=True)
class Window:
    """Rows [start, stop) that a model reads in one pass, and rows [first, last) of those that are kept of it."""

    start: int
    stop: int
    first: int
    last: int


def cut_windows(n_rows: int, window: int, overlap: int) -> list[Window]:
    """Windows over a video; every row is kept of exactly one of them, of that in which it lies deepest.

    Two neighbours are parted in the middle of what they share, so that a row has at least ``overlap // 2`` rows of its
    window on each side, or the end of the video. All windows are equally long; the last is moved back to end with the
    video and shares more with the one before.

    Args:
        n_rows: length of the video, 1 or more.
        window: rows of a window; 0, or a video that is no longer: one window for all.
        overlap: rows that neighbours share.

    Raises:
        InputError: an overlap that leaves nothing to go on by.
    """
    if window == 0 or n_rows <= window:
        return [Window(0, n_rows, 0, n_rows)]
    if not 0 <= overlap < window:
        raise InputError("decode.overlap", f"{overlap} rows of a window of {window}", "fewer than the window has")
    starts = [*range(0, n_rows - window, window - overlap), n_rows - window]
    cuts = [(left + window + right) // 2 for left, right in pairwise(starts)]
    return [
        Window(start, start + window, first, last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, n_rows], strict=True)
    ]


def convolution_reach(config: ModelConfig) -> int:
    """Rows to each side that the temporal convolutions of all blocks, one upon another, carry news from.

    A layer of dilation d reaches d rows: 2^l in layer l of `m`, the larger of 2^l and 2^(L-1-l) in `m2`, 4^l in the
    layers of object columns. Exact as a bound; most of the weight lies much nearer.
    """
    blocks = {"i": config.input, "I": config.input, "u": config.update, "U": config.pooled}
    return sum(_block_reach(blocks[letter]) for letter in config.blocks) + sum(
        4**layer for layer in range(config.objects.layers)
    )


def reach(config: ModelConfig) -> int | None:
    """Rows to each side that the scores of a row depend on; None where there is no bound but the video.

    Only a model of the input block alone has a bound, that of :func:`convolution_reach`. In update blocks frames ask
    tokens that have looked at the whole video, and a GRU runs over all segments: the far end of a video can change any
    row, and windows are an approximation.
    """
    return convolution_reach(config) if len(config.blocks) == 1 and not config.transcript else None


def overlap_of(config: ModelConfig, window: int) -> int:
    """Rows that neighbours share where nobody says: what the convolutions see, and at most half a window."""
    return min(2 * convolution_reach(config), window // 2)


def _block_reach(config: BlockConfig) -> int:
    last = config.frame_layers - 1
    if config.frame == "m":
        return sum(2**layer for layer in range(config.frame_layers))
    return sum(2 ** max(layer, last - layer) for layer in range(config.frame_layers))
