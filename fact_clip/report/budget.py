"""Time budgets: how long, how often and when each action is done; and how far two labellings agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import InputError, library_errors
from fact_clip.core.paths import whole_file
from fact_clip.formats.base import write_table

Stretch = tuple[float, float, str]  # Start and stop in seconds, and the action

COLUMNS = ("video", "action", "seconds", "share", "count", "mean", "deviation", "first")


def time_budget(
    videos: Mapping[str, Sequence[Stretch]], seconds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a row for each video and action, and for each action in all videos together (video "all").

    Total time, percent of the duration, number of segments, mean and standard deviation of their durations (None for
    one segment), and when the first one begins (None for "all"). In seconds; actions by their total time.
    """
    rows = list[dict[str, Any]]()
    together: dict[str, list[Stretch]] = {
        "all": [part for parts in videos.values() for part in parts]
    }
    for video, parts in (*videos.items(), *(together.items() if len(videos) > 1 else ())):
        duration = sum(seconds.values()) if video == "all" else seconds[video]
        lengths: dict[str, list[float]] = {}
        for start, stop, action in parts:
            lengths.setdefault(action, []).append(stop - start)
        for action, durations in sorted(
            lengths.items(), key=lambda entry: (-sum(entry[1]), entry[0])
        ):
            first = (
                None if video == "all" else min(start for start, _, name in parts if name == action)
            )
            values = {
                "seconds": sum(durations),
                "share": 100 * sum(durations) / duration if duration else 0.0,
                "count": len(durations),
                "mean": float(np.mean(durations)),
                "deviation": float(np.std(durations, ddof=1)) if len(durations) > 1 else None,
                "first": first,
            }
            rows.append({"video": video, "action": action, **values})
    return rows


def transitions(videos: Iterable[Sequence[Stretch]]) -> list[dict[str, Any]]:
    """Return how often an action follows another within a video, the most frequent first."""
    counts = Counter(
        (before[2], after[2]) for parts in videos for before, after in pairwise(sorted(parts))
    )
    return [
        {"from": before, "to": after, "count": count}
        for (before, after), count in counts.most_common()
    ]


def write_tables(path: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Path]:
    """Write tables to an .xlsx file, a sheet each, or to .csv files: the first to `path`, others to NAME-TABLE.csv."""
    if path.suffix.lower() == ".xlsx":
        with library_errors(
            path, "not written", ModuleNotFoundError, fix="pip install openpyxl, or write .csv"
        ):
            from openpyxl import Workbook
        book = Workbook()
        book.remove(book.active)
        for name, rows in tables.items():
            sheet = book.create_sheet(name[:31])
            for row in _cells(rows):
                sheet.append(row)
                for cell in sheet[sheet.max_row]:
                    cell.data_type = (
                        "s" if isinstance(cell.value, str) else cell.data_type
                    )  # a name is no formula
        with whole_file(path) as unfinished:
            book.save(unfinished)
        return [path]
    if path.suffix.lower() != ".csv":
        raise InputError(path, f"no table in {path.suffix!r}", "name a .csv or .xlsx file")
    paths = [path, *(path.with_name(f"{path.stem}-{name}.csv") for name in [*tables][1:])]
    for file, rows in zip(paths, tables.values(), strict=True):
        with whole_file(file) as unfinished:
            write_table(unfinished, _cells(rows), "\n")
    return paths


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterable[list[Any]]:
    """The header and the rows; numbers to a millisecond."""
    yield list(rows[0]) if rows else ["nothing"]
    for row in rows:
        yield [round(cell, 3) if isinstance(cell, float) else cell for cell in row.values()]


def boundary_distance(first: Sequence[Stretch], second: Sequence[Stretch]) -> float | None:
    """Return the mean distance in seconds from each edge of either labelling to the nearest one of the other."""
    edges = [
        np.unique([time for start, stop, _ in parts for time in (start, stop)])
        for parts in (first, second)
    ]
    if not len(edges[0]) or not len(edges[1]):
        return None
    distances = np.abs(edges[0][:, None] - edges[1][None])  # (E, F)
    return float(np.concatenate([distances.min(1), distances.min(0)]).mean())


def duration_icc(first: Sequence[Stretch], second: Sequence[Stretch]) -> float | None:
    """Return how far two labellings agree on the total time of each action: ICC(A,1) of McGraw and Wong (1996).

    None with fewer than two actions, or where all times are equal.
    """
    names = sorted({name for _, _, name in (*first, *second)})
    times = np.array(
        [
            [
                sum(stop - start for start, stop, name in parts if name == action)
                for parts in (first, second)
            ]
            for action in names
        ]
    )
    n_names = len(names)
    if n_names < 2 or np.ptp(times) == 0:
        return None
    mean = times.mean()
    rows = 2 * ((times.mean(1) - mean) ** 2).sum() / (n_names - 1)
    columns = n_names * ((times.mean(0) - mean) ** 2).sum()
    rest = ((times - times.mean(1, keepdims=True) - times.mean(0) + mean) ** 2).sum() / (
        n_names - 1
    )
    return float((rows - rest) / (rows + rest + 2 * (columns - rest) / n_names))
