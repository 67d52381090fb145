"""Tables of results, as CSV or as a spreadsheet."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fact_clip.core import InputError
from fact_clip.core.extras import require
from fact_clip.core.paths import whole_file
from fact_clip.formats.table import write_table

Rows = Sequence[Mapping[str, Any]]

SEGMENT_COLUMNS = ("track", "start", "stop", "label", "origin", "annotator", "comment")


def write_tables(path: Path, tables: Mapping[str, Rows]) -> list[Path]:
    """Write tables to one .xlsx file, a sheet each, or to .csv files.

    Args:
        path: File .xlsx, or the .csv file of the first table. The others are named
            NAME-TABLE.csv.
        tables: Name of a table -> its rows.

    Returns:
        The files.
    """
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        _write_workbook(path, tables)
        return [path]
    if suffix != ".csv":
        raise InputError(path, f"no table in {path.suffix!r}", "name a .csv or .xlsx file")
    paths: list[Path] = []
    for name, rows in tables.items():
        file = path.with_name(f"{path.stem}-{name}.csv") if paths else path
        with whole_file(file) as unfinished:
            write_table(unfinished, _cells(rows), "\n")
        paths.append(file)
    return paths


def _write_workbook(path: Path, tables: Mapping[str, Rows]) -> None:
    require(path, "openpyxl", "app")
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    def without_controls(value: Any) -> Any:
        return ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value

    book = Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name[:31])
        for number, row in enumerate(_cells(rows), start=1):
            # Names that a person typed may hold characters that no sheet can.
            sheet.append([without_controls(value) for value in row])
            for cell in sheet[number]:  # `sheet.max_row` would look at all rows
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # so that a name is not read as a formula
    with whole_file(path) as unfinished:
        book.save(unfinished)


def _cells(rows: Rows) -> Iterable[list[Any]]:
    """Yield the header and the rows, with numbers to a millisecond."""
    yield list(rows[0]) if rows else ["nothing"]
    for row in rows:
        yield [round(cell, 3) if isinstance(cell, float) else cell for cell in row.values()]
