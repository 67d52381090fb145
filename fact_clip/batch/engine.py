"""The loop of a batch: what is done is skipped, and a failure costs one input."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fact_clip.batch.failures import ATTEMPTS, FILE, Failures
from fact_clip.batch.inputs import Inputs, Item, Shard
from fact_clip.batch.stores import Mirror, is_remote
from fact_clip.core import InputError, Json, Progress, Segmentation
from fact_clip.core.progress import Pace
from fact_clip.video.isolated import Limits


@dataclass(frozen=True)
class Outcome:
    """One input of a batch and its result.

    Attributes:
        item: the input.
        name: the name of its files, without their endings.
        done: whether an earlier batch computed the result.
        segmentation: the result of `segment`, where it was just computed.
        written: files that were written.
        error: why there is no result, or why a file is missing.
        attempts: failed attempts so far.
        set_aside: whether it was not tried, because it failed too often.
    """

    item: Item
    name: str
    done: bool = False
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: InputError | None = None
    attempts: int = 0
    set_aside: bool = False

    @property
    def state(self) -> str:
        """Return "computed", "done", "failed" or "set aside"."""
        if self.set_aside:
            return "set aside"
        if self.error is not None:
            return "failed"
        return "done" if self.done else "computed"

    @property
    def source(self) -> Path:
        """Return the path of the input."""
        return self.item.path


@dataclass(frozen=True)
class BatchOptions:
    """How a batch goes through its inputs.

    Attributes:
        shard: the part of the inputs.
        limits: of the decoding of each video.
        retry_failed: try inputs again that failed three times.
        overwrite: compute all inputs again.
        store: the output folder, if it is in another store, as "s3://bucket/folder".
    """

    shard: Shard = field(default_factory=Shard)
    limits: Limits = field(default_factory=Limits)
    retry_failed: bool = False
    overwrite: bool = False
    store: str | None = None

    def failure_file(self, remote: bool) -> str:
        """Return the name of the file of failures; a remote one is that of a shard."""
        if not remote:
            return FILE
        return f"failures-{self.shard.index}-of-{self.shard.count}.jsonl"


class Task(Protocol):
    """What a batch does with each input."""

    folder: Path
    title: str
    request: Json  # what results depend on, apart from the input

    @property
    def suffixes(self) -> Sequence[str]:
        """Return the endings of its files."""

    def begin(self, inputs: Inputs) -> None:
        """Take the inputs of the batch."""

    def describe(self) -> None:
        """Write what the batch is, once the encoder is loaded or a result is done."""

    def load(self, item: Item) -> None:
        """Load what is needed to compute. Its faults end the batch."""

    def plan(self, item: Item) -> Outcome:
        """Return the name of the result, and whether it is done."""

    def compute(self, outcome: Outcome, within: Progress | None) -> Outcome:
        """Compute and write a result. An InputError is the fault of the input."""

    def complete(self, outcome: Outcome) -> Outcome:
        """Write the files of a done result that are missing."""

    def close(self) -> None:
        """End the processes of the task."""


def run_batch(
    task: Task,
    inputs: Inputs,
    options: BatchOptions,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Go through the inputs of a shard, and yield the outcome of each.

    Args:
        task: what is done with each input.
        inputs: the inputs of all shards.
        options: of the batch.
        progress: called with (inputs gone through, inputs of all shards, name).
        within: called with (rows done, rows in all, name) while a video is encoded.

    Yields:
        The outcomes, in the order of the inputs.
    """
    items = (item for item in inputs if options.shard.has(item.id))
    total = -(-len(inputs) // options.shard.count)
    mirror = None
    if is_remote(options.store):
        mirror = Mirror(str(options.store))
        task.folder = mirror.folder
    try:
        if mirror is not None:
            mirror.begin()
        task.begin(inputs)
        is_single = len(inputs) == 1
        yield from run_items(task, items, options, total, progress, within, mirror, is_single)
    finally:
        if mirror is not None:
            mirror.push()
            mirror.close()
        task.close()


def run_items(
    task: Task,
    items: Iterable[Item],
    options: BatchOptions,
    total: int = 0,
    progress: Progress | None = None,
    within: Progress | None = None,
    mirror: Mirror | None = None,
    is_single: bool = False,
) -> Iterator[Outcome]:
    """Go through some inputs; see `run_batch`. Outputs go through a mirror to another store.

    A single input is no batch: if it fails, nothing is written.
    """
    logger = logging.getLogger(type(task).__module__)
    failures = None
    if not is_single:
        failures = Failures(task.folder, task.request, options.failure_file(mirror is not None))
    pace = Pace()
    for number, item in enumerate(items):
        if progress is not None:
            progress(number, max(total, number + 1), item.path.name)
        left = pace.left(number, total)
        if left is not None:
            logger.info("%s: %d of %d, %s left", task.title, number, total, left)
        if mirror is not None:
            mirror.pull(item.id, task.suffixes)
        outcome = _run_item(task, item, options, failures, within)
        if outcome.error is not None and total > 1:
            # Of a single input the caller gets the error.
            logger.info("%s: failed", item.address or item.path)
        if mirror is not None:
            mirror.push()
        yield outcome


def _run_item(
    task: Task,
    item: Item,
    options: BatchOptions,
    failures: Failures | None,
    within: Progress | None,
) -> Outcome:
    outcome = task.plan(item)
    if outcome.done:
        task.describe()
        return task.complete(outcome)
    if failures is None:
        return _run_single(task, outcome, within)
    failure = failures.last(item.id, item.source)
    if failure is not None and failure.attempts >= ATTEMPTS and not options.retry_failed:
        return Outcome(item, outcome.name, attempts=failure.attempts, set_aside=True)
    task.load(item)
    task.describe()
    began = time.monotonic()
    try:
        return task.compute(outcome, within)
    except InputError as error:
        failure = failures.add(item.id, item.source, error, time.monotonic() - began)
        return Outcome(item, outcome.name, error=error, attempts=failure.attempts)


def _run_single(task: Task, outcome: Outcome, within: Progress | None) -> Outcome:
    task.load(outcome.item)
    try:
        result = task.compute(outcome, within)
    except InputError as error:
        return Outcome(outcome.item, outcome.name, error=error, attempts=1)
    task.describe()
    return result
