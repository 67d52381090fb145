"""How often long work says how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

SECONDS = 10.0  # Lines of one piece of work are at least this far apart, unless a tenth of it was done in between


class Pace:
    """When the next line about some work is due, and how long the rest takes. Made when the work begins.

    `done` is what was done before. Unless `tenths`, no line is due after a tenth of the work that is quickly done.
    """

    def __init__(self, done: float = 0, *, tenths: bool = True) -> None:
        self._first, self._tenths = done, tenths
        self._began = self._last = time.monotonic()
        self._told = done

    def is_due(self, done: float, total: float) -> bool:
        """Whether a line is due now that `done` of `total` is done; if so, the next one is due later."""
        now = time.monotonic()
        some = self._tenths and 10 * (done - self._told) >= total
        if done <= self._told or not (some or now - self._last >= SECONDS):
            return False
        self._last, self._told = now, done
        return True

    def left(self, done: float, total: float) -> str:
        """How long the rest takes at the mean speed so far, as "40 s", "12 min" or "3.5 h"; "?" before a start."""
        if done <= self._first:
            return "?"
        seconds = (time.monotonic() - self._began) / (done - self._first) * max(total - done, 0)
        if seconds < 100:
            return f"{seconds:.0f} s"
        return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def paced(
    items: Collection[Item],
    what: str,
    logger: logging.Logger,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    tenths: bool = False,
) -> Iterator[Item]:
    """The items one by one; before each, `progress` is called with (done, total, item, without folders).

    Work that takes longer than `SECONDS` writes a line to the log now and then, "what: 30 of 100, 12 s left".
    """
    pace, total = Pace(tenths=tenths), len(items)
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, total, Path(str(item)).name)
        if pace.is_due(done, total):
            logger.info("%s: %d of %d, %s left", what, done, total, pace.left(done, total))
        yield item
