"""One recipe on several data sets that differ in their names alone, as HA-ViD's views and hands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fact_clip import checkpoint
from fact_clip.config import Config, expand
from fact_clip.datasets.dataset import Dataset
from fact_clip.training.evaluation import Progress
from fact_clip.training.trainer import mean_figures, train_all_splits, train_and_evaluate


def train_variants(
    config: Config, out: str | Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train and evaluate each data set of the pattern ``data.name`` in turn into ``out/NAME``.

    With ``data.split=all`` the figures of a data set are the means over its splits. ``resume`` goes on with each where
    it was cut off.

    Returns:
        ``{"variants": {name: metrics}, "mean": metrics}``, which is written to ``out/evaluation.json`` as well.

    Raises:
        InputError: a data set or its split is missing; told before anything is trained.
    """
    out, results = Path(out), {}
    configs = {name: _named(config, name) for name in expand(config.data.name)}
    everything = str(config.data.split) == "all"
    for one in configs.values():
        Dataset.splits(one.data) if everything else Dataset.open(one.data)
    for name, one in configs.items():
        folder = out / name
        if everything:
            results[name] = train_all_splits(one, folder, resume=resume, progress=progress)["mean"]
        else:
            results[name] = train_and_evaluate(one, folder, resume=resume, progress=progress)["metrics"]
    mean = mean_figures(results)
    checkpoint.write_json(out / "evaluation.json", {"metrics": mean, "variants": results})
    return {"variants": results, "mean": mean}


def _named(config: Config, name: str) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"name": name})})
