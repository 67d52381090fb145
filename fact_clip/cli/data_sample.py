"""fact-clip data sample."""

import importlib.util
import logging
import shlex
from pathlib import Path
from typing import Annotated

from fact_clip.cli.arguments import check_new
from fact_clip.cli.console import note, progress
from fact_clip.cli.options import argument, option
from fact_clip.core.extras import install_command
from fact_clip.core.progress import paced

logger = logging.getLogger(__name__)

FPS = 15.0


def sample(
    folder: Annotated[Path, argument("DIR", "Folder to write, a new one.")],
    videos: Annotated[
        int, option("Number of videos; six people take turns.", min=6, max=10_000)
    ] = 24,
) -> None:
    """Write a data set to try things on: synthetic videos, features, labels and splits.

    The workbench: people assemble parts by hand, 23 actions, three splits by person, and classes to
    hold out in zero_shot/A.json. Its figures say nothing about real video. The videos in DIR/videos
    show the same actions; they need the extra 'video', and without it features and labels are
    written alone.

    \b
    Example:
      fact-clip data sample sample
    """
    from fact_clip.datasets.synthetic import write_workbench

    check_new(folder)
    write_workbench(folder, videos=videos, fps=FPS)
    content = f"{videos} videos as"
    if importlib.util.find_spec("av") is not None:
        write_videos(folder)
        content = f"{videos} videos in {folder}/videos, with"
    else:
        note(f"no videos are written: the package av is missing; {install_command('video')}")
    quoted = shlex.quote(str(folder))
    print(
        f"{folder}: SYNTHETIC data, {content} features at {FPS:g} rows per second, "
        "labels and 3 splits"
    )
    print(f"check it with: fact-clip data check {quoted}")
    print(
        f'write a recipe with: fact-clip data init {quoted} --fps {FPS:g} --background "no action"'
    )


def write_videos(folder: Path) -> None:
    """Draw the videos of the labels of a synthetic data set."""
    from fact_clip.datasets.synthetic import draw_actions
    from fact_clip.video.write import write_video

    labels = sorted((folder / "groundTruth").glob("*.txt"))
    with progress("drawing") as report:
        for number, path in enumerate(paced(labels, "drawing", logger, report)):
            actions = path.read_text(encoding="utf-8").splitlines()
            video = folder / "videos" / f"{path.stem}.mp4"
            write_video(video, draw_actions(actions, FPS, number), FPS)
