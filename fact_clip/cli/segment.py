"""fact-clip segment."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import InterruptedCommandError, bars, note
from fact_clip.cli.extract import collect
from fact_clip.cli.options import AsJson, ModelOptions, TrustEncoder, names, option, refuse, with_options
from fact_clip.cli.results import (
    Outcome,
    Results,
    burn_in,
    draw_timelines,
    fingerprint,
    names_of,
    read_truths,
    titled_table,
)
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.errors import FileLocation, InputError
from fact_clip.core.messages import is_name, printable
from fact_clip.core.paths import check_place, file_name, inside, same_place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fact_clip.core import Segment
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip.inference.stream import Stream

_INPUT = "Feature files (.npy), videos, folders of either, or - for a list on stdin."
_LIVE = "One INPUT as it comes: rtsp://..., camera:0, a file, or - for rows on stdin (docs/streaming.md)."
_MORE = "The classes of the run and these names beside them."
_MEDIA = 'What files call the video, "https://host/{name}" for Label Studio. Default: its path.'
_FORMATS = "csv, json, eaf, ...: docs/formats.md. Default: csv,json."
_BACKGROUND = "Keep background in files that leave it out (docs/formats.md)."


@dataclass(frozen=True)
class OutputOptions:
    """Where segments are written, and how."""

    with_background: Annotated[bool, option(_BACKGROUND, "--with-background")] = False
    overwrite: Annotated[bool, option("Do all inputs anew, and replace what is there.", "--overwrite")] = False
    out: Annotated[Path | None, option("Folder to write to. Default: RUN/segments, or segments.")] = None
    formats: Annotated[str | None, option(_FORMATS, "--format")] = None
    as_json: AsJson = False

    def suffixes(self) -> list[str]:
        """Return the endings of the formats."""
        from fact_clip.formats import ending_of

        names_of_formats = ("csv,json" if self.formats is None else self.formats).split(",")
        suffixes = [ending_of(name.strip(), "--format") for name in names_of_formats if name.strip()]
        if not suffixes:
            raise refuse("--format", f"no format in {self.formats!r}", "give one or more, as csv,json")
        return suffixes

    def folder(self, run: Path | None) -> Path:
        """Return the folder to write to."""
        from fact_clip.hub import is_address
        from fact_clip.run import run_folder

        if self.out is None and run is not None and not is_address(run):  # whose folder is a cache
            return inside(run_folder(run), "segments")
        return self.out or Path("segments")


@with_options
def segment(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help=_INPUT)],
    *,
    options: ModelOptions,
    more_actions: Annotated[str | None, option(_MORE)] = None,
    smoothing: Annotated[float, option("Training-free: seconds over which similarities are averaged.")] = 1.0,
    settings: DecodeSettings,
    media: Annotated[str | None, option(_MEDIA)] = None,
    trust_encoder: TrustEncoder = False,
    output: OutputOptions,
    plot: Annotated[Path | None, option("Timeline picture to write: .png, .svg or .pdf.")] = None,
    overlay: Annotated[Path | None, option("Video to write with names and timeline burned in.")] = None,
    live: Annotated[bool, option(_LIVE, "--live")] = False,
    delay: Annotated[float | None, option("With --live: seconds after which a label is final. Default: 5.")] = None,
) -> None:
    """Cut videos into actions.

    Prints the segments, writes a file for each video and format as soon as it is done, and a picture with --plot, which
    shows the truth above the prediction where ../groundTruth/NAME.txt lies beside the features. Of several inputs the
    faulty ones are listed at the end, with exit code 1. The same command goes on where it was interrupted; with other
    actions it writes NAME-2, unless --overwrite is given. Processes of torchrun share the inputs (docs/scaling.md).
    With --live each segment is a line as soon as it is final; files are written at the end, with --out or --format.

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments --plot out.png
      fact-clip segment --run runs/k5 data/features --more-actions "slice ham"
      fact-clip segment --live rtsp://192.168.1.20/stream --run runs/k5 --encoder grid --delay 5
      fact-clip segment my.mp4 --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    options.check("segment")
    chosen, more = options.names(), names(more_actions, "--more-actions") or []
    if chosen is not None and more:
        fix = "name all actions with --actions, or leave it out to have the classes of the run, too"
        raise refuse("--more-actions", "it goes with neither --actions nor --actions-file", fix)

    def opened() -> tuple[Segmenter, list[str] | None]:
        return options.open(chosen, settings, more=more, smoothing=smoothing, trust_encoder=trust_encoder)

    if live:
        for name, value in (("--plot", plot), ("--overlay", overlay), ("--media", media)):
            if value is not None:
                raise refuse(name, "it does not go with --live", "leave it out")
        if len(inputs) != 1:
            raise refuse("--live", f"{len(inputs)} inputs", "give one")
        suffixes, folder = output.suffixes(), output.folder(options.run)
        model, candidates = opened()
        stream = model.stream(5.0 if delay is None else delay, candidates, settings, fps=options.fps)
        if output.out is None and output.formats is None:
            suffixes = []
        _segment_live(inputs[0], model, stream, folder, suffixes, output)
    elif delay is not None:
        raise refuse("--delay", "only --live reads it", "leave it out")
    else:
        _segment_files(inputs, opened, options, settings, output, media, plot, overlay)


