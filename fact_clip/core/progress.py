"""Progress lines of long work: when the next line is due, and how much time is left."""

import logging
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeVar

from fact_clip.core.types import Progress

Item = TypeVar("Item")

SECONDS = 10.0  # minimum time between two lines, unless a tenth of the work was done


class Pace:
    """Decide when to print a progress line, and estimate the time left.

    Create it when the work starts.

    Args:
        done: Amount of work that was finished before, in the unit of the total.
        tenths: Whether a line is also due after each tenth of the work, however short it is. This
            gives the log of long work a fixed outline. `paced` uses False, because most of its
            loops end within seconds and need no line.
    """

    def __init__(self, done: float = 0, *, tenths: bool = True) -> None:
        now = time.monotonic()
        self._start_time = now
        self._line_time = now
        self._start_done = done
        self._line_done = done
        self._tenths = tenths

    def left(self, done: float, total: float) -> str | None:
        """Return the time left at the mean speed so far, such as "12 min", if a line is due.

        A returned value counts as a printed line. The next line is due after `SECONDS`, or after a
        tenth of the work.
        """
        if done <= self._line_done:
            return None

        now = time.monotonic()
        tenth_is_done = self._tenths and 10 * (done - self._line_done) >= total
        if not tenth_is_done and now - self._line_time < SECONDS:
            return None

        self._line_time = now
        self._line_done = done
        seconds_per_unit = (now - self._start_time) / (done - self._start_done)
        return _duration(seconds_per_unit * max(total - done, 0))


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def paced(
    items: Collection[Item],
    what: str,
    logger: logging.Logger,
    progress: Progress | None = None,
    *,
    tenths: bool = False,
) -> Iterator[Item]:
    """Yield the items, and log a line now and then ("what: 30 of 100, 12 s left").

    Args:
        items: Items to process.
        what: Name of the work in the log.
        logger: Logger of the lines.
        progress: Function called before each item with (items done, items, file name of the item).
        tenths: Whether a line is also due after each tenth of the items (see `Pace`).

    Yields:
        The items, in order.
    """
    pace = Pace(tenths=tenths)
    total = len(items)
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, total, Path(str(item)).name)
        left = pace.left(done, total)
        if left is not None:
            logger.info("%s: %d of %d, %s left", what, done, total, left)
        yield item
