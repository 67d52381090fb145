"""The built-in frame encoder: colour, gradients and motion on a grid. NumPy only, no weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError

_ROWS, _COLUMNS, _CELL = 6, 8, 8  # cells of 8 x 8 pixels
# Brings what is small in pictures (gradients, differences, products of them) to the size of a colour.
_GRADIENT, _MOTION, _FLOW = 4.0, 4.0, 16.0


class GridEncoder:
    """What is where, and what moves whither, in 6 x 8 cells of a 64 x 48 picture.

    A cell gives mean red, green and blue; mean absolute horizontal and vertical gradient; mean absolute change since
    the picture before; and that change times the gradients, whose sign tells the direction of a movement. Meant for the
    demo, the tests and fixed cameras, where it costs next to nothing; it knows no objects.

    Args:
        rest: what stands behind the colon; nothing does.

    Raises:
        InputError: something behind the colon.
    """

    name = "grid"
    size: tuple[int, int] | None = (_COLUMNS * _CELL, _ROWS * _CELL)
    context = 1
    dim = _ROWS * _COLUMNS * 8

    def __init__(self, rest: str = "", runtime: object = None) -> None:
        if rest:
            raise InputError(f"frame encoder 'grid:{rest}'", f"{rest!r} after the colon", "grid by itself")

    def load(self) -> None:
        """There is nothing to load."""

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of `size` as it is."""
        return image

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1 + N, 48, 64, 3) -> (N, 384) float32; the first picture is only what the second moved from."""
        colour = _cells(prepared[1:].astype(np.float32) / np.float32(255))  # (N, 6, 8, 3)
        # luma of BT.601 in 1/256, so that the sum stays whole
        grey = (prepared @ np.array([77, 150, 29], dtype=np.float32)) / np.float32(256 * 255)  # (1 + N, 48, 64)
        now, change = grey[1:], np.diff(grey, axis=0)
        across, down = np.zeros_like(now), np.zeros_like(now)
        across[:, :, 1:-1] = now[:, :, 2:] - now[:, :, :-2]
        down[:, 1:-1] = now[:, 2:] - now[:, :-2]
        planes = [
            _GRADIENT * np.abs(across),
            _GRADIENT * np.abs(down),
            _MOTION * np.abs(change),
            -_FLOW * change * across,
            -_FLOW * change * down,
        ]
        rest = [_cells(plane[..., None].astype(np.float32, copy=False)) for plane in planes]
        return np.concatenate([colour, *rest], axis=3).reshape(len(now), self.dim)


def _cells(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 48, 64, C) -> means over cells, (N, 6, 8, C)."""
    n, _, _, channels = planes.shape
    means: NDArray[np.float32] = planes.reshape(n, _ROWS, _CELL, _COLUMNS, _CELL, channels).mean(axis=(2, 4))
    return means
