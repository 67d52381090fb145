"""How far a batch is, and all its segments as one table."""

from __future__ import annotations

import csv
import json
import logging
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from fact_clip.core import InputError, Json
from fact_clip.core.paths import whole_file
from fact_clip.formats.json_file import from_dict
from fact_clip_batch.inputs import MANIFESTS, hash_of, import_parquet
from fact_clip_batch.records import ATTEMPTS, RECORDS, Batch, last_failures, read_batch, read_record
from fact_clip_batch.stores import Folder, RemoteFile

logger = logging.getLogger("fact_clip.batch")

COLUMNS = ("video", "start", "stop", "label", "confidence")
_WINDOW = 3600.0  # seconds up to the last result that the speed is measured over
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class BatchStatus:
    """How far a batch is.

    Attributes:
        command: "extract" or "segment".
        inputs: of all shards.
        done: inputs with a result.
        missing: inputs that have no result, and have not failed.
        failed: inputs that will be tried again.
        set_aside: inputs that have failed three times.
        rows: of all results.
        rows_per_second: of the last hour of work; None: there are fewer than two results.
        seconds_left: until nothing is missing, at this speed.
    """

    command: str
    inputs: int
    done: int
    missing: int
    failed: int
    set_aside: int
    rows: int
    rows_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class _Record:
    """The result of an input: its id, and what the file `name` says of it."""

    id: str
    name: str
    facts: Json


def batch_status(out: str | Path) -> BatchStatus:
    """Count what is done, missing and failed in the folder of a batch.

    Args:
        out: the folder.

    Returns:
        The counts, and the speed.

    Raises:
        InputError: the folder holds no batch.
    """
    folder = Folder(out)
    batch = read_batch(folder)
    results = _Results(folder, batch)
    failures = {}
    for item_id, failure in results.failures.items():
        if results.has(item_id):
            failures[item_id] = failure
    rows_key = "rows" if batch.command == "segment" else "n_frames"
    times = array("d")
    rows = array("d")
    for record in results:
        times.append(results.time(record.name))
        rows.append(record.facts.get(rows_key) or 0)
        failures.pop(record.id, None)
    set_aside = sum(failure.attempts >= ATTEMPTS for failure in failures.values())
    missing = max(len(batch.hashes) - len(times) - len(failures), 0)
    written_at = np.asarray(times)
    is_recent = written_at > written_at.max(initial=0) - _WINDOW
    seconds = np.ptp(written_at[is_recent]) if len(times) else 0.0
    rows_per_second = None
    seconds_left = None
    if seconds:
        per_second = (is_recent.sum() - 1) / seconds  # the work on the first was before
        rows_per_second = float(np.asarray(rows)[is_recent].mean() * per_second)
        seconds_left = float(missing / per_second)
    return BatchStatus(
        command=batch.command,
        inputs=len(batch.hashes),
        done=len(times),
        missing=missing,
        failed=len(failures) - set_aside,
        set_aside=set_aside,
        rows=int(sum(rows)),
        rows_per_second=rows_per_second,
        seconds_left=seconds_left,
    )


def gather(out: str | Path, table: str | Path) -> int:
    """Write the segments of all results of the last batch into one table, in constant memory.

    Args:
        out: the folder of the batch.
        table: the file to write: .csv, .jsonl or .parquet. Its columns are video (the id), start
            and stop (seconds of the video; frames where there is no rate), label and confidence.

    Returns:
        The number of segments.

    Raises:
        InputError: the folder holds no batch of `segment`, or the ending is another one.
    """
    path = Path(table)
    suffix = path.suffix.lower()
    if suffix not in MANIFESTS:
        raise InputError(path, f"the ending {suffix!r}", f"name a {', '.join(MANIFESTS)} file")
    folder = Folder(out)
    batch = read_batch(folder)
    if batch.command != "segment":
        problem = "features, which have no segments"
        raise InputError(str(folder), problem, "name the --out of segment")
    rows = _segments(_Results(folder, batch))
    n_rows = 0
    with whole_file(path) as unfinished:
        if suffix == ".parquet":
            return _write_parquet(unfinished, rows)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if suffix == ".csv":
                lines.writeheader()
            for row in rows:
                n_rows += 1
                if suffix == ".csv":
                    lines.writerow(row)
                else:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return n_rows


