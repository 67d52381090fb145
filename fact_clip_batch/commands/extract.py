"""fact-clip extract."""

from __future__ import annotations

from typing import Annotated, Literal

from fact_clip.cli.options import Device, argument, option
from fact_clip.core import InputError
from fact_clip_batch.commands.batching import BatchChoice, read_sources, run_task


def extract(
    videos: Annotated[
        list[str],
        argument("VIDEO", "Videos, folders, globs in quotes, manifests, or - for stdin."),
    ],
    *,
    encoder: Annotated[
        str, option("grid, clip:ViT-B-32/openai, timm:NAME, transformers:NAME, ...", panel="Model")
    ],
    out: Annotated[str, option("Folder for NAME.npy and NAME.json; may be s3://...")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Number of video frames per batch.", panel="Model")] = 32,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        option("Default: bf16 if the device supports it.", panel="Model", metavar="<str>"),
    ] = "auto",
    how: BatchChoice,
) -> None:
    """Turn videos into feature files.

    For each video, the command writes NAME.npy, (T, D) float16, and NAME.json. The features of
    a/NAME.mp4 in a folder go to a/NAME.npy. Current features are skipped, files of other programs
    are not replaced, and an interrupted video continues where it stopped. Videos that fail are
    listed at the end and in failures.jsonl, and the exit code is 1. After three attempts, a video
    is set aside. See docs/scaling.md for --shard and --engine.

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.video.extract import Settings
    from fact_clip_batch.extraction import ExtractTask
    from fact_clip_batch.inputs import Inputs

    options = how.options("cpu" if encoder == "grid" else device)
    inputs = Inputs(read_sources(videos))
    runtime = Runtime(device, precision)
    if encoder == "grid" and (device not in ("auto", "cpu") or precision != "auto"):
        problem = "grid does not use --device and --precision"
        raise InputError("--encoder", problem, "leave them out")
    settings = Settings(fps, batch)

    def make_task() -> ExtractTask:
        return ExtractTask(frame_encoder(encoder, runtime), out, settings, options)

    tally = run_task(make_task(), make_task, inputs)
    counts = tally.counts
    line = f"{counts['computed']} extracted, {counts['done']} current, {counts['failed']} failed"
    print(f"{counts['inputs']} videos: {line}; {out}")
    tally.report(out)
