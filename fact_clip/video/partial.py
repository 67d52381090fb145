"""Rows of features that grow on disk, so that an interrupted extraction goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.export import whole_file

_ROWS = 4096  # copied together when a file is finished


class PartialRows:
    """A file of (time, row) records behind a line of JSON that says what they are of.

    Args:
        path: the file, made where missing. One with another identity, or a damaged one, is begun anew.
        identity: what the rows hang on.

    Raises:
        InputError: a folder that cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self._identity = path, dict(identity)
        self.dim = self.count = 0
        self._file: BinaryIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take_up()
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "a folder for features") from None

    def _take_up(self) -> None:
        """Count the whole records of an earlier extraction, and cut off half a one."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            line = file.readline()
            try:
                known = json.loads(line)
                dim = int(known.pop("dim"))
            except (ValueError, KeyError, TypeError, AttributeError):
                return
            if known != self._identity or dim < 1:
                return
            size = _record(dim).itemsize
            self.dim, self._offset = dim, len(line)
            self.count = (self.path.stat().st_size - len(line)) // size
            file.truncate(len(line) + self.count * size)

    def __enter__(self) -> PartialRows:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, times: NDArray[np.float64], features: NDArray[np.float16]) -> None:
        """Append N rows (N, D) and their times (N,)."""
        if self._file is None:
            if self.count == 0:
                self.dim = features.shape[1]
                line = (json.dumps({**self._identity, "dim": self.dim}) + "\n").encode()
                self.path.write_bytes(line)
                self._offset = len(line)
            self._file = self.path.open("ab")
        records = np.empty(len(times), dtype=_record(self.dim))
        records["time"], records["row"] = times, features
        self._file.write(records.tobytes())
        self._file.flush()
        self.count += len(times)

    def _records(self) -> Any:
        return np.memmap(self.path, _record(self.dim), mode="r", offset=self._offset, shape=(self.count,))

    def times(self) -> NDArray[np.float64]:
        """(T,) of the rows so far."""
        return np.array(self._records()["time"])

    def finish(self, target: Path, facts: Mapping[str, Any]) -> None:
        """Write the rows as an array (T, D) float16 to `target` and what they are to a JSON beside it; then go.

        Both are whole or not there. The description comes last: with it the features count as there.
        """
        records = self._records()
        with whole_file(target) as unfinished:
            rows = np.lib.format.open_memmap(unfinished, "w+", np.float16, (self.count, self.dim))
            for start in range(0, self.count, _ROWS):
                rows[start : start + _ROWS] = records["row"][start : start + _ROWS]
            rows.flush()
        with whole_file(target.with_suffix(".json")) as unfinished:
            unfinished.write_text(json.dumps({**self._identity, **facts}) + "\n", encoding="utf-8")
        self.path.unlink()


def _record(dim: int) -> np.dtype[Any]:
    return np.dtype([("time", "<f8"), ("row", "<f2", (dim,))])
