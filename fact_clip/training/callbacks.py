"""Callbacks of a training: the interface, and logs (CSV and JSONL always, others on request)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fact_clip.config import Config, flattened
from fact_clip.core import InputError, Json
from fact_clip.core.arguments import is_number
from fact_clip.core.extras import require
from fact_clip.core.io import parse_json, read_text, read_value, write_value
from fact_clip.core.paths import check_place, inside, whole_file, write_lines
from fact_clip.core.plugins import Table, adopt_function
from fact_clip.models import FACT


class StopTraining(Exception):  # noqa: N818
    """Raise in a callback to stop after this epoch. All outputs are still written."""


@dataclass(frozen=True)
class EpochState:
    """Progress of a training, for callbacks.

    Attributes:
        run: the run folder.
        epoch: epochs done, this one included; inside an epoch those before it.
        epochs: epochs in all.
        best: best score on the validation videos; None before the first validation.
        numbers: of the last epoch, as in log.jsonl: "epoch", "lr", "total", the loss terms.
        model: the model that is trained.
        optimizer: its optimiser.
        config: the configuration with every decision.
        step: steps done of the epoch.
        terms: loss terms of the last step, on the device of the model.
    """

    run: Path
    epoch: int
    epochs: int
    best: float | None
    numbers: Mapping[str, float]
    model: FACT
    optimizer: Optimizer
    config: Config
    step: int = 0
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class Callback:
    """What a training calls; override what is needed.

    Only the first process calls it, and of an ensemble the first model. `StopTraining` ends the
    training cleanly after the epoch. Any other exception ends it at once, as an interruption does:
    `resume` does the epoch again, so an epoch may come twice.
    """

    def on_train_start(self, state: EpochState) -> None:
        """Receive the model and its optimiser before the first step, also of a resumed training.

        Args:
            state: progress of the training.
        """

    def on_train_end(self, state: EpochState) -> None:
        """Release what was opened, after the last epoch.

        Args:
            state: progress of the training.
        """

    def on_exception(self, state: EpochState, error: BaseException) -> None:
        """Release what was opened, where the training ends without `on_train_end`.

        Args:
            state: progress of the training.
            error: what ends it; it is raised again.
        """

    def on_step(self, state: EpochState) -> None:
        """Receive the loss terms of a step.

        Args:
            state: progress of the training.
        """

    def on_epoch(self, state: EpochState) -> None:
        """Receive the numbers of an epoch, with those of a validation ("validation edit").

        Args:
            state: progress of the training.
        """

    def on_validation(self, state: EpochState, metrics: Mapping[str, float]) -> None:
        """Receive the metrics on the validation videos.

        Args:
            state: progress of the training.
            metrics: by name, with "score": the mean of frame_accuracy, edit and f1@10.
        """

    def on_save(self, state: EpochState, path: Path) -> None:
        """Receive the path of a file that was written.

        Args:
            state: progress of the training.
            path: model.safetensors, the best weights, or last.safetensors, for `resume`.
        """


class FileLog(Callback):
    """``log.jsonl`` and ``log.csv`` in the run folder.

    Args:
        out: the run folder.
        last_epoch: of the state that is resumed. Later rows of an interrupted run are dropped.
    """

    def __init__(self, out: Path, last_epoch: int) -> None:
        self.path = inside(out, "log.jsonl")
        self.table = inside(out, "log.csv")
        check_place(self.table)
        self.rows: list[Json] = []
        if self.path.is_file():
            for line in read_text(self.path, "a log of training").splitlines():
                row = parse_json(line, self.path, "a row of numbers an epoch", finite=False)
                if not isinstance(row, dict) or not is_number(row.get("epoch")):
                    problem = "a line that is no row of the log"
                    raise InputError(self.path, problem, "remove the file")
                if row["epoch"] <= last_epoch:
                    self.rows.append(row)
        self._write()

    def on_epoch(self, state: EpochState) -> None:
        """Write both files again; the columns of the CSV are all that occurred."""
        if self.rows and self.rows[-1]["epoch"] == state.epoch:
            self.rows.pop()
        self.rows.append(dict(state.numbers))
        self._write()

    def on_validation(self, state: EpochState, metrics: Mapping[str, float]) -> None:
        """Write the numbers of a validation, which may come after those of its epoch."""
        self.on_epoch(state)

    def _write(self) -> None:
        write_lines(self.path, map(json.dumps, self.rows))
        columns: dict[str, None] = {}
        for row in self.rows:
            columns.update(dict.fromkeys(row))
        with (
            whole_file(self.table) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(self.rows)


# Trackers of accelerate, by the names of their packages.
_TRACKERS = ("comet_ml", "mlflow", "tensorboard", "wandb")
# How a tracker continues a run: the argument that names it, and the attribute that holds the name.
_RESUMED = {
    "comet_ml": ("experiment_key", "id"),
    "mlflow": ("run_id", "info.run_id"),
    "wandb": ("id", "id"),
}


class Tracker(Callback):
    """A run of a tracker of accelerate, whose identity is kept in ``loggers.json``.

    Args:
        name: of the tracker.
        out: the run folder.
        config: settings of the training.
    """

    def __init__(self, name: str, out: Path, config: Mapping[str, Any]) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        self.name = name
        self.config = config
        self.is_open = False
        self.ids_path = inside(out, "loggers.json")
        check_place(self.ids_path)
        self.ids: dict[str, str] = {}
        if self.ids_path.is_file():
            self.ids = read_value(dict[str, str], self.ids_path)
        options: dict[str, Json] = {
            "mlflow": {"run_name": out.name, "nested_run": True},
            "tensorboard": {"logging_dir": str(out)},
            "wandb": {"name": out.name, "dir": str(out), "resume": "allow"},
        }
        arguments = options.get(name, {})
        if name in self.ids:
            arguments[_RESUMED[name][0]] = self.ids[name]
        # TensorBoard takes the name of the project for the name of its folder.
        project = name if name == "tensorboard" else "fact-clip"
        self.tracker = LOGGER_TYPE_TO_CLASS[name](project, **arguments)

    def on_train_start(self, state: EpochState) -> None:
        """Start or continue the run of the tracker."""
        self.tracker.start()
        self.is_open = True
        if state.epoch == 0:
            values = flattened(self.config)
            for key, value in values.items():
                values[key] = value if isinstance(value, int | float) else str(value)
            self.tracker.store_init_configuration(values)
        if self.name in _RESUMED:
            self.ids[self.name] = attrgetter(_RESUMED[self.name][1])(self.tracker.tracker)
            write_value(self.ids_path, self.ids)

    def on_epoch(self, state: EpochState) -> None:
        """Send the numbers of an epoch."""
        numbers = dict(state.numbers)
        if self.name == "mlflow":  # whose names have no "@"
            numbers = {key.replace("@", "_"): value for key, value in numbers.items()}
        self.tracker.log(numbers, step=state.epoch)

    def on_train_end(self, state: EpochState) -> None:
        """Close the run of the tracker."""
        self.tracker.finish()

    def on_exception(self, state: EpochState, error: BaseException) -> None:
        """Close the run of the tracker, if it was started."""
        if self.is_open and self.name == "mlflow":
            from mlflow import end_run

            end_run("FAILED")
        elif self.is_open:
            self.tracker.finish()


Logger = Callable[[Path, Mapping[str, Any]], Callback]
"""Makes the callback of a training from its run folder and its configuration."""


LOGGERS: Table[Logger] = Table(
    "fact_clip.loggers", {name: partial(Tracker, name) for name in _TRACKERS}, adopt_function
)


def check_loggers(names: Iterable[str]) -> None:
    """Raise an InputError for a logger that is unknown or not installed."""
    for name in names:
        LOGGERS.find(name, "train.loggers")
        if name in _TRACKERS:
            require("train.loggers", "accelerate", "loggers")
            if find_spec(name) is None:
                fix = f"run: pip install {name}"
                raise InputError("train.loggers", f"{name} is not installed", fix)
