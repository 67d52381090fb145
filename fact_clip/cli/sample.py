"""fact-clip data sample."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from fact_clip.cli.console import progress

FPS = 15.0


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, a new one.")],
    videos: Annotated[int, typer.Option(help="Number of videos; six people take turns.", min=6, max=10_000)] = 24,
) -> None:
    """Write a data set to try things on: synthetic videos, features, labels and splits.

    The workbench: people assemble parts by hand, 23 actions, three splits by person, and classes to hold out in
    zero_shot/A.json. Its figures say nothing about real video. The videos in DIR/videos show the same actions; they
    need the extra 'video', and without it features and labels are written alone.

    \b
    Example:
      fact-clip data sample sample
    """
    from fact_clip.core import InputError
    from fact_clip.datasets.synthetic import write_workbench

    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "it is a file", "name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(folder, "the folder is not empty", "name a new folder")
    write_workbench(folder, videos=videos, fps=FPS)
    count = _write_videos(folder)
    content = f"{count} videos in {folder}/videos, with" if count else f"{videos} videos as"
    print(f"{folder}: SYNTHETIC data, {content} features at {FPS:g} rows per second, labels and 3 splits")
    print(f"check it with: fact-clip data check {shlex.quote(str(folder))}")
    print(f'write a recipe with: fact-clip data init {shlex.quote(str(folder))} --fps {FPS:g} --background "no action"')


def _write_videos(folder: Path) -> int:
    """Draw the videos of the labels; return their number, 0 without the package that writes them."""
    from fact_clip.datasets.synthetic import draw_actions
    from fact_clip.video.overlay import can_write, write_video

    if not can_write():
        print("no videos are written: the package av is missing; pip install 'fact-clip[video]'", file=sys.stderr)
        return 0
    labels = sorted((folder / "groundTruth").glob("*.txt"))
    with progress("drawing") as report:
        for number, path in enumerate(labels):
            if report is not None:
                report(number, len(labels), path.stem)
            names = path.read_text(encoding="utf-8").splitlines()
            write_video(folder / "videos" / f"{path.stem}.mp4", draw_actions(names, FPS, number), FPS)
    return len(labels)
