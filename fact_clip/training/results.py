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
        epoch: Number of completed epochs.
        best: Best score on the validation videos, or None.
        seconds: Duration of this call.
        parameters: Number of trained parameters.
    """

    epoch: int
    best: float | None
    seconds: float
    parameters: int

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return one row for the training run."""
        return {"training": self.to_dict()}


@dataclass(frozen=True)
class Sweep(Result):
    """The result of `training.sweep`.

    Attributes:
        metrics: Mean of each figure.
        sd: Standard deviation of each figure.
        axes: Values of each setting that varies.
        runs: Figures of each run.
    """

    metrics: Figures
    sd: Figures
    axes: Mapping[str, Sequence[Any]]
    runs: Mapping[str, Figures]

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return a row for each run, for the mean and for the standard deviation."""
        return {**self.runs, "mean": self.metrics, "sd": self.sd}
