"""fact-clip data convert."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fact_clip.cli.console import AsJson, names, table
from fact_clip.core.errors import CommandOption
from fact_clip.core.messages import printable

if TYPE_CHECKING:
    from fact_clip.datasets.tables import Sampling
    from fact_clip.formats.annotations import Frames


COUNTS = ("frames", "segments", "gaps", "contested", "lost")


def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Annotation files, or feature files.")],
    *,
    kind: Annotated[
        Literal["eaf", "boris", "via", "label-studio", "csv", "runs", "epic", "npy", "lmdb", "table"],
        typer.Option("--from", help="Kind of the files (docs/formats.md); npy, lmdb and table are features."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the data set.", metavar="ROOT")],
    fps: Annotated[float | None, typer.Option(help="Frames per second of the features.", min=1e-6, max=1e5)] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder of NAME.npy, which give the labels their length.")
    ] = None,
    layout: Annotated[
        Literal["TD", "DT"] | None, typer.Option(help="Layout of these .npy files, time or channels first.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="Class of frames without an annotation; unset: as the file says, or background.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="mapping.txt with the classes and their numbers.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="The tier, subject, attribute or control to read, if there are several.")
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames", "milliseconds"] | None,
        typer.Option(help="csv: of start and stop, seconds or frames; table: of --time, seconds or milliseconds."),
    ] = None,
    source_fps: Annotated[
        float | None,
        typer.Option(help="Frames (table: rows) per second in the files; unset: as the features.", min=1e-6, max=1e5),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="table: the column that says when a row is, by name or number.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help='table: the columns that are features, "a, b"; unset: all but the time.')
    ] = None,
    verbs: Annotated[Path | None, typer.Option(help="epic: file of the verb classes.")] = None,
    nouns: Annotated[Path | None, typer.Option(help="epic: file of the noun classes.")] = None,
    axes: Annotated[
        str | None, typer.Option(help="npy: axes of the arrays, TD, DT or CTD (C: crops, averaged); unset: TD.")
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="npy, lmdb, table: type of the values; float16 takes half the space. Unset: as read."),
    ] = None,
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
    from fact_clip.core import InputError, Vocabulary
    from fact_clip.datasets.convert import Target, convert_annotations, convert_features
    from fact_clip.formats.annotations import Options

    given = {"fps": fps, "features": features, "layout": layout, "background": background, "mapping": mapping}
    given |= {"tier": tier, "unit": unit, "source-fps": source_fps, "time": time, "columns": columns}
    given |= {"verbs": verbs, "nouns": nouns, "axes": axes, "dtype": dtype}
    _check_options(kind, [option for option, value in given.items() if value is not None])
    if kind in ("npy", "lmdb"):
        shapes = convert_features(files, kind, out, axes or "TD", dtype)
        rows = [[name, str(n_frames), str(width)] for name, (n_frames, width) in shapes.items()]
        print(json.dumps(shapes) if as_json else table(["video", "frames", "columns"], rows, right=(1, 2)))
        print(f"written: {len(shapes)} files in {printable(str(out / 'features'))}", file=sys.stderr)
        return
    if kind == "table":
        from fact_clip.datasets.tables import Sampling

        if unit == "frames":
            raise InputError(CommandOption("--unit"), "frames; expected seconds or milliseconds of the column --time")
        if unit is not None and time is None:
            raise InputError(CommandOption("--unit"), "without --time; expected the column whose unit it is")
        how = Sampling(tuple(names(columns, "--columns") or ()), time, unit == "milliseconds", source_fps, fps)
        _convert_tables(files, out, how, dtype, as_json)
        return
    if unit == "milliseconds":
        raise InputError(CommandOption("--unit"), f"milliseconds for --from {kind}; expected seconds or frames")
    if features is not None and features.is_file():
        raise InputError(CommandOption("--features"), f"{features}, a file; expected a folder of NAME.npy")
    if layout is not None and features is None:
        raise InputError(CommandOption("--layout"), "without --features; expected the folder of these files")
    classes = () if mapping is None else tuple(Vocabulary.from_mapping(mapping))
    options = Options(tier, unit, source_fps, classes, verbs, nouns)
    found = convert_annotations(files, kind, out, Target(fps, features, layout, background, mapping), options)
    _report_labels(found, out, as_json)


_ANNOTATIONS = {"fps", "features", "layout", "background", "mapping"}
# The options that each kind of files reads; any other would be ignored, and someone means something by it.
OPTIONS_OF: dict[str, set[str]] = {
    **dict.fromkeys(("eaf", "boris", "via"), _ANNOTATIONS | {"tier"}),
    "label-studio": _ANNOTATIONS | {"tier", "source-fps"},
    "csv": _ANNOTATIONS | {"unit", "source-fps"},
    "runs": _ANNOTATIONS | {"source-fps"},
    "epic": _ANNOTATIONS | {"verbs", "nouns"},
    "npy": {"axes", "dtype"},
    "lmdb": {"dtype"},
    "table": {"fps", "unit", "source-fps", "time", "columns", "dtype"},
}


def _check_options(kind: str, given: Sequence[str]) -> None:
    from fact_clip.core import InputError

    for option in given:
        if option not in OPTIONS_OF[kind]:
            kinds = ", ".join(name for name, options in OPTIONS_OF.items() if option in options)
            raise InputError(
                CommandOption(f"--{option}"),
                f"with --from {kind}, which does not read it; expected --from {kinds}",
                "leave it out",
            )


def _report_labels(found: Mapping[str, Frames], out: Path, as_json: bool) -> None:
    """What was written for each video, and what was decided on the way."""
    from fact_clip.core import Segmentation

    counts = {
        name: (len(each.labels), len(Segmentation.from_frames(each.labels)), each.gaps, each.contested, each.lost)
        for name, each in found.items()
    }
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    if as_json:
        videos = {name: dict(zip(COUNTS, row, strict=True)) for name, row in counts.items()}
        print(json.dumps({"videos": videos, "total": dict(zip(COUNTS, total, strict=True))}))
    else:
        rows = [[name, *map(str, row)] for name, row in [*counts.items(), ("total", total)]]
        print(table(["video", *COUNTS], rows, right=range(1, 6)))
    _, _, gaps, contested, lost = total
    filled = ", ".join(repr(name) for name in dict.fromkeys(each.background for each in found.values() if each.gaps))
    notes = [f"{gaps} frames of no segment are {filled}"] if gaps else []
    notes += [f"{contested} frames where segments overlap went to the one that started last"] if contested else []
    notes += [f"{lost} segments without a frame of their own are left out"] if lost else []
    print(
        f"written: {len(found)} videos in {printable(str(out))}; " + "; ".join(notes or ["no gaps, no overlaps"]),
        file=sys.stderr,
    )


MOST_ROWS, MOST_ROWS_OF_ONE = 500, 20
"""Rows for a frame above which times are perhaps no milliseconds, and where each video has a single frame."""


def _convert_tables(
    files: list[Path], out: Path, how: Sampling, dtype: Literal["float16", "float32"] | None, as_json: bool
) -> None:
    from fact_clip.datasets.tables import convert_tables

    found = {name: asdict(one) for name, one in convert_tables(files, out, how, dtype).items()}
    keys = ("rows", "frames", "columns", "interpolated")
    rows = [[name, *(str(one[key]) for key in keys)] for name, one in found.items()]
    print(json.dumps(found) if as_json else table(["video", *keys], rows, right=range(1, 5)))
    between = sum(one["interpolated"] for one in found.values())
    note = f"; {between} frames without a row lie on the line between their neighbours" if between else ""
    if between > sum(one["frames"] for one in found.values()) / 2 and how.time is not None:
        note += f", which are most; are times of {how.time!r} in {'milli' * how.milliseconds}seconds (--unit)?"
    rows, frames = (sum(one[key] for one in found.values()) for key in ("rows", "frames"))
    if how.milliseconds and (rows > MOST_ROWS * frames or (frames == len(found) and rows > MOST_ROWS_OF_ONE * frames)):
        note += f"; {rows / frames:.0f} rows for each frame: are times of {how.time!r} in milliseconds (--unit)?"
    rate = "as the rows are" if how.fps is None else f"{how.fps:g} frames per second"
    print(f"written: {len(found)} files in {printable(str(out / 'features'))}, {rate}{note}", file=sys.stderr)
