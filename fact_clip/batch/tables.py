"""How far a batch is, and all its segments as one table."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fact_clip.batch.description import Batch, read_batch
from fact_clip.batch.failures import ATTEMPTS, last_failures
from fact_clip.batch.inputs import MANIFESTS, import_parquet
from fact_clip.batch.stores import RECORDS, local_folder
from fact_clip.core import InputError, Json
from fact_clip.core.paths import whole_file
from fact_clip.formats.json_file import from_dict

COLUMNS = ("video", "start", "stop", "label", "confidence")
_WINDOW = 60  # minutes up to the last result that the speed is measured over
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
    """The result of an input: its rows, and the time at which it was written."""

    id: str
    path: Path
    facts: Json
    written_at: float


def batch_status(out: str | Path) -> BatchStatus:
    """Count what is done, missing and failed in the folder of a batch.

    Args:
        out: the folder.

    Returns:
        The counts, and the speed.

    Raises:
        InputError: the folder holds no batch.
    """
    with local_folder(out) as folder:
        return _count(folder)


def _count(folder: Path) -> BatchStatus:
    batch = read_batch(folder)
    failures = last_failures(folder, batch.request)
    n_done = 0
    n_rows = 0
    rows_key = "rows" if batch.command == "segment" else "n_frames"
    minutes: Counter[int] = Counter()  # results by the minute in which they were written
    minute_rows: Counter[int] = Counter()
    first_at = float("inf")
    last_at = 0.0
    for record in _records(folder, batch):
        n_done += 1
        n_record_rows = int(record.facts.get(rows_key) or 0)
        n_rows += n_record_rows
        failures.pop(record.id, None)
        first_at = min(first_at, record.written_at)
        last_at = max(last_at, record.written_at)
        minute = int(record.written_at // 60)
        minutes[minute] += 1
        minute_rows[minute] += n_record_rows
    set_aside = sum(failure.attempts >= ATTEMPTS for failure in failures.values())
    missing = max(batch.inputs - n_done - len(failures), 0)
    window = [minute for minute in minutes if minute > last_at // 60 - _WINDOW]
    rows_per_second = None
    seconds_left = None
    if last_at > first_at:
        seconds = min(60 * (max(window) + 1 - min(window)), last_at - first_at)
        rows_per_second = sum(minute_rows[minute] for minute in window) / seconds
        seconds_left = missing * seconds / sum(minutes[minute] for minute in window)
    return BatchStatus(
        command=batch.command,
        inputs=batch.inputs,
        done=n_done,
        missing=missing,
        failed=len(failures) - set_aside,
        set_aside=set_aside,
        rows=n_rows,
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
    with local_folder(out) as folder:
        return _gather(folder, Path(table))


def _gather(folder: Path, path: Path) -> int:
    batch = read_batch(folder)
    if batch.command != "segment":
        raise InputError(folder, "features, which have no segments", "name the --out of segment")
    suffix = path.suffix.lower()
    if suffix not in MANIFESTS:
        raise InputError(path, f"the ending {suffix!r}", f"name a {', '.join(MANIFESTS)} file")
    rows = _segments(folder, batch)
    with whole_file(path) as unfinished:
        if suffix == ".parquet":
            return _write_parquet(unfinished, rows)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            return _write_lines(file, rows, suffix)


def _write_lines(file: IO[str], rows: Iterator[Json], suffix: str) -> int:
    n_rows = 0
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    if suffix == ".csv":
        writer.writeheader()
    for row in rows:
        n_rows += 1
        if suffix == ".csv":
            writer.writerow(row)
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
        while True:
            batch = list(islice(rows, _ROWS_AT_ONCE))
            if not batch:
                return n_rows
            n_rows += len(batch)
            writer.write_table(arrow.Table.from_pylist(batch, schema))


def _segments(folder: Path, batch: Batch) -> Iterator[Json]:
    for record in _records(folder, batch):
        with record.path.open(encoding="utf-8") as file:
            file.readline()
            segmentation = from_dict(record.path, json.loads(file.readline()))
        origin = record.facts["request"]["input"].get("start", 0.0)
        for segment in segmentation:
            start = segmentation.seconds(segment.start)
            stop = segmentation.seconds(segment.stop)
            if start is None or stop is None:
                times = (float(segment.start), float(segment.stop))
            else:
                times = (round(origin + start, 6), round(origin + stop, 6))
            yield {
                "video": record.id,
                "start": times[0],
                "stop": times[1],
                "label": segment.label,
                "confidence": segment.confidence,
            }


def _records(folder: Path, batch: Batch) -> Iterator[_Record]:
    """Yield the record of each input of the last batch, in the order of their names."""
    root = folder / RECORDS if batch.command == "segment" else folder
    for parent, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name[0] != ".")
        for file_name in sorted(files):
            if file_name[0] == "." or not file_name.endswith(".json"):
                continue
            path = Path(parent, file_name)
            record = _read(root, path, batch)
            if record is None:
                continue
            # NAME-2 replaces NAME where somebody has edited the files of NAME.
            later = (_read(root, name, batch) for name in _later_results(path, record.id))
            if all(other is None or other.id != record.id for other in later):
                yield record


def _read(root: Path, path: Path, batch: Batch) -> _Record | None:
    """Return a record, or None for a file that is none of the batch."""
    with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        facts = json.loads(file.readline())
        if _answers(facts, batch, path):
            name = path.relative_to(root).as_posix().removesuffix(".json")
            return _Record(facts.get("id", name), path, facts, path.stat().st_mtime)
    return None


def _later_results(path: Path, item_id: str) -> Iterator[Path]:
    """Yield the records of NAME-2, NAME-3 and so on, after that of a result of this input."""
    stem = PurePosixPath(item_id).name
    number = path.stem.removeprefix(stem).removeprefix("-")
    for following in count(int(number) + 1 if number.isdecimal() else 2):
        later = path.with_name(f"{stem}-{following}.json")
        if not later.exists():
            return
        yield later


def _answers(facts: Any, batch: Batch, path: Path) -> bool:
    """Return whether a record is one of the batch, and no file of somebody else."""
    if not isinstance(facts, Mapping):
        return False
    if batch.command == "segment":
        request = dict(facts.get("request", {}))
        request.pop("input", None)
        return request == batch.request
    origin = dict(batch.request)
    origin.pop("keep_going")  # features do not record what a sound video has not needed
    return origin.items() <= facts.items() and path.with_suffix(".npy").is_file()
