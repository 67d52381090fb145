"""Fields of videos, as treatment, sex or day, from a table."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.formats.table import read_table
from fact_clip.metrics.budget import COLUMNS
from fact_clip_app.results.table_files import SEGMENT_COLUMNS

Fields = dict[str, str]  # value by name of the field


def read_fields(path: Path, names: Mapping[str, str]) -> dict[str, Fields]:
    """Read a CSV with a row for each video: its name in the column `video`, and its fields.

    Args:
        path: Table file.
        names: Name of each video by its id.

    Returns:
        The fields of the videos of the file, by id.

    Raises:
        InputError: A video does not exist or has two rows, a name belongs to several videos, or a
            field has a name that a column of the time budget has.
    """
    counts = Counter(names.values())
    ids = {name: key for key, name in names.items()}
    fields: dict[str, Fields] = {}
    for where, row in read_table(path, ["video"]):
        name = row["video"].strip()
        if counts[name] != 1:
            problem = f"{counts[name] or 'no'} videos {name!r}"
            raise InputError(where, problem, "use a name that one video of the list has")
        if ids[name] in fields:
            raise InputError(where, f"a second row of {name!r}", "give each video one row")
        values = {
            field: value.strip() for field, value in row.items() if field and field != "video"
        }
        for field in values:
            if field in (*COLUMNS, *SEGMENT_COLUMNS):
                problem = f"{field!r} is a column of the time budget or of the segments"
                raise InputError(where, problem, "give the field another name")
        fields[ids[name]] = values
    return fields
