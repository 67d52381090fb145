"""fact-clip segment and extract."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from fact_clip.cli.console import InterruptedCommandError, bars, note
from fact_clip.cli.options import (
    Device,
    KeepGoing,
    ModelOptions,
    OutputOptions,
    TrustEncoder,
    collect,
    given_actions,
    names,
    option,
    with_options,
)
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.errors import CommandOption, InputError

_INPUT = "Feature files (.npy), videos, folders of either, or - for a list on stdin."
_LIVE = "One INPUT as it comes: rtsp://..., camera:0, a file, or - for rows on stdin (docs/streaming.md)."
_MORE = "The classes of the run and these names beside them."
_MEDIA = 'What files call the video, "https://host/{name}" for Label Studio. Default: its path.'
_VIDEOS = "Videos, folders of them, or - for a list on stdin."
Compute = Annotated[
    Literal["auto", "float32", "bf16"], option("Default: bf16 where the device computes in it.")
]


@with_options
def segment(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help=_INPUT)],
    *,
    options: ModelOptions,
    more_actions: Annotated[str | None, option(_MORE)] = None,
    smoothing: Annotated[
        float, option("Training-free: seconds over which similarities are averaged.")
    ] = 1.0,
    settings: DecodeSettings,
    media: Annotated[str | None, option(_MEDIA)] = None,
    trust_encoder: TrustEncoder = False,
    output: OutputOptions,
    live: Annotated[bool, option(_LIVE, "--live")] = False,
    delay: Annotated[
        float | None, option("With --live: seconds after which a label is final. Default: 5.")
    ] = None,
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
    chosen, more = (
        given_actions(options.actions, options.actions_file),
        names(more_actions, "--more-actions") or [],
    )
    if chosen is not None and more:
        fix = "name all actions with --actions, or leave it out to have the classes of the run, too"
        raise InputError(
            CommandOption("--more-actions"),
            "it goes with neither --actions nor --actions-file",
            fix,
        )

    opened = partial(
        options.open, chosen, settings, more=more, smoothing=smoothing, trust_encoder=trust_encoder
    )
    if live:
        for name, value in (
            ("--plot", output.plot),
            ("--overlay", output.overlay),
            ("--media", media),
        ):
            if value is not None:
                raise InputError(CommandOption(name), "it does not go with --live", "leave it out")
        if len(inputs) != 1:
            raise InputError(CommandOption("--live"), f"{len(inputs)} inputs", "give one")
    elif delay is not None:
        raise InputError(CommandOption("--delay"), "only --live reads it", "leave it out")
    from fact_clip.cli import results

    if live:
        model, candidates = opened()
        stream = model.stream(
            5.0 if delay is None else delay, candidates, settings, fps=options.fps
        )
        results.segment_live(inputs[0], model, stream, output.folder(options.run), output)
    else:
        results.segment_files(inputs, opened, options, settings, output, media)


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help=_VIDEOS)],
    *,
    encoder: Annotated[str, option("grid, clip:ViT-B-32/openai, timm:NAME, torchvision:NAME, ...")],
    out: Annotated[Path, option("Folder for NAME.npy and NAME.json.")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Pictures encoded together.")] = 32,
    device: Device = "auto",
    precision: Compute = "auto",
    compiled: Annotated[
        bool, option("Compile the model; pays off over many videos.", "--compile")
    ] = False,
    keep_going: KeepGoing = False,
) -> None:
    """Turn videos into feature files.

    Writes NAME.npy, (T, D) float16, and NAME.json for each video. Features that are up to date are skipped, files
    that it has not made are not replaced, and an interrupted video continues where it stopped. Of several videos the
    faulty ones are listed at the end, with exit code 1. Processes of torchrun share the list (docs/scaling.md):
    torchrun --nproc-per-node 2 --no-python fact-clip extract ...

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.core.distributed import Processes
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.video.extract import Settings, extract_all

    processes = Processes(device)
    listed = processes.broadcast(lambda: collect(videos))
    model = frame_encoder(encoder, Runtime(device, precision, compiled))
    if encoder == "grid" and (device not in ("auto", "cpu") or precision != "auto" or compiled):
        raise InputError(
            CommandOption("--encoder"),
            "grid takes no --device, --precision and --compile",
            "leave them out",
        )
    settings = Settings(fps, batch, keep_going)
    try:
        with bars("extracting", "") as (overall, within):
            extracted = extract_all(
                processes.share(listed), model, out, settings, progress=overall, within=within
            )
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    parts = processes.gather([extracted], processes.world)
    failed = [error for within in parts for error in within.failed]
    if failed and len(listed) == 1:
        raise failed[0]
    written, current = (
        sum(len(within.written) for within in parts),
        sum(len(within.current) for within in parts),
    )
    if processes.is_main:
        print(
            f"{len(listed)} videos: {written} extracted, {current} current, {len(failed)} failed; {out}"
        )
        note(*(f"fact-clip: {error}" for error in failed))
    if failed:
        raise typer.Exit(1)
