"""fact-clip evaluate."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import progress, table
from fact_clip.cli.segment import given_actions


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


# Figure of a way -> how it is headed.
COLUMNS = {
    "S": "S",
    "U": "U",
    "H": "H",
    **{f"{group}_f1@{overlap}": f"{group[0]}F1@{overlap}" for group in ("seen", "unseen") for overlap in (10, 25, 50)},
    "edit": "Edit",
    "frame_accuracy": "Acc",
}
_FEWEST = 6
"""Factors of a slot that are shown in full; of more, the best and the worst."""


def zero_shot_table(found: Mapping[str, Any]) -> str:
    """S, U, H and F1 a group each way, AUSUC and gamma; unseen classes, levels and factors below."""
    parts = [
        f"zero-shot: {len(found['unseen'])} unseen classes, {len(found['validation_unseen'])} validation-unseen,"
        f" {len(found['seen'])} seen (background among them); S, U: class means; sF1, uF1: seen and unseen F1",
        _figures("way", found["ways"]),
        f"AUSUC {found['ausuc']:.1f}; gamma {found['gamma']:g} and prior weight {found['prior_weight']:g} in use;"
        f" best H on the curve {found['best_harmonic_mean']:.1f}; unseen labels only {found['unseen_labels_only']:.1f};"
        f" chance {found['chance']:.1f}",
        _classes(found["unseen"]),
    ]
    if len(found["by_level"]) > 1:
        parts.append(_figures("unseen classes", found["by_level"]))
    parts.append(_factors(found["by_factor"]))
    return "\n\n".join(parts)


def _figures(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    cells: list[list[str]] = []
    for name, row in rows.items():
        numbers = [f"{row[key]:.1f}" for key in COLUMNS]
        same = next((other for other in cells if other[1:] == numbers), None)  # as where gamma is 0 in use too
        if same is None:
            cells.append([name, *numbers])
        else:
            same[0] += f" = {name}"
    return table([title, *COLUMNS.values()], cells, right=range(1, len(COLUMNS) + 1))


def _classes(rows: Mapping[str, Mapping[str, Any]]) -> str:
    cells = []
    for name, row in rows.items():
        new = ", ".join(f"{slot} {factor}" for slot, factor in row["new"])
        level = f"{row['level']}: {new}" if new else row["level"]
        cells.append(
            [name, str(row["frames"]), *(_percent(row[key]) for key in ("accuracy", "unseen_labels_only")), level]
        )
    return table(["unseen class", "frames", "accuracy", "unseen labels only", "level"], cells, right=(1, 2, 3))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _factors(slots: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    rows = []
    for slot, factors in slots.items():
        ranked = sorted(factors.items(), key=lambda item: -item[1]["accuracy"])
        shown = ranked if len(ranked) <= _FEWEST else [*ranked[: _FEWEST // 2], *ranked[-_FEWEST // 2 :]]
        listed = [f"{factor} {figures['accuracy']:.0f}" for factor, figures in shown]
        if len(ranked) > len(shown):
            listed.insert(_FEWEST // 2, f"({len(ranked) - len(shown)} more)")
        frames = sum(figures["frames"] for figures in factors.values())
        hits = sum(figures["frames"] * figures["accuracy"] for figures in factors.values())
        rows.append([slot, _percent(hits / frames if frames else None), ", ".join(listed)])
    return table(["slot", "accuracy", "by factor, best and worst"], rows, right=(1,))
