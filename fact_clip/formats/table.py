"""Text tables: cells separated by tabs, semicolons or commas, with any line ends."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.errors import FileLocation
from fact_clip.core.io import read_text

Row = tuple[str, Mapping[str, str]]  # file:line, and the cells by column
Line = tuple[int, list[str]]  # its number, and its cells


def find_separator(line: str) -> str | None:
    """Return what separates the cells of a line: tabs, else semicolons, else commas; None where it has none of them."""
    return next((separator for separator in "\t;," if separator in line), None)


def read_lines(path: Path, expected: str, *, latin: bool = False, comment: str | None = None) -> list[Line]:
    """Return the lines of a table, cut into stripped cells by the separator of the first line, else by white space.

    Blank lines are left out, and those that begin with `comment`. With `latin` it may be latin-1.
    """
    lines = enumerate(read_text(path, expected, latin=latin).splitlines(), start=1)
    numbered = [(number, line) for number, line in lines if line.strip()]
    if comment is not None:
        numbered = [(number, line) for number, line in numbered if not line.lstrip().startswith(comment)]
    separator = find_separator(numbered[0][1]) if numbered else None
    table: list[Line] = []
    for number, line in numbered:
        if separator is None:
            table.append((number, line.split()))
            continue
        try:
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        except csv.Error as error:
            raise InputError(FileLocation(path, number), f"not a row of a table ({error})") from None
        table.append((number, [cell.strip() for cell in cells]))
    return table


def read_table(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a table with a header; cells in quotes may hold line ends.

    The header is the first line that has all of `columns`; BORIS writes other lines before it.
    """
    text = read_text(path)
    if markup := re.match(r"\s*(?:\[\s*)?([<{])", text):
        raise InputError(path, f"{'XML' if markup[1] == '<' else 'JSON'}, not a table", "see --from")
    lines = io.StringIO(text, newline="")
    header_line, missing = 0, list(columns)
    for header in lines:
        header_line += 1
        if re.match(r"\ufeff?sep=.\r?$", header):  # by which Excel is told the separator
            continue
        separator = find_separator(header) or ","
        try:
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        except (csv.Error, StopIteration) as error:
            raise InputError(FileLocation(path, header_line), f"not the header of a table ({error})") from None
        missing = min(missing, [column for column in columns if column not in names], key=len)
        if any(names) and not missing:
            break
    else:
        fix = f"the columns are {', '.join(columns)}" if columns else ""
        raise InputError(path, f"no column {missing[0]!r}" if missing else "no rows", fix)
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise InputError(FileLocation(path, header_line), f"the column {twice!r} twice", "name each once")
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in rows:
            where = f"{path}:{header_line + rows.line_num}"
            if not any(row):
                continue
            if len(row) != len(names):
                line = FileLocation(path, header_line + rows.line_num)
                raise InputError(line, f"{len(row)} cells, but {len(names)} in the header")
            yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        line = FileLocation(path, header_line + rows.line_num)
        raise InputError(line, f"not a row of a table ({error})") from None
