"""The corpus: every row, by what is wrong."""

from __future__ import annotations

from collections import Counter

from . import (
    checkpoints,
    contrary,
    datasets,
    faces,
    foreign,
    full,
    machine,
    misread,
    mixups,
    runs,
    settings,
    silent,
    tables,
    tools,
    useless,
    videos,
)

ROWS = (
    *settings.ROWS,
    *datasets.ROWS,
    *tools.ROWS,
    *tables.ROWS,
    *runs.ROWS,
    *checkpoints.ROWS,
    *videos.ROWS,
    *faces.ROWS,
    *machine.ROWS,
    *silent.ROWS,
    *full.ROWS,
    *misread.ROWS,
    *mixups.ROWS,
    *contrary.ROWS,
    *useless.ROWS,
    *foreign.ROWS,
)

_twice = [name for name, count in Counter(row.name for row in ROWS).items() if count > 1]
assert not _twice, f"rows of one name: {_twice}"
