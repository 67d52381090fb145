"""fact-clip extract."""

from __future__ import annotations

from typing import Annotated, Literal

from fact_clip.cli.options import Device, argument, option
from fact_clip.core import InputError
from fact_clip_batch.commands.batching import BatchChoice, read_sources, run_task


def extract(
    videos: Annotated[
        list[str],
        argument("VIDEO", "Videos, folders, globs in quotes, manifests, or - for a list on stdin."),
    ],
    *,
    encoder: Annotated[
        str, option("grid, clip:ViT-B-32/openai, timm:NAME, transformers:NAME, ...")
    ],
    out: Annotated[str, option("Folder for NAME.npy and NAME.json, s3://... too.")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Pictures encoded together.")] = 32,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        option("Default: bf16 where the device computes in it."),
    ] = "auto",
    how: BatchChoice,
) -> None:
    """Turn videos into feature files.

    Writes NAME.npy, (T, D) float16, and NAME.json for each video; a/NAME.npy for a/NAME.mp4 in a
    folder. Features that are up to date are skipped, files that it has not made are not replaced,
    and an interrupted video continues where it stopped. Of several videos the faulty ones are
    listed at the end and in failures.jsonl, with exit code 1; after three attempts they are set
    aside. Job arrays share the videos by --shard (docs/scaling.md).

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
        problem = "grid takes no --device and --precision"
        raise InputError("--encoder", problem, "leave them out")
    settings = Settings(fps, batch)

    def make_task() -> ExtractTask:
        return ExtractTask(frame_encoder(encoder, runtime), out, settings, options)

    tally = run_task(make_task(), make_task, inputs)
    counts = tally.counts
    line = f"{counts['computed']} extracted, {counts['done']} current, {counts['failed']} failed"
    print(f"{counts['inputs']} videos: {line}; {out}")
    tally.report(out)
