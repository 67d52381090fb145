"""Neurodata Without Borders (.nwb): a table of intervals; needs pynwb (extra `nwb`)."""

import math
from datetime import UTC, datetime
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Segmentation, library_errors
from fact_clip.core.io import check_file
from fact_clip.formats.base import (
    COMMENT,
    OURS,
    Annotation,
    Options,
    Span,
    choose,
    library,
    read_remark,
    remark,
)
from fact_clip.formats.times import timed

# The format requires the time of the recording, which is unknown.
_START = datetime(1970, 1, 1, tzinfo=UTC)


class NoSegmentsError(InputError):
    """A file that would have no segments, which this format does not support."""


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a session with TimeIntervals `action`.

    The columns are start_time and stop_time in seconds, label, confidence (or NaN), and comment if
    there are comments.
    """
    rows = list(timed(segmentation))
    if not rows:  # pynwb cannot write empty columns of names
        raise NoSegmentsError("segmentation", "no segments but background", "write .csv or .json")
    pynwb = library(path, "pynwb", "nwb")
    epoch = library(path, "pynwb.epoch", "nwb")
    # The description of the table names the omitted background, which `read_remark` reads.
    description = remark(segmentation) or "actions by fact-clip"
    table = epoch.TimeIntervals(name=OURS, description=description)
    table.add_column(name="label", description="name of the action")
    share = "expected share of the interval that is of the action; NaN if unknown"
    table.add_column(name="confidence", description=share)
    has_comments = any(segment.comment for *_, segment in rows)
    if has_comments:
        table.add_column(name=COMMENT, description="remark of the annotator")
    for start, stop, segment in rows:
        row = {"start_time": start, "stop_time": stop, "label": segment.label}
        row["confidence"] = math.nan if segment.confidence is None else segment.confidence
        if has_comments:
            row[COMMENT] = segment.comment
        table.add_interval(**row)
    media = segmentation.media or "video"
    session = pynwb.NWBFile(
        session_description=f"actions in {media}",
        identifier=Path(media).stem or "video",
        session_start_time=_START,
    )
    session.add_time_intervals(table)
    with pynwb.NWBHDF5IO(path, "w") as file:
        file.write(session)


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read one table of intervals with a column `label`; `options.tier` names the table."""
    check_file(path, "an NWB file")
    pynwb = library(path, "pynwb", "nwb")
    kinds = (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError)
    input_errors = library_errors(path, "not an NWB file", *kinds, fix="check it with nwbinspector")
    descriptions = {}
    rows = {}
    with input_errors, pynwb.NWBHDF5IO(path, "r") as file:
        for name, table in file.read().intervals.items():
            if "label" in table.colnames:
                columns = [table[column][:] for column in ("start_time", "stop_time", "label")]
                has_comments = COMMENT in table.colnames
                columns.append(table[COMMENT][:] if has_comments else [""] * len(table))
                descriptions[name] = table.description
                rows[name] = list(zip(*columns, strict=True))
    tier = choose(path, "table of intervals", rows, options.tier)
    spans = []
    for number, (start, stop, label, comment) in enumerate(rows[tier]):
        where = FileLocation(path, part=f"table {tier!r}, row {number}")
        span = Span(float(start), float(stop), str(label), where, comment=str(comment))
        spans.append(span)
    background = read_remark(descriptions[tier])
    return [Annotation(path, spans, tier=tier).with_background(background)]
