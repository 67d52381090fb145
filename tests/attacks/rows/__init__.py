"""The corpus: kinds of files by kinds of faults, and inputs that once were answered wrongly."""

from __future__ import annotations

from . import data, kinds, runs, surroundings, tools

ROWS = (*kinds.ROWS, *data.ROWS, *tools.ROWS, *runs.ROWS, *surroundings.ROWS)

assert len({row.name for row in ROWS}) == len(ROWS), "two rows of one name"
