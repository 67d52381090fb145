"""fact-clip evaluate and report: the tables of a result, and the page or the plots of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fact_clip.cli.console import is_secondary, note, print_result, progress, table
from fact_clip.cli.options import (
    AsJson,
    Device,
    Precision,
    Split,
    TrustEncoder,
    given_actions,
    option,
)
from fact_clip.core.errors import CommandOption, InputError, MissingDataError

_RUN = "Run folder, made by train or convert, or its ckpts/best.net."
_CHANGES = "Changed settings of data, decode or evaluation, as data.root=FOLDER if it moved."
_ACTIONS = "Candidate actions, one per line, or a mapping.txt; unset: the run's classes."
_RUNS = "Run folders, or the folder of a sweep for all of its runs."
_OUT = "The page; unset: report.html in RUN, or here for several runs."


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=_RUN)],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help=_CHANGES)
    ] = None,
    split: Split = "test",
    actions_file: Annotated[Path | None, option(_ACTIONS)] = None,
    plot: Annotated[Path | None, option("Write the seen-unseen curve: .png, .svg or .pdf.")] = None,
    with_report: Annotated[
        bool, option("Write the report too, a page beside the result.", "--report")
    ] = False,
    trust_encoder: TrustEncoder = False,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a run on a split.

    Prints the tables and writes RUN/evaluation.json. The file is evaluation_SPLIT.json for another split than test, and
    evaluation_actions.json with --actions-file. A model whose head reads text takes any names as candidates.

    \b
    Example:
      fact-clip evaluate runs/k5
      fact-clip evaluate runs/k5 --actions-file fewer.txt
    """
    from fact_clip import training

    actions = given_actions(None, actions_file)
    if plot is not None:
        from fact_clip.report.plots import check_suffix, curve, save_figure
        from fact_clip.run import Run

        check_suffix(plot)
        if Run.read(run, overrides or []).config.data.holdout is None:
            raise InputError(
                CommandOption("--plot"),
                f"{run} has no unseen classes",
                "train one with data.holdout",
            )
    with progress("evaluating") as report:
        result = training.evaluate(
            run, split, overrides or [], progress=report, actions=actions, device=device, precision=precision,
            trust_encoder=trust_encoder,
        )  # fmt: skip
    if is_secondary():
        return
    if plot is not None:
        note(f"written: {save_figure(curve(result['zero_shot']), plot)}")
    if with_report:
        note(f"written: {write([run], split, has_actions=actions is not None)}")
    print_result(result, as_text(result), as_json)


def as_text(result: Mapping[str, Any]) -> str:
    """Return a result of `training.evaluate` as text: what was scored, and its tables."""
    from fact_clip import metrics

    background = "counted" if result["background_counted"] else "not counted"
    count = len(result["videos"])
    lines = [
        f"{result['run']}, {result['split']} split, {count} videos; background {background} in edit and F1"
    ]
    if "candidates" in result:
        candidates = result["candidates"]
        lines.append(
            f"{len(candidates['names'])} candidates, {len(candidates['new'])} of them new to the data set"
        )
        if candidates["left_out"]:
            share = candidates["frames_left_out"] / max(candidates["frames"], 1)
            lines[-1] += (
                f"; {len(candidates['left_out'])} of its classes are no candidates, so that their"
            )
            lines[-1] += f" {candidates['frames_left_out']} frames ({share:.1%}) count as errors"
    profile, figures = f"profile {result['metrics']['profile']}", dict(result["metrics"])
    del figures["profile"]
    lines.append(
        table([{profile: metrics.figure_name(key), "": value} for key, value in figures.items()])
    )
    before, after = result["reliability"]["before"]["ece"], result["reliability"]["after"]
    calibrated = "" if after is None else f", {after['ece']:.1f} calibrated"
    lines.append(f"calibration error: {before:.1f} raw{calibrated}")
    if "zero_shot" in result:
        lines += ["", zero_shot_table(result["zero_shot"])]
    return "\n".join(lines)


_GROUPS = tuple(f"{group}_f1@{overlap}" for group in ("seen", "unseen") for overlap in (10, 25, 50))
FIGURES = ("S", "U", "H", "frame_accuracy", "edit", "f1@10", "f1@25", "f1@50", *_GROUPS)
"""The rows of a zero-shot table; tables of several runs take the first ones."""
_FEWEST = 6  # factors of a slot that are all shown; of more, the best and the worst


