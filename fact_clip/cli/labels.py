"""fact-clip data convert and split, which make a data set in the common layout; summary: the times in label files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, Layout, names, option
from fact_clip.core.errors import CommandOption, InputError
from fact_clip.core.messages import printable

if TYPE_CHECKING:
    from fact_clip.datasets.convert import Target
    from fact_clip.datasets.splits import Split, Way
    from fact_clip.formats.base import Options

Kind = Literal[
    "eaf",
    "boris",
    "via",
    "label-studio",
    "csv",
    "vtt",
    "srt",
    "runs",
    "epic",
    "npy",
    "lmdb",
    "table",
]
Unit = Literal["seconds", "frames", "milliseconds"] | None

_FEATURES = "Folder of NAME.npy, which give the labels their length."
_BACKGROUND = "Class of frames without an annotation; unset: as the file says, or background."
_TIER = "The tier, subject, attribute or control to read, if there are several."
_UNIT = "csv: of start and stop, seconds or frames; table: of --time, seconds or milliseconds."
_SOURCE_FPS = "Frames (table: rows) per second in the files; unset: as the features."
_TIME = "table: the column that says when a row is, by name or number."
_COLUMNS = 'table: the columns that are features, "a, b"; unset: all but the time.'
_DECIMAL = "csv, table: the decimal mark of numbers."
_SKIP = "csv: leave out rows that cannot be read, with a warning each."
_AXES = "npy: axes of the arrays, TD, DT or CTD (C: crops, averaged)."
_DTYPE = "npy, lmdb, table: type of the values; float16 takes half the space. Unset: as read."

_LEAVE_OUT = "A split for each group, which is its test; the word says what a group is."
_PATTERN = (
    "Regular expression whose parentheses find the group in a video's name; groups stay whole."
)
_AGAINST = "A file by somebody else, for each of LABELS in order; may be repeated."
_FPS = "Frames per second of files that do not say it."

_ANNOTATIONS = {"fps", "features", "layout", "background", "mapping"}
# The options that each kind of files reads; any other would be ignored, and someone means something by it.
OPTIONS_OF: dict[str, set[str]] = {
    **dict.fromkeys(("eaf", "boris", "via"), _ANNOTATIONS | {"tier"}),
    "label-studio": _ANNOTATIONS | {"tier", "source_fps"},
    "csv": _ANNOTATIONS | {"unit", "source_fps", "decimal", "skip_bad"},
    **dict.fromkeys(("vtt", "srt"), _ANNOTATIONS),
    "runs": _ANNOTATIONS | {"source_fps"},
    "epic": _ANNOTATIONS | {"verbs", "nouns"},
    "npy": {"axes", "dtype"},
    "lmdb": {"dtype"},
    "table": {"fps", "unit", "source_fps", "time", "columns", "decimal", "dtype"},
}
# Kind -> the units of its times.
_UNITS = {"csv": ("seconds", "frames"), "table": ("seconds", "milliseconds")}


def convert(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Annotation files, or feature files.")
    ],
    *,
    kind: Annotated[
        Kind,
        option("Kind of the files (docs/formats.md); npy, lmdb and table are features.", "--from"),
    ],
    out: Annotated[Path, option("Folder of the data set.", metavar="ROOT")],
    fps: Annotated[
        float | None, option("Frames per second of the features.", min=1e-6, max=1e5)
    ] = None,
    features: Annotated[Path | None, option(_FEATURES)] = None,
    layout: Annotated[Layout, option("Layout of these .npy files, time or channels first.")] = None,
    background: Annotated[str | None, option(_BACKGROUND)] = None,
    mapping: Annotated[
        Path | None, option("mapping.txt with the classes and their numbers.")
    ] = None,
    tier: Annotated[str | None, option(_TIER)] = None,
    unit: Annotated[Unit, option(_UNIT)] = None,
    source_fps: Annotated[float | None, option(_SOURCE_FPS, min=1e-6, max=1e5)] = None,
    time: Annotated[str | None, option(_TIME)] = None,
    columns: Annotated[str, option(_COLUMNS)] = "",
    decimal: Annotated[Literal[".", ","], option(_DECIMAL)] = ".",
    skip_bad: Annotated[bool, option(_SKIP, "--skip-bad")] = False,
    verbs: Annotated[Path | None, option("epic: file of the verb classes.")] = None,
    nouns: Annotated[Path | None, option("epic: file of the noun classes.")] = None,
    axes: Annotated[str, option(_AXES)] = "TD",
    dtype: Annotated[Literal["float16", "float32"] | None, option(_DTYPE)] = None,
    as_json: AsJson = False,
) -> None:
    """Convert annotations and features to the common layout.

    Labels go to ROOT/mapping.txt and ROOT/groundTruth, features to ROOT/features. Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one. The table says how many frames that decided.

    \b
    Example:
      fact-clip data convert --from eaf labels/*.eaf --features data/features --fps 5 --out data
      fact-clip data convert --from csv takes.csv --unit seconds --fps 15 --background idle --out data
      fact-clip data convert --from npy i3d/*.npy --axes DT --dtype float16 --out data
      fact-clip data convert --from table imu/*.csv --time timestamp --fps 15 --out data
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = {
        name
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
    _check_options(kind, typed - {"files", "kind", "out", "as_json"}, unit)
    if kind in ("npy", "lmdb"):
        from fact_clip.datasets.convert import convert_features

        shapes = convert_features(files, kind, out, axes, dtype)
        cells = [
            {"video": name, "frames": shape[0], "columns": shape[1]}
            for name, shape in shapes.items()
        ]
        print_result(shapes, table(cells), as_json)
        note(f"written: {len(shapes)} files in {printable(str(out / 'features'))}")
    elif kind == "table":
        from fact_clip.datasets.convert import Sampling, convert_tables

        names_of_columns = tuple(names(columns, "--columns") or ())
        sampling = Sampling(
            names_of_columns, time, unit == "milliseconds", source_fps, fps, decimal
        )
        videos = convert_tables(files, out, sampling, dtype)
        print_result(
            videos, table([{"video": name, **counts} for name, counts in videos.items()]), as_json
        )
        interpolated = sum(counts["interpolated"] for counts in videos.values())
        text = (
            f"; {interpolated} frames without a row lie on the line between their neighbours"
            if interpolated
            else ""
        )
        rate = "as the rows are" if fps is None else f"{fps:g} frames per second"
        note(f"written: {len(videos)} files in {printable(str(out / 'features'))}, {rate}{text}")
    else:
        from fact_clip.core import Vocabulary
        from fact_clip.datasets.convert import Target
        from fact_clip.formats.base import Options

        assert unit != "milliseconds"
        classes = () if mapping is None else tuple(Vocabulary.from_mapping(mapping))
        options = Options(tier, unit, source_fps, classes, verbs, nouns, decimal, skip_bad)
        _convert_annotations(
            files, kind, out, Target(fps, features, layout, background, mapping), options, as_json
        )


def _check_options(kind: str, typed: set[str], unit: str | None) -> None:
    for name in sorted(typed - OPTIONS_OF[kind]):
        kinds = ", ".join(other for other, readable in OPTIONS_OF.items() if name in readable)
        option_name = f"--{name.replace('_', '-')}"
        raise InputError(
            CommandOption(option_name),
            f"--from {kind} does not read it, but {kinds}",
            "leave it out",
        )
    if unit is not None and unit not in _UNITS[kind]:
        raise InputError(
            CommandOption("--unit"),
            f"{unit} with --from {kind}",
            f"use {' or '.join(_UNITS[kind])}",
        )
    name, needed = ("unit", "time") if kind == "table" else ("layout", "features")
    if name in typed and needed not in typed:
        raise InputError(CommandOption(f"--{name}"), f"it needs --{needed}", f"give --{needed} too")


def _convert_annotations(
    files: list[Path], kind: str, out: Path, target: Target, options: Options, as_json: bool
) -> None:
    """Convert files of a tool to labels; print what was written for each video, and what was decided on the way."""
    from fact_clip.datasets.convert import convert_annotations

    videos = convert_annotations(files, kind, out, target, options)
    counts = {
        name: {
            "frames": len(frames.labels),
            "segments": sum(1 for _ in groupby(frames.labels)),
            "gaps": frames.gaps,
            "contested": frames.contested,
            "lost": frames.lost,
        }
        for name, frames in videos.items()
    }
    keys = ("frames", "segments", "gaps", "contested", "lost")
    total = {key: sum(row[key] for row in counts.values()) for key in keys}
    rows = [{"video": name, **row} for name, row in [*counts.items(), ("total", total)]]
    print_result({"videos": counts, "total": total}, table(rows), as_json)
    background = dict.fromkeys(repr(frames.background) for frames in videos.values() if frames.gaps)
    texts = {
        "gaps": f"frames of no segment are {', '.join(background)}",
        "contested": "frames where segments overlap went to the one that started last",
        "lost": "segments without a frame of their own are left out",
    }
    notes = [f"{total[key]} {text}" for key, text in texts.items() if total[key]]
    note("; ".join([f"written: {len(videos)} videos in {printable(str(out))}", *notes]))


def split(
    folder: Annotated[Path, typer.Argument(metavar="ROOT", help="Data set in the common layout.")],
    *,
    leave_out: Annotated[str | None, option(_LEAVE_OUT, metavar="WORD")] = None,
    folds: Annotated[
        int | None, option("This many splits; each video is tested once.", min=2)
    ] = None,
    test: Annotated[
        float | None, option("One split; share of the videos that is its test.")
    ] = None,
    pattern: Annotated[str | None, option(_PATTERN)] = None,
    overwrite: Annotated[bool, option("Replace the splits that are there.", "--overwrite")] = False,
    as_json: AsJson = False,
) -> None:
    """Divide the videos into training and test.

    Writes splits/train.split1.bundle, test.split1.bundle and so on. Takes the videos that have labels and features. The
    choice depends on their names alone.

    \b
    Example:
      fact-clip data split my_data --leave-out subject --pattern "subj(\\d+)"
      fact-clip data split my_data --folds 5 --pattern "^(P\\d+)"
      fact-clip data split my_data --test 0.2
    """
    from fact_clip.datasets.splits import divide, guess_groups, read_groups, write_splits

    amounts: dict[Way, float | None] = {
        "leave-out": None if leave_out is None else 0,
        "folds": folds,
        "test": test,
    }
    ways = [(way, amount) for way, amount in amounts.items() if amount is not None]
    if len(ways) != 1:
        raise InputError("data split", "give exactly one of --leave-out, --folds and --test")
    if leave_out is not None and re.search(r"[()\\\[\]+*]", leave_out):
        fix = "name it with a word, such as subject, and give the pattern with --pattern"
        raise InputError(CommandOption("--leave-out"), f"{leave_out!r} is a pattern", fix)
    root, labelled, videos = _videos(folder)
    if leave_out is not None and pattern is None:
        pattern = guess_groups(videos)
        if pattern is None:
            problem = f"the names of the videos do not show a {leave_out} ({videos[0]!r}, ...)"
            raise InputError(
                CommandOption("--pattern"),
                problem,
                r"give a regular expression such as 'subj(\d+)'",
            )
    groups = read_groups(videos, pattern, "--pattern")
    splits = divide(groups, *ways[0])
    rows = {number: _row(root, split) for number, split in enumerate(splits, start=1)}
    write_splits(root, splits, overwrite=overwrite)
    counts = (
        {"split": n, **row, "train": len(row["train"]), "test": len(row["test"])}
        for n, row in rows.items()
    )
    print_result(
        {"root": str(root), "groups": pattern, "splits": rows}, table(list(counts)), as_json
    )
    note(
        f"written: train.splitN.bundle and test.splitN.bundle in {root}/splits, N up to {len(splits)}"
    )
    if left_out := [name for name in labelled if name not in videos]:
        note(f"left out, without features: {', '.join(left_out)}")
    if pattern is None and (guess := guess_groups(videos)) is not None:
        count, again = (
            len(set(read_groups(videos, guess).values())),
            shlex.join(["--pattern", guess]),
        )
        note(f"the names show {count} persons, who may be in both parts; {again} keeps them apart")
    if pattern is not None and all(
        len({groups[name] for name in split.train}) > 1 for split in splits
    ):
        text = "put this into the recipe, so that validation and training share no group: "
        note(f"{text}data: {{groups: {json.dumps(pattern)}}}")


def _videos(folder: Path) -> tuple[Path, list[str], list[str]]:
    """Return the folder of the data, its videos with labels, and those with features too."""
    from fact_clip.config import DataConfig
    from fact_clip.datasets.layout import find_root, label_files
    from fact_clip.datasets.splits import in_order

    root = find_root(DataConfig(root=str(folder)))
    labelled = in_order(path.stem for path in label_files(root))
    videos = [name for name in labelled if (root / "features" / f"{name}.npy").is_file()]
    if not videos:
        raise InputError(
            root, f"{len(labelled)} label files, none with features", "extract the features first"
        )
    return root, labelled, videos


def _row(root: Path, split: Split) -> dict[str, Any]:
    """Return the videos of a split, and the classes that its test has and its training has not."""
    from fact_clip.datasets.layout import read_lines

    trained, tested = (
        {
            name
            for video in videos
            for name in read_lines(root / "groundTruth" / f"{video}.txt", "labels")
        }
        for videos in (split.train, split.test)
    )
    groups, new = split.tested, sorted(tested - trained)
    return {"train": split.train, "test": split.test, "tested_groups": groups, "never_trained": new}


STEP = 1 / 25  # seconds between the moments at which two labellings are compared


def summary(
    labels: Annotated[
        list[Path], typer.Argument(metavar="LABELS", help="Label files, one a video.")
    ],
    *,
    against: Annotated[list[Path] | None, option(_AGAINST)] = None,
    fps: Annotated[float | None, option(_FPS, min=1e-6, max=1e5)] = None,
    out: Annotated[Path | None, option("Table to write, .csv or .xlsx.")] = None,
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
        raise InputError(
            CommandOption("--against"),
            f"{len(against)} files for {len(labels)}",
            "give one for each",
        )
    stems = [path.stem for path in labels]
    read = {
        path.stem if stems.count(path.stem) == 1 else str(path): _read(path, fps) for path in labels
    }
    videos, seconds = (
        {name: parts for name, (parts, _) in read.items()},
        {name: end for name, (_, end) in read.items()},
    )
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
        return
    shown = [rows for name, rows in tables.items() if name != "transitions" and rows]
    print_result(tables, "\n".join(table(rows, digits=2) for rows in shown), as_json)


Video = tuple[Sequence[tuple[float, float, str]], float]


def _read(path: Path, fps: float | None) -> Video:
    """The stretches of a label file and the duration of its video, in seconds."""
    from fact_clip.formats import format_of, load
    from fact_clip.formats.base import BACKGROUND, Options, second_of, timed

    form = format_of(path)
    if form.annotations is None:
        labelling = load(path)
        labelling = replace(labelling, fps=labelling.fps or fps)
        if labelling.seconds(0) is None:
            raise InputError(path, "labels without times", "give --fps")
        parts = [(start, stop, segment.label) for start, stop, segment in timed(path, labelling)]
        return [part for part in parts if part[2] != BACKGROUND], second_of(
            path, labelling, labelling.n_frames
        )
    annotations = form.annotations(path, Options())
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
    return parts, max([(annotation.end or 0.0) / scale, *(stop for _, stop, _ in parts)])


def _agreement(first: Video, second: Video) -> dict[str, Any]:
    from fact_clip.report.budget import boundary_distance, duration_icc
    from fact_clip_app.edits import compared

    count, labellings = max(round(max(first[1], second[1]) / STEP), 1), list[list[str]]()
    for parts, _ in (first, second):
        labels = ["background"] * count
        for start, stop, name in sorted(parts):
            frames = slice(min(round(start / STEP), count), min(round(stop / STEP), count))
            labels[frames] = [name] * (frames.stop - frames.start)
        labellings.append(labels)
    figures = compared(labellings[0], labellings[1], ["background"])["figures"]
    edges, icc = boundary_distance(first[0], second[0]), duration_icc(first[0], second[0])
    overlaps = {key: value for key, value in figures.items() if key.startswith("f1@")}
    rates = {"kappa": figures["kappa"], "accuracy": figures["frame_accuracy"]}
    return {**rates, **overlaps, "edges_s": edges, "icc": icc}
