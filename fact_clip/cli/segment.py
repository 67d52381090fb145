"""fact-clip segment."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fact_clip.cli.console import AsJson, Device, KeepGoing, TrustEncoder, bars, check_names, names, progress, table
from fact_clip.cli.extract import collect
from fact_clip.cli.results import Results, Task, fingerprint
from fact_clip.cli.signals import InterruptedCommandError
from fact_clip.core.errors import CommandOption, InputError
from fact_clip.core.messages import is_name, printable
from fact_clip.core.paths import check_place, file_name, inside, same_place

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.core.distributed import Processes
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip.inference.training_free import TrainingFree

logger = logging.getLogger(__name__)

TrainingFreeFlag = Annotated[
    bool, typer.Option("--training-free", help="No training: --encoder compares pictures with the --actions.")
]
Actions = Annotated[
    str | None, typer.Option(help='Only these: "pour milk, stir". A run whose head reads text takes any.')
]
MoreActions = Annotated[str | None, typer.Option(help="The classes of the run and these names beside them.")]
ActionsFile = Annotated[Path | None, typer.Option(help="As --actions, a name a line, or a mapping.txt.")]
Encoder = Annotated[
    str | None, typer.Option(help="Frame encoder for videos, as clip:ViT-B-32/openai or grid; unset: the run's.")
]
Rate = Annotated[float | None, typer.Option(help="Pictures a second of a video; unset: the run's, or 5.")]
Wording = Annotated[str, typer.Option(help="Training-free: wording of names, plain, person or ensemble.")]
Threshold = Annotated[float | None, typer.Option(help="Frames in which no action is likelier are background, 0 to 1.")]
Gamma = Annotated[float | None, typer.Option(help="Nats taken off the scores of trained actions; unset: the run's.")]
Price = Annotated[float | None, typer.Option(help="Nats that a change of action costs; unset: the run's.")]
Smoothing = Annotated[float, typer.Option(help="Training-free: seconds over which similarities are averaged.")]
Shortest = Annotated[
    float | None,
    typer.Option(help="Shorter segments, in seconds, go to a neighbour; unset: 1 with --training-free, else 0."),
]
Window = Annotated[
    float | None, typer.Option(help="Seconds that a run's model reads at once; longer videos are read in windows.")
]
Media = Annotated[
    str | None,
    typer.Option(help='What files call the video, "https://host/{name}" for Label Studio; unset: its path.'),
]
WithBackground = Annotated[
    bool, typer.Option("--with-background", help="Keep background in files that leave it out (docs/formats.md).")
]
Reject = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help='Leave as "none of these" what is less sure than a share P, 0 to 1, of the frames that the run named'
        " correctly in validation: 0.05 gives up one in twenty of these.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do all inputs anew, and replace what is there.")]


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT", help="Feature files (.npy), videos, folders of either, or - for a list on stdin."
        ),
    ],
    *,
    run: Annotated[Path | None, typer.Option(help="Run folder of a trained model.")] = None,
    training_free: TrainingFreeFlag = False,
    actions: Actions = None,
    more_actions: MoreActions = None,
    actions_file: ActionsFile = None,
    encoder: Encoder = None,
    fps: Rate = None,
    device: Device = "auto",
    prompts: Wording = "ensemble",
    background_threshold: Threshold = None,
    gamma: Gamma = None,
    switch_penalty: Price = None,
    smoothing: Smoothing = 1.0,
    minimal_duration: Shortest = None,
    window: Window = None,
    reject: Reject = None,
    media: Media = None,
    keep_going: KeepGoing = False,
    trust_encoder: TrustEncoder = False,
    with_background: WithBackground = False,
    overwrite: Overwrite = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; unset: RUN/segments, or segments.")] = None,
    formats: Annotated[str, typer.Option("--format", help="csv, json, eaf, boris, ...: docs/formats.md.")] = "csv,json",
    plot: Annotated[Path | None, typer.Option(help="Timeline picture to write: .png, .svg or .pdf.")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Video to write with names and timeline burned in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cut videos into actions.

    Prints the segments, writes a file for each video and format as soon as it is done, and a picture with --plot, which
    shows the truth above the prediction where ../groundTruth/NAME.txt lies beside the features. Of several inputs the
    faulty ones are listed at the end, with exit code 1. The same command goes on where it was interrupted; with other
    actions it writes NAME-2, unless --overwrite is given. Processes of torchrun share the inputs (docs/scaling.md).

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments --plot out.png
      fact-clip segment --run runs/k5 data/features --more-actions "slice ham"
      fact-clip segment my.mp4 --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    from fact_clip.core.distributed import Processes
    from fact_clip.formats import ending_of

    if training_free == (run is not None):
        raise InputError("segment", "neither or both of --run and --training-free; expected one of them")
    suffixes = [ending_of(name.strip(), "--format") for name in formats.split(",") if name.strip()]
    if not suffixes:
        raise InputError(CommandOption("--format"), f"{formats!r}; expected at least one, as csv,json")
    if run is not None:
        check_rules_of_run(prompts, smoothing)
    named = given_actions(actions, actions_file), names(more_actions, "--more-actions") or []
    if named[0] is not None and named[1]:
        todo = "name all of them with --actions, or leave it out to have the classes of the run, too"
        raise InputError(
            CommandOption("--more-actions"), "names beside --actions or --actions-file; expected one of them", todo
        )
    processes = Processes(device)
    listed = processes.broadcast(lambda: collect(inputs, features=True))
    if media is not None:
        _check_media(media, listed, named=as_json or any(suffix not in _UNNAMED for suffix in suffixes))
    folder = out or (_segments_of(run) if run else Path("segments"))
    _check_outputs(folder, listed, suffixes, plot, overlay)
    adjust = background_threshold, gamma, switch_penalty, minimal_duration, reject
    if run is not None:
        how = {"keep_going": keep_going, "trust_encoder": trust_encoder}
        model = _trained(run, named, adjust, encoder, fps, window, device, **how)
    else:
        model = _untrained(encoder, named, (prompts, smoothing), adjust, fps, window, keep_going, device)
    request = {**model.request, "actions": model.actions, "media": media, "fps": fps, "keep_going": keep_going}
    results = Results(folder, suffixes, request, overwrite=overwrite, with_background=with_background)
    truths = {} if plot is None else processes.broadcast(lambda: _truths(listed, model.segmenter))
    outcomes = _segment_all(model, results, listed, media, processes)
    if processes.is_main:
        _report(outcomes, model.segmenter, results, (plot, truths), overlay, keep_going, as_json)


def check_rules_of_run(prompts: str, smoothing: float = 1.0) -> None:
    """An InputError where options beside --run differ from their defaults, because only --training-free reads them."""
    for option, value, default in (("--prompts", prompts, "ensemble"), ("--smoothing", smoothing, 1.0)):
        if value != default:
            raise InputError(option, "with --run; expected --training-free", "leave it out: a run has its own rules")


class Model(NamedTuple):
    """What segments, the candidates (None: its own classes), and what its results depend on apart from these."""

    segmenter: Segmenter | TrainingFree
    actions: list[str] | None
    request: dict[str, Any]


def _trained(
    run: Path,
    named: tuple[list[str] | None, list[str]],
    adjust: tuple[float | None, ...],
    encoder: str | None,
    fps: float | None,
    window: float | None,
    device: str,
    **how: bool,
) -> Model:
    """The model of a run, loaded `how`; `named` is --actions and --more-actions, `adjust` the fields of `Adjust`."""
    from fact_clip.inference.prepared import Adjust
    from fact_clip.inference.segmenter import load

    segmenter = load(run, device, encoder=encoder, fps=fps, window=window, **how)
    segmenter.adjust = Adjust(*adjust)
    if segmenter.adjust.gamma is not None and not segmenter.run.config.model.is_open and segmenter.calibration is None:
        todo = "leave it out: all classes were trained alike"
        raise InputError(
            CommandOption("--gamma"),
            f"with {run}, whose head reads no text; expected a run that names untrained actions",
            todo,
        )
    candidates, more = named
    chosen = [*(candidates or segmenter.vocabulary), *more] if more else candidates
    segmenter.choose(chosen)  # wrong names are the fault of no input
    if segmenter.adjust.reject is not None:
        segmenter.least_confidence(segmenter.adjust.reject)
    request = {"run": fingerprint(segmenter.run.path), "encoder": encoder, "window": segmenter.window}
    return Model(segmenter, chosen, {**request, "adjust": asdict(segmenter.adjust)})


def _untrained(
    encoder: str | None,
    named: tuple[list[str] | None, list[str]],
    rules: tuple[str, float],
    adjust: tuple[float | None, ...],
    fps: float | None,
    window: float | None,
    keep_going: bool,
    device: str,
) -> Model:
    """A segmenter without a run; `rules` are wording and smoothing, `adjust` the fields of `Adjust`."""
    from fact_clip.inference.training_free import TrainingFree, TrainingFreeSettings
    from fact_clip.video.extract import Settings

    candidates, more = named
    chosen = [*(candidates or []), *more]
    if encoder is None or not chosen:
        missing = "--encoder" if encoder is None else "--actions"
        example = '--encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
        raise InputError(CommandOption("--training-free"), f"no {missing}; expected {example}")
    if window is not None:
        todo = "leave it out: pictures are compared one by one"
        raise InputError(CommandOption("--window"), "with --training-free; expected a run", todo)
    (prompts, smoothing), (threshold, gamma, switch_penalty, shortest, reject) = rules, adjust
    if reject is not None:
        todo = "--background-threshold leaves frames without an action"
        raise InputError(
            CommandOption("--reject"),
            "with --training-free; expected a run, whose validation videos tell what is unsure",
            todo,
        )
    for option, value in (("--gamma", gamma), ("--switch-penalty", switch_penalty)):
        if value is not None:
            raise InputError(option, "with --training-free; expected a run", "leave it out: transport decodes")
    settings = TrainingFreeSettings(
        prompts, threshold=threshold, smoothing=smoothing, shortest=1.0 if shortest is None else shortest
    )
    extraction = Settings(fps=Settings().fps if fps is None else fps, keep_going=keep_going)
    segmenter = TrainingFree(encoder, chosen, settings, extraction, device=device)
    return Model(segmenter, chosen, {"encoder": encoder, "settings": asdict(settings)})


class Outcome(NamedTuple):
    """What became of an input."""

    task: Task
    segmentation: Segmentation | None
    written: list[Path]
    error: InputError | None = None  # why there is no segmentation, or why a file is missing


def _segment_all(
    model: Model, results: Results, inputs: Sequence[Path], media: str | None, processes: Processes
) -> list[Outcome]:
    """Segment what is not done yet, each process its share, and write each result; the outcomes of all inputs."""
    tasks = processes.broadcast(lambda: results.plan(inputs))
    open_tasks = [task for task in tasks if not task.done]
    mine = {task.source: task for task in processes.share(open_tasks)}
    found: dict[Path, Outcome] = {}

    def failed(source: Path, error: InputError) -> None:
        found[source] = Outcome(mine[source], None, [], error)

    try:
        with bars("segmenting", "") as (overall, each):
            for path, one in model.segmenter.segment_all(
                list(mine), model.actions, progress=overall, within=each, failed=failed
            ):
                called = media.replace("{name}", Path(one.media or path).name) if media else one.media
                found[path] = _written(results, mine[path], replace(one, media=called))
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    new = iter(processes.gather([found[path] for path in mine], len(open_tasks)))
    if not processes.is_main:
        return []
    return [_written(results, task, None) if task.done else next(new) for task in tasks]


def _written(results: Results, task: Task, segmentation: Segmentation | None) -> Outcome:
    """Write the files of a task; without a segmentation that of its record is taken."""
    try:
        segmentation = segmentation or results.read(task)
        return Outcome(task, segmentation, *results.write(task, segmentation))
    except InputError as error:
        return Outcome(task, segmentation, [], error)


def _report(
    outcomes: Sequence[Outcome],
    segmenter: Segmenter | TrainingFree,
    results: Results,
    picture: tuple[Path | None, Mapping[Path, Segmentation]],
    overlay: Path | None,
    keep_going: bool,
    as_json: bool,
) -> None:
    """Draw and print the results, then say what was written and what failed; exit code 1 if one of several did.

    `picture` is where to draw, and the true labels of inputs.
    """
    from fact_clip.formats.json_file import as_dict

    errors = [each.error for each in outcomes if each.error is not None]
    if errors and len(outcomes) == 1:
        raise errors[0]
    found = {each.task.source: each.segmentation for each in outcomes if each.segmentation is not None}
    files, (plot, truths) = [path for each in outcomes for path in each.written], picture
    if plot is not None and found:
        files.append(_plot(found, truths, segmenter, plot))
    if overlay is not None:
        files.append(_overlay(found, segmenter, overlay, keep_going))
    if as_json:
        print(json.dumps([{"input": str(path), **as_dict(each)} for path, each in found.items()], indent=2))
    elif found:
        print("\n\n".join(_as_table(path, each) for path, each in found.items()))
    if files:
        listed = ", ".join(map(str, files)) if len(files) <= LISTED else f"{len(files)} files in {results.folder}"
        print(f"written: {printable(listed)}", file=sys.stderr)
    if done := sum(each.task.done for each in outcomes):
        print(
            f"already there: {done} of {len(outcomes)} in {results.folder}; --overwrite does them anew", file=sys.stderr
        )
    renamed = [
        each.task for each in outcomes if each.task.name != file_name(each.task.source.stem) and not each.task.done
    ]
    if renamed:
        first = f"{renamed[0].name} for {renamed[0].source.name}"
        told = f"{len(renamed)} named anew ({first}), since another result has the name; --overwrite replaces it"
        print(f"fact-clip: {told}", file=sys.stderr)
    for error in errors:
        print(f"fact-clip: {error}", file=sys.stderr)
    if errors:
        print(f"fact-clip: {len(errors)} of {len(outcomes)} inputs failed", file=sys.stderr)
        raise typer.Exit(1)


LISTED = 12
"""Files that are named one by one; of more only the number is told."""


def given_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """The names of --actions or of --actions-file: one a line, or a mapping file ("0 name"); None without either."""
    from fact_clip.datasets.layout import read_lines

    if file is None:
        if actions is not None and "\0" not in actions and os.path.isfile(actions):  # noqa: PTH113
            raise InputError(
                CommandOption("--actions"),
                f"{actions}, a file; expected names of actions",
                "--actions-file reads a file",
            )
        return names(actions, "--actions")
    if actions is not None:
        raise InputError(CommandOption("--actions"), "names beside --actions-file; expected one of them")
    listed = [line for line in read_lines(file, "action names, one a line") if line]
    for line in listed[:2]:  # the first may be a header
        if line[0] in "[{" or re.match(r"\d+[;,\t]", line):
            raise InputError(file, f"{line[:40]!r}, JSON or a table; expected action names, one a line")
    if listed and all(len(line.split()) > 1 and line.split()[0].isdigit() for line in listed):
        numbers = [int(line.split()[0]) for line in listed]
        if len(set(numbers)) < len(numbers):
            raise InputError(file, "a number twice; expected a mapping file, or action names, one a line")
        listed = [line.split(maxsplit=1)[1] for line in listed]
    if not listed:
        raise InputError(file, "no names; expected one action name a line")
    check_names(listed, file)
    return listed


_UNNAMED = (".csv", ".txt", ".srt", ".audacity.txt")
"""Files that name no video."""


def _check_media(media: str, inputs: Sequence[Path], named: bool) -> None:
    """Refuse a --media that is no address, gives all videos one, or stands in no output."""
    expected = "{name} where the name of the file goes"
    if not named:
        todo = "leave it out, or add a --format that does, as json"
        raise InputError(CommandOption("--media"), "with formats that name no video; expected one that names it", todo)
    if not is_name(media):
        raise InputError(CommandOption("--media"), f"{media!r}; expected an address of one line that can be printed")
    if unknown := re.search(r"\{[^}]*\}?|\}", media.replace("{name}", "")):
        raise InputError(CommandOption("--media"), f"{media}, with {unknown[0]}; expected {expected}")
    if "{name}" not in media and len(inputs) > 1:
        raise InputError(CommandOption("--media"), f"{media} for {len(inputs)} videos; expected {expected}")


def _segments_of(run: Path) -> Path:
    """The folder of results in a run folder, which may be named by one of its files."""
    from fact_clip.run import run_folder

    return inside(run_folder(run), "segments")


def _check_outputs(
    folder: Path, inputs: Sequence[Path], suffixes: Sequence[str], plot: Path | None, overlay: Path | None
) -> None:
    """Refuse, before the work, what cannot be written or would replace the descriptions of feature files."""
    from fact_clip.video import overlay as burning
    from fact_clip.video.decode import SUFFIXES

    if ".json" in suffixes and any((folder / f"{file_name(path.stem)}.npy").is_file() for path in inputs):
        raise InputError(
            CommandOption("--out"), f"{folder}, where NAME.json describes the features; expected another folder"
        )
    if folder.name == "groundTruth" and (folder.parent / "mapping.txt").is_file():
        raise InputError(CommandOption("--out"), f"{folder}, the labels of a data set; expected another folder")
    if plot is not None:
        from fact_clip.report import check_suffix

        check_suffix(plot)
    if overlay is None:
        return
    burning.check_suffix(overlay)
    check_place(overlay)
    if len(inputs) != 1 or inputs[0].suffix.lower() not in SUFFIXES:
        found = f"{len(inputs)} inputs" if len(inputs) != 1 else f"{inputs[0]}"
        raise InputError(CommandOption("--overlay"), f"{found}; expected one video")
    if same_place(overlay, inputs[0]):
        raise InputError(CommandOption("--overlay"), "the input itself; expected another file")


def segment_table(segmentation: Segmentation) -> str:
    """Start, stop, seconds, action and confidence of each segment as text; new words of an action beside it."""
    new, rows = dict[str, str](), list[list[str]]()
    for own in segmentation.new_words:
        told = f"{'far from training' if own.far else 'new'}: {own.word}"
        new[own.action] = f"{new[own.action]}, {told}" if own.action in new else told
    for each in segmentation:
        start, stop = (segmentation.seconds(frame) for frame in (each.start, each.stop))
        span = "" if start is None or stop is None else f"{start:.2f} - {stop:.2f}"
        sure = "" if each.confidence is None else f"{each.confidence:.2f}"
        rows.append([str(each.start), str(each.stop), span, each.label, sure, new.get(each.label, "")])
    header = ["start", "stop", "seconds", "action", "confidence", "words"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows, right=(0, 1, 2, 4))


def _as_table(path: Path, segmentation: Segmentation) -> str:
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{printable(str(path))}: {segmentation.n_frames} frames{rate}\n{segment_table(segmentation)}"


def _truths(inputs: Sequence[Path], segmenter: Segmenter | TrainingFree) -> dict[Path, Segmentation]:
    """The labels of inputs that lie in a data set of the common layout; they may be others than those of the run."""
    from fact_clip.core import Segmentation
    from fact_clip.datasets.layout import UNLABELLED, read_lines

    found = dict[Path, Segmentation]()
    for path in inputs:
        labels = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
        if labels.is_file():
            given = read_lines(labels, "a label file, one class name per line")
            if not all(map(is_name, given)):
                raise InputError(labels, "lines that are no names; expected one class name per frame")
            named = [UNLABELLED if name in segmenter.unlabelled else name for name in given]
            found[path] = Segmentation.from_frames(named, segmenter.fps)
    return found


def _plot(
    found: Mapping[Path, Segmentation],
    truths: Mapping[Path, Segmentation],
    segmenter: Segmenter | TrainingFree,
    plot: Path,
) -> Path:
    """Timelines of all inputs, each below its true labels where there are some."""
    from fact_clip.datasets.layout import UNLABELLED
    from fact_clip.report import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in found.items():
        prefix = f"{path.stem} " if len(found) > 1 else ""
        if (truth := truths.get(path)) is not None:
            same = truth.n_frames == prediction.n_frames
            if not same:
                logger.warning("%s: %d labels, and %d frames", path, truth.n_frames, prediction.n_frames)
            rows[f"{prefix}truth"] = replace(truth, times=prediction.times) if same else truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(found)).stem if len(found) == 1 else ""
    return save_timeline(rows, plot, background=(*segmenter.vocabulary.background, UNLABELLED), title=title)


def _overlay(
    found: Mapping[Path, Segmentation], segmenter: Segmenter | TrainingFree, overlay: Path, keep_going: bool
) -> Path:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.report.colours import palette
    from fact_clip.video.overlay import overlay as write

    ((video, segmentation),) = found.items()
    actions = [name for name in dict.fromkeys(segmentation.transcript) if name not in segmenter.vocabulary.background]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    with progress("overlay") as report:
        write(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
    return overlay