def zero_shot_table(zero_shot: Mapping[str, Any]) -> str:
    """The figures as in use and without corrections, AUSUC and gamma; then unseen classes, levels and factors."""
    shares = {
        key: "-" if value is None else f"{value:.1f}"
        for key, value in zero_shot["diagnostics"].items()
    }
    classes = []
    for name, row in zero_shot["unseen"].items():
        new, wrong = ", ".join(f"{slot} {factor}" for slot, factor in row["new"]), row.get("called")
        facts = {"unseen class": name, "frames": row["frames"], "accuracy": row["accuracy"]}
        facts |= {"unseen labels only": row["unseen_labels_only"]}
        facts |= {"mostly mistaken for": wrong and f"{wrong['name']} ({wrong['share']:.0f} %)"}
        classes.append({**facts, "level": f"{row['level']}: {new}" if new else row["level"]})
    parts = [
        f"zero-shot: {len(zero_shot['seen'])} seen classes (background included), {len(zero_shot['unseen'])} unseen,"
        f" {len(zero_shot['validation_unseen'])} validation-unseen\n"
        "S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean",
        _figures(zero_shot["ways"]),
        f"AUSUC {zero_shot['ausuc']:.1f}; in use: gamma {zero_shot['gamma']:g},"
        f" prior weight {zero_shot['prior_weight']:g};"
        f" H* {zero_shot['best_harmonic_mean']:.1f} (an oracle: gamma chosen on the test videos);"
        f" unseen labels only {zero_shot['unseen_labels_only']:.1f}; chance {zero_shot['chance']:.1f}",
        f"unseen frames told from seen ones: AUROC {shares['auroc']}; compositional gap {shares['compositional_gap']}"
        f" (seen classes {shares['compositional_gap_seen']})\nwrongly named unseen frames: {shares['called_seen']} %"
        f" called a seen class, {shares['collapsed']} % one that is frequent and shares a factor",
        table(classes),
    ]
    if len(zero_shot["by_level"]) > 1:
        parts.append(
            _figures({f"unseen: {level}": row for level, row in zero_shot["by_level"].items()})
        )
    parts.append(_factors(zero_shot["by_factor"]))
    return "\n\n".join(parts)


def _figures(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """A row per figure, a column per way of decoding or group of classes."""
    from fact_clip.metrics import figure_name

    return table(
        [
            {"": figure_name(key), **{name: row[key] for name, row in columns.items()}}
            for key in FIGURES
        ]
    )


def _factors(slots: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    rows = []
    for slot, factors in slots.items():
        ranked = sorted(factors.items(), key=lambda item: -item[1]["accuracy"])
        listed = [f"{factor} {figures['accuracy']:.0f}" for factor, figures in ranked]
        if len(ranked) > _FEWEST:
            half = _FEWEST // 2
            listed[half:-half] = [f"({len(ranked) - 2 * half} more)"]
        frames = sum(figures["frames"] for figures in factors.values())
        hits = sum(figures["frames"] * figures["accuracy"] for figures in factors.values())
        rows.append(
            {
                "slot": slot,
                "accuracy": hits / frames if frames else None,
                "factors, best first": listed,
            }
        )
    return table(rows)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help=_RUNS)],
    out: Annotated[Path | None, option(_OUT)] = None,
    split: Split = "test",
    plots: Annotated[
        Path | None, option("Write plots into this folder, as PNG and SVG, and no page.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write the report of one or more runs: a page to look at, or plots for a paper.

    The page is one HTML file that opens from disk and loads nothing: figures, timelines, confusions, boundaries,
    classes, uncertain segments. Several runs stand side by side. A run that was not evaluated by this version is
    evaluated first.

    \b
    Example:
      fact-clip report runs/k5
      fact-clip report runs/a runs/b --out compared.html
      fact-clip report runs/k5 --plots plots
    """
    from fact_clip.core.distributed import pick_device

    if plots is not None and out is not None:
        raise InputError(
            CommandOption("--out"), "--plots writes no page", "give one of --out and --plots"
        )
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(CommandOption("--out"), f"{out} is not a page", "name it NAME.html")
    pick_device(device, "--device")
    if plots is None:
        path = write(runs, split, out, device=device)
        print(f"written: {path} ({path.resolve().as_uri()})")
        return
    from fact_clip.report import summary
    from fact_clip.report.plots import save_plots
    from fact_clip.run import evaluation_stem
    from fact_clip.training.embeddings import embedding_spaces

    (folders, _), stem = summary.evaluations(runs), evaluation_stem(split)
    _evaluate_missing(folders, split, stem, device)
    for evaluated, folder in zip(summary.read(folders, stem), folders, strict=True):
        vocabulary, spaces = embedding_spaces(folder, split, device)
        target = plots if len(folders) == 1 else plots / evaluated.title
        for path in save_plots(evaluated, spaces, vocabulary, target):
            print(path)


def write(
    runs: Sequence[Path],
    split: str = "test",
    out: Path | None = None,
    *,
    device: str = "auto",
    has_actions: bool = False,
) -> Path:
    """Write the page of some runs, which are evaluated where that is still to be done, and give back its path."""
    from fact_clip.core.paths import check_place
    from fact_clip.report import summary
    from fact_clip.run import evaluation_stem

    (folders, sweeps), stem = summary.evaluations(runs), evaluation_stem(split, has_actions)
    path = summary.page_path(folders, stem, out)
    check_place(path)  # before a run is evaluated, which may take minutes
    _evaluate_missing(folders, split, stem, device)
    return summary.save_report(summary.read(folders, stem), path, sweeps)


def _evaluate_missing(folders: Sequence[Path], split: str, stem: str, device: str) -> None:
    """Evaluate the runs that lack what the report is made from."""
    from fact_clip import training
    from fact_clip.run import Run

    for folder in folders:
        Run.read(folder)
        if all((folder / f"{stem}{suffix}").is_file() for suffix in (".json", ".npz")):
            continue
        try:
            with progress(f"evaluating {folder.name}") as bar:
                training.evaluate(folder, split, progress=bar, device=device)
        except MissingDataError as error:
            fix = f"evaluate it where its data are: fact-clip evaluate {folder} data.root=FOLDER"
            raise InputError(error.where, error.problem, fix) from None
