"""Progress bars and messages on stderr, tables and results on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fact_clip.core import Progress
from fact_clip.core.messages import printable

if TYPE_CHECKING:
    from fact_clip.core import Segmentation


def is_secondary() -> bool:
    """Return whether this is a process of torchrun that does not print: any but the first."""
    return os.environ.get("RANK", "") not in ("", "0")


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """Show a progress bar on stderr.

    Args:
        title: Text before the bar.

    Yields:
        A function of (done, total, note) that moves the bar, or None if stderr is not a terminal.
    """
    with bars(title) as (bar,):
        yield bar


@contextmanager
def bars(*titles: str) -> Iterator[Sequence[Progress | None]]:
    """Show several progress bars, one below the other, in the same way as `progress`."""
    if not sys.stderr.isatty() or is_secondary():
        yield [None] * len(titles)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as display:

        def add_bar(title: str) -> Progress:
            task = display.add_task(title, total=None, note="")

            def update(done: int, total: int, note: str) -> None:
                display.update(task, completed=done, total=total, note=note)

            return update

        yield [add_bar(title) for title in titles]


def note(*lines: str) -> None:
    """Print lines on stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def table(rows: Sequence[Mapping[str, object]], digits: int = 1) -> str:
    """Return rows as an aligned table under their keys.

    Args:
        rows: Mappings with the same keys.
        digits: Number of decimals of floats.

    Returns:
        Lines of text. Columns of numbers are aligned to the right, and None is shown as "-".
    """
    columns = []
    for key in rows[0] if rows else ():
        values = [row[key] for row in rows]
        cells = [key, *(_cell(value, digits) for value in values)]
        width = max(map(len, cells))
        is_numeric = all(value is None or isinstance(value, int | float) for value in values)
        align = str.rjust if is_numeric else str.ljust
        columns.append([align(cell, width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _cell(value: object, digits: int) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value)) or None
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return printable(str(value))


def figures_table(head: str, rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> str:
    """Return a table of metrics in percent.

    Args:
        head: Heading of the first column, which names the rows.
        rows: Metrics of each run or model, by its name.
        keys: Metrics to show.
    """
    from fact_clip.metrics.report import figure_name

    lines = []
    for name, row in rows.items():
        figures = {figure_name(key): row.get(key) for key in keys}
        lines.append({head: name, **figures})
    return table(lines)


def print_result(result: object, summary: str, as_json: bool) -> None:
    """Print a result as JSON if `as_json` is true, or its summary otherwise."""
    print(json.dumps(result, indent=2) if as_json else summary)


def segment_table(segmentation: Segmentation) -> str:
    """Return a text table of the times, label, confidence and new words of each segment."""
    from fact_clip.formats.table import cells

    words: dict[str, list[str]] = {}
    for word in segmentation.new_words:
        novelty = "far from training" if word.far else "new"
        words.setdefault(word.action, []).append(f"{novelty}: {word.word}")
    rows = []
    for first_frame, stop_frame, start_seconds, stop_seconds, label, confidence in cells(
        segmentation, segmentation
    ):
        row: dict[str, object] = {"start": first_frame, "stop": stop_frame, "seconds": None}
        if start_seconds is not None:
            row["seconds"] = f"{start_seconds:.2f} - {stop_seconds:.2f}"
        row |= {"label": label, "confidence": confidence}
        if words:
            row["words"] = words.get(label)
        rows.append(row)
    return table(rows, digits=2)
