"""fact-clip extract, and the list of videos that it shares with segment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from fact_clip.cli.console import InterruptedCommandError, bars, note
from fact_clip.cli.options import Device, KeepGoing, option, refuse
from fact_clip.core.errors import InputError
from fact_clip.core.paths import same_place

_VIDEOS = "Videos, folders of them, or - for a list on stdin."
Compute = Annotated[Literal["auto", "float32", "bf16"], option("Default: bf16 where the device computes in it.")]


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help=_VIDEOS)],
    *,
    encoder: Annotated[str, option("grid, clip:ViT-B-32/openai, timm:NAME, torchvision:NAME, ...")],
    out: Annotated[Path, option("Folder for NAME.npy and NAME.json.")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Pictures encoded together.")] = 32,
    device: Device = "auto",
    precision: Compute = "auto",
    compiled: Annotated[bool, option("Compile the model; pays off over many videos.", "--compile")] = False,
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
        name = "--compile" if compiled else "--precision" if precision != "auto" else "--device"
        raise refuse(name, "grid has no model that it could apply to", "leave it out")
    settings = Settings(fps, batch, keep_going)
    try:
        with bars("extracting", "") as (overall, within):
            extracted = extract_all(processes.share(listed), model, out, settings, progress=overall, within=within)
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    parts = processes.gather([extracted], processes.world)
    failed = [error for within in parts for error in within.failed]
    if failed and len(listed) == 1:
        raise failed[0]
    written, current = sum(len(within.written) for within in parts), sum(len(within.current) for within in parts)
    if processes.is_main:
        print(f"{len(listed)} videos: {written} extracted, {current} current, {len(failed)} failed; {out}")
        note(*(f"fact-clip: {error}" for error in failed))
    if failed:
        raise typer.Exit(1)


def collect(inputs: Sequence[Path], features: bool = False) -> list[Path]:
    """The videos (with `features`, the .npy files too) of files, folders and "-", a list on stdin; each stem once."""
    from fact_clip.video.decode import SUFFIXES

    wanted = (".npy", *SUFFIXES) if features else SUFFIXES
    paths: list[Path] = []
    if isinstance(sys.stdin, TextIOWrapper):  # as file names are, which may be any bytes
        sys.stdin.reconfigure(errors="surrogateescape")
    for path in inputs:
        # without the byte-order mark that Windows puts before the lines
        lines = (line.removeprefix("\ufeff").strip() for line in sys.stdin or ()) if str(path) == "-" else (str(path),)
        paths += [Path(line) for line in lines if line]
    if not paths:
        raise InputError("-", "no lines on stdin", "write a path a line to it")
    by_stem: dict[str, Path] = {}
    for path in paths:
        # a name with a dot is hidden, or a file that someone is still writing
        files = (file for file in path.iterdir() if file.suffix.lower() in wanted and file.name[0] != ".")
        present = sorted(files) if path.is_dir() else [path]
        if not present:
            raise InputError(path, "no videos in this folder", f"name one with files that end in {', '.join(wanted)}")
        for file in present:
            same = by_stem.setdefault(file.stem, file)
            if same is not file:
                problem = "given twice" if same_place(same, file) else f"the same name as {same}"
                raise InputError(file, problem, "" if same_place(same, file) else "rename one of them")
    return list(by_stem.values())
