"""fact-clip segment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli import segment_options as options
from fact_clip.cli.actions import given_actions
from fact_clip.cli.console import names, table
from fact_clip.cli.inputs import collect
from fact_clip.cli.segment_source import (
    SegmentSource,
    check_overlay,
    open_run,
    open_training_free,
    save_overlay,
    segment_all,
)

if TYPE_CHECKING:
    from fact_clip.core import Segmentation


def segment(
    inputs: options.Inputs,
    *,
    run: options.Run = None,
    training_free: options.TrainingFree = False,
    actions: options.Actions = None,
    more_actions: options.MoreActions = None,
    actions_file: options.ActionsFile = None,
    encoder: options.Encoder = None,
    fps: options.Fps = None,
    prompts: options.Prompts = "ensemble",
    background_threshold: options.Threshold = None,
    smoothing: options.Smoothing = 1.0,
    minimal_duration: options.Shortest = 1.0,
    window: options.Window = None,
    media: options.Media = None,
    keep_going: options.KeepGoing = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; unset: RUN/segments, or segments.")] = None,
    formats: Annotated[str, typer.Option("--format", help="csv, json, eaf, boris, ...: docs/formats.md.")] = "csv,json",
    plot: Annotated[Path | None, typer.Option(help="Timeline picture to write: .png, .svg or .pdf.")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Video to write with names and timeline burned in.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
) -> None:
    """Cut videos into actions.

    Prints the segments, writes a file a video and format, and a picture with --plot, which shows the truth above
    the prediction where ../groundTruth/NAME.txt lies beside the features.

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments --plot out.png
      fact-clip segment --run runs/k5 data/features --more-actions "slice ham"
      fact-clip segment my.mp4 --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    suffixes, more, candidates = _suffixes(formats), names(more_actions) or [], given_actions(actions, actions_file)
    inputs = collect(inputs, features=True)
    folder = out or (run / "segments" if run else Path("segments"))
    _check_outputs(folder, inputs, suffixes, plot)
    check_overlay(inputs, overlay)
    extraction = (encoder, fps, keep_going)
    if training_free and run is None:
        candidates, more = [*(candidates or []), *more], []
        rules = (prompts, background_threshold, smoothing, minimal_duration)
        segmenter = open_training_free(candidates, extraction, rules, window)
    else:
        segmenter = open_run(None if training_free else run, extraction, window)
    candidates = [*(candidates or segmenter.vocabulary), *more] if more else candidates
    found = segment_all(segmenter, inputs, candidates, media)
    files = [each.save(folder / f"{path.stem}{suffix}") for path, each in found.items() for suffix in suffixes]
    _tell(found, files + _pictures(found, segmenter, plot, overlay, keep_going), as_json)


def _tell(found: Mapping[Path, Segmentation], files: Sequence[Path], as_json: bool) -> None:
    """Segments on stdout, names of files on stderr."""
    print(_as_json(found) if as_json else "\n\n".join(_as_table(path, each) for path, each in found.items()))
    print("written: " + ", ".join(map(str, files)), file=sys.stderr)


def _pictures(
    found: Mapping[Path, Segmentation],
    segmenter: SegmentSource,
    plot: Path | None,
    overlay: Path | None,
    keep_going: bool,
) -> list[Path]:
    """Draw what was asked for; the files."""
    if plot is not None:
        _plot(found, segmenter, plot)
    if overlay is not None:
        save_overlay(found, segmenter, overlay, keep_going)
    return [path for path in (plot, overlay) if path is not None]


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


def _check_outputs(folder: Path, inputs: Sequence[Path], suffixes: Sequence[str], plot: Path | None) -> None:
    """Refuse what could not be written, or would be written over what extract says of features, before the work."""
    from fact_clip.core import InputError

    beside = [path for path in inputs if path.suffix == ".npy" and path.parent.resolve() == folder.resolve()]
    if beside and ".json" in suffixes and beside[0].with_suffix(".json").is_file():
        raise InputError("--out", f"{folder}, where NAME.json describes the features", "another folder")
    if plot is not None:
        from fact_clip.report import check_suffix

        check_suffix(plot)


def _plot(found: Mapping[Path, Segmentation], segmenter: SegmentSource, plot: Path) -> None:
    from fact_clip.report import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in found.items():
        truth = _truth(path, prediction, segmenter)
        prefix = f"{path.stem} " if len(found) > 1 else ""
        if truth is not None:
            rows[f"{prefix}truth"] = truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(found)).stem if len(found) == 1 else ""
    save_timeline(rows, plot, background=segmenter.vocabulary.background, title=title)


def _truth(path: Path, prediction: Segmentation, segmenter: SegmentSource) -> Segmentation | None:
    """The labels of a feature file that lies in a data set of the common layout; None elsewhere."""
    from fact_clip.core import Segmentation
    from fact_clip.data.labels import read_labels

    labels = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
    if not labels.is_file():
        return None
    vocabulary = segmenter.vocabulary
    truth = Segmentation.from_frames(vocabulary.decode(read_labels(labels, vocabulary)), segmenter.fps)
    return replace(truth, times=prediction.times) if truth.n_frames == prediction.n_frames else truth


def _as_table(path: Path, segmentation: Segmentation) -> str:
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{path}: {segmentation.n_frames} frames{rate}\n{segment_table(segmentation)}"


def _as_json(found: Mapping[Path, Segmentation]) -> str:
    from fact_clip.export.json_file import as_dict

    return json.dumps([{"input": str(path), **as_dict(each)} for path, each in found.items()], indent=2)
