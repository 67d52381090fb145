"""A sweep: a run for each combination of settings (splits, seeds, data sets, ...)."""

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
        options: ``KEY=VALUE,VALUE,...`` each.

    Returns:
        Values by key.

    Raises:
        InputError: a key or a value is missing or repeated.
    """
    axes: dict[str, list[Any]] = {}
    for option in options:
        key, _, joined = option.partition("=")
        values = [parse_yaml(part, f"--sweep {key}") for part in joined.split(",")]
        is_repeated = key in axes or len({str(value) for value in values}) != len(values)
        if not key or None in values or is_repeated:
            fix = "write each value once, as train.seed=0,1,2"
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

    A run goes to ``out/LABEL/LABEL``, a label a key: ``seed0/split1``. With ``data.split: all`` the
    splits of the data set are a further axis. Settings and data sets are checked before anything is
    trained.

    Args:
        config: settings that all runs share.
        out: the folder of the runs.
        axes: values by key with dots.
        resume: score runs that are done, and continue one that was interrupted.
        progress: called with (epochs done, epochs, a short description).

    Returns:
        Means of the figures of `main_figures`, also in ``out/evaluation.json``. The standard
        deviation (n - 1; 0 for a single value) is that of the means of the seeds, or of the runs.

    Raises:
        InputError: there is nothing to sweep over, or settings or data are not valid.
    """
    out = Path(out)
    if not all(axes.values()):
        raise InputError("axes", "a setting without values", "give one at least")
    if not axes and str(config.data.split) != "all":
        raise InputError("axes", "no setting to sweep over", "call train for a single run")
    if (out / "run.json").is_file():
        raise InputError(out, "this is the folder of a run, not of a sweep", "name another out=")
    plans = resolve_all(_combinations(config, axes))
    if str(config.data.split) == "all":
        splits = dict.fromkeys(plan.config.data.split for plan in plans.values())
        axes = {**axes, "data.split": [*splits]}
    is_main = place_in_launch()[0] == 0

    with locked(out, "a training") if is_main else nullcontext():
        runs: dict[str, Figures] = {}
        runs_of_seed: dict[int, list[Figures]] = {}
        n_runs = len(plans)
        for number, label in enumerate(list(plans), start=1):
            plan = plans.pop(label)  # what its data set caches is freed with it
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
    """Resolve several configurations; files of a data set that some of them share are read once.

    Args:
        configs: by label.

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
    """Return a configuration for each split if ``data.split`` is "all", else the one, by split."""
    splits = [config.data.split]
    if str(config.data.split) == "all":
        splits = list(Dataset.splits(config.data))
    return {str(split): with_values(config, {"data.split": split}) for split in splits}


def _combinations(config: Config, axes: Mapping[str, Sequence[Any]]) -> dict[str, Config]:
    """Return the configuration of each run by label, the last axis changing first."""
    configs: dict[str, Config] = {}
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        varied = with_values(config, settings)
        for split, run_config in split_configs(varied).items():
            if str(varied.data.split) == "all":
                settings["data.split"] = split
            label = "/".join(_label(key, value) for key, value in settings.items())
            if label in configs or run_config in configs.values():
                problem = f"{label} is given twice"
                raise InputError("--sweep", problem, "give runs that differ")
            configs[label] = run_config
    return configs


def _label(key: str, value: Any) -> str:
    """Return a folder's name for a setting: "split1", "lr=0.01", "havid_view0_lh_pt"."""
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
    """Return the numbers of an evaluation by which runs are compared.

    With classes held out, S, U, H and AUSUC come first.

    Args:
        result: the details of an `Evaluation`.
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
