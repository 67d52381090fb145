"""fact-clip summary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from fact_clip.cli.console import print_result, table
from fact_clip.cli.options import AsJson, argument, option
from fact_clip.core import InputError, Json

STEP = 1 / 25
"""Seconds between the moments at which two labellings are compared."""


def summary(
    labels: Annotated[list[Path], argument("LABELS", "Label files, one a video.")],
    *,
    against: Annotated[
        list[Path] | None,
        option("A file by somebody else, for each of LABELS in order; may be repeated."),
    ] = None,
    fps: Annotated[
        float | None,
        option("Frames per second of files that do not say it.", min=1e-6, max=1e5),
    ] = None,
    out: Annotated[Path | None, option("Table to write, .csv or .xlsx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how long, how often and when each action is done, and how far two labellings agree.

    Files are of any format that the page reads. Background is left out. Agreement: Cohen's kappa
    and accuracy by 1/25 s, F1 at overlaps of 10, 25 and 50 %, the mean distance of edges in
    seconds, and the ICC of total times.

    \b
    Example:
      fact-clip summary labels/*.eaf --out times.xlsx
      fact-clip summary ann/take.eaf --against bob/take.eaf
    """
    from fact_clip.report.budget import time_budget, transitions, write_tables

    if against and len(against) != len(labels):
        problem = f"{len(against)} files for {len(labels)}"
        raise InputError("--against", problem, "give one for each")
    stems = [path.stem for path in labels]
    recordings = {}
    for path in labels:
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        recordings[name] = _read(path, fps)
    parts = {name: recording.parts for name, recording in recordings.items()}
    seconds = {name: recording.seconds for name, recording in recordings.items()}

    tables: dict[str, list[Json]] = {
        "time": time_budget(parts, seconds),
        "transitions": transitions(parts.values()),
    }
    if against:
        rows = []
        for (name, recording), path in zip(recordings.items(), against, strict=True):
            rows.append({"video": name, **_agreement(recording, _read(path, fps))})
        tables["agreement"] = rows
    if out is not None:
        for path in write_tables(out, tables):
            print(path)
        return
    texts = []
    for name, table_rows in tables.items():
        if name != "transitions" and table_rows:
            texts.append(table(table_rows, digits=2))
    print_result(tables, "\n".join(texts), as_json)


@dataclass(frozen=True)
class Recording:
    """The labels of a video, in seconds."""

    parts: Sequence[tuple[float, float, str]]  # start, stop and action
    seconds: float  # its duration


def _read(path: Path, fps: float | None) -> Recording:
    """Read a label file of one video."""
    from fact_clip.formats import format_of, load
    from fact_clip.formats.base import BACKGROUND, Options
    from fact_clip.formats.times import second_of, timed

    file_format = format_of(path)
    if file_format.annotations is None:
        labelling = load(path)
        labelling = replace(labelling, fps=labelling.fps or fps)
        if labelling.seconds(0) is None:
            raise InputError(path, "labels without times", "give --fps")
        parts = [
            (start, stop, segment.label)
            for start, stop, segment in timed(path, labelling)
            if segment.label != BACKGROUND
        ]
        return Recording(parts, second_of(path, labelling, labelling.n_frames))

    annotations = file_format.annotations(path, Options())
    if len(annotations) != 1:
        raise InputError(path, f"{len(annotations)} videos", "give files of one video")
    (annotation,) = annotations
    scale = 1.0 if annotation.unit == "seconds" else annotation.fps or fps
    if scale is None:
        raise InputError(path, "frames without a rate", "give --fps")
    parts = [
        (span.start / scale, span.stop / scale, span.label)
        for span in annotation.spans
        if span.label not in (annotation.background, BACKGROUND)
    ]
    ends = [stop for _, stop, _ in parts]
    return Recording(parts, max([(annotation.end or 0.0) / scale, *ends]))


def _agreement(first: Recording, second: Recording) -> Json:
    """Return the agreement of two labellings, as a row of the table."""
    from fact_clip.metrics.agreement import agreement
    from fact_clip.report.budget import boundary_distance, duration_icc

    count = max(round(max(first.seconds, second.seconds) / STEP), 1)
    figures = agreement(_sampled(first, count), _sampled(second, count), ["background"]).figures
    row: Json = {"kappa": figures["kappa"], "accuracy": figures["frame_accuracy"]}
    for key, value in figures.items():
        if key.startswith("f1@"):
            row[key] = value
    row["edges_s"] = boundary_distance(first.parts, second.parts)
    row["icc"] = duration_icc(first.parts, second.parts)
    return row


def _sampled(recording: Recording, count: int) -> list[str]:
    """Return the label of each of `count` moments."""
    labels = ["background"] * count
    for start, stop, name in sorted(recording.parts):
        first = min(round(start / STEP), count)
        last = min(round(stop / STEP), count)
        labels[first:last] = [name] * (last - first)
    return labels
