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
"""Columns of the table of a sweep, where its runs have them, in the order of papers."""


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, option("Run folder to write; a new one.")],
    resume: Annotated[bool, option("Continue the interrupted run in --out.", "--resume")] = False,
    sweeps: Annotated[
        list[str] | None,
        option(
            "Train and score a run for each value; repeat for combinations.",
            "--sweep",
            metavar="KEY=V,V",
        ),
    ] = None,
) -> None:
    """Train a model into a run folder.

    With --sweep a run is trained and scored for each value, or each combination of values, into
    RUN/seed0/split1 and so on; the table has a row for each, their mean and standard deviation.
    data.split=all sweeps over all splits. With --resume a sweep continues too. Members of an
    ensemble share the processes of torchrun (docs/scaling.md).

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
            raise InputError(key, "set to one value and swept", "give it once")
    if not resume or not out.is_dir():
        check_new(out, "give --resume to continue the run there, or another --out")
    settings = Config.load(config, overrides)

    # A swept setting may be what another setting needs, so settings are checked in combination.
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
    """Show a progress bar, and explain how to continue if the training is interrupted.

    Args:
        out: the run folder.
        words: the arguments of ``fact-clip train`` that continue the training.

    Yields:
        The function that moves the bar, or None.
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
    """Return the result of `training.train` as a line."""
    line = f"{result.epoch} epochs in {result.seconds:.0f} s, {result.parameters:,} parameters"
    if result.best is not None:
        line += f", best validation score {result.best:.1f}"
    return line
