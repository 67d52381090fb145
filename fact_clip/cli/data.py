"""fact-clip data check."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import DataSet, Overrides, data_config, names, progress, table

if TYPE_CHECKING:
    from fact_clip.datasets.check import Inspection
    from fact_clip.datasets.convert import Target
    from fact_clip.datasets.describe import Suggestion
    from fact_clip.formats.annotations import Frames


def check(
    data: DataSet,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at every feature value for NaN, also of sets that take minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for faults in a data set: all of them, one line each.

    Looks at the mapping, every split (or that of data.split=NAME), labels and features. Nothing on stdout and exit
    code 0: nothing found; 1: something.

    \b
    Example:
      fact-clip data check ../shared/data/kscgr data.name=kscgr
    """
    from fact_clip.datasets.check import inspect

    config = data_config(data, overrides)
    asked = any(override.startswith("data.split=") for override in overrides or [])
    split = str(config.split) if asked and str(config.split) != "all" else None
    with progress("looking at features") as report:
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
    part = (
        "" if seen.looked_at == 1 else f" ({seen.looked_at:.1%} of the feature values looked at; --full looks at all)"
    )
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


Kind = Literal["eaf", "boris", "via", "label-studio", "csv", "runs", "epic", "npy", "lmdb"]


def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Annotation files, or feature files.")],
    *,
    kind: Annotated[Kind, typer.Option("--from", help="What the files are; npy and lmdb are features.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set.", metavar="ROOT")],
    fps: Annotated[float | None, typer.Option(help="Frames a second of the features.", min=1e-6)] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of NAME.npy: labels get their length.")] = None,
    layout: Annotated[Literal["TD", "DT"] | None, typer.Option(help="Layout of these .npy files.")] = None,
    background: Annotated[str, typer.Option(help="Class of the gaps.")] = "background",
    mapping: Annotated[Path | None, typer.Option(help="mapping.txt: the classes and their numbers.")] = None,
    tier: Annotated[str | None, typer.Option(help="Tier, subject, attribute or control, of several.")] = None,
    unit: Annotated[Literal["seconds", "frames"] | None, typer.Option(help="Of start and stop (csv).")] = None,
    source_fps: Annotated[
        float | None, typer.Option(help="Rate that frames in the files are counted at; the features' if not given.")
    ] = None,
    verbs: Annotated[Path | None, typer.Option(help="Verb class file (epic).")] = None,
    nouns: Annotated[Path | None, typer.Option(help="Noun class file (epic).")] = None,
    axes: Annotated[str, typer.Option(help="Axes of .npy files: TD, DT, CTD (C: crops, averaged).")] = "TD",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
) -> None:
    """Bring annotations and features into the common layout.

    Labels go to ROOT/mapping.txt and ROOT/groundTruth, features to ROOT/features. Where segments overlap, the one that
    started last has the frame; of those that start together, the shorter. The table says how many frames that decided.

    \b
    Example:
      fact-clip data convert --from eaf labels/*.eaf --features data/features --fps 5 --out data
      fact-clip data convert --from csv takes.csv --unit seconds --fps 15 --background idle --out data
      fact-clip data convert --from npy i3d/*.npy --axes DT --out data
    """
    from fact_clip.core import Vocabulary
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
    target = Target(fps, features, layout, background, mapping)
    _report(convert_annotations(files, kind, out, target, options), out, target, as_json)


COLUMNS = ("frames", "segments", "gaps", "contested", "lost")


