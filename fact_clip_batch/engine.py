"""The loop of a batch: what is done is skipped, and a failure costs one input."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from queue import SimpleQueue

from fact_clip.core import InputError, Json, Progress, Segmentation
from fact_clip.core.progress import Pace
from fact_clip.video.extract import map_ahead
from fact_clip_batch.inputs import Inputs, Item, Shard
from fact_clip_batch.isolated import IsolatedDecoder, Limits
from fact_clip_batch.records import ATTEMPTS, Failures, describe_batch
from fact_clip_batch.stores import Folder, RemoteFile

logger = logging.getLogger("fact_clip.batch")  # below the logger that programs set

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
    written: tuple[Path | RemoteFile, ...] = ()
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
        batch_frames: frames of short feature files that are segmented in one pass; 0: one file.
        decoders: videos that `extract` decodes at the same time.
        actors: of Ray; the commands run a batch without any in this process.
        device: of the actors. Each one gets a GPU where the cluster has some; "cpu": none.
    """

    shard: Shard = field(default_factory=Shard)
    limits: Limits = field(default_factory=Limits)
    retry_failed: bool = False
    overwrite: bool = False
    batch_frames: int = 0
    decoders: int = 1
    actors: int = 0
    device: str = "auto"

    def shared(self, rank: int, world: int) -> BatchOptions:
        """Return the options of one of `world` processes that share the inputs."""
        return replace(self, shard=self.shard.split(rank, world))


