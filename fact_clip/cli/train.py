"""fact-clip train."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import Overrides, Recipe, is_secondary, progress, table
from fact_clip.cli.signals import InterruptedCommandError


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="Run folder to write; a new one.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in --out.")] = False,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", help="Train and score a run for each value; repeat for combinations.", metavar="KEY=V,V"
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Short for --sweep train.seed=0,1,2.", metavar="N,N")] = None,
) -> None:
    """Train a model into a run folder.

    With --sweep a run is trained and scored for each value, or each combination of values, into RUN/seed0/split1 and so
    on; the table has a row for each, their mean and standard deviation. data.split=all sweeps over all splits. With
    --resume a sweep continues too.

    \b
    Example:
      fact-clip train kscgr data.root=../shared/data/kscgr data.split=5 --out runs/k5
      fact-clip train gtea --sweep data.split=1,2,3,4 --sweep train.seed=0,1,2 --out runs/gtea
    """
    from fact_clip import training
    from fact_clip.config import Config
    from fact_clip.core import InputError
    from fact_clip.core.errors import CommandOption, ConfigKey
    from fact_clip.training.plan import warn_of_unused, with_values
    from fact_clip.training.sweep import read_axes

    settings = Config.load(config, overrides or [])
    numbers = [] if seeds is None else seeds.split(",")
    if not all(number.isascii() and number.isdecimal() and len(number) < 11 for number in numbers) or len(
        set(numbers)
    ) != len(numbers):
        raise InputError(CommandOption("--seeds"), f"{seeds!r} is not a list of different whole numbers such as 0,1,2")
    sweep_options = [*([f"train.seed={seeds}"] if numbers else []), *(sweeps or [])]
    axes = read_axes(sweep_options)
    for override in overrides or []:
        if (key := override.partition("=")[0]) in axes:
            raise InputError(ConfigKey(key), "set to one value and swept", "give it once")
    if out.exists() and not out.is_dir():
        raise InputError(out, "this is a file", "name a new folder")
    if not resume and out.exists() and any(out.iterdir()):
        fix = "give --resume to continue the run there, or another --out"
        raise InputError(out, "the folder is not empty", fix)
    combinations = islice(product(*axes.values()), MAX_COMBINATIONS)  # a swept setting may be what another one needs
    configs = [with_values(settings, dict(zip(axes, values, strict=True))) for values in combinations]
    warn_of_unused(configs, [*(overrides or []), *(sweeps or [])])
    try:
        if axes or str(settings.data.split) == "all":
            with progress("training") as report:
                result = training.sweep(settings, out, axes, resume=resume, progress=report)
            if not is_secondary():
                print(_sweep_table(result))
        else:
            with progress("training") as report:
                facts = training.train(settings, out, resume=resume, progress=report)
            if is_secondary():
                return
            best = "" if facts["best"] is None else f", best validation {settings.train.select} {facts['best']:.1f}"
            print(f"{facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters{best}")
            print(f"the model is in {out}; score it with: {shlex.join(['fact-clip', 'evaluate', str(out)])}")
    except KeyboardInterrupt:
        raise InterruptedCommandError(how_to_continue(config, overrides or [], out, sweep_options)) from None


MAX_COMBINATIONS = 1000

FIGURES = (
    "S",
    "U",
    "H",
    "AUSUC",
    "H*",
    "f1@10",
    "f1@25",
    "f1@50",
    "edit",
    "frame_accuracy",
    "frame_accuracy_foreground",
)
"""The columns of the table of a sweep, where a run has them; the order is that of the papers."""


def _sweep_table(result: Mapping[str, Any]) -> str:
    """A row a run with its main figures, then their mean and standard deviation, in percent."""
    from fact_clip.metrics.report import figure_name

    mean = result["metrics"]
    figures = [key for key in FIGURES if key in mean]
    rows = [
        [name, *(f"{row[key]:.1f}" for key in figures)]
        for name, row in [*result["runs"].items(), ("mean", mean), ("sd", result["sd"])]
    ]
    return table(["run", *map(figure_name, figures)], rows, right=range(1, len(figures) + 1))


def how_to_continue(config: str, overrides: list[str], out: Path, sweeps: Sequence[str] = ()) -> str:
    """The message after an interruption: the command that continues."""
    if not any(out.rglob("last.safetensors")):
        return "no epoch was finished, so there is nothing to continue"
    sweep_words = [word for axis in sweeps for word in ("--sweep", axis)]
    words = ["fact-clip", "train", config, *overrides, *sweep_words, "--out", str(out), "--resume"]
    return f"continue with: {shlex.join(words)}"
