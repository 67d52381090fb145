"""fact-clip segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.arguments import read_actions, read_formats, read_names
from fact_clip.cli.console import note
from fact_clip.cli.model import ModelChoice
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
    from fact_clip.inference import Segmenter
    from fact_clip_batch.engine import BatchOptions, Outcome


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
    prompts: Prompts = None,
    window: WindowSeconds = None,
    keep_going: KeepGoing = False,
    more_actions: Annotated[
        str | None, option("The classes of the run and these names beside them.")
    ] = None,
    smoothing: Annotated[
        float | None,
        option("Training-free: seconds over which similarities are averaged. Default: 1."),
    ] = None,
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
    from fact_clip.inference import ModelOptions

    options = ModelOptions(
        device=device,
        actions=read_actions(actions, actions_file),
        encoder=encoder,
        fps=fps,
        window=window,
        prompts=prompts,
        smoothing=smoothing,
        keep_going=keep_going,
        trust_encoder=trust_encoder,
        precision=precision,
    )
    names = read_names(more_actions, "--more-actions")
    choice = ModelChoice(run, training_free, options, names)
    choice.check("segment")
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
    if live:
        unread = {"--plot": plot, "--overlay": overlay, "--media": media, "--shard": shard}
        _check_live(inputs, unread, output)
        from fact_clip_batch.commands.live import segment_live

        model, candidates = _open(choice, settings, adapt_to)
        stream = model.stream(5.0 if delay is None else delay, candidates, settings, fps=fps)
        segment_live(inputs[0], model, stream, output, output.folder(run))
        return
    if delay is not None:
        raise InputError("--delay", "only --live reads it", "leave it out")
    batch = batch_options(
        shard,
        timeout,
        memory,
        retry_failed,
        overwrite=overwrite,
        batch_frames=batch_frames,
    )
    request = Request(choice, settings, output, batch, adapt_to)
    _segment_files(inputs, request, n_actors=workers if engine == "ray" else 0)


@dataclass(frozen=True)
class Request:
    """What one call of the command asks for.

    Attributes:
        choice: the model.
        settings: of decoding.
        output: what is written and printed.
        batch: the part of the inputs, and the limits of each.
        adapt_to: folder of unlabelled videos.
    """

    choice: ModelChoice
    settings: DecodeSettings
    output: Output
    batch: BatchOptions
    adapt_to: Path | None


def _check_live(inputs: Sequence[str], unread: Mapping[str, object], output: Output) -> None:
    """Raise an InputError for options that do not go with --live."""
    for name, value in unread.items():
        if value is not None:
            raise InputError(name, "it does not go with --live", "leave it out")
    if output.remote is not None:
        raise InputError("--out", "--live writes to a folder of this machine", "name one")
    if len(inputs) != 1:
        raise InputError("--live", f"{len(inputs)} inputs", "give one")


def _open(
    choice: ModelChoice, settings: DecodeSettings, adapt_to: Path | None
) -> tuple[Segmenter, list[str] | None]:
    """Load the model, and show it the unlabelled videos of a folder."""
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES

    model, names = choice.open(settings)
    if adapt_to is not None:
        inputs = Inputs([adapt_to], SEGMENT_SUFFIXES)
        model.adapt_to([item.path for item in inputs])
    return model, names


def _segment_files(paths: Sequence[str], request: Request, n_actors: int) -> None:
    """Segment files, each process or actor its share, and print, draw and report the results."""
    from fact_clip.core.distributed import Processes
    from fact_clip_batch.commands.results import Results
    from fact_clip_batch.engine import run_batch
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.ray_engine import on_ray
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES, SegmentSettings, SegmentTask

    output = request.output
    device = request.choice.options.device
    formats = read_formats(output.formats or "csv,json")
    folder = output.folder(request.choice.run)
    processes = Processes(device)
    inputs = Inputs(processes.broadcast(lambda: read_sources(paths)), SEGMENT_SUFFIXES)
    output.check(folder, inputs, list(formats.values()))
    model, candidates = _open(request.choice, request.settings, request.adapt_to)
    segment_settings = SegmentSettings(
        formats=list(formats),
        actions=candidates,
        decode=request.settings,
        media=output.media,
        with_background=output.with_background,
    )
    out = output.remote or folder
    task = SegmentTask(model, out, segment_settings, request.batch)
    part = shared_among(request.batch, processes)

    def make_task(shared: BatchOptions) -> SegmentTask:
        model, _ = _open(request.choice, request.settings, request.adapt_to)
        return SegmentTask(model, output.remote or folder.absolute(), segment_settings, shared)

    def outcomes(overall: Progress | None, within: Progress | None) -> Iterable[Outcome]:
        if n_actors:
            return on_ray(make_task, inputs, part, workers=n_actors, device=device)
        return run_batch([task], inputs, part, overall, within)

    tally = tally_of(processes, inputs, outcomes, "segmenting")
    if not processes.is_main:
        return
    results = Results(task, inputs, request.batch, model)
    tally.merge(results.draw(output))
    if output.as_json:
        results.print_json()
    elif len(inputs) == 1 and output.remote is None:
        results.print_segments()
    else:
        counts = tally.counts
        line = f"{counts['computed']} segmented, {counts['done']} already there"
        line += f", {counts['failed']} failed"
        print(f"{counts['inputs']} inputs: {line}; {printable(output.remote or str(folder))}")
    _report(tally, folder)


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
