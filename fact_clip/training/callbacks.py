"""What a training calls while it runs: callbacks of one's own, and logs (CSV and JSONL always, others on request)."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fact_clip.core import ConfigKey, InputError
from fact_clip.core.arguments import is_number
from fact_clip.core.io import parse_json, read_text
from fact_clip.core.paths import check_place, inside, whole_file, write_lines


class StopTraining(Exception):  # noqa: N818
    """Raised by a callback: the training ends after this epoch, with all that a training leaves."""


@dataclass(frozen=True)
class EpochState:
    """How far a training has come, for callbacks."""

    run: Path  # the run folder
    epoch: int  # epochs done, this one among them; inside an epoch those before it
    epochs: int  # that are to be done
    best: (
        float | None
    )  # best figure (`train.select`) on the validation videos so far; None before the first one
    numbers: Mapping[
        str, float
    ]  # of the last epoch, as in log.jsonl: "epoch", "lr", "total", the terms of the loss


class Callback:
    """What a training calls; override what is needed. Only the first process calls it, of an ensemble the first model.

    `StopTraining` ends the training cleanly after the epoch. Any other exception ends it at once, as an interruption
    does: `resume` does the epoch again, so an epoch may come twice.
    """

    def on_epoch(self, state: EpochState) -> None:
        """Take the numbers of an epoch, those of a validation among them ("validation edit")."""

    def on_validation(self, state: EpochState, metrics: Mapping[str, float]) -> None:
        """Take the metrics on the validation videos, and "score": the mean of frame_accuracy, edit and f1@10."""

    def on_save(self, state: EpochState, path: Path) -> None:
        """Take a file that was written: model.safetensors, the weights to keep, or last.safetensors, for `resume`."""


class FileLog(Callback):
    """``log.jsonl`` and ``log.csv`` in the run folder; rows after `last_epoch`, left by a cut-off run, are dropped."""

    def __init__(self, out: Path, last_epoch: int) -> None:
        self.path, self.table = inside(out, "log.jsonl"), inside(out, "log.csv")
        check_place(self.table)
        lines = (
            read_text(self.path, "a log of training").splitlines() if self.path.is_file() else []
        )
        rows = [
            parse_json(line, self.path, "a row of numbers an epoch", finite=False) for line in lines
        ]
        if not all(isinstance(row, dict) and is_number(row.get("epoch")) for row in rows):
            raise InputError(self.path, "a line that is no row of the log", "remove the file")
        self.rows = [row for row in rows if row["epoch"] <= last_epoch]
        self._write()

    def on_epoch(self, state: EpochState) -> None:
        """Write both files anew; the columns of the CSV are all that occurred."""
        self.rows.append(dict(state.numbers))
        self._write()

    def _write(self) -> None:
        write_lines(self.path, map(json.dumps, self.rows))
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with (
            whole_file(self.table) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
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
    """An InputError where a name is not in the table or its package is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise InputError(
                ConfigKey("train.loggers"), f"no logger {name!r}", f"choose {', '.join(LOGGERS)}"
            )
        if importlib.util.find_spec(name) is None:
            raise InputError(
                ConfigKey("train.loggers"),
                f"{name} is not installed",
                f"pip install 'fact-clip[{name}]'",
            )