# --- files ------------------------------------------------------------------------------------------------------------


def _segment_files(
    inputs: Sequence[str],
    opened: Callable[[], tuple[Segmenter, list[str] | None]],
    options: ModelOptions,
    settings: DecodeSettings,
    output: OutputOptions,
    media: str | None,
    plot: Path | None,
    overlay: Path | None,
) -> None:
    """Segment the inputs that are not done yet, each process its share; write, print and draw the results."""
    from fact_clip.core.distributed import Processes
    from fact_clip.formats.json_file import as_dict

    suffixes, folder, processes = output.suffixes(), output.folder(options.run), Processes(options.device)
    paths = processes.broadcast(lambda: collect([*map(Path, inputs)], features=True))
    if media is not None:
        _check_media(media, paths, named=output.as_json or any(suffix not in _UNNAMED for suffix in suffixes))
    _check_outputs(folder, paths, suffixes, plot, overlay)
    model, candidates = opened()
    request = _request(model, options.encoder, settings)
    request |= {"actions": candidates, "media": media, "fps": options.fps, "keep_going": options.keep_going}
    results = Results(folder, suffixes, request, output.overwrite, output.with_background)
    truths = {} if plot is None else processes.broadcast(lambda: read_truths(paths, model))
    tasks = processes.broadcast(lambda: results.plan(paths))
    open_tasks = [task for task in tasks if not task.done]
    share = {task.source: task for task in processes.share(open_tasks)}
    new: dict[Path, Outcome] = {}

    def failed(source: Path, error: InputError) -> None:
        new[source] = Outcome(share[source], None, [], error)

    try:
        with bars("segmenting", "") as (overall, within):
            for path, result in model.segment_all(
                list(share), candidates, settings=settings, progress=overall, within=within, failed=failed
            ):
                name = media.replace("{name}", Path(result.media or path).name) if media else result.media
                new[path] = results.write(share[path], replace(result, media=name))
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    gathered = iter(processes.gather([new[path] for path in share], len(open_tasks)))
    if not processes.is_main:
        return
    outcomes = [results.write(task) if task.done else next(gathered) for task in tasks]
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    segmented = {outcome.task.source: outcome.segmentation for outcome in outcomes if outcome.segmentation is not None}
    files = [path for outcome in outcomes for path in outcome.written]
    if plot is not None and segmented:
        files.append(draw_timelines(segmented, truths, model, plot))
    if overlay is not None:
        files.append(burn_in(segmented, model, overlay, options.keep_going))
    if output.as_json:
        print(json.dumps([{"input": str(path), **as_dict(result)} for path, result in segmented.items()], indent=2))
    elif segmented:
        print("\n\n".join(titled_table(path, result) for path, result in segmented.items()))
    _report(outcomes, files, folder)


def _request(model: Segmenter, encoder: str | None, settings: DecodeSettings) -> dict[str, Any]:
    """What results depend on, apart from names and inputs; as earlier versions recorded it."""
    from fact_clip.decoding.similarity import TEMPERATURE, TransportSettings
    from fact_clip.inference.scorer import Scorer

    scorer = model.scorer
    if isinstance(scorer, Scorer):
        run = fingerprint(scorer.run.path)
        return {"run": run, "encoder": encoder, "window": scorer.window, "adjust": settings.model_dump()}
    used, transport = settings.over(scorer.settings), asdict(TransportSettings())
    similarity = {"templates": scorer.prompts, "temperature": TEMPERATURE, "smoothing": scorer.smoothing}
    decoding = {"threshold": used.threshold, "shortest": used.shortest, "background": "background"}
    return {"encoder": encoder, "settings": {**similarity, **decoding, "transport": transport}}


LISTED = 12  # Files that are named one by one; of more only the number is told


def _report(outcomes: Sequence[Outcome], files: Sequence[Path], folder: Path) -> None:
    lines = []
    if files:
        listed = ", ".join(map(str, files)) if len(files) <= LISTED else f"{len(files)} files in {folder}"
        lines.append(f"written: {listed}")
    if done := sum(outcome.task.done for outcome in outcomes):
        lines.append(f"already there: {done} of {len(outcomes)} in {folder}; --overwrite does them anew")
    tasks = [outcome.task for outcome in outcomes if not outcome.task.done]
    if renamed := [task for task in tasks if task.name != file_name(task.source.stem)]:
        first = f"{renamed[0].name} for {renamed[0].source.name}"
        reason = "since another result has the name; --overwrite replaces it"
        lines.append(f"fact-clip: {len(renamed)} named anew ({first}), {reason}")
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    lines += [f"fact-clip: {error}" for error in errors]
    if errors:
        lines.append(f"fact-clip: {len(errors)} of {len(outcomes)} inputs failed")
    note(*map(printable, lines))
    if errors:
        raise typer.Exit(1)


_UNNAMED = (".csv", ".txt", ".srt", ".audacity.txt")  # Files that name no video


