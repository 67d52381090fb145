"""fact-clip extract."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fact_clip.cli.console import progress_each
from fact_clip.cli.segment import collect


def extract(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO", help="Videos, folders of them, or - for a list on stdin.")
    ],
    *,
    encoder: Annotated[str, typer.Option(help="grid, clip:ViT-B-32/openai, timm:NAME, torchvision:NAME, ...")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.npy and NAME.json.")],
    fps: Annotated[float, typer.Option(help="Rows per second.")] = 5.0,
    batch: Annotated[int, typer.Option(help="Pictures encoded together.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[
        Literal["float32", "bf16"], typer.Option(help="bf16 weights are twice as fast on many CPUs.")
    ] = "float32",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the model; pays off over many videos.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Take what decodes of a damaged video, with a warning.")
    ] = False,
) -> None:
    """Turn videos into feature files.

    Writes NAME.npy, (T, D) float16, and NAME.json for each video. Features that are up to date are skipped, and an
    interrupted video continues where it stopped. Faulty videos are listed at the end, with exit code 1. Processes of
    torchrun share the list: torchrun --nproc-per-node 2 --no-python fact-clip extract ...

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.video.extract import Settings, extract_all

    listed = collect(videos)
    model = frame_encoder(encoder, Runtime(device, precision, compiled))
    # torchrun sets these: each process takes its share of the list
    mine = listed[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]
    with progress_each("extracting") as (overall, each):
        settings = Settings(fps, precision, batch, keep_going)
        found = extract_all(mine, model, out, settings, progress=overall, within=each)
    if found.failed and len(listed) == 1:
        raise found.failed[0]
    counts = f"{len(found.made)} extracted, {len(found.current)} current, {len(found.failed)} failed"
    print(f"{len(mine)} videos: {counts}; {out}")
    for error in found.failed:
        print(f"fact-clip: {error}", file=sys.stderr)
    if found.failed:
        raise typer.Exit(1)
