"""fact-clip train, share and plugins: a run, a run for others, and parts of theirs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import (
    InterruptedCommandError,
    Progress,
    figures_table,
    is_secondary,
    print_result,
    progress,
    table,
)
from fact_clip.cli.options import AsJson, Overrides, Recipe, check_new, check_run, option, refuse
from fact_clip.core.errors import ConfigKey, InputError

_SWEEP = "Train and score a run for each value; repeat for combinations."
MAX_COMBINATIONS = 1000

FIGURES = (
    *("S", "U", "H", "AUSUC", "H*", "f1@10", "f1@25", "f1@50", "edit"),
    *("frame_accuracy", "frame_accuracy_foreground"),
)
"""The columns of the table of a sweep, where a run has them; the order is that of the papers."""


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, option("Run folder to write; a new one.")],
    resume: Annotated[bool, option("Continue the interrupted run in --out.", "--resume")] = False,
    sweeps: Annotated[list[str] | None, option(_SWEEP, "--sweep", metavar="KEY=V,V")] = None,
    seeds: Annotated[str | None, option("Short for --sweep train.seed=0,1,2.", metavar="N,N")] = None,
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
    from fact_clip.config import with_values
    from fact_clip.training.estimate import load_config
    from fact_clip.training.plan import warn_of_unused
    from fact_clip.training.sweep import read_axes

    typed = overrides or []
    if seeds is not None and not all(number.isascii() and number.isdecimal() for number in seeds.split(",")):
        raise refuse("--seeds", f"{seeds!r} is not a list of whole numbers such as 0,1,2")
    sweep_options = [*([] if seeds is None else [f"train.seed={seeds}"]), *(sweeps or [])]
    axes = read_axes(sweep_options)
    for override in typed:
        if (key := override.partition("=")[0]) in axes:
            raise InputError(ConfigKey(key), "set to one value and swept", "give it once")
    if not resume or not out.is_dir():
        check_new(out, fix="give --resume to continue the run there, or another --out")
    settings = load_config(config, typed, out / "config.yaml" if resume else None, bool(axes))
    combinations = islice(product(*axes.values()), MAX_COMBINATIONS)  # a swept setting may be what another one needs
    configs = [with_values(settings, dict(zip(axes, values, strict=True))) for values in combinations]
    warn_of_unused(configs, [*typed, *(sweeps or [])])
    again = [config, *typed, *(word for axis in sweep_options for word in ("--sweep", axis))]
    with training_bar(out, again) as report:
        if not axes and str(settings.data.split) != "all":
            facts = training.train(settings, out, resume=resume, progress=report)
        else:
            result = training.sweep(settings, out, axes, resume=resume, progress=report)
            if not is_secondary():
                rows = {**result["runs"], "mean": result["metrics"], "sd": result["sd"]}
                print(figures_table("run", rows, [key for key in FIGURES if key in result["metrics"]]))
            return
    if not is_secondary():
        print(summary_of(facts, settings.train.select))
        print(f"the model is in {out}; score it with: {shlex.join(['fact-clip', 'evaluate', str(out)])}")


@contextmanager
def training_bar(out: Path, again: Sequence[str]) -> Iterator[Progress | None]:
    """A progress bar; an interruption says how the training goes on, by `fact-clip train` and the words `again`."""
    try:
        with progress("training") as report:
            yield report
    except KeyboardInterrupt:
        hint = f"continue with: {shlex.join(['fact-clip', 'train', *again, '--out', str(out), '--resume'])}"
        if not any(out.rglob("last.safetensors")):
            hint = "no epoch was finished, so there is nothing to continue"
        raise InterruptedCommandError(hint) from None


def summary_of(facts: Mapping[str, Any], select: str = "") -> str:
    """Say in a line what `training.train` did; with the best of the figures by which weights were selected."""
    best = f", best validation {select} {facts['best']:.1f}" if select and facts["best"] is not None else ""
    return f"{facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters{best}"


# --- share and plugins ------------------------------------------------------------------------------------------------

_RUN = "Run folder, made by train or convert."
_LICENCE = "Licence of the model, as the hub writes it: mit, apache-2.0, cc-by-4.0, ..."


def share(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=_RUN)],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository, which is made if there is none.")
    ],
    private: Annotated[bool, option("Make it private, if it is new.", "--private")] = False,
    message: Annotated[str | None, option("Message of the commit.")] = None,
    licence: Annotated[str, option(_LICENCE)] = "mit",
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Anyone may then name it hf://OWNER/NAME wherever a run folder is named. Uploaded are the weights, settings, classes,
    calibrations and evaluation.json; no logs and no optimiser. Needs the extra 'hub' and a login. See docs/sharing.md.

    \b
    Example:
      fact-clip share runs/mine OWNER/NAME --private
      fact-clip segment my.mp4 --run hf://OWNER/NAME
    """
    check_run(run)
    from fact_clip.run import share as upload

    print(upload(run, repository, private=private, message=message, licence=licence))


def plugins(as_json: AsJson = False) -> None:
    """List the parts that installed packages add: encoders, heads, formats and metrics.

    Each is loaded once, to say whether it works. See docs/extending.md.

    \b
    Example:
      fact-clip plugins --json
    """
    from fact_clip.core.plugins import list_plugins
    from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
    from fact_clip.formats import FORMATS
    from fact_clip.metrics.report import METRICS
    from fact_clip.models.heads import HEADS

    rows = list_plugins([FRAME_ENCODERS, TEXT_ENCODERS, HEADS, FORMATS, METRICS])
    print_result(rows, table(rows) if rows else "no plug-ins", as_json)
