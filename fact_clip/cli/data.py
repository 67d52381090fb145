"""fact-clip data: check, convert, init and summary; `data holdout` has a file of its own."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import AsJson, DataSet, Overrides, data_config, names, progress, table

if TYPE_CHECKING:
    from fact_clip.datasets.check import Inspection
    from fact_clip.datasets.describe import Suggestion

Layout = Literal["TD", "DT"]


# --- check ------------------------------------------------------------------------------------------------


def check(
    data: DataSet,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look for NaN in every feature value, even if that takes minutes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for faults in a data set: all of them, one line each.

    Reads the mapping, every split (or the one of data.split=NAME), labels and features. If nothing is wrong, stdout is
    empty and the exit code is 0; otherwise it is 1.

    \b
    Example:
      fact-clip data check ../shared/data/kscgr data.name=kscgr
    """
    from fact_clip.datasets.check import inspect

    config = data_config(data, overrides)
    asked = any(override.startswith("data.split=") for override in overrides or [])
    split = str(config.split) if asked and str(config.split) != "all" else None
    with progress("reading features") as report:
        seen = inspect(config, split, full=full, progress=report)
    if as_json:
        print(json.dumps(_as_dict(seen), indent=2))
    else:
        for kind, fault in seen.faults:
            print(f"{kind}: {' '.join(str(fault).splitlines())}")
        print(_conclusion(seen), file=sys.stderr)
    if seen.faults:
        raise typer.Exit(1)


def _conclusion(seen: Inspection) -> str:
    counts = f"{len(seen.videos)} videos, {len(seen.splits)} splits, {len(seen.names)} classes"
    columns = "" if seen.columns is None else f", {seen.columns} columns"
    found = f"{len(seen.faults)} findings" if seen.faults else "no fault found"
    part = f" ({seen.looked_at:.1%} of the feature values were read; --full reads all)" if seen.looked_at < 1 else ""
    return f"{seen.root}: {counts}{columns}; {found}{part}"


def _as_dict(seen: Inspection) -> dict[str, Any]:
    return {
        "root": str(seen.root),
        "videos": len(seen.videos),
        "splits": list(seen.splits),
        "classes": len(seen.names),
        "columns": seen.columns,
        "feature_values_looked_at": seen.looked_at,
        "findings": [
            {"kind": kind, "where": fault.where, "found": fault.found, "expected": fault.expected, "todo": fault.todo}
            for kind, fault in seen.faults
        ],
    }


# --- convert ----------------------------------------------------------------------------------------------

COUNTS = ("frames", "segments", "gaps", "contested", "lost")


