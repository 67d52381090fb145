"""fact-clip segment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.console import names, progress, table

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.segmenter import Segmenter


def segment(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Feature files (.npy).")],
    *,
    run: Annotated[Path, typer.Option(help="Run folder of the model.")],
    actions: Annotated[str | None, typer.Option(help='Only these classes: "pour milk, stir".')] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for one file a video and format; RUN/segments if not given.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="csv, json, eaf, boris, ...: docs/formats.md.")] = "csv,json",
    plot: Annotated[Path | None, typer.Option(help="Timeline picture to write: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
) -> None:
    """Cut videos into actions.

    Prints the segments, writes a file a video and format, and a picture with --plot, which shows the truth above
    the prediction where ../groundTruth/NAME.txt lies beside the features.

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments --plot out.png
    """
    from fact_clip import load

    suffixes = _suffixes(formats)
    _check_outputs(inputs, plot)
    segmenter = load(run)
    candidates = names(actions)
    found: dict[Path, Segmentation] = {}
    with progress("segmenting") as report:
        for done, path in enumerate(inputs):
            if report is not None:
                report(done, len(inputs), path.stem)
            found[path] = segmenter.segment(path, actions=candidates)
    folder = run / "segments" if out is None else out
    files = [each.save(folder / f"{path.stem}{suffix}") for path, each in found.items() for suffix in suffixes]
    if plot is not None:
        _plot(found, segmenter, plot)
        files.append(plot)
    print(_as_json(found) if as_json else "\n\n".join(_as_table(path, each) for path, each in found.items()))
    print("written: " + ", ".join(map(str, files)), file=sys.stderr)


def segment_table(segmentation: Segmentation) -> str:
    """Start, stop, seconds, action and confidence of each segment as text."""
    rows = []
    for each in segmentation:
        start, stop = (segmentation.seconds(frame) for frame in (each.start, each.stop))
        span = "" if start is None or stop is None else f"{start:.2f} - {stop:.2f}"
        sure = "" if each.confidence is None else f"{each.confidence:.2f}"
        rows.append([str(each.start), str(each.stop), span, each.label, sure])
    return table(["start", "stop", "seconds", "action", "confidence"], rows, right=(0, 1, 2, 4))


def _suffixes(formats: str) -> list[str]:
    from fact_clip.export import ending_of

    return [ending_of(name.strip(), "--format") for name in formats.split(",") if name.strip()]


def _check_outputs(inputs: list[Path], plot: Path | None) -> None:
    """Refuse what could not be written before any video is segmented."""
    from fact_clip.core import InputError

    for number, path in enumerate(inputs):
        same = [other for other in inputs[:number] if other.stem == path.stem]
        if same:
            raise InputError(path, f"the same name as {same[0]}", "a name of its own for each video")
    if plot is not None:
        from fact_clip.report import check_suffix

        check_suffix(plot)


def _plot(found: Mapping[Path, Segmentation], segmenter: Segmenter, plot: Path) -> None:
    from fact_clip.report import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in found.items():
        truth = _truth(path, segmenter)
        prefix = f"{path.stem} " if len(found) > 1 else ""
        if truth is not None:
            rows[f"{prefix}truth"] = truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(found)).stem if len(found) == 1 else ""
    save_timeline(rows, plot, background=segmenter.vocabulary.background, title=title)


def _truth(path: Path, segmenter: Segmenter) -> Segmentation | None:
    """The labels of a feature file that lies in a data set of the common layout; None elsewhere."""
    from fact_clip.core import Segmentation
    from fact_clip.data.labels import read_labels

    labels = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
    if not labels.is_file():
        return None
    vocabulary = segmenter.vocabulary
    return Segmentation.from_frames(vocabulary.decode(read_labels(labels, vocabulary)), segmenter.fps)


def _as_table(path: Path, segmentation: Segmentation) -> str:
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{path}: {segmentation.n_frames} frames{rate}\n{segment_table(segmentation)}"


def _as_json(found: Mapping[Path, Segmentation]) -> str:
    from fact_clip.export.json_file import as_dict

    return json.dumps([{"input": str(path), **as_dict(each)} for path, each in found.items()], indent=2)
