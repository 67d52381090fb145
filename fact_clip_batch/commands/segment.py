"""fact-clip segment."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.arguments import read_actions, read_formats, read_names
from fact_clip.cli.console import note, progress, segment_table
from fact_clip.cli.model import ModelOptions
from fact_clip.cli.options import (
    Actions,
    ActionsFile,
    AsJson,
    Device,
    Encoder,
    KeepGoing,
    PicturesPerSecond,
    Precision,
    Prompts,
    RunFolder,
    TrainingFree,
    TrustEncoder,
    WindowSeconds,
    argument,
    option,
)
from fact_clip.core import InputError, Progress
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.messages import join_names, printable
from fact_clip_batch.commands.batching import (
    Engine,
    Memory,
    RetryFailed,
    ShardOption,
    Tally,
    Timeout,
    Workers,
    batch_options,
    read_sources,
    shared_among,
    tally_of,
)
from fact_clip_batch.commands.output import Output

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip_batch.engine import BatchOptions, Outcome
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.segmentation import SegmentTask

logger = logging.getLogger("fact_clip.batch")


def _setting(field: str, name: str) -> Any:
    """Declare the option of a setting of decoding, with the description of the setting."""
    return option(str(DecodeSettings.model_fields[field].description), name)


def segment(
    inputs: Annotated[
        list[str],
        argument(
            "INPUT",
            "Feature files (.npy), videos, folders of either, globs in quotes, manifests, or - for "
            "a list on stdin.",
        ),
    ],
    *,
    run: RunFolder = None,
    training_free: TrainingFree = False,
    actions: Actions = None,
    actions_file: ActionsFile = None,
    encoder: Encoder = None,
    fps: PicturesPerSecond = None,
    device: Device = "auto",
    precision: Precision = "auto",
    prompts: Prompts = "ensemble",
    window: WindowSeconds = None,
    keep_going: KeepGoing = False,
    more_actions: Annotated[
        str | None, option("The classes of the run and these names beside them.")
    ] = None,
    smoothing: Annotated[
        float, option("Training-free: seconds over which similarities are averaged.")
    ] = 1.0,
    threshold: Annotated[float | None, _setting("threshold", "--background-threshold")] = None,
    gamma: Annotated[float | None, _setting("gamma", "--gamma")] = None,
    switch_penalty: Annotated[float | None, _setting("switch_penalty", "--switch-penalty")] = None,
    shortest: Annotated[float | None, _setting("shortest", "--minimal-duration")] = None,
    reject: Annotated[float | None, _setting("reject", "--reject")] = None,
    media: Annotated[
        str | None,
        option(
            'What files call the video, "https://host/{name}" for Label Studio. Default: its path.'
        ),
    ] = None,
    trust_encoder: TrustEncoder = False,
    adapt_to: Annotated[
        Path | None,
        option("Folder of unlabelled videos that show what the actions look like (transductive)."),
    ] = None,
    with_background: Annotated[
        bool,
        option(
            "Keep background in files that leave it out (docs/formats.md).", "--with-background"
        ),
    ] = False,
    overwrite: Annotated[
        bool, option("Do all inputs anew, and replace what is there.", "--overwrite")
    ] = False,
    out: Annotated[
        str | None,
        option("Folder to write to, s3://... too. Default: RUN/segments, or segments."),
    ] = None,
    formats: Annotated[
        str | None, option("csv, json, eaf, ...: docs/formats.md. Default: csv,json.", "--format")
    ] = None,
    shard: ShardOption = None,
    timeout: Timeout = 30.0,
    memory: Memory = 8.0,
    retry_failed: RetryFailed = False,
    batch_frames: Annotated[
        int,
        option(
            "Frames of short feature files that go through the model together; 0: one file.",
            min=0,
            max=10_000_000,
        ),
    ] = 0,
    engine: Engine = "local",
    workers: Workers = 1,
    as_json: AsJson = False,
    plot: Annotated[Path | None, option("Timeline picture to write: .png, .svg or .pdf.")] = None,
    overlay: Annotated[
        Path | None, option("Video to write with names and timeline burned in.")
    ] = None,
    live: Annotated[
        bool,
        option(
            "One INPUT as it comes: rtsp://..., camera:0, a file, or - for rows on stdin "
            "(docs/streaming.md).",
            "--live",
        ),
    ] = False,
    delay: Annotated[
        float | None, option("With --live: seconds after which a label is final. Default: 5.")
    ] = None,
) -> None:
    """Cut videos into actions.

    Prints the segments of one input, or a line about several; writes a file for each video and
    format as soon as it is done, and a picture with --plot, which shows the truth above the
    prediction where ../groundTruth/NAME.txt lies beside the features. Of several inputs the faulty
    ones are listed at the end and in failures.jsonl, with exit code 1; after three attempts they
    are set aside. The same command goes on where it was interrupted; with other actions it writes
    NAME-2, unless --overwrite is given. Job arrays share the inputs by --shard (docs/scaling.md).
    With --live each segment is a line as soon as it is final; files are written at the end, with
    --out or --format.

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments --plot out.png
      fact-clip segment --run runs/k5 data/features --more-actions "slice ham"
      fact-clip segment --live rtsp://192.168.1.20/stream --run runs/k5 --encoder grid --delay 5
      fact-clip segment my.mp4 --training-free --encoder clip:ViT-B-32/openai \\
        --actions "pour milk, stir"
    """
    options = ModelOptions(
        run=run,
        training_free=training_free,
        actions=read_actions(actions, actions_file),
        encoder=encoder,
        fps=fps,
        device=device,
        precision=precision,
        prompts=prompts,
        window=window,
        keep_going=keep_going,
        more_actions=read_names(more_actions, "--more-actions"),
        smoothing=smoothing,
        trust_encoder=trust_encoder,
    )
    settings = DecodeSettings(
        threshold=threshold,
        gamma=gamma,
        switch_penalty=switch_penalty,
        shortest=shortest,
        reject=reject,
    )
    output = Output(
        formats=formats,
        out=out,
        media=media,
        plot=plot,
        overlay=overlay,
        with_background=with_background,
        overwrite=overwrite,
        as_json=as_json,
    )
    options.check("segment")
    if not live:
        if delay is not None:
            raise InputError("--delay", "only --live reads it", "leave it out")
        batch = batch_options(
            shard,
            timeout,
            memory,
            retry_failed,
            overwrite=overwrite,
            store=output.remote,
            batch_frames=batch_frames,
        )
        n_actors = workers if engine == "ray" else 0
        _segment_files(inputs, options, settings, output, batch, adapt_to, n_actors)
        return
    unread = {"--plot": plot, "--overlay": overlay, "--media": media, "--shard": shard}
    for name, value in unread.items():
        if value is not None:
            raise InputError(name, "it does not go with --live", "leave it out")
    if output.remote is not None:
        raise InputError("--out", "--live writes to a folder of this machine", "name one")
    if len(inputs) != 1:
        raise InputError("--live", f"{len(inputs)} inputs", "give one")
    from fact_clip_batch.commands.live import segment_live

    model, names = _open(options, settings, adapt_to)
    stream = model.stream(5.0 if delay is None else delay, names, settings, fps=fps)
    segment_live(inputs[0], model, stream, output, output.folder(run))


def _open(
    options: ModelOptions, settings: DecodeSettings, adapt_to: Path | None
) -> tuple[Segmenter, list[str] | None]:
    """Load the model, and show it the unlabelled videos of a folder."""
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES

    model, names = options.open(settings)
    if adapt_to is not None:
        inputs = Inputs([adapt_to], SEGMENT_SUFFIXES)
        model.adapt_to([item.path for item in inputs])
    return model, names


def _segment_files(
    paths: Sequence[str],
    options: ModelOptions,
    settings: DecodeSettings,
    output: Output,
    batch: BatchOptions,
    adapt_to: Path | None,
    n_actors: int,
) -> None:
    """Segment files, each process or actor its share, and print, draw and report the results."""
    from fact_clip.core.distributed import Processes
    from fact_clip_batch.engine import run_batch
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.ray_engine import on_ray
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES, SegmentSettings, SegmentTask

    formats = read_formats(output.formats or "csv,json")
    folder = output.folder(options.run)
    processes = Processes(options.device)
    inputs = Inputs(processes.broadcast(lambda: read_sources(paths)), SEGMENT_SUFFIXES)
    output.check(folder, inputs, list(formats.values()))
    model, candidates = _open(options, settings, adapt_to)
    segment_settings = SegmentSettings(
        formats=list(formats),
        actions=candidates,
        decode=settings,
        media=output.media,
        with_background=output.with_background,
    )
    task = SegmentTask(model, folder, segment_settings, batch)
    part = shared_among(batch, processes)

    def make_task(shared: BatchOptions) -> SegmentTask:
        model, _ = _open(options, settings, adapt_to)
        return SegmentTask(model, folder.absolute(), segment_settings, shared)

    def outcomes(overall: Progress | None, within: Progress | None) -> Iterable[Outcome]:
        if n_actors:
            return on_ray(make_task, inputs, part, workers=n_actors, device=options.device)
        return run_batch([task], inputs, part, overall, within)

    tally = tally_of(processes, inputs, outcomes, "segmenting")
    if not processes.is_main:
        return
    if output.plot is not None or output.overlay is not None:
        segmented = dict(_read_results(task, inputs, batch))
        pictures = []
        if output.plot is not None and segmented:
            pictures.append(_draw_timelines(segmented, model, output.plot))
        if output.overlay is not None and segmented:
            pictures.append(_burn_in(segmented, model, output.overlay, options.keep_going))
        tally.merge(Tally(Counter(written=len(pictures)), pictures))
    if output.as_json:
        _print_json(_read_results(task, inputs, batch))
    elif len(inputs) == 1 and output.remote is None:
        for path, segmentation in _read_results(task, inputs, batch):
            rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
            print(f"{printable(str(path))}: {segmentation.n_frames} frames{rate}")
            print(segment_table(segmentation))
    else:
        counts = tally.counts
        line = f"{counts['computed']} segmented, {counts['done']} already there"
        line += f", {counts['failed']} failed"
        print(f"{counts['inputs']} inputs: {line}; {printable(output.remote or str(folder))}")
    _report(tally, folder)


def _read_results(
    task: SegmentTask, inputs: Inputs, batch: BatchOptions
) -> Iterator[tuple[Path, Segmentation]]:
    """Yield the results of a batch, read from their records one by one."""
    for item in inputs:
        if batch.shard.has(item.id):
            outcome = task.plan(item)
            if outcome.done:
                yield item.path, task.read(outcome.name)


def _print_json(results: Iterable[tuple[Path, Segmentation]]) -> None:
    """Print a list of segmentations, without having all of them in memory."""
    from fact_clip.formats.json_file import as_dict

    separator = "[\n"
    for path, segmentation in results:
        tree = json.dumps({"input": str(path), **as_dict(segmentation)}, indent=2)
        print(separator + indent(tree, "  "), end="")
        separator = ",\n"
    print("[]" if separator[0] == "[" else "\n]")


def _draw_timelines(segmented: Mapping[Path, Segmentation], model: Segmenter, plot: Path) -> Path:
    """Draw the timelines of all inputs, each below the true labels if it lies in a data set."""
    from fact_clip.datasets.labels import UNLABELLED
    from fact_clip.formats import load
    from fact_clip.report.plots import save_figure, timeline

    is_single = len(segmented) == 1
    stems = [path.stem for path in segmented]
    rows = {}
    for path, prediction in segmented.items():
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        prefix = "" if is_single else f"{name} "
        labels_path = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
        if labels_path.is_file():
            truth = replace(load(labels_path), fps=model.scorer.fps)
            if truth.n_frames == prediction.n_frames:
                truth = replace(truth, times=prediction.times)
            else:
                n_labels = truth.n_frames
                logger.warning("%s: %d labels, and %d frames", path, n_labels, prediction.n_frames)
            rows[f"{prefix}truth"] = truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(segmented)).stem if is_single else ""
    background = (*model.vocabulary.background, *model.scorer.unlabelled, UNLABELLED)
    return save_figure(timeline(rows, background=background, title=title), plot)


def _burn_in(
    segmented: Mapping[Path, Segmentation], model: Segmenter, overlay: Path, keep_going: bool
) -> Path:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.core.colours import palette
    from fact_clip.video.overlay import overlay as burn_in

    ((video, segmentation),) = segmented.items()
    background = model.vocabulary.background
    actions = [name for name in dict.fromkeys(segmentation.transcript) if name not in background]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    with progress("overlay") as report:
        burn_in(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
    return overlay


def _report(tally: Tally, folder: Path) -> None:
    """Print on stderr what was written, and exit with 1 if an input failed."""
    lines = []
    counts = tally.counts
    if tally.written:
        lines.append(f"written: {join_names(tally.written, counts['written'])}")
    if counts["done"]:
        lines.append(
            f"already there: {counts['done']} of {counts['inputs']} in {folder}; "
            "--overwrite does them anew"
        )
    if tally.renamed:
        lines.append(
            f"fact-clip: {counts['renamed']} named anew ({tally.renamed[0]}), "
            "since another result has the name; --overwrite replaces it"
        )
    lines += tally.lines(folder)
    if tally.errors:
        lines.append(f"fact-clip: {counts['failed']} of {counts['inputs']} inputs failed")
    note(*map(printable, lines))
    if tally.errors:
        raise typer.Exit(1)
