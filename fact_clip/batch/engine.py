"""The loop of a batch: what is done is skipped, and a failure costs one input."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from fact_clip.batch.description import describe_batch
from fact_clip.batch.failures import ATTEMPTS, Failures
from fact_clip.batch.inputs import Inputs, Item, Shard
from fact_clip.batch.stores import Mirror, is_remote
from fact_clip.core import InputError, Json, Progress, Segmentation
from fact_clip.core.progress import Pace
from fact_clip.video.isolated import Limits

logger = logging.getLogger(__name__)

_MAX_PACK = 1000  # inputs that are computed together


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
        batch_frames: frames of short feature files that are segmented in one pass; 0: one file.
        decoders: videos that `extract` decodes at the same time.
    """

    shard: Shard = field(default_factory=Shard)
    limits: Limits = field(default_factory=Limits)
    retry_failed: bool = False
    overwrite: bool = False
    store: str | None = None
    batch_frames: int = 0
    decoders: int = 1


class Task(Protocol):
    """What a batch does with each input."""

    command: str  # "extract" or "segment"
    folder: Path
    request: Json  # what results depend on, apart from the input

    @property
    def suffixes(self) -> Sequence[str]:
        """Return the endings of its files."""

    def begin(self, inputs: Inputs) -> None:
        """Take the inputs of the batch."""

    def rows(self, item: Item) -> int | None:
        """Return the rows of an input that can be computed with others, or None."""

    def load(self, item: Item) -> None:
        """Load what is needed to compute. Its faults end the batch."""

    def plan(self, item: Item) -> Outcome:
        """Return the name of the result, and whether it is done."""

    def compute(self, outcomes: Sequence[Outcome], within: Progress | None) -> Iterator[Outcome]:
        """Compute and write results. The error of an outcome is the fault of its input."""

    def complete(self, outcome: Outcome) -> Outcome:
        """Write the files of a done result that are missing."""

    def close(self) -> None:
        """End the processes of the task."""


class Lane:
    """Goes through inputs with one task. The lanes of a batch may be threads or actors.

    Args:
        task: what is done with each input.
        options: of the batch.
        inputs: all inputs; None: another process has described the batch.
    """

    def __init__(self, task: Task, options: BatchOptions, inputs: Inputs | None = None) -> None:
        self.task = task
        self._options = options
        self._inputs = inputs
        self._is_stopped = threading.Event()
        self._mirror = None
        if is_remote(options.store):
            self._mirror = Mirror(str(options.store))
            task.folder = self._mirror.folder
            self._mirror.begin()
        self._failures: Failures | None = None
        if inputs is not None:
            task.begin(inputs)
        if inputs is None or len(inputs) > 1:
            # A single input is no batch: if it fails, nothing is written.
            name = None if self._mirror is None else self._mirror.failure_file
            self._failures = Failures(task.folder, task.request, name)

    def describe(self) -> None:
        """Write what the batch is, once."""
        if self._inputs is not None:
            task = self.task
            describe_batch(task.folder, task.command, len(self._inputs), task.request)
            self._inputs = None

    def run(self, items: Sequence[Item], within: Progress | None = None) -> list[Outcome]:
        """Compute some inputs together, as far as they are not done.

        Args:
            items: the inputs.
            within: called with (rows done, rows in all, name) while a video is encoded.

        Returns:
            Their outcomes in this order.
        """
        if self._mirror is not None:
            for item in items:
                self._mirror.pull(item.id, self.task.suffixes)
        outcomes = [self._planned(item) for item in items]
        pending = [outcome for outcome in outcomes if outcome.state == "computed"]
        computed = iter(self._computed(pending, within))
        results = [
            next(computed) if outcome.state == "computed" else outcome for outcome in outcomes
        ]
        if self._mirror is not None:
            self._mirror.push()
        return results

    def _planned(self, item: Item) -> Outcome:
        """Return the outcome of an input that is done or set aside, or one to be computed."""
        outcome = self.task.plan(item)
        if outcome.done:
            self.describe()
            return self.task.complete(outcome)
        if self._failures is None or self._options.retry_failed:
            return outcome
        failure = self._failures.last(item.id, item.source)
        if failure is None or failure.attempts < ATTEMPTS:
            return outcome
        return replace(outcome, attempts=failure.attempts, set_aside=True)

    def _computed(self, pending: Sequence[Outcome], within: Progress | None) -> list[Outcome]:
        for outcome in pending:
            self.task.load(outcome.item)
        if pending and self._failures is not None:
            self.describe()
        began = time.monotonic()
        outcomes = []
        for outcome in self.task.compute(pending, within):
            if self._is_stopped.is_set():
                raise KeyboardInterrupt
            seconds = (time.monotonic() - began) / len(pending)
            outcomes.append(self._recorded(outcome, seconds))
        return outcomes

    def _recorded(self, outcome: Outcome, seconds: float) -> Outcome:
        """Record the failure of an outcome that is one."""
        error = outcome.error
        if error is None:
            self.describe()
            return outcome
        if self._failures is None:
            return replace(outcome, attempts=1)
        logger.info("%s: failed", outcome.item.address or outcome.item.path)
        if outcome.segmentation is not None:  # a format cannot hold the result, which is there
            return outcome
        failure = self._failures.add(outcome.item.id, outcome.item.source, error, seconds)
        return replace(outcome, attempts=failure.attempts)

    def check(self, *_: object) -> None:
        """Raise KeyboardInterrupt once the lane is closed: `within` for a thread."""
        if self._is_stopped.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """End the processes of the task, and send what is left to the store."""
        if self._is_stopped.is_set():
            return
        self._is_stopped.set()
        if self._mirror is not None:
            self._mirror.push()
            self._mirror.close()
        self.task.close()


