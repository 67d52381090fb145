"""Neurodata Without Borders (.nwb): a table of intervals with label and confidence; needs pynwb (extra `nwb`)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

from fact_clip.core import FileLocation, Segmentation, library_errors
from fact_clip.core.io import check_file
from fact_clip.formats.base import (
    Annotation,
    Options,
    Span,
    choose,
    library,
    name_of,
    read_remark,
    remark,
    timed,
)

TABLE = "action"
_START = datetime(
    1970, 1, 1, tzinfo=UTC
)  # nobody knows when the video was recorded, and the format asks for it


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a session with TimeIntervals `action`: start_time and stop_time in seconds, label, confidence (or NaN)."""
    rows = list(timed(path, segmentation))
    pynwb, epoch = (
        library(path, "pynwb", "pynwb", "nwb"),
        library(path, "pynwb.epoch", "pynwb", "nwb"),
    )
    table = epoch.TimeIntervals(
        name=TABLE, description=remark(segmentation) or "actions by fact-clip"
    )
    table.add_column(name="label", description="name of the action")
    share = "expected share of the interval that is of the action; NaN if unknown"
    table.add_column(name="confidence", description=share)
    for start, stop, segment in rows:
        confidence = math.nan if segment.confidence is None else segment.confidence
        table.add_interval(
            start_time=start, stop_time=stop, label=segment.label, confidence=confidence
        )
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
    """Read the rows of one table of intervals with a column `label`; `options.tier` names the table."""
    check_file(path, "an NWB file")
    pynwb = library(path, "pynwb", "pynwb", "nwb")
    kinds = OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError
    damaged = library_errors(path, "not an NWB file", *kinds, fix="check it with nwbinspector")
    with damaged, pynwb.NWBHDF5IO(path, "r") as file:
        tables = {
            name: (
                table.description,
                [[*table[key][:]] for key in ("start_time", "stop_time", "label")],
            )
            for name, table in file.read().intervals.items()
            if "label" in table.colnames
        }
    tier = choose(path, "table of intervals", tables, options.tier)
    description, columns = tables[tier]
    spans = [
        Span(
            float(start),
            float(stop),
            str(label),
            FileLocation(path, part=f"table {tier!r}, row {row}"),
        )
        for row, (start, stop, label) in enumerate(zip(*columns, strict=True))
    ]
    return [
        Annotation(
            name_of(path), tuple(spans), "seconds", path, background=read_remark(description)
        )
    ]
