"""A sweep: one run for each combination of settings, such as splits, seeds and data sets."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fact_clip.config import Config, with_values
from fact_clip.core import InputError, Progress
from fact_clip.core.arguments import validated
from fact_clip.core.io import parse_yaml, write_value
from fact_clip.core.launch import place_in_launch
from fact_clip.core.paths import file_name, inside, locked
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataFolder
from fact_clip.evaluation.results import Figures
from fact_clip.evaluation.split_evaluation import evaluate, metrics_only
from fact_clip.evaluation.zero_shot import IN_USE
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.results import Sweep
from fact_clip.training.runs import train

logger = logging.getLogger(__name__)


def read_axes(options: Sequence[str]) -> dict[str, list[Any]]:
    """Read the settings of a sweep.

    Args:
        options: Strings ``KEY=VALUE,VALUE,...``.

    Returns:
        Values by key.

    Raises:
        InputError: A key or a value is missing or repeated.
    """
    axes: dict[str, list[Any]] = {}
    for option in options:
        key, _, joined = option.partition("=")
        values = [parse_yaml(part, f"--sweep {key}") for part in joined.split(",")]
        is_repeated = key in axes or len({str(value) for value in values}) != len(values)
        if not key or None in values or is_repeated:
            fix = "write each value once, such as train.seed=0,1,2"
            raise InputError("--sweep", f"{option!r}", fix)
        axes[key] = values
    return axes


@validated()
def sweep(
    config: Config,
    out: str | Path,
    axes: Mapping[str, Sequence[Any]],
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Sweep:
    """Train and evaluate a run for each combination of settings, and average their figures.

    A run is saved in ``out/LABEL/LABEL``, with one label for each key: ``seed0/split1``. With
    ``data.split: all``, the splits of the data set form an additional axis. Settings and data sets
    are checked before training starts.

    Args:
        config: Settings that all runs share.
        out: Folder of the runs.
        axes: Values by dotted key.
        resume: Whether to evaluate completed runs and continue an interrupted one.
        progress: Function called with (completed epochs, epochs, a short description).

    Returns:
        Means of the figures of `main_figures`, also in ``out/evaluation.json``. With several seeds,
        the standard deviation is computed from the means of the seeds, otherwise from the runs. It
        uses n - 1, and is 0 for a single value.

    Raises:
        InputError: There is nothing to vary, or settings or data are invalid.
    """
    out = Path(out)
    if not all(axes.values()):
        raise InputError("axes", "a setting without values", "give at least one value")
    if not axes and str(config.data.split) != "all":
        raise InputError("axes", "no setting to vary", "call train for a single run")
    if (out / "run.json").is_file():
        raise InputError(out, "the folder of a run, not of a sweep", "name a different out=")
    plans = resolve_all(_combinations(config, axes))
    if str(config.data.split) == "all":
        splits = dict.fromkeys(plan.config.data.split for plan in plans.values())
        axes = {**axes, "data.split": [*splits]}
    is_main = place_in_launch()[0] == 0

    with locked(out, "a training run") if is_main else nullcontext():
        runs: dict[str, Figures] = {}
        runs_of_seed: dict[int, list[Figures]] = {}
        n_runs = len(plans)
        for number, label in enumerate(list(plans), start=1):
            plan = plans.pop(label)  # also frees the cache of its data set
            if is_main:
                logger.info("run %d of %d: %s", number, n_runs, label)
            folder = out / label
            is_begun = (folder / "run.json").is_file()
            train(plan, folder, resume=resume and is_begun, progress=progress)
            figures = main_figures(evaluate(folder, device=plan.config.train.device).details)
            runs[label] = figures
            runs_of_seed.setdefault(plan.config.train.seed, []).append(figures)
        groups = [[figures] for figures in runs.values()]
        if "train.seed" in axes:
            groups = list(runs_of_seed.values())
        result = Sweep(
            metrics=_mean(list(runs.values())),
            sd=_standard_deviation([_mean(group) for group in groups]),
            axes=dict(axes),
            runs=runs,
        )
        if is_main:
            write_value(inside(out, "evaluation.json"), result)
    return result


def resolve_all(configs: Mapping[str, Config]) -> dict[str, Plan]:
    """Resolve several configurations. Files of a shared data set are read once.

    Args:
        configs: Configurations by label.

    Returns:
        Plans by label.
    """
    folders: dict[tuple[Any, ...], DataFolder] = {}
    plans = {}
    for label, config in configs.items():
        data = config.data
        key = (data.name, data.root, data.fps, data.layout)
        if key not in folders:
            folders[key] = DataFolder(data)
        plans[label] = resolve(config, folders[key])
    return plans


def split_configs(config: Config) -> dict[str, Config]:
    """Return configurations by split: one for each split if ``data.split`` is "all"."""
    splits = [config.data.split]
    if str(config.data.split) == "all":
        splits = list(Dataset.splits(config.data))
    return {str(split): with_values(config, {"data.split": split}) for split in splits}


def _combinations(config: Config, axes: Mapping[str, Sequence[Any]]) -> dict[str, Config]:
    """Return the configuration of each run by label. The last axis changes fastest."""
    configs: dict[str, Config] = {}
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        varied = with_values(config, settings)
        for split, run_config in split_configs(varied).items():
            if str(varied.data.split) == "all":
                settings["data.split"] = split
            label = "/".join(_label(key, value) for key, value in settings.items())
            if label in configs or run_config in configs.values():
                problem = f"{label} is repeated"
                raise InputError("--sweep", problem, "give different values for each run")
            configs[label] = run_config
    return configs


def _label(key: str, value: Any) -> str:
    """Return a folder name for a setting: "split1", "lr=0.01" or "havid_view0_lh_pt"."""
    label = str(value)
    if key != "data.name":
        name = key.rpartition(".")[2]
        label = f"{name}{value}" if label.isalnum() else f"{name}={value}"
    return file_name("".join(sign if sign.isalnum() or sign in "=.+-_" else "_" for sign in label))


def _mean(rows: Sequence[Figures]) -> Figures:
    """Return the mean of each figure that all rows have."""
    means = {}
    for key in rows[0]:
        if all(key in row for row in rows):
            means[key] = statistics.fmean(row[key] for row in rows)
    return means


def _standard_deviation(means: Sequence[Figures]) -> Figures:
    if len(means) == 1:
        return dict.fromkeys(means[0], 0.0)
    keys = [key for key in means[0] if all(key in mean for mean in means)]
    return {key: statistics.stdev(mean[key] for mean in means) for key in keys}


def main_figures(result: Mapping[str, Any]) -> Figures:
    """Return the figures of an evaluation for comparing runs.

    With held-out classes, S, U, H and AUSUC come first.

    Args:
        result: Details of an `Evaluation`.
    """
    numbers = metrics_only(result["metrics"])
    zero_shot = result.get("zero_shot")
    if zero_shot is None:
        return numbers
    in_use = zero_shot["ways"][IN_USE]
    figures = {key: in_use[key] for key in ("S", "U", "H")}
    figures["AUSUC"] = zero_shot["ausuc"]
    figures["H*"] = zero_shot["best_harmonic_mean"]
    figures["unseen labels only"] = zero_shot["unseen_labels_only"]
    figures["gamma"] = zero_shot["gamma"]
    for key, value in zero_shot["diagnostics"].items():
        if value is not None:
            figures[key] = value
    for key, value in in_use.items():
        if key.startswith(("seen_", "unseen_")):
            figures[key] = value
    return figures | numbers
