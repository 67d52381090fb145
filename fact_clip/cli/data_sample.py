"""fact-clip data sample."""

import importlib.util
import logging
import shlex
from pathlib import Path
from typing import Annotated, Literal

from fact_clip.cli.arguments import check_new
from fact_clip.cli.console import note, progress
from fact_clip.cli.options import argument, option
from fact_clip.core import InputError
from fact_clip.core.extras import install_command
from fact_clip.core.progress import paced

logger = logging.getLogger(__name__)

ASSEMBLY_FPS = 15.0
ASSEMBLY_VIDEOS = 24


def sample(
    folder: Annotated[Path, argument("DIR", "Folder to write; must be new or empty.")],
    name: Annotated[
        Literal["kscgr", "assembly"], option("Data set: real recordings, or synthetic videos.")
    ] = "kscgr",
    videos: Annotated[
        int | None,
        option(f"Number of videos of `assembly` (default: {ASSEMBLY_VIDEOS}).", min=6, max=10_000),
    ] = None,
) -> None:
    """Write a sample data set: real recordings or synthetic videos.

    \b
    kscgr     30 real recordings of seven people who cook eggs, with 67 actions. The features
              describe the objects in view. There are no videos. Hold-outs are in zero_shot/.
    assembly  SYNTHETIC data: people assemble parts, with 23 actions. It consists of features
              and, if the extra 'video' is installed, videos in DIR/videos. Do not draw
              conclusions about real videos from its figures.

    \b
    Example:
      fact-clip data sample sample
      fact-clip data sample assembly --name assembly --videos 12
    """
    if name == "kscgr" and videos is not None:
        raise InputError("--videos", "kscgr always has 30 recordings", "add --name assembly")
    check_new(folder)
    if name == "kscgr":
        _write_kscgr(folder)
    else:
        _write_assembly(folder, videos or ASSEMBLY_VIDEOS)


def _write_kscgr(folder: Path) -> None:
    from fact_clip.datasets.kscgr import write_kscgr

    write_kscgr(folder)
    print(
        f"{folder}: KSCGR, 30 real recordings with features at 6 rows per second, labels, 7 splits "
        "and hold-outs"
    )
    print(f"source and licence (MIT): {folder / 'README.md'}")
    quoted = shlex.quote(str(folder))
    print(f"check it with: fact-clip data check {quoted}")
    print(f"train on it with: fact-clip train kscgr data.root={quoted} --out runs/kscgr")


def _write_assembly(folder: Path, videos: int) -> None:
    from fact_clip.datasets.synthetic import write_workbench

    write_workbench(folder, videos=videos, fps=ASSEMBLY_FPS)
    content = f"{videos} videos as"
    if importlib.util.find_spec("av") is not None:
        _draw_videos(folder)
        content = f"{videos} videos in {folder}/videos, with"
    else:
        note(
            f"no videos are written, because the package av is missing; {install_command('video')}"
        )
    quoted = shlex.quote(str(folder))
    print(
        f"{folder}: SYNTHETIC data, {content} features at {ASSEMBLY_FPS:g} rows per second, "
        "labels and 3 splits"
    )
    print(f"check it with: fact-clip data check {quoted}")
    print(
        f"write a recipe with: fact-clip data init {quoted} --fps {ASSEMBLY_FPS:g} "
        '--background "no action"'
    )


def _draw_videos(folder: Path) -> None:
    """Draw videos from the labels of a synthetic data set."""
    from fact_clip.datasets.synthetic import draw_actions
    from fact_clip.video.write import write_video

    labels = sorted((folder / "groundTruth").glob("*.txt"))
    with progress("drawing") as report:
        for number, path in enumerate(paced(labels, "drawing", logger, report)):
            actions = path.read_text(encoding="utf-8").splitlines()
            video = folder / "videos" / f"{path.stem}.mp4"
            write_video(video, draw_actions(actions, ASSEMBLY_FPS, number), ASSEMBLY_FPS)
