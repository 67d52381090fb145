"""fact-clip evaluate, and evaluations as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fact_clip.cli.arguments import read_actions
from fact_clip.cli.console import is_secondary, print_result, progress, table
from fact_clip.cli.options import AsJson, Device, Precision, Split, TrustEncoder, argument, option
from fact_clip.core import Json
from fact_clip.core.messages import printable

FIGURES = (
    "S",
    "U",
    "H",
    "frame_accuracy",
    "edit",
    "f1@10",
    "f1@25",
    "f1@50",
    "seen_f1@10",
    "seen_f1@25",
    "seen_f1@50",
    "unseen_f1@10",
    "unseen_f1@25",
    "unseen_f1@50",
)
"""Rows of a zero-shot table."""

MAX_FACTORS = 6
"""Maximum number of factors to show per slot. Only the best and the worst of more are shown."""


def evaluate(
    run: Annotated[Path, argument("RUN", "Run folder of train or convert, or its ckpts/best.net.")],
    overrides: Annotated[
        list[str] | None,
        argument(
            "KEY=VALUE",
            "Changed settings of data, decode or evaluation, such as data.root=FOLDER.",
        ),
    ] = None,
    split: Split = "test",
    actions_file: Annotated[
        Path | None,
        option("File with one candidate per line, or a mapping.txt. Default: the run's classes."),
    ] = None,
    trust_encoder: TrustEncoder = False,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate a run on a split.

    The command prints tables and writes RUN/evaluation.json. The file name is different for other
    inputs: evaluation_SPLIT.json for a split other than test, evaluation_actions.json with
    --actions-file, and evaluation_changed.json with changed settings, changed labels or
    --precision bf16. data.root does not change the name. If the head of the model reads text, the
    candidates can have any names.

    \b
    Example:
      fact-clip evaluate runs/k5
      fact-clip evaluate runs/k5 --actions-file fewer.txt
    """
    from fact_clip import training

    overrides = overrides or []
    actions = read_actions(None, actions_file)
    with progress("evaluating") as report:
        result = training.evaluate(
            run,
            split,
            overrides,
            progress=report,
            actions=actions,
            device=device,
            precision=precision,
            trust_encoder=trust_encoder,
        )
    if is_secondary():
        return
    print_result(result.to_dict(), evaluation_text(result.details), as_json)


def evaluation_text(result: Mapping[str, Any]) -> str:
    """Return a result of `training.evaluate` as text: what was evaluated, and the tables."""
    background = "counted" if result["background_counted"] else "not counted"
    lines = [
        f"{result['run']}, {result['split']} split, {len(result['videos'])} videos; "
        f"background {background} in edit and F1"
    ]
    if "overrides" in result:
        settings = " ".join(result["overrides"])
        lines.append(printable(f"with {settings}"))
    if "candidates" in result:
        candidates = result["candidates"]
        n_new = len(candidates["new"])
        line = f"{len(candidates['names'])} candidates, {n_new} of them new to the data set"
        if candidates["left_out"]:
            n_frames = candidates["frames_left_out"]
            line += (
                f"; {len(candidates['left_out'])} classes of the data set are not candidates, "
                f"so their {n_frames} frames ({n_frames / max(candidates['frames'], 1):.1%}) "
                "count as errors"
            )
        lines.append(line)
    metrics = result["metrics"]
    columns = {"": metrics}
    for number, figures in enumerate(result.get("members", ()), start=1):
        columns[f"model {number}"] = figures
    keys = [key for key in metrics if key != "profile"]
    lines.append(_columns_table(columns, keys, f"profile {metrics['profile']}"))
    raw = result["reliability"]["before"]["ece"]
    calibrated = result["reliability"]["after"]
    line = f"calibration error: {raw:.1f} raw"
    if calibrated is not None:
        line += f", {calibrated['ece']:.1f} calibrated"
    lines.append(line)
    if "zero_shot" in result:
        lines += ["", zero_shot_text(result["zero_shot"])]
    return "\n".join(lines)


def zero_shot_text(zero_shot: Json) -> str:
    """Return the zero-shot part of an evaluation as text.

    Args:
        zero_shot: The value of "zero_shot" in the evaluation.

    Returns:
        The figures with and without corrections, AUSUC and gamma, followed by tables of the unseen
        classes, of the levels of novelty, and of the factors.
    """
    shares = {
        key: "-" if value is None else f"{value:.1f}"
        for key, value in zero_shot["diagnostics"].items()
    }
    parts = [
        f"zero-shot: {len(zero_shot['seen'])} seen classes (background included), "
        f"{len(zero_shot['unseen'])} unseen, {len(zero_shot['validation_unseen'])} "
        "validation-unseen\n"
        "S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean",
        _columns_table(zero_shot["ways"]),
        f"AUSUC {zero_shot['ausuc']:.1f}; in use: gamma {zero_shot['gamma']:g}, "
        f"prior weight {zero_shot['prior_weight']:g}; "
        f"H* {zero_shot['best_harmonic_mean']:.1f} (an oracle: gamma chosen on the test videos); "
        f"unseen labels only {zero_shot['unseen_labels_only']:.1f}; "
        f"chance {zero_shot['chance']:.1f}",
        f"AUROC of frames of unseen against seen classes: {shares['auroc']}; "
        f"wrong frames of unseen classes: {shares['called_seen']} % are labelled as a seen class",
        _unseen_table(zero_shot["unseen"]),
    ]
    if len(zero_shot["by_level"]) > 1:
        levels = {f"unseen: {level}": row for level, row in zero_shot["by_level"].items()}
        parts.append(_columns_table(levels))
    parts.append(_factor_table(zero_shot["by_factor"]))
    return "\n\n".join(parts)


def _columns_table(
    columns: Mapping[str, Json], keys: Sequence[str] = FIGURES, head: str = ""
) -> str:
    """Return a table with one row per figure."""
    from fact_clip.metrics import figure_name

    rows = []
    for key in keys:
        values = {name: column[key] for name, column in columns.items()}
        rows.append({head: figure_name(key), **values})
    return table(rows)


def _unseen_table(classes: Mapping[str, Json]) -> str:
    rows = []
    for name, row in classes.items():
        level = row["level"]
        if row["new"]:
            level += ": " + ", ".join(f"{slot} {factor}" for slot, factor in row["new"])
        wrong = row.get("called")
        mistaken = wrong and f"{wrong['name']} ({wrong['share']:.0f} %)"
        rows.append(
            {
                "unseen class": name,
                "frames": row["frames"],
                "accuracy": row["accuracy"],
                "unseen labels only": row["unseen_labels_only"],
                "mostly mistaken for": mistaken,
                "level": level,
            }
        )
    return table(rows)


def _factor_table(slots: Mapping[str, Mapping[str, Json]]) -> str:
    rows = []
    for slot, factors in slots.items():
        frames = sum(figures["frames"] for figures in factors.values())
        hits = sum(figures["frames"] * figures["accuracy"] for figures in factors.values())
        ranked = sorted(factors.items(), key=lambda item: -item[1]["accuracy"])
        texts = [f"{factor} {figures['accuracy']:.0f}" for factor, figures in ranked]
        if len(texts) > MAX_FACTORS:
            half = MAX_FACTORS // 2
            texts[half:-half] = [f"({len(texts) - 2 * half} more)"]
        accuracy = hits / frames if frames else None
        rows.append({"slot": slot, "accuracy": accuracy, "factors, best first": texts})
    return table(rows)
