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

Row = tuple[FileLocation, Mapping[str, str]]  # where it stands, and the cells by column
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
    if separator is None:
        return [(number, line.split()) for number, line in numbered]
    table: list[Line] = []
    for number, line in numbered:
        try:
            (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
        except csv.Error as error:
            raise InputError(FileLocation(path, number), f"not a row of a table ({error})") from None
        table.append((number, [cell.strip() for cell in cells]))
    return table


def read_table(path: Path, columns: Sequence[str] = (), faults: list[InputError] | None = None) -> Iterator[Row]:
    """Yield the rows of a table with a header; cells in quotes may hold line ends.

    The header is the first line that has all of `columns`; BORIS writes other lines before it. A row with more or fewer
    cells is an InputError, or, where `faults` is given, added there and left out.
    """
    text = read_text(path)
    if markup := re.match(r"\s*(?:\[\s*)?([<{])", text):
        raise InputError(path, f"{'XML' if markup[1] == '<' else 'JSON'}, not a table", "see --from")
    lines = io.StringIO(text, newline="")
    number, missing = 0, list(columns)
    for header in lines:
        number += 1
        if re.match(r"\ufeff?sep=.\r?$", header):  # by which Excel is told the separator
            continue
        separator = find_separator(header) or ","
        try:
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        except csv.Error as error:
            raise InputError(FileLocation(path, number), f"not the header of a table ({error})") from None
        missing = min(missing, [column for column in columns if column not in names], key=len)
        if any(names) and not missing:
            break
    else:
        fix = f"the columns are {', '.join(columns)}" if columns else ""
        raise InputError(path, f"no column {missing[0]!r}" if missing else "no rows", fix)
    repeated = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if repeated is not None:
        raise InputError(FileLocation(path, number), f"two columns {repeated!r}", "give each another name")
    rows = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in filter(any, rows):
            where = FileLocation(path, number + rows.line_num)
            if len(row) != len(names):
                fault = InputError(where, f"{len(row)} cells, but {len(names)} in the header")
                if faults is None:
                    raise fault
                faults.append(fault)
                continue
            yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise InputError(FileLocation(path, number + rows.line_num), f"not a row of a table ({error})") from None
