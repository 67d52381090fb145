"""Text tables with any separator. All tables are read by this module."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fact_clip.core import (
    FileLocation,
    InputError,
    Instant,
    Segment,
    Segmentation,
    library_errors,
)
from fact_clip.core.io import read_text

COLUMNS = ("start", "stop", "start_seconds", "stop_seconds", "label", "confidence")

Row = tuple[FileLocation, Mapping[str, str]]
"""The location of a row, and its cells by column."""

Line = tuple[int, list[str]]
"""The number of a line, and its cells."""

# Text that a spreadsheet reads as the start of a formula, after any marks of `no_formula`.
_FORMULA = re.compile("'*[=+\\-@\t\r]")


def no_formula(cell: str) -> str:
    """Return a cell that a spreadsheet does not compute, with a "'" before "=", "+", "-" or "@"."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def without_mark(cell: str) -> str:
    """Return the name in a cell without the mark of `no_formula`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def cells(
    segmentation: Segmentation, segments: Iterable[Segment | Instant]
) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of segments for `COLUMNS`. Unknown seconds and confidences are None."""
    for segment in segments:
        yield (
            segment.start,
            segment.stop,
            segmentation.seconds(segment.start),
            segmentation.seconds(segment.stop),
            segment.label,
            segment.confidence,
        )


def write_table(path: Path, rows: Iterable[Iterable[object]], end: str = "\r\n") -> None:
    """Write rows of cells as CSV, with formulas escaped."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # Because the line end is \r\n, csv quotes both characters inside a name.
        writer = csv.writer(file, lineterminator=end)
        for row in rows:
            writer.writerow([no_formula(cell) if isinstance(cell, str) else cell for cell in row])


def find_separator(line: str, separators: str = "\t;,") -> str | None:
    """Return the separator of a line: a tab, or else a semicolon, or else a comma, or None."""
    return next((separator for separator in separators if separator in line), None)


def read_lines(
    path: Path,
    expected: str,
    *,
    latin: bool = False,
    comment: str | None = None,
    decimal: str = ".",
) -> list[Line]:
    """Read a table without a header.

    Args:
        path: File to read.
        expected: Description of the expected content, for errors.
        latin: Whether a file that is not UTF-8 is read as latin-1.
        comment: Start of lines to omit.
        decimal: Decimal mark. A decimal comma separates cells only if some cells have quotes.

    Returns:
        The lines that are not blank, split into stripped cells at the separator of the first line,
        or at white space if there is none.
    """
    numbered = []
    content = read_text(path, expected, latin=latin)
    for number, line in enumerate(content.splitlines(), start=1):
        is_comment = comment is not None and line.lstrip().startswith(comment)
        if line.strip() and not is_comment:
            numbered.append((number, line))
    separators = "\t;," if decimal == "." or '"' in content else "\t;"
    separator = find_separator(numbered[0][1], separators) if numbered else None
    if separator is None:
        return [(number, line.split()) for number, line in numbered]

    table: list[Line] = []
    for number, line in numbered:
        with library_errors(FileLocation(path, number), "not a row of a table", csv.Error):
            (row,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        table.append((number, [cell.strip() for cell in row]))
    return table


def read_table(
    path: Path, columns: Sequence[str] = (), separator: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a table with a header.

    Args:
        path: File to read.
        columns: Names of required columns. The header is the first line that contains all of them.
        separator: Separator of cells, or None to find it in the header.

    Yields:
        Location and cells, by column, of each row.
    """
    lines = io.StringIO(read_text(path), newline="")
    for number, header in enumerate(lines, start=1):
        if re.match(r"\ufeff?sep=.\r?$", header):  # a line that states the separator for Excel
            continue
        separator_of_file = separator or find_separator(header) or ","
        with library_errors(FileLocation(path, number), "not the header of a table", csv.Error):
            names = [
                name.strip() for name in next(csv.reader([header], delimiter=separator_of_file))
            ]
        if any(names) and {*columns} <= {*names}:
            break
    else:
        problem = f"no line with the columns {', '.join(columns)}" if columns else "no rows"
        raise InputError(path, problem)
    for name, count in Counter(names).items():
        if name and count > 1:
            problem = f"two columns {name!r}"
            raise InputError(FileLocation(path, number), problem, "give each a different name")

    rows = csv.reader(lines, delimiter=separator_of_file, strict=True)
    try:
        for row in filter(any, rows):
            where = FileLocation(path, number + rows.line_num)
            if len(row) != len(names):
                raise InputError(where, f"{len(row)} cells, but {len(names)} in the header")
            yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        where = FileLocation(path, number + rows.line_num)
        raise InputError(where, f"not a row of a table ({error})") from None