def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Annotation files, or feature files.")],
    *,
    kind: Annotated[
        Literal["eaf", "boris", "via", "label-studio", "csv", "runs", "epic", "npy", "lmdb"],
        typer.Option("--from", help="Kind of the files (docs/formats.md); npy and lmdb are features."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the data set.", metavar="ROOT")],
    fps: Annotated[float | None, typer.Option(help="Frames per second of the features.", min=1e-6)] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder of NAME.npy, which give the labels their length.")
    ] = None,
    layout: Annotated[Layout | None, typer.Option(help="Layout of these .npy files, time or channels first.")] = None,
    background: Annotated[str, typer.Option(help="Class of frames without an annotation.")] = "background",
    mapping: Annotated[Path | None, typer.Option(help="mapping.txt with the classes and their numbers.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="The tier, subject, attribute or control to read, if there are several.")
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames"] | None, typer.Option(help="csv: unit of the columns start and stop.")
    ] = None,
    source_fps: Annotated[
        float | None, typer.Option(help="Frames per second of frame numbers in the files; unset: as the features.")
    ] = None,
    verbs: Annotated[Path | None, typer.Option(help="epic: file of the verb classes.")] = None,
    nouns: Annotated[Path | None, typer.Option(help="epic: file of the noun classes.")] = None,
    axes: Annotated[str, typer.Option(help="npy: axes of the arrays, TD, DT or CTD (C: crops, averaged).")] = "TD",
    as_json: AsJson = False,
) -> None:
    """Convert annotations and features to the common layout.

    Labels go to ROOT/mapping.txt and ROOT/groundTruth, features to ROOT/features. Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one. The table says how many frames that decided.

    \b
    Example:
      fact-clip data convert --from eaf labels/*.eaf --features data/features --fps 5 --out data
      fact-clip data convert --from csv takes.csv --unit seconds --fps 15 --background idle --out data
      fact-clip data convert --from npy i3d/*.npy --axes DT --out data
    """
    from fact_clip.core import Segmentation, Vocabulary
    from fact_clip.datasets.convert import Target, convert_annotations, convert_features
    from fact_clip.formats.annotations import Options

    if kind in ("npy", "lmdb"):
        shapes = convert_features(files, kind, out, axes)
        rows = [[name, str(n_frames), str(width)] for name, (n_frames, width) in shapes.items()]
        print(json.dumps(shapes) if as_json else table(["video", "frames", "columns"], rows, right=(1, 2)))
        print(f"written: {len(shapes)} files in {out / 'features'}", file=sys.stderr)
        return
    classes = () if mapping is None else tuple(Vocabulary.from_mapping(mapping))
    options = Options(tier, unit, source_fps, classes, verbs, nouns)
    found = convert_annotations(files, kind, out, Target(fps, features, layout, background, mapping), options)
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
    notes = [f"{gaps} frames of no segment are {background!r}"] if gaps else []
    notes += [f"{contested} frames where segments overlap went to the one that started last"] if contested else []
    notes += [f"{lost} segments without a frame of their own are left out"] if lost else []
    print(f"written: {len(found)} videos in {out}; " + "; ".join(notes or ["no gaps, no overlaps"]), file=sys.stderr)


# --- init -------------------------------------------------------------------------------------------------


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data set in the common layout.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Recipe to write, a new file; unset: DIR/recipe.yaml.")] = None,
    background: Annotated[
        str | None, typer.Option(help='Classes that mean no action, "a, b"; unset: guessed from their names.')
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Feature rows per second.")] = None,
    layout: Annotated[
        Layout | None, typer.Option(help="Features with time or channels first; unset: told by the labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on.")] = "1",
) -> None:
    """Write a recipe for your own data set.

    Orientation, stride, tokens, width and epochs are measured; guesses are marked as such.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.config import DataConfig
    from fact_clip.core import InputError
    from fact_clip.core.files import whole_file
    from fact_clip.datasets.describe import suggest

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending {path.suffix!r}", "a name that ends in .yaml")
    if path.exists():
        raise InputError(path, "already there", "a new file", "remove it, or name another with --out")
    known = None if background is None else tuple(names(background) or ())
    given = {"root": str(folder), "background": known, "fps": fps, "layout": layout, "split": split}
    found = suggest(DataConfig.model_validate(given))
    with whole_file(path) as unfinished:
        unfinished.write_text(recipe_text(folder, found), encoding="utf-8")
    print(f"{path}: {found.videos} videos, {found.classes} classes")
    for key, value, reason in found.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    for note in found.notes:
        print(f"note: {note}")
    print(f"train it with: {shlex.join(['fact-clip', 'train', str(path), '--out', 'runs/mine'])}")


def recipe_text(folder: Path, found: Suggestion) -> str:
    """The recipe as YAML, each setting with its reason as a comment."""
    title = (
        f"# {folder.resolve().name}: {found.videos} videos, {found.classes} classes. Measured by fact-clip data init."
    )
    lines, open_groups = [title, "base: folder"], list[str]()
    for key, value, reason in found.settings:  # group by group
        *groups, last = key.split(".")
        for depth, group in enumerate(groups):
            if open_groups[: depth + 1] != groups[: depth + 1]:
                lines.append(f"{'  ' * depth}{group}:")
        open_groups = groups
        # JSON is YAML, and it quotes what YAML would read as something else.
        text = f"{'  ' * len(groups)}{last}: {json.dumps(value, ensure_ascii=False)}"
        lines.append(f"{text}  # {reason}" if reason else text)
    return "\n".join(lines) + "\n"


# --- summary ----------------------------------------------------------------------------------------------

MOST_FREQUENT = 15
"""Transitions that are printed; --json has all."""


def summary(
    data: DataSet,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Count what a data set holds.

    Videos, frames, segments, durations, how balanced the classes are, what follows what, and how many action tokens
    fit. Reads the labels of all splits.

    \b
    Example:
      fact-clip data summary kscgr data.root=../shared/data/kscgr
    """
    from fact_clip.datasets.describe import summarize

    config = data_config(data, overrides)
    with progress("counting") as report:
        result = summarize(config, report)
    print(json.dumps(result, indent=1) if as_json else _as_text(result))


def _as_text(found: Mapping[str, Any]) -> str:
    fps, balance, suggested = found["fps"], found["balance"], found["suggested"]
    frequent, rest = found["transitions"][:MOST_FREQUENT], found["transitions"][MOST_FREQUENT:]
    rows = [[row["from"], row["to"], str(row["count"]), f"{row['share']:.0%}"] for row in frequent]
    lines = [
        f"{found['root']}: {found['videos']} videos, {found['classes']} classes, {len(found['splits'])} splits",
        f"frames     {found['frames']:,}; per video {_spread(found['video_frames'], fps)}",
        f"segments   {found['segments']:,}; frames each {_spread(found['segment_frames'], fps)}",
        f"transcript {_spread(found['transcript_length'], None)} segments per video",
        f"balance    evenness {balance['evenness']:.2f} of 1; most frequent class over least frequent, in frames:"
        f" {balance['most_over_least']:.0f}; classes without frames: {balance['classes_without_frames']}",
        f"background {', '.join(found['background']) or 'none known'}",
        f"suggested  model.tokens={suggested['tokens']}; loss.null_weight=-1 is then {suggested['null_weight']:.4f}",
        "",
        _classes(found["per_class"], fps),
        "",
        table(["from", "to", "times", "share"], rows, right=(2, 3)),
    ]
    return "\n".join(lines + ([f"and {len(rest)} more transitions (--json)"] if rest else []))


def _classes(rows: list[Mapping[str, Any]], fps: float | None) -> str:
    unit = "frames" if fps is None else "seconds"
    header = [
        "class",
        "videos",
        "frames",
        "share",
        "segments",
        "per video",
        f"mean {unit}",
        "least",
        "most",
        "transcript",
    ]
    cells = [
        [
            row["name"],
            str(row["videos"]),
            str(row["frames"]),
            f"{row['share']:.1%}",
            str(row["segments"]),
            f"{row['segments_per_video']:.1f}",
            *(_time(row["segment_frames"][key], fps) for key in ("mean", "least", "most")),
            f"{row['transcript_length']['mean']:.1f}",
        ]
        for row in rows
    ]
    return table(header, cells, right=range(1, len(header)))


def _time(frames: float, fps: float | None) -> str:
    return f"{frames:.0f}" if fps is None else f"{frames / fps:.1f}"


def _spread(values: Mapping[str, float], fps: float | None) -> str:
    text = f"mean {values['mean']:.1f}, median {values['median']:g}, {values['least']} to {values['most']}"
    return text if fps is None else f"{text} (mean {values['mean'] / fps:.1f} s at {fps:g} per second)"
