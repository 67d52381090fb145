"""What commands show: progress on stderr, plain tables on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fact_clip.config import DataConfig

Recipe = Annotated[
    str, typer.Argument(metavar="CONFIG", help="Recipe that comes with the package, or the path of a YAML file.")
]
DataSet = Annotated[
    str, typer.Argument(metavar="NAME|DIR", help="Recipe or data set by name, a YAML file, or a data set's folder.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Single settings, as data.root=FOLDER train.epochs=20.")
]


def data_config(data: str, overrides: list[str] | None) -> DataConfig:
    """The data settings of a recipe, of an entry of data/benchmarks.py, or of a folder."""
    from fact_clip.config import Config, recipes
    from fact_clip.core import InputError
    from fact_clip.datasets.benchmarks import BENCHMARKS

    given = overrides or []
    if data not in recipes() and Path(data).is_dir():
        return Config.load("folder", [f"data.root={json.dumps(data)}", *given]).data
    if data not in recipes() and data in BENCHMARKS:
        return Config.load("folder", [f"data.name={data}", *given]).data
    if "/" in data and not data.endswith((".yaml", ".yml")):
        raise InputError(data, "no such folder", "a data set: mapping.txt, groundTruth, features, splits")
    return Config.load(data, given).data


Progress = Callable[[int, int, str], None]


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """A progress bar on stderr as a function of (done, total, text); None where stderr is no terminal."""
    with _bars(title) as bars:
        yield bars[0] if bars else None


@contextmanager
def progress_each(title: str) -> Iterator[tuple[Progress | None, Progress | None]]:
    """Two bars: over all files, and within the one at hand; each as of `progress`."""
    with _bars(title, "") as bars:
        yield (bars[0], bars[1]) if bars else (None, None)


@contextmanager
def _bars(*titles: str) -> Iterator[list[Progress] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    name, note = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[note]"))
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def bar(title: str) -> Progress:
            task = bars.add_task(title, total=None, note="")
            return lambda done, total, text: bars.update(task, completed=done, total=total, note=text)

        yield [bar(title) for title in titles]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under a header as aligned text, `right` columns to the right; nothing is cut off, so it can be piped."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), *(line(row) for row in rows)])


def names(text: str | None) -> list[str] | None:
    """Names from "a, b, c"; a name that holds a comma stands in double quotes. None stays None."""
    import csv

    if text is None:
        return None
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]
