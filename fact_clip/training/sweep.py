"""A sweep: a run for each combination of some settings (splits, seeds, data sets, ...), scored and summed up."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fact_clip.config import Config, with_values
from fact_clip.core import CommandOption, InputError
from fact_clip.core.arguments import validated
from fact_clip.core.distributed import Processes
from fact_clip.core.io import parse_yaml, write_value
from fact_clip.core.paths import file_name, inside, locked
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataFolder
from fact_clip.training.evaluation import Progress, evaluate
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.runs import train
from fact_clip.training.zero_shot import IN_USE

logger = logging.getLogger(__name__)


def read_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The settings of a sweep, ``KEY=VALUE,VALUE,...`` each, as key -> values; each key and value once."""
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, _, listed = text.partition("=")
        values = [parse_yaml(part, f"--sweep {key}") for part in listed.split(",")]
        if not key or None in values or len(set(map(str, values))) != len(values) or key in axes:
            raise InputError(
                CommandOption("--sweep"), f"{text!r}", "write each value once, as train.seed=0,1,2"
            )
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
) -> dict[str, Any]:
    """Train and evaluate a run for each combination of settings (`axes`: key with dots -> values), and sum them up.

    A run goes to ``out/LABEL/LABEL``, a label a key: ``seed0/split1``. With ``data.split: all`` the splits of the data
    set are a further axis. With `resume`, runs that are done are only scored, and one that was cut off continues.
    Settings and data sets are checked before anything is trained.

    Returns:
        ``{"metrics": mean, "sd": sd, "axes": axes, "runs": {label: figures}}``, also in ``out/evaluation.json``, of the
        figures of `main_figures`. sd (n - 1; 0 for a single value) is that of the means of the seeds, or of the runs.
    """
    out = Path(out)
    if not all(axes.values()):
        raise InputError("axes", "a setting without values", "give one at least")
    if not axes and str(config.data.split) != "all":
        raise InputError("axes", "no setting to sweep over", "call train for a single run")
    if (out / "run.json").is_file():
        raise InputError(out, "this is the folder of a run, not of a sweep", "name another --out")
    plans = resolve_all(_combinations(config, axes))
    is_main = Processes(next(iter(plans.values())).device).is_main
    with locked(out, "a training") if is_main else nullcontext():
        runs, seeds = dict[str, dict[str, float]](), dict[int, list[dict[str, float]]]()
        for number, label in enumerate(list(plans), start=1):
            plan, folder = plans.pop(label), out / label  # what it caches goes with it
            if is_main:
                logger.info("run %d of %d: %s", number, number + len(plans), label)
            train(
                plan, folder, resume=resume and (folder / "run.json").is_file(), progress=progress
            )
            runs[label] = main_figures(evaluate(folder, device=plan.config.train.device))
            seeds.setdefault(plan.config.train.seed, []).append(runs[label])
        groups = (
            list(seeds.values())
            if "train.seed" in axes
            else [[figures] for figures in runs.values()]
        )
        means = [_mean(group) for group in groups]
        sd = {
            key: statistics.stdev(mean[key] for mean in means) if len(means) > 1 else 0.0
            for key in means[0]
        }
        result = {"metrics": _mean(list(runs.values())), "sd": sd, "axes": dict(axes), "runs": runs}
        if is_main:
            write_value(inside(out, "evaluation.json"), result)
    return result


def resolve_all(configs: Mapping[str, Config]) -> dict[str, Plan]:
    """Resolve several configurations; files of a data set that some of them share are read once."""
    folders: dict[tuple[str, str | None], DataFolder] = {}
    plans = {}
    for label, config in configs.items():
        key = config.data.name, config.data.root
        folders.setdefault(key, DataFolder(config.data))
        plans[label] = resolve(config, folders[key])
    return plans


def split_configs(config: Config) -> dict[str, Config]:
    """Return a configuration for each split where ``data.split`` is "all", else the one; by the split's name."""
    splits = Dataset.splits(config.data) if str(config.data.split) == "all" else [config.data.split]
    return {str(split): with_values(config, {"data.split": split}) for split in splits}


def _combinations(config: Config, axes: Mapping[str, Sequence[Any]]) -> dict[str, Config]:
    """Return label -> configuration of each run, the last axis changing first."""
    configs, texts = dict[str, Config](), set[str]()
    for values in itertools.product(*axes.values()):
        combination = dict(zip(axes, values, strict=True))
        varied = with_values(config, combination)
        for split, run in split_configs(varied).items():
            settings = (
                {**combination, "data.split": split}
                if str(varied.data.split) == "all"
                else combination
            )
            label = "/".join(_label(key, value) for key, value in settings.items())
            if label in configs or run.to_yaml() in texts:
                raise InputError(
                    CommandOption("--sweep"), f"{label} is given twice", "give runs that differ"
                )
            configs[label] = run
            texts.add(run.to_yaml())
    return configs


def _label(key: str, value: Any) -> str:
    """A folder's name for a setting: "split1", "lr=0.01", "havid_view0_lh_pt"."""
    name = "" if key == "data.name" else key.rpartition(".")[2]
    label = f"{name}{'' if not name or str(value).isalnum() else '='}{value}"
    return file_name("".join(sign if sign.isalnum() or sign in "=.+-_" else "_" for sign in label))


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure that all rows have."""
    return {
        key: statistics.fmean(row[key] for row in rows)
        for key in rows[0]
        if all(key in row for row in rows)
    }


def main_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation by which runs are compared; with classes held out S, U, H, AUSUC come first."""
    numbers = {
        key: float(value)
        for key, value in result["metrics"].items()
        if isinstance(value, int | float)
    }
    zero_shot = result.get("zero_shot")
    if zero_shot is None:
        return numbers
    ways = zero_shot["ways"][IN_USE]
    figures = {key: ways[key] for key in ("S", "U", "H")}
    figures |= {"AUSUC": zero_shot["ausuc"], "H*": zero_shot["best_harmonic_mean"]}
    figures |= {"unseen labels only": zero_shot["unseen_labels_only"], "gamma": zero_shot["gamma"]}
    figures |= {key: value for key, value in zero_shot["diagnostics"].items() if value is not None}
    return (
        figures
        | {key: value for key, value in ways.items() if key.startswith(("seen_", "unseen_"))}
        | numbers
    )