class Task(ABC):
    """What a batch does with each input. The tasks of a batch may be in threads or actors.

    Args:
        out: the folder of the outputs.
        request: what results depend on, apart from the input.
        options: of the batch.

    Attributes:
        command: "extract" or "segment".
        folder: of the outputs.
        inputs: all inputs; None: another process describes the batch.
    """

    command: str

    def __init__(self, out: str | Path, request: Json, options: BatchOptions) -> None:
        self.folder = Folder(out)
        self.request = request
        self.options = options
        self.decoder = IsolatedDecoder(options.limits)
        self.inputs: Inputs | None = None
        self._is_described = False
        self._is_stopped = threading.Event()
        self._failures: Failures | None = None

    def rows(self, item: Item) -> int | None:
        """Return the rows of an input that can be computed with others, or None."""
        return None

    @abstractmethod
    def load(self, item: Item) -> None:
        """Load what is needed to compute. Its faults end the batch."""

    @abstractmethod
    def plan(self, item: Item) -> Outcome:
        """Return the name of the result, and whether it is done."""

    @abstractmethod
    def compute(self, outcomes: Sequence[Outcome], within: Progress | None) -> Iterator[Outcome]:
        """Compute and write results. The error of an outcome is the fault of its input."""

    def complete(self, outcome: Outcome) -> Outcome:
        """Write the files of a done result that are missing."""
        return outcome

    def other_file(self, item: Item, path: str) -> InputError:
        """Return the error of an input whose name has the result of another file."""
        problem = f"{item.id} in {self.folder} is of {path}"
        fix = "name another out=, or the folder above both, or set overwrite=True"
        return InputError(item.path, problem, fix)

    def begin(self, inputs: Inputs | None) -> None:
        """Read which inputs have failed."""
        self.inputs = inputs
        if inputs is None or len(inputs) > 1:
            # A single input is no batch: if it fails, nothing is written.
            self._failures = Failures(self.folder, self.request)

    def describe(self) -> None:
        """Write what the batch is, once."""
        if self.inputs is not None and not self._is_described:
            describe_batch(self.folder, self.command, self.inputs, self.request)
            self._is_described = True

    def packed(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Yield consecutive inputs that are computed together: at most `batch_frames` rows."""
        most_rows = self.options.batch_frames
        pack: list[Item] = []
        n_rows = 0
        for item in items:
            item_rows = self.rows(item) if most_rows else None
            is_full = item_rows is None or n_rows + item_rows > most_rows
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

    def run(self, items: Sequence[Item], within: Progress | None = None) -> list[Outcome]:
        """Compute some inputs together, as far as they are not done.

        Args:
            items: the inputs.
            within: called with (rows done, rows in all, name) while a video is encoded.

        Returns:
            Their outcomes in this order.
        """
        outcomes = {item.id: self._planned(item) for item in items}
        pending = [outcome for outcome in outcomes.values() if outcome.state == "computed"]
        for outcome in pending:
            self.load(outcome.item)
        if self._failures is not None:
            self.describe()
        began = time.monotonic()
        for outcome in self.compute(pending, within):
            self.check()
            seconds = (time.monotonic() - began) / len(pending)
            outcomes[outcome.item.id] = self._recorded(outcome, seconds)
        if any(outcome.error is None for outcome in outcomes.values()):
            self.describe()
        return list(outcomes.values())

    def _planned(self, item: Item) -> Outcome:
        """Return the outcome of an input that is done or set aside, or one to be computed."""
        outcome = Outcome(item, item.id)
        if not self.options.overwrite:
            outcome = self.plan(item)
        if outcome.done:
            outcome = self.complete(outcome)
            if outcome.error is None and self._failures is not None:
                self._failures.clear(item)
            return outcome
        if self._failures is None or self.options.retry_failed:
            return outcome
        attempts = self._failures.attempts(item)
        if attempts < ATTEMPTS:
            return outcome
        return replace(outcome, attempts=attempts, set_aside=True)

    def _recorded(self, outcome: Outcome, seconds: float) -> Outcome:
        """Record the failure of an outcome that is one."""
        if outcome.error is None:
            return outcome
        if self._failures is None:
            return replace(outcome, attempts=1)
        logger.info("%s: failed", outcome.item.address or outcome.item.path)
        if outcome.segmentation is not None:  # a format cannot hold the result, which is there
            return outcome
        attempts = self._failures.add(outcome.item, outcome.error, seconds)
        return replace(outcome, attempts=attempts)

    def check(self, *_: object) -> None:
        """Raise KeyboardInterrupt once the task is closed: `within` for a thread."""
        if self._is_stopped.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """End the decoder."""
        self._is_stopped.set()
        self.decoder.close()


def run_batch(
    tasks: Sequence[Task],
    inputs: Inputs,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Go through the inputs of a shard, and yield the outcome of each.

    Args:
        tasks: what is done with each input; several tasks run in a thread each.
        inputs: the inputs of all shards.
        progress: called with (inputs gone through, inputs of all shards, name).
        within: called with (rows done, rows in all, name) while a video is encoded.

    Yields:
        The outcomes, in the order of the inputs.
    """
    shard = tasks[0].options.shard
    total = -(-len(inputs) // shard.count)

    def paced() -> Iterator[Item]:
        pace = Pace()
        items = (item for item in inputs if shard.has(item.id))
        for number, item in enumerate(items):
            if progress is not None:
                progress(number, max(total, number + 1), item.path.name)
            left = pace.left(number, total)
            if left is not None:
                logger.info("%sing: %d of %d, %s left", tasks[0].command, number, total, left)
            yield item

    free: SimpleQueue[Task] = SimpleQueue()

    def run(pack: list[Item]) -> list[Outcome]:
        task = free.get()
        try:
            return task.run(pack, task.check)
        finally:
            free.put(task)

    packs = tasks[0].packed(paced())
    pool = ThreadPoolExecutor(len(tasks))
    try:
        for task in tasks:
            task.begin(inputs)
            free.put(task)
        if len(tasks) > 1:
            # One more than can run, so that no task waits for the first result.
            yield from chain.from_iterable(map_ahead(pool, run, packs, 2 * len(tasks)))
            return
        for pack in packs:
            yield from tasks[0].run(pack, within)
    finally:
        for task in tasks:
            task.close()
        pool.shutdown(cancel_futures=True)
