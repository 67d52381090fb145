"""The zero-shot part of a result of evaluate as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fact_clip.cli.console import table

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