def _write_parquet(path: Path, rows: Iterator[Json]) -> int:
    parquet = import_parquet(path)
    import pyarrow as arrow

    number = arrow.float64()
    kinds = (arrow.string(), number, number, arrow.string(), number)
    schema = arrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    n_rows = 0
    with closing(parquet.ParquetWriter(path, schema)) as writer:
        for chunk in iter(lambda: list(islice(rows, _ROWS_AT_ONCE)), []):
            n_rows += len(chunk)
            writer.write_table(arrow.Table.from_pylist(chunk, schema))
    return n_rows


def _segments(results: _Results) -> Iterator[Json]:
    for record in results:
        file = results.file(record.name)
        segmentation = from_dict(Path(str(file)), read_record(file, 1))
        part = record.facts["request"]["input"]
        origin = part.get("start", 0.0) + part.get("origin", 0.0)
        for segment in segmentation:
            times = []
            for frame in (segment.start, segment.stop):
                seconds = segmentation.seconds(frame)
                times.append(float(frame) if seconds is None else round(origin + seconds, 6))
            cells = (record.id, *times, segment.label, segment.confidence)
            yield dict(zip(COLUMNS, cells, strict=True))


class _Results:
    """The results of the last batch of a folder, the newest one of each input.

    They have the order of their names; those that are not named as their inputs come last. Results
    of inputs that have failed since are left out.
    """

    def __init__(self, folder: Folder, batch: Batch) -> None:
        self._batch = batch
        self.failures = last_failures(folder, batch.request)
        self._hashes = set(batch.hashes)
        self._is_of_segments = batch.command == "segment"
        self._root = folder.below(RECORDS) if self._is_of_segments else folder

    def has(self, item_id: str) -> bool:
        """Return whether an input of the batch has this id."""
        return hash_of(item_id) in self._hashes

    def file(self, name: str) -> Path | RemoteFile:
        """Return the file of a record, or of features."""
        return self._root.file(name)

    def __iter__(self) -> Iterator[_Record]:
        n_others = 0
        renamed: dict[str, str] = {}  # id -> x-2.json, which has come before x.json
        for name in self._root.names():
            record = self._read(name)
            if record is None:
                continue
            failure = self.failures.get(record.id)
            has_failed = failure is not None and 0 < self.time(name) < failure.at
            rival = renamed.get(record.id)
            is_newest = rival is None or self.time(name) >= self.time(rival)
            if has_failed or not self.has(record.id):
                n_others += 1
            elif name != f"{record.id}.json":
                if is_newest:
                    renamed[record.id] = name
            elif is_newest:
                renamed.pop(record.id, None)
                yield record
        yield from filter(None, map(self._read, renamed.values()))
        if n_others:
            message = "%s: results of other inputs, or of failed ones, are left out: %d"
            logger.warning(message, self._root, n_others)

    def time(self, name: str) -> float:
        """Return when a record was written; 0 in another store."""
        return float(self.file(name).stat().st_mtime)

    def _read(self, name: str) -> _Record | None:
        """Return a record, or None for a file that is none of the batch."""
        if not name.endswith(".json"):
            return None
        stem = name.removesuffix(".json")
        facts = read_record(self.file(name))
        if self._is_of_segments:
            request = dict(facts.get("request", {}))
            request.pop("input", None)
            is_of_batch = request == self._batch.request
        else:
            origin = dict(self._batch.request)
            origin.pop("keep_going", None)  # of earlier versions; features do not record it
            is_of_batch = origin.items() <= facts.items() and self.file(f"{stem}.npy").is_file()
        return _Record(facts.get("id", stem), name, facts) if is_of_batch else None
