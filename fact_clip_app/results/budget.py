"""Tables of a project: time per action, transitions between actions, and segments."""

from itertools import chain

from fact_clip.metrics.budget import binned_budget, group_budget, time_budget, transitions
from fact_clip_app.results.ratings import RatedRows
from fact_clip_app.results.table_files import Rows


def budget_tables(rated: RatedRows, field: str = "", bins: float | None = None) -> dict[str, Rows]:
    """Return the tables "time", "transitions" and "segments" of labelled tracks, and "bins".

    Args:
        rated: The labelled tracks.
        field: The name of a field of videos, or "". If there is one, the groups of videos that have
            the same value of it come first in the table of time.
        bins: Seconds of a bin of the table "bins", or None to leave that table out.

    Returns:
        The tables. Rows of videos also have the fields of their videos.
    """
    time_rows = time_budget(rated.ratings)
    if field:
        groups = {}
        for name, fields in rated.fields.items():
            groups[name] = f"{field}: {fields.get(field) or '–'}"
        time_rows = group_budget(rated.ratings, groups, rated.ids) + time_rows
    no_fields = dict.fromkeys(chain.from_iterable(rated.fields.values()), "")
    for row in chain(time_rows, rated.segments):
        fields = no_fields | rated.fields.get(row["video"], {})
        row |= {name: value for name, value in fields.items() if name not in row}
    tables: dict[str, Rows] = {
        "time": time_rows,
        "transitions": transitions(rated.ratings.values()),
        "segments": rated.segments,
    }
    if bins is not None:
        tables["bins"] = binned_budget(rated.ratings, bins)
    return tables
