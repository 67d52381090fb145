"""fact-clip evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import progress


def evaluate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, made by train or convert, or its ckpts/best.net.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As data.root=..., where the data has moved.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Score a run on a split.

    Prints the table and writes RUN/evaluation.json (RUN/evaluation_SPLIT.json of other splits than test).

    \b
    Example:
      fact-clip evaluate runs/k5
    """
    from fact_clip import training

    with progress("evaluating") as report:
        result = training.evaluate(run, split, overrides or [], progress=report)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    show(result)


def show(result: dict[str, Any]) -> None:
    """Print what a result of `training.evaluate` is of, and its table."""
    from fact_clip import metrics

    background = "counted" if result["background_counted"] else "not counted"
    count = len(result["videos"])
    print(f"{result['run']}, {result['split']} split, {count} videos; background {background} in edit and F1")
    print(metrics.format_table(result["metrics"]))