def _check_media(media: str, inputs: Sequence[Path], named: bool) -> None:
    """Refuse a --media that is no address, gives all videos one, or stands in no output."""
    fix = "write {name} where the name of the file goes"
    if not named:
        fix = "leave it out, or add a --format that does, as json"
        raise refuse("--media", "no format of these names its video", fix)
    if not is_name(media) or re.search(r"[{}]", media.replace("{name}", "")):
        raise refuse("--media", f"{media!r} is not an address", fix)
    if "{name}" not in media and len(inputs) > 1:
        raise refuse("--media", f"{media} for {len(inputs)} videos", fix)


def _check_outputs(
    folder: Path, inputs: Sequence[Path], suffixes: Sequence[str], plot: Path | None, overlay: Path | None
) -> None:
    """Refuse, before the work, what cannot be written or would replace files of a data set."""
    from fact_clip.video import overlay as burning
    from fact_clip.video.decode import SUFFIXES

    check_place(folder / f"{file_name(inputs[0].stem)}{suffixes[0]}")
    if ".json" in suffixes and any((folder / f"{file_name(path.stem)}.npy").is_file() for path in inputs):
        raise refuse("--out", f"NAME.json describes the features in {folder}", "name another folder")
    if folder.name == "groundTruth" and (folder.parent / "mapping.txt").is_file():
        raise refuse("--out", f"{folder} has the labels of a data set", "name another folder")
    if plot is not None:
        from fact_clip.report.timeline import check_suffix

        check_suffix(plot)
    if overlay is None:
        return
    burning.check_suffix(overlay)
    check_place(overlay)
    if len(inputs) != 1 or inputs[0].suffix.lower() not in SUFFIXES:
        raise refuse("--overlay", f"{len(inputs)} inputs, or no video", "segment one video with it")
    if same_place(overlay, inputs[0]):
        raise refuse("--overlay", "the input itself", "name another file")


# --- live -------------------------------------------------------------------------------------------------------------


def _segment_live(
    source: str, model: Segmenter, stream: Stream, folder: Path, suffixes: Sequence[str], output: OutputOptions
) -> None:
    """Print each segment as soon as it is final; at the end, or at Ctrl-C, print the others and write the files."""
    from fact_clip.formats import save
    from fact_clip.video.decode import LIVE

    is_file = not source.startswith(LIVE) and source != "-"
    segments: list[Segment] = []
    error: InputError | None = None

    def show(ended: Sequence[Segment]) -> None:
        for segment in ended:
            print(_live_line(segment, stream.fps, output.as_json), flush=True)
        if suffixes:
            segments.extend(ended)

    try:
        for part in _live_parts(source, model):
            show(stream.push(part))
    except KeyboardInterrupt:
        note("fact-clip: stopped; the segments that were not final follow")
    except InputError as fault:  # what came before it is not lost
        error = fault
    show(stream.finish())
    if segments:
        result = replace(stream.segmentation(segments), media=source if is_file else None)
        for name in names_of(file_name(Path(source).stem) if is_file else "live"):
            paths = {suffix: inside(folder, f"{name}{suffix}") for suffix in suffixes}
            if output.overwrite or not any(path.exists() for path in paths.values()):
                break
        for suffix, path in paths.items():
            check_place(path)
            save(result, path, with_background=output.with_background, kind=suffix)
        note(f"written: {', '.join(map(str, paths.values()))}")
    if error is not None:
        raise error


def _live_line(segment: Segment, fps: float | None, as_json: bool) -> str:
    from fact_clip.formats.base import COLUMNS

    seconds = [None if fps is None else frame / fps for frame in (segment.start, segment.stop)]
    if as_json:
        values = (segment.start, segment.stop, *seconds, segment.label, segment.confidence)
        return json.dumps(dict(zip(COLUMNS, values, strict=True)))
    span = f"{segment.start} - {segment.stop}" if fps is None else f"{seconds[0]:.2f} - {seconds[1]:.2f}"
    confidence = "" if segment.confidence is None else f"{segment.confidence:.2f}"
    return printable("  ".join([span, segment.label, confidence]).rstrip())


def _live_parts(source: str, model: Segmenter) -> Iterator[NDArray[Any]]:
    """Yield rows (1, D) of stdin or a feature file, or pictures (1, H, W, 3), one by one as they come."""
    import numpy as np

    from fact_clip.core.io import parse_json
    from fact_clip.inference.scorer import check_features
    from fact_clip.inference.segmenter import FEATURES
    from fact_clip.video.decode import live_frames

    scorer = model.scorer
    if source == "-":
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                where = FileLocation(Path("-"), number)
                try:
                    row = parse_json(line, "row", "numbers, [0.5, 1.0, ...]")
                except InputError as fault:
                    raise fault.at(where) from None
                yield check_features([row], where, scorer.width, scorer.needs.origin).astype(np.float32)
    elif Path(source).suffix.lower() == FEATURES:
        for row in model.open(Path(source))[0]:
            yield row[None]
    else:
        for frame in live_frames(source, model.extraction.fps, model.encoder_for(source).size):
            yield frame.image[None]
