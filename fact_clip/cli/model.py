"""Which model segments, and which names it looks for: the options that segment and app share."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import check_names, names
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.errors import CommandOption, InputError

if TYPE_CHECKING:
    from fact_clip.inference.segmenter import Segmenter

TrainingFreeFlag = Annotated[
    bool, typer.Option("--training-free", help="No training: --encoder compares pictures with the --actions.")
]
Actions = Annotated[
    str | None, typer.Option(help='Only these: "pour milk, stir". A run whose head reads text takes any.')
]
ActionsFile = Annotated[Path | None, typer.Option(help="As --actions, a name a line, or a mapping.txt.")]
Encoder = Annotated[
    str | None, typer.Option(help="Frame encoder for videos, as clip:ViT-B-32/openai or grid. Default: the run's.")
]
Rate = Annotated[float | None, typer.Option(help="Pictures a second of a video. Default: the run's, or 5.")]
Wording = Annotated[str, typer.Option(help="Training-free: wording of names, plain, person or ensemble.")]
Window = Annotated[
    float | None, typer.Option(help="Seconds that a run's model reads at once; longer videos are read in windows.")
]


def check_one_model(command: str, run: Path | None, training_free: bool) -> None:
    """Raise an InputError unless there is exactly one of a run and no training."""
    if training_free == (run is not None):
        raise InputError(command, "give exactly one of --run and --training-free")


def open_model(
    run: Path | None,
    actions: list[str] | None,
    settings: DecodeSettings | None = None,
    *,
    more: Sequence[str] = (),
    encoder: str | None,
    fps: float | None,
    device: str,
    prompts: str,
    smoothing: float = 1.0,
    window: float | None,
    keep_going: bool,
    trust_encoder: bool = False,
    precision: str = "auto",
) -> tuple[Segmenter, list[str] | None]:
    """Load the model of a run, or one without training; return it with the names that it is to look for.

    An InputError where these or the settings do not fit it. `more` are names beside those of the run.
    """
    from fact_clip.inference.segmenter import check_settings, load, load_training_free
    from fact_clip.inference.training_free import SimilarityScorer

    settings = settings or DecodeSettings()
    if run is not None:
        for option, default in (("--prompts", prompts == "ensemble"), ("--smoothing", smoothing == 1.0)):
            if not default:
                raise InputError(CommandOption(option), "only --training-free reads it", "leave it out")
        how: dict[str, Any] = {"fps": fps, "window": window, "keep_going": keep_going}
        model = load(run, device, encoder=encoder, trust_encoder=trust_encoder, precision=precision, **how)
        actions = [*model.vocabulary, *more] if more else actions
        model.choose(actions, settings)  # wrong names are the fault of no input
        return model, actions
    actions = [*(actions or []), *more]
    if encoder is None or not actions:
        missing = "--encoder" if encoder is None else "--actions"
        fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
        raise InputError(CommandOption("--training-free"), f"no {missing}", fix)
    if window is not None:
        raise InputError(CommandOption("--window"), "only a trained run reads windows", "leave it out")
    check_settings(SimilarityScorer, settings)
    model = load_training_free(
        encoder, actions, device, prompts=prompts, smoothing=smoothing, fps=fps, keep_going=keep_going
    )
    model.choose(actions, settings)
    return model, actions


def given_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """Return the names of --actions or of --actions-file: one a line, or a mapping file ("0 name"); None without."""
    from fact_clip.datasets.layout import read_lines

    if file is None:
        if actions is not None and "\0" not in actions and os.path.isfile(actions):  # noqa: PTH113
            raise InputError(CommandOption("--actions"), f"{actions} is a file", "--actions-file reads a file")
        return names(actions, "--actions")
    if actions is not None:
        raise InputError(CommandOption("--actions"), "give only one of --actions and --actions-file")
    lines = [line for line in read_lines(file, "action names, one a line") if line]
    for line in lines[:2]:  # the first may be a header
        if line[0] in "[{" or re.match(r"\d+[;,\t]", line):
            raise InputError(file, f"{line[:40]!r} is of JSON or a table", "give action names, one a line")
    if lines and all(len(line.split()) > 1 and line.split()[0].isdigit() for line in lines):
        numbers = [int(line.split()[0]) for line in lines]
        if len(set(numbers)) < len(numbers):
            raise InputError(file, "a number twice", "give a mapping file, or action names, one a line")
        lines = [line.split(maxsplit=1)[1] for line in lines]
    if not lines:
        raise InputError(file, "no names", "give action names, one a line")
    check_names(lines, file)
    return lines