def run_batch(
    tasks: Sequence[Task],
    inputs: Inputs,
    options: BatchOptions,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Go through the inputs of a shard, and yield the outcome of each.

    Args:
        tasks: what is done with each input; several tasks run in a thread each.
        inputs: the inputs of all shards.
        options: of the batch.
        progress: called with (inputs gone through, inputs of all shards, name).
        within: called with (rows done, rows in all, name) while a video is encoded.

    Yields:
        The outcomes, in the order of the inputs.
    """
    items = (item for item in inputs if options.shard.has(item.id))
    total = -(-len(inputs) // options.shard.count)
    lanes: list[Lane] = []
    try:
        for task in tasks:
            lanes.append(Lane(task, options, inputs))
        packs = packed(_paced(items, total, tasks[0].command, progress), tasks[0], options)
        if len(lanes) > 1:
            yield from _in_threads(lanes, packs)
            return
        for pack in packs:
            yield from lanes[0].run(pack, within)
    finally:
        for lane in lanes:
            lane.close()


def packed(items: Iterable[Item], task: Task, options: BatchOptions) -> Iterator[list[Item]]:
    """Yield consecutive inputs that are computed together: at most `options.batch_frames` rows.

    Args:
        items: the inputs.
        task: says how many rows an input has.
        options: of the batch.
    """
    pack: list[Item] = []
    n_rows = 0
    for item in items:
        item_rows = task.rows(item) if options.batch_frames else None
        is_full = item_rows is None or n_rows + item_rows > options.batch_frames
        if pack and (is_full or len(pack) == _MAX_PACK):
            yield pack
            pack = []
            n_rows = 0
        if item_rows is None:
            yield [item]
            continue
        pack.append(item)
        n_rows += item_rows
    if pack:
        yield pack


def _paced(
    items: Iterable[Item], total: int, command: str, progress: Progress | None
) -> Iterator[Item]:
    """Yield the inputs, and report the progress."""
    pace = Pace()
    for number, item in enumerate(items):
        if progress is not None:
            progress(number, max(total, number + 1), item.path.name)
        left = pace.left(number, total)
        if left is not None:
            logger.info("%sing: %d of %d, %s left", command, number, total, left)
        yield item


def _in_threads(lanes: Sequence[Lane], packs: Iterator[list[Item]]) -> Iterator[Outcome]:
    """Run packs in the lanes that are free, and yield their outcomes in order."""
    free: SimpleQueue[Lane] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def run(pack: list[Item]) -> list[Outcome]:
        lane = free.get()
        try:
            return lane.run(pack, lane.check)
        finally:
            free.put(lane)

    waiting: deque[Future[list[Outcome]]] = deque()
    pool = ThreadPoolExecutor(len(lanes))
    try:
        for pack in packs:
            waiting.append(pool.submit(run, pack))
            # One more than can run, so that no lane waits for the first result.
            if len(waiting) > 2 * len(lanes):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for lane in lanes:
            lane.close()
        pool.shutdown(cancel_futures=True)
