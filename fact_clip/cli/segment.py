"""fact-clip segment."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from fact_clip.cli.console import Progress, names, progress, progress_each, table
from fact_clip.core import InputError
from fact_clip.datasets.features import read_clock

if TYPE_CHECKING:
    from fact_clip.core import Segmentation, Vocabulary
    from fact_clip.encoders.frame import FrameEncoder
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip.video.extract import Settings

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Feature files (.npy), videos, folders of either, or - for a list on stdin."),
]
Run = Annotated[Path | None, typer.Option(help="Run folder of a model that was trained.")]
TrainingFree = Annotated[
    bool, typer.Option("--training-free", help="No training: --encoder compares pictures with the names of --actions.")
]
Actions = Annotated[
    str | None, typer.Option(help='Only these: "pour milk, stir". A run with head "text" takes any names.')
]
MoreActions = Annotated[str | None, typer.Option(help="The classes of the run and these names beside them.")]
ActionsFile = Annotated[Path | None, typer.Option(help="As --actions, a name a line, or a mapping.txt.")]
Encoder = Annotated[str | None, typer.Option(help="Frame encoder for videos, as clip:ViT-B-32/openai or grid.")]
Fps = Annotated[float | None, typer.Option(help="Pictures a second of a video; unset: the run's, or 5.")]
Prompts = Annotated[str, typer.Option(help="Training-free: wording of names, plain, person or ensemble.")]
Threshold = Annotated[
    float | None, typer.Option(help="Training-free: frames in which no action is likelier are background, 0 to 1.")
]
Smoothing = Annotated[float, typer.Option(help="Training-free: seconds over which similarities are averaged.")]
Shortest = Annotated[float, typer.Option(help="Training-free: shorter segments, in seconds, go to a neighbour.")]
Window = Annotated[
    float | None,
    typer.Option(
        help="Seconds that the model of a run reads at once; longer videos go through in windows that overlap."
    ),
]
Media = Annotated[
    str | None,
    typer.Option(help='What files call the video, "https://host/{name}" for Label Studio; unset: its path.'),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Take what decodes of a damaged video, with a warning.")]


def segment(
    inputs: Inputs,
    *,
    run: Run = None,
    training_free: TrainingFree = False,
    actions: Actions = None,
    more_actions: MoreActions = None,
    actions_file: ActionsFile = None,
    encoder: Encoder = None,
    fps: Fps = None,
    prompts: Prompts = "ensemble",
    background_threshold: Threshold = None,
    smoothing: Smoothing = 1.0,
    minimal_duration: Shortest = 1.0,
    window: Window = None,
    media: Media = None,
    keep_going: KeepGoing = False,
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
    from fact_clip.formats import ending_of

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
    from fact_clip.datasets.layout import read_labels

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
    from fact_clip.formats.json_file import as_dict

    return json.dumps([{"input": str(path), **as_dict(each)} for path, each in found.items()], indent=2)


def collect(inputs: Sequence[Path], features: bool = False) -> list[Path]:
    """Files from files, folders and "-", which is a list on stdin, one a line; each name (without suffix) once.

    Args:
        inputs: what was given on the command line.
        features: of folders take feature files (.npy) as well as videos.

    Raises:
        InputError: a folder that has none, an empty list, or two files of one name.
    """
    from fact_clip.core import InputError
    from fact_clip.video.decode import SUFFIXES

    wanted = (".npy", *SUFFIXES) if features else SUFFIXES
    given: list[Path] = []
    for path in inputs:
        given += [Path(line.strip()) for line in sys.stdin if line.strip()] if str(path) == "-" else [path]
    if not given:
        raise InputError("-", "no lines on stdin", "a path a line")
    found: list[Path] = []
    for path in given:
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in wanted) if path.is_dir() else [path]
        if not inside:
            raise InputError(path, "a folder without videos", f"files that end in {', '.join(wanted)}")
        found += inside
    first: dict[str, Path] = {}
    for path in found:
        same = first.setdefault(path.stem, path)
        if same is not path:
            raise InputError(path, f"the same name as {same}", "a name of its own for each video")
    return found


def read_actions(path: Path) -> list[str]:
    """Names of a file, one a line, or those of a mapping file ("0 name" in every line).

    Raises:
        InputError: an unreadable file, no name, or a name twice.
    """
    from fact_clip.core import InputError
    from fact_clip.datasets.layout import read_lines

    listed = [line.strip() for line in read_lines(path, "action names, one a line") if line.strip()]
    if listed and all(len(line.split()) > 1 and line.split()[0].isdigit() for line in listed):
        listed = [line.split(maxsplit=1)[1] for line in listed]
    if not listed:
        raise InputError(path, "no names", "one action name a line")
    for place, name in enumerate(listed):
        if name in listed[:place]:
            raise InputError(path, f"{name!r} twice", "each name once")
    return listed


def given_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """The names of --actions or of --actions-file; None where neither is given, an InputError where both are."""
    from fact_clip.core import InputError

    if actions is not None and file is not None:
        raise InputError("--actions", "names beside --actions-file", "one of them")
    return names(actions) if file is None else read_actions(file)


Extraction = tuple[str | None, float | None, bool]
"""Encoder, pictures a second, and whether to keep going, as given on the command line."""

Rules = tuple[str, float | None, float, float]
"""Prompts, background threshold, smoothing and minimal duration."""


class SegmentSource(Protocol):
    """What turns an input into segments."""

    vocabulary: Vocabulary

    @property
    def fps(self) -> float | None:
        """Rows a second, None where nobody knows."""

    def segment(
        self, source: Path, actions: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Segmentation:
        """Cut a feature file or a video."""


class _Trained:
    """A run folder, which also takes videos where it knows or is told by which encoder its features were made."""

    def __init__(self, segmenter: Segmenter, encoder: FrameEncoder | None, settings: Settings) -> None:
        self._segmenter, self._encoder, self._settings = segmenter, encoder, settings
        known = segmenter.run.encoder
        if encoder is not None and known not in (None, encoder.name):
            raise InputError("--encoder", encoder.name, f"{known}, as {segmenter.run.path} was trained with")
        self.vocabulary: Vocabulary = segmenter.vocabulary
        self.fps: float | None = segmenter.fps

    def segment(
        self, source: Path, actions: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Segmentation:
        from fact_clip.datasets.features import load_features
        from fact_clip.encoders.frame import frame_encoder
        from fact_clip.video.decode import SUFFIXES
        from fact_clip.video.extract import extracted

        if source.suffix.lower() not in SUFFIXES:
            return self._segmenter.segment(source, actions=actions)
        known = self._segmenter.run.encoder
        if self._encoder is None:
            if known is None or "@" in known:  # a name with @ tells what a local checkpoint holds, not where it lies
                wanted = f"the encoder of the features that the run was trained on{f', {known}' if known else ''}"
                raise InputError(source, "a video", wanted, "name it with --encoder, or give the feature file")
            self._encoder = frame_encoder(known)
        with extracted(source, self._encoder, self._settings, progress) as features:
            try:
                found = self._segmenter.segment(load_features(features, "TD"), actions=actions)
            except InputError as error:
                where = error.where if error.where != "features" else f"{source} by {self._encoder.name}"
                raise InputError(where, error.found, error.expected, error.todo) from None
            return read_clock(features, layout="TD").put_on(found)


def open_run(run: Path | None, extraction: Extraction, window: float | None = None) -> SegmentSource:
    """The model of a run folder; an InputError where there is none, or where its rate is not the one asked for.

    Args:
        run: its folder.
        extraction: how features of videos are made.
        window: seconds that the model reads in one pass; None: as the run says.
    """
    from fact_clip.encoders.frame import frame_encoder
    from fact_clip.inference.segmenter import load
    from fact_clip.video.extract import Settings

    if run is None:
        raise InputError("segment", "neither or both of --run and --training-free", "one of them")
    segmenter, (encoder, fps, keep_going) = load(run), extraction
    if fps is not None and segmenter.fps is not None and fps != segmenter.fps:
        raise InputError("--fps", f"{fps:g}", f"{segmenter.fps:g}, as {run} was trained with")
    settings = Settings(fps=fps or segmenter.fps or Settings().fps, keep_going=keep_going)
    if window is not None:
        rate = fps or segmenter.fps or (settings.fps if encoder else None)
        if rate is None:
            raise InputError("--window", f"seconds, and no frame rate in {run}", "frames a second", "set --fps")
        if not 0 < window < math.inf:
            raise InputError("--window", f"{window:g}", "seconds, more than 0")
        segmenter.window = max(round(window * rate), 1)
    return _Trained(segmenter, None if encoder is None else frame_encoder(encoder), settings)


def open_training_free(
    actions: list[str] | None, extraction: Extraction, rules: Rules, window: float | None = None
) -> SegmentSource:
    """An image-text model that knows actions by their names; an InputError where encoder or names are missing."""
    from fact_clip.inference.training_free import TrainingFree, TrainingFreeSettings
    from fact_clip.video.extract import Settings

    (encoder, fps, keep_going), (prompts, threshold, smoothing, shortest) = extraction, rules
    if encoder is None or not actions:
        missing = "--encoder" if encoder is None else "--actions"
        example = '--encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
        raise InputError("--training-free", f"no {missing}", example)
    if window is not None:
        raise InputError("--window", "with --training-free", "a run", "leave it out: pictures are compared one by one")
    how = TrainingFreeSettings(prompts, threshold=threshold, smoothing=smoothing, shortest=shortest)
    settings = Settings(keep_going=keep_going) if fps is None else Settings(fps=fps, keep_going=keep_going)
    return TrainingFree(encoder, actions, how, settings)


def segment_all(
    segmenter: SegmentSource, inputs: Sequence[Path], actions: list[str] | None, media: str | None = None
) -> dict[Path, Segmentation]:
    """Segment every input, with a bar over all and one within a video.

    Args:
        segmenter: what does it.
        inputs: feature files and videos.
        actions: candidates; None: the segmenter's own.
        media: what to call each video in files, with its name at {name}; None: its path.
    """
    found: dict[Path, Segmentation] = {}
    with progress_each("segmenting") as (overall, each):
        for done, path in enumerate(inputs):
            if overall is not None:
                overall(done, len(inputs), path.stem)
            found[path] = segmenter.segment(path, actions=actions, progress=each)
            if media is not None:
                name = Path(found[path].media or path).name
                found[path] = replace(found[path], media=media.replace("{name}", name))
    return found


def check_overlay(inputs: Sequence[Path], overlay: Path | None) -> None:
    """Refuse an overlay that could not be written before anything is segmented."""

    if overlay is None:
        return
    from fact_clip.video.decode import SUFFIXES
    from fact_clip.video.overlay import check_suffix

    check_suffix(overlay)
    if len(inputs) != 1 or inputs[0].suffix.lower() not in SUFFIXES:
        found = f"{len(inputs)} inputs" if len(inputs) != 1 else f"{inputs[0]}"
        raise InputError("--overlay", found, "one video")
    if overlay.resolve() == inputs[0].resolve():
        raise InputError("--overlay", "the input itself", "another file")


def save_overlay(found: Mapping[Path, Segmentation], segmenter: SegmentSource, overlay: Path, keep_going: bool) -> None:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.report.timeline import palette
    from fact_clip.video.overlay import overlay as write

    for video, segmentation in found.items():
        actions = [
            name for name in dict.fromkeys(segmentation.transcript) if name not in segmenter.vocabulary.background
        ]
        colours = dict(zip(actions, palette(len(actions)), strict=True))
        with progress("overlay") as report:
            write(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
