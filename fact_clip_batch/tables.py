"""The progress of a batch, and all its segments as one table."""

from __future__ import annotations

import csv
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from fact_clip.core import InputError, Json
from fact_clip.core.paths import whole_file
from fact_clip.formats.json_file import from_dict
from fact_clip_batch.inputs import hash_of
from fact_clip_batch.records import (
    ATTEMPTS,
    RECORDS,
    Batch,
    edited_files,
    last_failures,
    read_batch,
    read_record,
)
from fact_clip_batch.stores import Folder, RemoteFile

logger = logging.getLogger("fact_clip.batch")

COLUMNS = ("video", "start", "stop", "label", "confidence")


@dataclass(frozen=True)
class BatchStatus:
    """The progress of a batch.

    Attributes:
        command: "extract" or "segment".
        inputs: Number of inputs of all shards.
        done: Number of inputs with a result.
        missing: Number of inputs that have no result and have not failed.
        failed: Number of inputs that will be tried again.
        set_aside: Number of inputs that have failed three times.
    """

    command: str
    inputs: int
    done: int
    missing: int
    failed: int
    set_aside: int


def batch_status(out: str | Path) -> BatchStatus:
    """Count what is done, missing and failed in the folder of a batch.

    Args:
        out: Output folder of the batch.

    Returns:
        The counts.

    Raises:
        InputError: The folder does not contain a batch.
    """
    folder = Folder(out)
    batch = read_batch(folder)
    failures = last_failures(folder, batch.request)
    hashes = set(batch.hashes)
    failed = {item_id for item_id in failures if hash_of(item_id) in hashes}
    n_done = sum(1 for _ in _results(folder, batch, failures))
    n_set_aside = sum(failures[item_id].attempts >= ATTEMPTS for item_id in failed)
    return BatchStatus(
        command=batch.command,
        inputs=len(batch.hashes),
        done=n_done,
        missing=len(batch.hashes) - n_done - len(failed),
        failed=len(failed) - n_set_aside,
        set_aside=n_set_aside,
    )


def gather(out: str | Path, table: str | Path) -> int:
    """Write the segments of all results of the last batch into one table, in constant memory.

    The segments are those that were computed. A warning counts files that were edited later.

    Args:
        out: Output folder of the batch.
        table: CSV file to write. Its columns are video (the id), start and stop (seconds of the
            video, or frames if the rate is unknown), label and confidence.

    Returns:
        The number of segments.

    Raises:
        InputError: The folder does not contain a batch of `segment`, or the ending is not .csv.
    """
    path = Path(table)
    if path.suffix.lower() != ".csv":
        raise InputError(path, f"the ending {path.suffix!r}", "name a .csv file")
    folder = Folder(out)
    batch = read_batch(folder)
    if batch.command != "segment":
        problem = "features, which have no segments"
        raise InputError(str(folder), problem, "name the --out of segment")
    n_rows = 0
    n_edited = 0
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        lines.writeheader()
        for item_id, record, facts in _results(folder, batch, last_failures(folder, batch.request)):
            n_edited += any(edited_files(folder, item_id, facts))
            for row in _rows(item_id, record, facts):
                n_rows += 1
                lines.writerow(row)
    if n_edited:
        logger.warning("%s: %d results have files that have been edited since", folder, n_edited)
    return n_rows


def _rows(item_id: str, file: Path | RemoteFile, facts: Json) -> Iterator[Json]:
    """Yield the segments of a result, with seconds of the whole video."""
    segmentation = from_dict(Path(str(file)), read_record(file, 1))
    part = facts["request"]["input"]
    origin = part.get("start", 0.0) + part.get("origin", 0.0)
    for segment in segmentation:
        times = []
        for frame in (segment.start, segment.stop):
            seconds = segmentation.seconds(frame)
            times.append(float(frame) if seconds is None else round(origin + seconds, 6))
        cells = (item_id, *times, segment.label, segment.confidence)
        yield dict(zip(COLUMNS, cells, strict=True))


def _results(
    folder: Folder, batch: Batch, failures: Collection[str]
) -> Iterator[tuple[str, Path | RemoteFile, Json]]:
    """Yield the id of each result, its record and the first line of that, by name.

    Results of inputs that failed later are left out.
    """
    hashes = set(batch.hashes)
    is_of_segments = batch.command == "segment"
    root = Folder(folder.address(RECORDS)) if is_of_segments else folder
    n_others = 0
    for name in root.names():
        if not name.endswith(".json"):
            continue
        item_id = name.removesuffix(".json")
        file = root.file(name)
        facts = read_record(file)
        if is_of_segments:
            request = dict(facts.get("request", {}))
            request.pop("input", None)
            is_of_batch = request == batch.request and facts.get("id") == item_id
        else:
            has_features = root.file(f"{item_id}.npy").is_file()
            is_of_batch = has_features and batch.request.items() <= facts.items()
        if not is_of_batch and not is_of_segments:
            continue  # perhaps it describes no features
        if item_id in failures or not is_of_batch or hash_of(item_id) not in hashes:
            n_others += 1
        else:
            yield item_id, file, facts
    if n_others:
        logger.warning(
            "%s: results of other inputs or settings, or of failed inputs, are left out: %d",
            root,
            n_others,
        )
