"""fact-clip summary: time budgets of labelled videos, and how far two labellings agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import AsJson, table
from fact_clip.core.errors import CommandOption, InputError

STEP = 1 / 25
"""Seconds between the moments at which two labellings are compared."""


def summary(
    labels: Annotated[list[Path], typer.Argument(metavar="LABELS", help="Label files, one a video.")],
    *,
    against: Annotated[
        list[Path] | None, typer.Option(help="A file by somebody else, for each of LABELS in order; may be repeated.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second of files that do not say it.", min=1e-6, max=1e5)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Table to write, .csv or .xlsx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how long, how often and when each action is done, and how far two labellings agree.

    Files are of any format that the page reads. Background is left out. Agreement: Cohen's kappa and accuracy by 1/25
    s, F1 at overlaps of 10, 25 and 50 %, the mean distance of edges in seconds, and the ICC of total times.

    \b
    Example:
      fact-clip summary labels/*.eaf --out times.xlsx
      fact-clip summary ann/take.eaf --against bob/take.eaf
    """
    from fact_clip.report.budget import time_budget, transitions, write_tables

    if against and len(against) != len(labels):
        raise InputError(CommandOption("--against"), f"{len(against)} files for {len(labels)}", "give one for each")
    stems = [path.stem for path in labels]
    read = {path.stem if stems.count(path.stem) == 1 else str(path): _read(path, fps) for path in labels}
    videos, seconds = {name: parts for name, (parts, _) in read.items()}, {name: end for name, (_, end) in read.items()}
    tables: dict[str, list[dict[str, Any]]] = {"time": time_budget(videos, seconds)}
    tables["transitions"] = transitions(videos.values())
    if against:
        tables["agreement"] = [
            {"video": name, **_agreement(first, _read(path, fps))}
            for (name, first), path in zip(read.items(), against, strict=True)
        ]
    if out is not None:
        for path in write_tables(out, tables):
            print(path)
    elif as_json:
        print(json.dumps(tables, indent=2))
    else:
        for rows in [tables["time"], *([tables["agreement"]] if against else [])]:
            if rows:
                print(table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows]))


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


Video = tuple[Sequence[tuple[float, float, str]], float]


def _read(path: Path, fps: float | None) -> Video:
    """The stretches of a label file and the duration of its video, in seconds."""
    from fact_clip.core.errors import GapError
    from fact_clip.formats import FORMATS, load
    from fact_clip.formats.annotations import Options

    form = max(
        (form for form in FORMATS.values() if path.name.lower().endswith(form.ending)),
        key=lambda form: len(form.ending), default=None,
    )  # fmt: skip
    if form is None or (form.read is None and form.annotations is None):
        raise InputError(path, "not a label file that can be read", "docs/formats.md lists them")
    if form.read is not None:
        try:
            labelling = load(path)
        except GapError:
            if form.annotations is None:
                raise
        else:
            rate = labelling.fps or fps
            if rate is None and labelling.times is None:
                raise InputError(path, "labels without times", "give --fps")
            edges = [labelling.seconds(frame) if labelling.times or labelling.fps else frame / (rate or 1)
                     for frame in (0, *(segment.stop for segment in labelling))]  # fmt: skip
            times = [edge or 0.0 for edge in edges]
            parts = [
                (start, stop, segment.label)
                for segment, start, stop in zip(labelling, times, times[1:], strict=False)
                if segment.label not in (*labelling.background, "background")
            ]
            return parts, times[-1]
    assert form.annotations is not None
    annotations = form.annotations(path, Options(fps=fps))
    if len(annotations) != 1:
        raise InputError(path, f"{len(annotations)} videos", "give files of one video")
    (annotation,) = annotations
    scale = 1.0 if annotation.unit == "seconds" else annotation.fps or fps or 0.0
    if not scale:
        raise InputError(path, "frames without a rate", "give --fps")
    parts = [
        (span.start / scale, span.stop / scale, span.label)
        for span in annotation.spans
        if span.label not in (annotation.background, "background")
    ]
    return parts, max([(annotation.end or 0.0) / scale, *(stop for _, stop, _ in parts)])


def _agreement(first: Video, second: Video) -> dict[str, Any]:
    """Figures of two labellings of a video."""
    import numpy as np

    from fact_clip.core import Vocabulary
    from fact_clip.metrics import cohen_kappa, f1, frame_accuracy
    from fact_clip.report.budget import boundary_distance, duration_icc

    names = ["background", *dict.fromkeys(name for parts, _ in (first, second) for _, _, name in parts)]
    vocabulary, count = Vocabulary.from_names(names), max(round(max(first[1], second[1]) / STEP), 1)
    frames = []
    for parts, _ in (first, second):
        labels = np.zeros(count, dtype=np.int64)
        for start, stop, name in sorted(parts):
            labels[round(start / STEP) : round(stop / STEP)] = vocabulary.index(name)
        frames.append(labels)
    ours, theirs = [frames[0]], [frames[1]]
    return {
        "kappa": cohen_kappa(ours, theirs),
        "accuracy": frame_accuracy(ours, theirs),
        **{f"f1@{overlap}": f1(ours, theirs, overlap, [0]) for overlap in (10, 25, 50)},
        "edges_s": boundary_distance(first[0], second[0]),
        "icc": duration_icc(first[0], second[0]),
    }
