"""One recipe with several seeds: each trained and scored, then mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fact_clip import checkpoint
from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.training.evaluation import Progress
from fact_clip.training.trainer import train_all_splits, train_and_evaluate
from fact_clip.training.variants import train_variants
from fact_clip.training.zero_shot import IN_USE


def train_seeds(
    config: Config, out: str | Path, seeds: Sequence[int], *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train and evaluate one run a seed into ``out/seedN``; with ``resume`` each goes on where it was cut off.

    A recipe with ``data.split=all``, or of several data sets, gives its means for each seed.

    Args:
        config: the recipe; its ``train.seed`` is replaced.
        out: folder of the runs.
        seeds: the seeds, each once.
        resume, progress: as in :func:`fact_clip.training.train`.

    Returns:
        ``{"seeds": {seed: figures}, "mean": figures, "sd": figures}``, written to ``out/evaluation.json`` with the mean
        as "metrics". The figures are those of `main_figures`; sd is that of a sample (n - 1), 0 with one seed.

    Raises:
        InputError: no seed, or one twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError("--seeds", f"{list(seeds)}", "different whole numbers, as 0,1,2")
    out = Path(out)
    results: dict[str, dict[str, float]] = {}
    for seed in seeds:
        one = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
        results[str(seed)] = _one(one, out / f"seed{seed}", resume, progress)
    table = {key: [figures[key] for figures in results.values()] for key in next(iter(results.values()))}
    mean = {key: statistics.fmean(values) for key, values in table.items()}
    sd = {key: statistics.stdev(values) if len(values) > 1 else 0.0 for key, values in table.items()}
    checkpoint.write_json(out / "evaluation.json", {"metrics": mean, "sd": sd, "seeds": results})
    return {"seeds": results, "mean": mean, "sd": sd}


def _one(config: Config, folder: Path, resume: bool, progress: Progress | None) -> dict[str, float]:
    if "{" in config.data.name:
        return main_figures({"metrics": train_variants(config, folder, resume=resume, progress=progress)["mean"]})
    if str(config.data.split) == "all":
        return main_figures({"metrics": train_all_splits(config, folder, resume=resume, progress=progress)["mean"]})
    return main_figures(train_and_evaluate(config, folder, resume=resume, progress=progress))


def main_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation by which runs are compared, in percent but for gamma.

    With classes held out S, U, H, AUSUC, unseen labels only, gamma, and F1 a group come first.
    """
    numbers = {key: value for key, value in result["metrics"].items() if isinstance(value, int | float)}
    found = result.get("zero_shot")
    if found is None:
        return numbers
    ways = found["ways"][IN_USE]
    groups = {key: value for key, value in ways.items() if key.startswith(("seen_", "unseen_"))}
    first = {key: ways[key] for key in ("S", "U", "H")}
    rest = {"AUSUC": found["ausuc"], "unseen labels only": found["unseen_labels_only"], "gamma": found["gamma"]}
    return {**first, **rest, **groups, **numbers}
