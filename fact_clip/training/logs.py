"""Where the numbers of a training go: CSV and JSONL always, TensorBoard and Weights & Biases on request."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from fact_clip.core import InputError
from fact_clip.core.errors import ConfigKey
from fact_clip.core.io import is_number, parse_json, read_text
from fact_clip.core.paths import check_place, inside, whole_file


class Logger(Protocol):
    """One place that takes a row of numbers an epoch."""

    def log(self, row: Mapping[str, float]) -> None:
        """Write one epoch's row."""


class FileLog:
    """``log.jsonl`` and ``log.csv`` in the run folder; rows after `last_epoch`, left by a cut-off run, are dropped."""

    def __init__(self, out: Path, last_epoch: int) -> None:
        self.path, self.table = inside(out, "log.jsonl"), inside(out, "log.csv")
        check_place(self.table)
        self.rows = self._read(last_epoch) if os.path.lexists(self.path) else []
        self._write()

    def _read(self, last_epoch: int) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = []
        for line in read_text(self.path, "a log of training").splitlines():
            try:
                row = parse_json(line, self.path, "a row of numbers an epoch", finite=False)
            except InputError:  # the run was cut off while it wrote its last line
                break
            if not isinstance(row, dict) or not is_number(row.get("epoch")):
                raise InputError(self.path, f"{line!r} is not a row of the log", "remove the file")
            if row["epoch"] <= last_epoch:
                rows.append(row)
        return rows

    def log(self, row: Mapping[str, float]) -> None:
        """Write both files anew; the columns of the CSV are all that occurred."""
        self.rows.append(dict(row))
        self._write()

    def _write(self) -> None:
        with whole_file(self.path) as unfinished:
            unfinished.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with whole_file(self.table) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)


class _TensorBoard:
    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(inside(out, "tensorboard")))

    def log(self, row: Mapping[str, float]) -> None:
        for key, value in row.items():
            self.writer.add_scalar(key, value, int(row["epoch"]))
        self.writer.flush()


class _Wandb:
    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        import wandb

        self.run = wandb.init(project="fact-clip", dir=str(out), config=dict(config))

    def log(self, row: Mapping[str, float]) -> None:
        self.run.log(dict(row), step=int(row["epoch"]))


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Logger]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}


def check_loggers(names: Iterable[str]) -> None:
    """An InputError where a name is not in the table or its package is not installed."""
    for name in names:
        if name not in LOGGERS:
            raise InputError(ConfigKey("train.loggers"), f"no logger {name!r}", f"choose {', '.join(LOGGERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(ConfigKey("train.loggers"), f"{name} is not installed", f"pip install 'fact-clip[{name}]'")