def _report(found: dict[str, Frames], out: Path, target: Target, as_json: bool) -> None:
    from fact_clip.core import Segmentation

    counts = {
        name: (len(each.labels), len(Segmentation.from_frames(each.labels)), each.gaps, each.contested, each.lost)
        for name, each in found.items()
    }
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    if as_json:
        videos = {name: dict(zip(COLUMNS, row, strict=True)) for name, row in counts.items()}
        print(json.dumps({"videos": videos, "total": dict(zip(COLUMNS, total, strict=True))}))
    else:
        rows = [[name, *map(str, row)] for name, row in [*counts.items(), ("total", total)]]
        print(table(["video", *COLUMNS], rows, right=range(1, 6)))
    notes = [f"{total[2]} frames of no segment are {target.background!r}"] if total[2] else []
    notes += [f"{total[3]} frames where segments overlap went to the one that started last"] if total[3] else []
    notes += [f"{total[4]} segments without a frame of their own are left out"] if total[4] else []
    print(f"written: {len(found)} videos in {out}; " + "; ".join(notes or ["no gaps, no overlaps"]), file=sys.stderr)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data set in the common layout.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Recipe to write, a new file; else DIR/recipe.yaml.")] = None,
    background: Annotated[
        str | None, typer.Option(help='Classes that mean no action, "a, b"; unset: guessed by their names.')
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Feature rows a second.")] = None,
    layout: Annotated[
        Literal["TD", "DT"] | None, typer.Option(help="Time or channels first; unset: by the labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on; else the first.")] = "1",
) -> None:
    """Write a recipe for an own data set.

    Orientation, stride, tokens, width and epochs are measured; what is guessed is said.

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
        raise InputError(path, "already there", "a new file", "take it away, or name another with --out")
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
    tree: dict[str, Any] = {}
    for key, value, reason in found.settings:
        *groups, last = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = (value, reason)
    lines = [
        f"# {folder.resolve().name}: {found.videos} videos, {found.classes} classes. Measured by fact-clip data init.",
        "base: folder",
        *_lines(tree, ""),
    ]
    return "\n".join(lines) + "\n"


def _lines(tree: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            shown, reason = value
            # JSON is YAML, and quotes what YAML would read as something else
            lines.append(
                f"{indent}{key}: {json.dumps(shown, ensure_ascii=False)}" + (f"  # {reason}" if reason else "")
            )
    return lines


MOST_FREQUENT = 15
"""Transitions that are shown; --json has all."""


def summary(
    data: DataSet,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was counted as JSON.")] = False,
) -> None:
    """Count what a data set holds.

    Videos, frames, segments, durations, how even the classes are, and what follows what; and the number of action
    tokens that fits. Looks at the labels of all splits.

    \b
    Example:
      fact-clip data summary kscgr data.root=../shared/data/kscgr
    """
    from fact_clip.datasets.describe import summarize

    config = data_config(data, overrides)
    with progress("counting") as report:
        result = summarize(config, report)
    print(json.dumps(result, indent=1) if as_json else _text(result))


def _text(found: Mapping[str, Any]) -> str:
    fps, balance, suggested = found["fps"], found["balance"], found["suggested"]
    lines = [
        f"{found['root']}: {found['videos']} videos, {found['classes']} classes, {len(found['splits'])} splits",
        f"frames     {found['frames']:,}; a video {_spread(found['video_frames'], fps)}",
        f"segments   {found['segments']:,}; frames each {_spread(found['segment_frames'], fps)}",
        f"transcript {_spread(found['transcript_length'], None)} segments a video",
        f"balance    evenness {balance['evenness']:.2f} of 1; frames of the most frequent class over the least:"
        f" {balance['most_over_least']:.0f}; classes without frames: {balance['classes_without_frames']}",
        f"background {', '.join(found['background']) or 'none known'}",
        f"suggested  model.tokens={suggested['tokens']}; loss.null_weight=-1 is {suggested['null_weight']:.4f} then",
        "",
        _classes(found["per_class"], fps),
        "",
        table(
            ["from", "to", "times", "share"],
            [
                [row["from"], row["to"], str(row["count"]), f"{row['share']:.0%}"]
                for row in found["transitions"][:MOST_FREQUENT]
            ],
            right=(2, 3),
        ),
    ]
    left_out = len(found["transitions"]) - MOST_FREQUENT
    return "\n".join(lines + ([f"and {left_out} more transitions (--json)"] if left_out > 0 else []))


def _classes(rows: list[Mapping[str, Any]], fps: float | None) -> str:
    unit = "frames" if fps is None else "seconds"
    header = [
        "class",
        "videos",
        "frames",
        "share",
        "segments",
        "a video",
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
    return text if fps is None else f"{text} (mean {values['mean'] / fps:.1f} s at {fps:g} a second)"
