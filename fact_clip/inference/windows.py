"""Windows in which a model reads a long video."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Rows [start, stop) that a model reads in one pass, of which [first, last) are kept."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Pass:
    """One pass over a window of a video."""

    video: int
    window: Window
    inputs: Sequence[Tensor]  # (T', F) for each model, from `FACT.embed`

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.inputs[0])


def cut_windows(n_rows: int, window: int, overlap: int) -> list[Window]:
    """Return windows of equal length over a video.

    Each row is kept from the window in which it is farthest from an end. Neighbours share `overlap`
    rows and meet in the middle of them. The last window is moved back to end with the video.

    Args:
        n_rows: Rows of the video.
        window: Rows of a window, or 0 for a single window.
        overlap: Rows that neighbours share, fewer than the rows of a window.
    """
    if window == 0 or n_rows <= window:
        return [Window(start=0, stop=n_rows, first=0, last=n_rows)]
    starts = [*range(0, n_rows - window, window - overlap), n_rows - window]
    cuts = [(left + window + right) // 2 for left, right in pairwise(starts)]
    return [
        Window(start=start, stop=start + window, first=first, last=last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, n_rows], strict=True)
    ]


def grouped(passes: Iterable[Pass], budget: int) -> Iterator[list[Pass]]:
    """Yield consecutive passes in groups of at most `budget` padded rows, or one pass each.

    Args:
        passes: Passes in order.
        budget: Maximum number of rows in a group, if padded to its longest pass.
    """
    group: list[Pass] = []
    for part in passes:
        longest = max(map(len, [*group, part]))
        if group and longest * (len(group) + 1) > budget:
            yield group
            group = []
        group.append(part)
    if group:
        yield group
