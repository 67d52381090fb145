"""fact-clip extract."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fact_clip.cli.arguments import read_paths
from fact_clip.cli.console import bars, note
from fact_clip.cli.options import Device, KeepGoing, argument, option
from fact_clip.cli.signals import InterruptedCommandError
from fact_clip.core import InputError


def extract(
    videos: Annotated[
        list[Path], argument("VIDEO", "Videos, folders of them, or - for a list on stdin.")
    ],
    *,
    encoder: Annotated[str, option("grid, clip:ViT-B-32/openai, timm:NAME, torchvision:NAME, ...")],
    out: Annotated[Path, option("Folder for NAME.npy and NAME.json.")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Pictures encoded together.")] = 32,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        option("Default: bf16 where the device computes in it."),
    ] = "auto",
    compiled: Annotated[
        bool, option("Compile the model; pays off over many videos.", "--compile")
    ] = False,
    keep_going: KeepGoing = False,
) -> None:
    """Turn videos into feature files.

    Writes NAME.npy, (T, D) float16, and NAME.json for each video. Features that are up to date are
    skipped, files that it has not made are not replaced, and an interrupted video continues where
    it stopped. Of several videos the faulty ones are listed at the end, with exit code 1. Processes
    of torchrun share the list (docs/scaling.md): torchrun --nproc-per-node 2 --no-python fact-clip
    extract ...

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.core.distributed import Processes
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.inference.batch import collect_inputs
    from fact_clip.video.decode import SUFFIXES
    from fact_clip.video.extract import Settings, extract_all

    processes = Processes(device)
    paths = processes.broadcast(lambda: collect_inputs(read_paths(videos), SUFFIXES))
    model = frame_encoder(encoder, Runtime(device, precision, compiled))
    if encoder == "grid" and (device not in ("auto", "cpu") or precision != "auto" or compiled):
        problem = "grid takes no --device, --precision and --compile"
        raise InputError("--encoder", problem, "leave them out")
    settings = Settings(fps, batch, keep_going)
    try:
        with bars("extracting", "") as (overall, within):
            extracted = extract_all(
                processes.share(paths), model, out, settings, progress=overall, within=within
            )
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None

    n_written = 0
    n_current = 0
    failed = []
    for part in processes.gather([extracted], processes.world):
        n_written += len(part.written)
        n_current += len(part.current)
        failed += part.failed
    if failed and len(paths) == 1:
        raise failed[0]
    if processes.is_main:
        counts = f"{n_written} extracted, {n_current} current, {len(failed)} failed"
        print(f"{len(paths)} videos: {counts}; {out}")
        note(*(f"fact-clip: {error}" for error in failed))
    if failed:
        raise typer.Exit(1)
