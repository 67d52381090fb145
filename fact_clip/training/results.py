"""The results of training runs and sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fact_clip.evaluation.results import Figures, Result


@dataclass(frozen=True)
class Training(Result):
    """The result of `fact_clip.train`.

    Attributes:
        epoch: epochs done.
        best: best score on the validation videos, or None.
        seconds: time of this call.
        parameters: number of trained parameters.
    """

    epoch: int
    best: float | None
    seconds: float
    parameters: int

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return a row of the training."""
        return {"training": self.to_dict()}


@dataclass(frozen=True)
class Sweep(Result):
    """The result of `training.sweep`.

    Attributes:
        metrics: mean of each figure.
        sd: its standard deviation.
        axes: the values of each setting that varies.
        runs: the figures of each run.
    """

    metrics: Figures
    sd: Figures
    axes: Mapping[str, Sequence[Any]]
    runs: Mapping[str, Figures]

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return a row for each run, their mean and its standard deviation."""
        return {**self.runs, "mean": self.metrics, "sd": self.sd}
