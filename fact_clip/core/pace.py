"""How often long work says how far it is."""

from __future__ import annotations

import time

SECONDS = 10.0
"""Lines of one piece of work are at least this far apart, unless a tenth of it was done in between."""


class Pace:
    """When the next line about some work is due, and how long the rest takes. Made when the work begins.

    Args:
        done: what was done before; it took no time.
        tenths: whether a line is also due after each tenth of the work, however quickly it is done.
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
