"""fact-clip train."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import Overrides, Recipe, progress, table

if TYPE_CHECKING:
    from fact_clip.config import Config


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="Run folder to write; a new one.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    seeds: Annotated[str | None, typer.Option(help="Train and score one run a seed: 0,1,2.", metavar="N,N")] = None,
) -> None:
    """Train a model into a run folder.

    With data.split=all every split is trained and scored in turn, into RUN/split1, RUN/split2 and so on. With
    alternatives in braces, 'data.name=havid_view{0,1,2}_{lh,rh}_pt', so is every data set of these names. With
    --seeds so is every seed, into RUN/seed0 and so on, and mean and standard deviation are printed.

    \b
    Example:
      fact-clip train kscgr data.root=../shared/data/kscgr data.split=5 --out runs/k5
    """
    from fact_clip.config import Config
    from fact_clip.core import InputError

    settings, several = Config.load(config, overrides or []), _seeds(seeds)
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        todo = "give --resume to go on with the run there, or another --out"
        raise InputError(out, "already there and not empty", "a new folder", todo)
    try:
        if several is not None:
            _train_seeds(settings, out, several, resume)
        elif "{" in settings.data.name:
            _train_variants(settings, out, resume)
        elif settings.data.split == "all":
            _train_each(settings, out, resume)
        else:
            _train_one(settings, out, resume)
    except KeyboardInterrupt:
        print(f"fact-clip: interrupted; {how_to_go_on(config, overrides or [], out, seeds)}", file=sys.stderr)
        raise typer.Exit(130) from None


def _train_one(settings: Config, out: Path, resume: bool) -> None:
    from fact_clip import training

    with progress("training") as report:
        facts = training.train(settings, out, resume=resume, progress=report)
    best = "" if facts["best"] is None else f", best validation {settings.train.select} {facts['best']:.1f}"
    print(f"{facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters{best}")
    print(f"the model is in {out}; score it with: {shlex.join(['fact-clip', 'evaluate', str(out)])}")


def _train_each(settings: Config, out: Path, resume: bool) -> None:
    from fact_clip import training

    with progress("training each split") as report:
        result = training.train_all_splits(settings, out, resume=resume, progress=report)
    print(split_table(result["splits"], result["mean"]))


def _train_variants(settings: Config, out: Path, resume: bool) -> None:
    from fact_clip import training

    with progress("training each data set") as report:
        result = training.train_variants(settings, out, resume=resume, progress=report)
    print(split_table(result["variants"], result["mean"], "data set"))
    grid = pair_table(settings.data.name, result["variants"])
    if grid:
        print(f"\n{grid}")


def _train_seeds(settings: Config, out: Path, seeds: list[int], resume: bool) -> None:
    from fact_clip import training

    with progress("training each seed") as report:
        result = training.train_seeds(settings, out, seeds, resume=resume, progress=report)
    print(seed_table(result))


def _seeds(text: str | None) -> list[int] | None:
    from fact_clip.core import InputError

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError("--seeds", repr(text), "whole numbers, as 0,1,2") from None


def seed_table(result: dict[str, Any]) -> str:
    """One row a figure: its mean and standard deviation, and the figure of each seed."""
    header = ["figure", "mean", "sd", *(f"seed {seed}" for seed in result["seeds"])]
    rows = []
    for key, mean in result["mean"].items():
        numbers = [mean, result["sd"][key], *(figures[key] for figures in result["seeds"].values())]
        rows.append([PAPER_COLUMNS.get(key, key.replace("_", " ")), *(f"{number:.1f}" for number in numbers)])
    return table(header, rows, right=range(1, len(header)))


def pair_table(pattern: str, results: dict[str, dict[str, Any]]) -> str:
    """Two alternatives of a pattern against each other, F1@50 / Edit / Acc a cell; empty of another number of them."""
    from fact_clip.config import expand, several

    axes = several(pattern)
    if len(axes) != 2:
        return ""
    shown = iter(
        " / ".join(f"{results[name][key]:.1f}" for key in ("f1@50", "edit", "frame_accuracy"))
        for name in expand(pattern)
    )
    rows = [[row, *(next(shown) for _ in axes[1])] for row in axes[0]]
    return table(["F1@50 / Edit / Acc", *axes[1]], rows, right=range(1, len(axes[1]) + 1))


PAPER_COLUMNS = {"f1@10": "F1@10", "f1@25": "F1@25", "f1@50": "F1@50", "edit": "Edit", "frame_accuracy": "Acc"}
"""The columns that papers print, in their order, by our names."""


def split_table(splits: dict[str, dict[str, Any]], mean: dict[str, Any], title: str = "split") -> str:
    """One row a split, or whatever the title says, and a last one with the mean, in percent.

    F1@{10,25,50}, Edit and Acc come first, then any other figures.
    """
    numbers = [key for key, value in mean.items() if isinstance(value, int | float)]
    figures = [key for key in PAPER_COLUMNS if key in numbers] + [key for key in numbers if key not in PAPER_COLUMNS]
    rows = [[name, *(f"{of[key]:.1f}" for key in figures)] for name, of in [*splits.items(), ("mean", mean)]]
    header = [title, *(PAPER_COLUMNS.get(key, key) for key in figures)]
    return table(header, rows, right=range(1, len(figures) + 1))


def how_to_go_on(config: str, overrides: list[str], out: Path, seeds: str | None = None) -> str:
    """What a person is told of an interrupted run."""
    if not any(out.rglob("last.safetensors")):
        return "no epoch was finished, so there is nothing to go on with"
    several = [] if seeds is None else ["--seeds", seeds]
    command = ["fact-clip", "train", config, *overrides, *several, "--out", str(out), "--resume"]
    return "go on with: " + shlex.join(command)
