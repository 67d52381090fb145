"""fact-clip extract."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fact_clip.cli.console import progress_each
from fact_clip.cli.segment import collect

if TYPE_CHECKING:
    from fact_clip.core import InputError
    from fact_clip.encoders import FrameEncoder
    from fact_clip.video.extract import Settings


def extract(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO", help="Videos, folders of them, or - for a list on stdin.")
    ],
    *,
    encoder: Annotated[str, typer.Option(help="grid, or as clip:ViT-B-32/openai, timm:NAME, torchvision:NAME.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.npy and NAME.json.")],
    fps: Annotated[float, typer.Option(help="Rows a second.")] = 5.0,
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

    Writes (T, D) float16 and a description a video. What is there and current is skipped, and an interrupted video
    goes on where it stopped. A bad one among several is told at the end, with exit code 1. Ranks of torchrun share
    the list: torchrun --nproc-per-node 2 --no-python fact-clip extract ...

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.video.extract import Settings

    listed = collect(videos)
    model = frame_encoder(encoder, Runtime(device, precision, compiled))
    settings = Settings(fps, precision, batch, keep_going)
    mine = _share(listed)
    made, bad = _extract_each(mine, model, out, settings)
    if bad and len(listed) == 1:
        raise bad[0]
    print(f"{len(mine)} videos: {made} extracted, {len(mine) - made - len(bad)} current, {len(bad)} failed; {out}")
    for error in bad:
        print(f"fact-clip: {error}", file=sys.stderr)
    if bad:
        raise typer.Exit(1)


def _share(videos: list[Path]) -> list[Path]:
    """Every WORLD_SIZE-th video from RANK on, as torchrun sets them; all of them elsewhere."""
    return videos[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


def _extract_each(
    videos: list[Path], encoder: FrameEncoder, out: Path, settings: Settings
) -> tuple[int, list[InputError]]:
    """How many were extracted, and the error of each that could not be."""
    from fact_clip.core import InputError
    from fact_clip.video.extract import extract, is_current

    made, bad = 0, list[InputError]()
    with progress_each("extracting") as (overall, each):
        for done, video in enumerate(videos):
            if overall is not None:
                overall(done, len(videos), video.name)
            if is_current(video, encoder, out, settings):
                continue
            encoder.load()  # what is wrong with the encoder is not the fault of a video
            try:
                extract(video, encoder, out, settings, each)
                made += 1
            except InputError as error:
                bad.append(error)
    return made, bad
