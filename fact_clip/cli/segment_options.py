"""Options of fact-clip segment that say where segments come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Feature files (.npy), videos, folders of either, or - for a list on stdin."),
]
Run = Annotated[Path | None, typer.Option(help="Run folder of a model that was trained.")]
TrainingFree = Annotated[
    bool, typer.Option("--training-free", help="No training: --encoder compares pictures with the names of --actions.")
]
Actions = Annotated[
    str | None, typer.Option(help='Only these: "pour milk, stir". A run with head "text" takes any names.')
]
MoreActions = Annotated[str | None, typer.Option(help="The classes of the run and these names beside them.")]
ActionsFile = Annotated[Path | None, typer.Option(help="As --actions, a name a line, or a mapping.txt.")]
Encoder = Annotated[str | None, typer.Option(help="Frame encoder for videos, as clip:ViT-B-32/openai or grid.")]
Fps = Annotated[float | None, typer.Option(help="Pictures a second of a video; unset: the run's, or 5.")]
Prompts = Annotated[str, typer.Option(help="Training-free: wording of names, plain, person or ensemble.")]
Threshold = Annotated[
    float | None, typer.Option(help="Training-free: frames in which no action is likelier are background, 0 to 1.")
]
Smoothing = Annotated[float, typer.Option(help="Training-free: seconds over which similarities are averaged.")]
Shortest = Annotated[float, typer.Option(help="Training-free: shorter segments, in seconds, go to a neighbour.")]
Window = Annotated[
    float | None,
    typer.Option(
        help="Seconds that the model of a run reads at once; longer videos go through in windows that overlap."
    ),
]
Media = Annotated[
    str | None,
    typer.Option(help='What files call the video, "https://host/{name}" for Label Studio; unset: its path.'),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Take what decodes of a damaged video, with a warning.")]
