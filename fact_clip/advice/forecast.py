"""How much more labelled videos would bring: trainings on parts of them, and a line through these.

Every fourth training video (with ``data.groups``, every fourth subject) is set apart and measured.
Models are trained on a quarter, half and all of the others, with equally many steps. The figure of
a model is the mean of accuracy, edit and F1@50. It rises about linearly with the logarithm of the
number of videos. One more model is trained on all of the others with simulated clicks instead of
borders.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.advice.estimate import estimate, useful_epochs
from fact_clip.advice.proposal import propose
from fact_clip.config import Config, DataConfig, read_recipe, set_key, with_values
from fact_clip.core import InputError, Progress
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.splits import learning_groups, together
from fact_clip.inference.scorer import Scorer
from fact_clip.run import LoadedRun, Run
from fact_clip.training.choice import video_figures
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.runs import train

logger = logging.getLogger(__name__)

SHARES = (0.25, 0.5, 1.0)
FEWEST_VIDEOS = 8  # of which two are measured, and one or two train the first model

_MEASURED = 4  # one of so many videos, or subjects, is measured
_DRAWS = 1000
_INTERVAL = (5, 95)  # percentiles


@dataclass(frozen=True)
class Forecast:
    """Figures of models trained on parts of the videos, and those to be expected of more.

    Attributes:
        videos: training videos of each model.
        figures: mean of accuracy, edit and F1@50 of each, in points.
        clicks: the figure of a model that was trained on all of the videos, with one click in a
            random frame of each segment instead of borders.
        measured: videos that the models were measured on.
        n_new: how many more videos the forecast is for.
        gain: expected gain from these, in points.
        low: 5th percentile of the gain over draws of the measured videos.
        high: 95th percentile.
    """

    videos: tuple[int, ...]
    figures: tuple[float, ...]
    clicks: float
    measured: int
    n_new: int
    gain: float
    low: float
    high: float

    @classmethod
    def of(
        cls, videos: Sequence[int], table: NDArray[np.float64], n_new: int, clicks: float
    ) -> Forecast:
        """Return the forecast of figures of single videos.

        Args:
            videos: training videos of each of M models.
            table: (M, V) figures of the models on V videos.
            n_new: how many more videos the forecast is for.
            clicks: figure of a model that was trained from clicks.
        """
        rng = np.random.default_rng(0)
        n_measured = table.shape[1]
        gains = []
        for _ in range(_DRAWS):
            drawn = rng.integers(0, n_measured, n_measured)
            gains.append(_gain(videos, table[:, drawn].mean(axis=1), n_new))
        low, high = np.percentile(gains, _INTERVAL).tolist()
        means = table.mean(axis=1)
        return cls(
            videos=tuple(videos),
            figures=tuple(means.tolist()),
            clicks=clicks,
            measured=n_measured,
            n_new=n_new,
            gain=_gain(videos, means, n_new),
            low=low,
            high=high,
        )


def _gain(videos: Sequence[int], figures: NDArray[np.float64], n_new: int) -> float:
    """Return the gain from more videos on the line through figures over log2 of the videos."""
    slope = np.polyfit(np.log2(videos), figures, deg=1)[0]
    return float(slope * math.log2((videos[-1] + n_new) / videos[-1]))


def forecast(
    config: DataConfig, minutes: float = 5.0, n_new: int = 10, progress: Progress | None = None
) -> Forecast:
    """Train on parts of the training videos of a data set, and say what more would bring.

    Args:
        config: where the data set is.
        minutes: how long all trainings may take, on one core.
        n_new: how many more videos the forecast is for.
        progress: called with (models done, models, a short description).

    Returns:
        The forecast.

    Raises:
        InputError: there are too few videos, or the data set has a fault.
    """
    plan = resolve(_recipe(config))
    names = plan.dataset.learning
    if len(names) < FEWEST_VIDEOS:
        problem = f"{len(names)} training videos"
        raise InputError(plan.dataset.location, problem, f"label at least {FEWEST_VIDEOS}")
    # Videos of a subject that the model has seen would flatter it.
    groups = list(together(learning_groups(plan.config.data, names)).values())
    if len(groups) < 2:
        problem = "all training videos are of one group"
        raise InputError("data.groups", problem, "label videos of another one")
    measured = [name for group in groups[::_MEASURED] for name in group]
    clicked = plan.dataset.clicks(measured)
    if clicked:
        problem = f"{len(clicked)} videos to measure on have clicks, which show no borders"
        raise InputError(plan.dataset.location, problem, f"label {', '.join(clicked)}")
    order = [name for name in names if name not in measured]
    if len(order) < 2:
        problem = f"{len(order)} video of the groups that are not measured"
        raise InputError("data.groups", problem, "label more of them")
    np.random.default_rng(0).shuffle(order)

    n_models = len(SHARES) + 1
    seconds = 60 * minutes / n_models
    estimated = estimate(with_values(plan.config, {"train.epochs": useful_epochs(len(order))}))
    most_epochs = max(int(seconds / max(estimated.epoch, 1e-9)), 1)
    most_steps = len(order) * min(useful_epochs(len(order)), most_epochs)
    report = progress or (lambda done, total, description: None)
    table = []
    counts = []
    for number, share in enumerate(SHARES):
        count = max(round(share * len(order)), 1)
        report(number, n_models, f"{count} videos")
        table.append(_figures(plan, order[:count], measured, most_steps))
        counts.append(count)

    report(len(SHARES), n_models, "clicks")
    folder = DataFolder(plan.config.data)
    folder.simulate_clicks(order)
    clicks = _figures(resolve(plan.config, folder), order, measured, most_steps)
    return Forecast.of(counts, np.array(table), n_new, float(clicks.mean()))


def _recipe(config: DataConfig) -> Config:
    """Return the recipe of `data init`, for one model without validation videos."""
    proposal = propose(config)
    tree = read_recipe(proposal.base)
    for key, value, _ in proposal.settings:
        set_key(tree, key.split("."), value, key)
    set_key(tree, ["data", "validation"], 0, "data.validation")
    set_key(tree, ["train", "self_training"], False, "train.self_training")
    return Config.from_tree(tree, "the recipe")


def _figures(
    plan: Plan, names: Sequence[str], measured: Sequence[str], most_steps: int
) -> NDArray[np.float64]:
    """Train a model on some videos, and return the figure of each measured one, (V,)."""
    epochs = max(most_steps // len(names), 1)
    dataset = plan.dataset.with_videos(tuple(names), ())
    config = with_values(plan.config, {"train.epochs": epochs})
    plan = replace(plan, config=config, dataset=dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        train(plan, path)
        run = Run.read(path)
        scorer = Scorer(LoadedRun(run, run.models()), plan.device)
        labels = [scorer.predict(dataset.features(name))[0] for name in measured]
        truth = [dataset.labels(name) for name in measured]
        return video_figures(run.config.evaluation, dataset.vocabulary, truth, labels)
