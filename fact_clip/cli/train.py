"""fact-clip train."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.arguments import check_new
from fact_clip.cli.console import figures_table, is_secondary, progress
from fact_clip.cli.options import Overrides, Recipe, option
from fact_clip.cli.signals import InterruptedCommandError
from fact_clip.core import InputError, Progress

if TYPE_CHECKING:
    from fact_clip.training.results import Training

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
"""Columns of the table of a sweep, in the usual order of papers. Missing figures are left out."""


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, option("New run folder.")],
    resume: Annotated[bool, option("Continue the interrupted run in --out.", "--resume")] = False,
    sweeps: Annotated[
        list[str] | None,
        option(
            "Train a run for each value. Repeat for all combinations.",
            "--sweep",
            metavar="KEY=V,V",
        ),
    ] = None,
) -> None:
    """Train a model into a run folder.

    With --sweep, the command trains and evaluates one run for each combination of values, in
    RUN/seed0/split1 and so on, and prints a table with the mean and standard deviation.
    data.split=all sweeps over all splits. --resume also continues a sweep. Members of an ensemble
    are trained one after the other, each on all processes of torchrun (docs/scaling.md).

    \b
    Example:
      fact-clip train kscgr data.root=data/kscgr data.split=5 --out runs/k5
      fact-clip train gtea --sweep data.split=1,2,3,4 --sweep train.seed=0,1,2 --out runs/gtea
    """
    from fact_clip import training
    from fact_clip.config import Config, warn_of_unused, with_values
    from fact_clip.training.sweep import read_axes

    overrides = overrides or []
    sweeps = sweeps or []
    axes = read_axes(sweeps)
    for override in overrides:
        key = override.partition("=")[0]
        if key in axes:
            raise InputError(key, "set to one value and also swept", "give it once")
    if not resume or not out.is_dir():
        check_new(out, "give --resume to continue the run there, or a different --out")
    settings = Config.load(config, overrides)

    # Settings are checked in combination, because a swept setting may need a different one.
    configs = []
    for values in islice(product(*axes.values()), MAX_COMBINATIONS):
        configs.append(with_values(settings, dict(zip(axes, values, strict=True))))
    warn_of_unused(configs, [*overrides, *sweeps])

    words = [config, *overrides]
    for axis in sweeps:
        words += ["--sweep", axis]
    is_sweep = bool(axes) or str(settings.data.split) == "all"
    with training_bar(out, words) as report:
        if is_sweep:
            swept = training.sweep(settings, out, axes, resume=resume, progress=report)
        else:
            result = training.train(settings, out, resume=resume, progress=report)
    if is_secondary():
        return
    if is_sweep:
        print(figures_table("run", swept.rows(), [key for key in FIGURES if key in swept.metrics]))
        return
    command = shlex.join(["fact-clip", "evaluate", str(out)])
    print(summary_of(result))
    print(f"the model is in {out}; score it with: {command}")


@contextmanager
def training_bar(out: Path, words: Sequence[str]) -> Iterator[Progress | None]:
    """Show a progress bar, and explain how to continue if training is interrupted.

    Args:
        out: Run folder.
        words: Arguments of ``fact-clip train`` that continue training.

    Yields:
        The function that moves the bar, or None if no bar is shown.
    """
    try:
        with progress("training") as report:
            yield report
    except KeyboardInterrupt:
        command = shlex.join(["fact-clip", "train", *words, "--out", str(out), "--resume"])
        hint = f"continue with: {command}"
        if not any(out.rglob("last.safetensors")):
            hint = "no epoch was finished, so there is nothing to continue"
        raise InterruptedCommandError(hint) from None


def summary_of(result: "Training") -> str:
    """Return the result of `training.train` in one line."""
    line = f"{result.epoch} epochs in {result.seconds:.0f} s, {result.parameters:,} parameters"
    if result.best is not None:
        line += f", best validation score {result.best:.1f}"
    return line
