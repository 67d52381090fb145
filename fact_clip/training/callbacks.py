"""Callbacks of a training: the interface, and logs (CSV and JSONL always, others on request)."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fact_clip.core import InputError
from fact_clip.core.arguments import is_number
from fact_clip.core.io import parse_json, read_text
from fact_clip.core.paths import check_place, inside, whole_file, write_lines


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
    """

    run: Path
    epoch: int
    epochs: int
    best: float | None
    numbers: Mapping[str, float]


class Callback:
    """What a training calls; override what is needed.

    Only the first process calls it, and of an ensemble the first model. `StopTraining` ends the
    training cleanly after the epoch. Any other exception ends it at once, as an interruption does:
    `resume` does the epoch again, so an epoch may come twice.
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
        self.rows: list[dict[str, Any]] = []
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
        self.rows.append(dict(state.numbers))
        self._write()

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


class _TensorBoard(Callback):
    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(inside(out, "tensorboard")))

    def on_epoch(self, state: EpochState) -> None:
        for key, value in state.numbers.items():
            self.writer.add_scalar(key, value, state.epoch)
        self.writer.flush()


class _Wandb(Callback):
    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        import wandb

        self.run = wandb.init(project="fact-clip", dir=str(out), config=dict(config))

    def on_epoch(self, state: EpochState) -> None:
        self.run.log(dict(state.numbers), step=state.epoch)


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Callback]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
}


def check_loggers(names: Iterable[str]) -> None:
    """Raise an InputError for a logger that is unknown or not installed."""
    key = "train.loggers"
    for name in names:
        if name not in LOGGERS:
            raise InputError(key, f"no logger {name!r}", f"choose {', '.join(LOGGERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(key, f"{name} is not installed", f"run: pip install {name}")
