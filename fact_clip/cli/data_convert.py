"""fact-clip data convert."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fact_clip.cli.console import table

if TYPE_CHECKING:
    from fact_clip.data.annotations import Frames
    from fact_clip.data.convert import Target

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
    from fact_clip.data.annotation_tables import Options
    from fact_clip.data.convert import Target, convert_annotations, convert_features

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
