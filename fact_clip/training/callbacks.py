"""Callbacks of a training run: the interface, CSV and JSONL logs, and experiment trackers."""

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
    """Raise this in a callback to stop after the current epoch. All outputs are still written."""


@dataclass(frozen=True)
class EpochState:
    """Progress of a training run, for callbacks.

    Attributes:
        run: Run folder.
        epoch: Number of completed epochs. During an epoch, that epoch is not counted.
        epochs: Number of epochs of the run.
        best: Best score on the validation videos, or None before the first validation.
        numbers: Values of the last epoch, as in log.jsonl: "epoch", "lr", "total" and loss terms.
        model: Model that is trained.
        optimizer: Optimiser of the model.
        config: Configuration with all decisions.
        step: Number of completed steps of the epoch.
        terms: Loss terms of the last step, on the device of the model.
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
    """Interface for code that runs during training. Override the methods that you need.

    Only the main process calls callbacks, and only for the first model of an ensemble.
    `StopTraining` ends the run cleanly after the epoch. Any other exception interrupts the run at
    once. Resuming then repeats the epoch, so a callback may receive the same epoch twice.
    """

    def on_train_start(self, state: EpochState) -> None:
        """Receive the model and its optimiser before the first step of a new or resumed run.

        Args:
            state: Progress of the run.
        """

    def on_train_end(self, state: EpochState) -> None:
        """Release resources after the last epoch.

        Args:
            state: Progress of the run.
        """

    def on_exception(self, state: EpochState, error: BaseException) -> None:
        """Release resources if the run ends without `on_train_end`.

        Args:
            state: Progress of the run.
            error: Exception that ends the run. It is raised again.
        """

    def on_step(self, state: EpochState) -> None:
        """Receive the loss terms of a step.

        Args:
            state: Progress of the run.
        """

    def on_epoch(self, state: EpochState) -> None:
        """Receive the values of an epoch, including validation figures ("validation edit").

        Args:
            state: Progress of the run.
        """

    def on_validation(self, state: EpochState, metrics: Mapping[str, float]) -> None:
        """Receive the metrics on the validation videos.

        Args:
            state: Progress of the run.
            metrics: Figures by name. "score" is the mean of frame_accuracy, edit and f1@10.
        """

    def on_save(self, state: EpochState, path: Path) -> None:
        """Receive the path of a file that was saved.

        Args:
            state: Progress of the run.
            path: Path of model.safetensors (best weights) or last.safetensors (state to resume).
        """


class FileLog(Callback):
    """Log of a run in ``log.jsonl`` and ``log.csv``.

    Args:
        out: Run folder.
        last_epoch: Epoch of the resumed state. Later rows of an interrupted run are dropped.
    """

    def __init__(self, out: Path, last_epoch: int) -> None:
        self.path = inside(out, "log.jsonl")
        self.table = inside(out, "log.csv")
        check_place(self.table)
        self.rows: list[Json] = []
        if self.path.is_file():
            for line in read_text(self.path, "a log of training").splitlines():
                row = parse_json(line, self.path, "one row of values per epoch", finite=False)
                if not isinstance(row, dict) or not is_number(row.get("epoch")):
                    problem = "a line is not a row of the log"
                    raise InputError(self.path, problem, "remove the file")
                if row["epoch"] <= last_epoch:
                    self.rows.append(row)
        self._write()

    def on_epoch(self, state: EpochState) -> None:
        """Rewrite both files. The CSV has a column for every key in any row."""
        if self.rows and self.rows[-1]["epoch"] == state.epoch:
            self.rows.pop()
        self.rows.append(dict(state.numbers))
        self._write()

    def on_validation(self, state: EpochState, metrics: Mapping[str, float]) -> None:
        """Rewrite both files with validation figures, which may follow the row of their epoch."""
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


# Trackers of accelerate, by package name.
_TRACKERS = ("comet_ml", "mlflow", "tensorboard", "wandb")
# How to continue a tracker's run: the argument for its ID, and the attribute that holds the ID.
_RESUMED = {
    "comet_ml": ("experiment_key", "id"),
    "mlflow": ("run_id", "info.run_id"),
    "wandb": ("id", "id"),
}


class Tracker(Callback):
    """A tracker of accelerate. ``loggers.json`` stores the ID of its run.

    Args:
        name: Name of the tracker.
        out: Run folder.
        config: Settings of the run.
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
        # TensorBoard uses the project name as its folder name.
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
        """Send the values of an epoch."""
        numbers = dict(state.numbers)
        if self.name == "mlflow":  # does not allow "@" in names
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
"""Creates a callback from a run folder and its configuration."""


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
