"""fact-clip evaluate."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.actions import given_actions
from fact_clip.cli.console import progress


def evaluate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, made by train or convert, or its ckpts/best.net.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As data.root=..., where the data has moved.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    actions_file: Annotated[
        Path | None, typer.Option(help="The candidates: a name a line, or a mapping.txt; unset: the vocabulary.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Seen-unseen curve to draw: .png, .svg or .pdf.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Score a run on a split.

    Prints the tables and writes RUN/evaluation.json (RUN/evaluation_SPLIT.json of other splits than test), or with
    --actions-file RUN/evaluation_actions.json. A model with head "text" takes any names as candidates.

    \b
    Example:
      fact-clip evaluate runs/k5
      fact-clip evaluate runs/k5 --actions-file fewer.txt
    """
    from fact_clip import training

    actions = given_actions(None, actions_file)
    _check_plot(plot)
    with progress("evaluating") as report:
        result = training.evaluate(run, split, overrides or [], progress=report, actions=actions, device=device)
    if plot is not None:
        _plot(result, plot)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    show(result)


def show(result: dict[str, Any]) -> None:
    """Print what a result of `training.evaluate` is of, and its table."""
    from fact_clip import metrics
    from fact_clip.cli.zero_shot_table import zero_shot_table

    background = "counted" if result["background_counted"] else "not counted"
    count = len(result["videos"])
    print(f"{result['run']}, {result['split']} split, {count} videos; background {background} in edit and F1")
    if "candidates" in result:
        print(_candidates(result["candidates"]))
    print(metrics.format_table(result["metrics"]))
    if "zero_shot" in result:
        print(f"\n{zero_shot_table(result['zero_shot'])}")


def _candidates(found: Mapping[str, Any]) -> str:
    share = found["frames_left_out"] / max(found["frames"], 1)
    text = f"{len(found['names'])} candidates, {len(found['new'])} of them new to the data set"
    if found["left_out"]:
        text += (
            f"; {len(found['left_out'])} of its classes are none, and their {found['frames_left_out']} frames"
            f" ({share:.1%}) count as errors"
        )
    return text


def _check_plot(plot: Path | None) -> None:
    if plot is not None:
        from fact_clip.report import check_suffix

        check_suffix(plot)


def _plot(result: Mapping[str, Any], plot: Path) -> None:
    from fact_clip.core import InputError
    from fact_clip.report import save_curve

    if "zero_shot" not in result:
        raise InputError("--plot", "a run without unseen classes", "one that was trained with data.holdout")
    found = result["zero_shot"]
    save_curve({f"AUSUC {found['ausuc']:.1f}": found["curve"]}, plot, used=found["ways"]["in use"])
    print(f"written: {plot}", file=sys.stderr)
