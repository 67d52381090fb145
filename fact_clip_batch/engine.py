"""The loop of a batch: what is done is skipped, and a failure costs one input."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from fact_clip.core import InputError, Json, Progress, Segmentation
from fact_clip.core.progress import Pace
from fact_clip_batch.inputs import Inputs, Item, Shard
from fact_clip_batch.isolated import IsolatedDecoder, Limits
from fact_clip_batch.records import ATTEMPTS, Failures, describe_batch
from fact_clip_batch.stores import Folder, RemoteFile

logger = logging.getLogger("fact_clip.batch")  # below the logger that programs set

_BLOCK = 32  # consecutive inputs that a task may compute together


@dataclass(frozen=True)
class Outcome:
    """One input of a batch and its result.

    Attributes:
        item: the input.
        state: "computed"; "done" by an earlier batch; "failed"; "set aside", which was not tried,
            because it failed too often.
        segmentation: the result of `segment`, where it was just computed.
        written: files that were written.
        error: why there is no result, or why a file is missing.
    """

    item: Item
    state: Literal["computed", "done", "failed", "set aside"]
    segmentation: Segmentation | None = None
    written: tuple[Path | RemoteFile, ...] = ()
    error: InputError | None = None


@dataclass(frozen=True)
class BatchOptions:
    """How a batch goes through its inputs.

    Attributes:
        shard: the part of the inputs.
        limits: of the decoding of each video.
        retry_failed: try inputs again that failed three times.
        overwrite: compute all inputs again.
        actors: of Ray; the commands run a batch without any in this process.
        device: of the actors. Each one gets a GPU where the cluster has some; "cpu": none.
    """

    shard: Shard = field(default_factory=Shard)
    limits: Limits = field(default_factory=Limits)
    retry_failed: bool = False
    overwrite: bool = False
    actors: int = 0
    device: str = "auto"


class Task(ABC):
    """What a batch does with each input.

    Args:
        out: the folder of the outputs.
        request: what results depend on, apart from the input.
        options: of the batch.

    Attributes:
        command: "extract" or "segment".
        folder: of the outputs.
        block: consecutive inputs, done or not, so that a batch that resumes has the same blocks.
    """

    command: str
    block: Sequence[Item] = ()

    def __init__(self, out: str | Path, request: Json, options: BatchOptions) -> None:
        self.folder = Folder(out)
        self.request = request
        self.options = options
        self.video_decoder = IsolatedDecoder(options.limits)
        self._undescribed: Inputs | None = None
        self._failures: Failures | None = None

    @abstractmethod
    def load(self, item: Item) -> None:
        """Load what is needed to compute. Its faults end the batch."""

    @abstractmethod
    def is_done(self, item: Item) -> bool:
        """Return whether there is a result. That of something else is an InputError."""

    @abstractmethod
    def compute(self, item: Item, within: Progress | None) -> Outcome:
        """Compute and write a result. An InputError is the fault of the input."""

    def complete(self, item: Item) -> Outcome:
        """Write the files of a done result that are missing."""
        return Outcome(item, "done")

    def begin(self, inputs: Inputs | None) -> None:
        """Read which inputs have failed. Without inputs, another process describes the batch."""
        self._undescribed = inputs
        if inputs is None or len(inputs) > 1:
            # A single input is no batch: if it fails, nothing is written.
            self._failures = Failures(self.folder, self.request)

    def describe(self) -> None:
        """Write what the batch is, once."""
        if self._undescribed is not None:
            describe_batch(self.folder, self.command, self._undescribed, self.request)
            self._undescribed = None

    def in_blocks(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield inputs for `run`, and set `block` before the first of each block."""
        for block in iter(lambda: list(islice(items, _BLOCK)), []):
            self.block = block
            yield from block

    def run(self, item: Item, within: Progress | None = None) -> Outcome:
        """Compute the result of an input, unless it is done.

        Args:
            item: the input.
            within: called with (rows done, rows in all, name) while a video is encoded.

        Returns:
            Its outcome.
        """
        try:
            is_done = not self.options.overwrite and self.is_done(item)
        except InputError as error:
            self._note(item, error, 0, "refused")
            return Outcome(item, "failed", error=error)
        outcome = self.complete(item) if is_done else self._attempt(item, within)
        if self._failures is not None and outcome.state in ("computed", "done"):
            self._failures.clear(item)
        if self._failures is not None or outcome.error is None:
            self.describe()
        return outcome

    def _attempt(self, item: Item, within: Progress | None) -> Outcome:
        """Compute the result of an input, unless it has failed too often."""
        if self._failures is not None and not self.options.retry_failed:
            if self._failures.attempts(item) >= ATTEMPTS:
                return Outcome(item, "set aside")
        self.load(item)
        began = time.monotonic()
        try:
            return self.compute(item, within)
        except InputError as error:
            self._note(item, error, time.monotonic() - began, "input")
            return Outcome(item, "failed", error=error)

    def _note(self, item: Item, error: InputError, seconds: float, kind: str) -> None:
        """Add a failure to those of the batch."""
        if self._failures is not None:
            logger.info("%s: failed", item.location)
            self._failures.add(item, error, seconds, kind)


def run_batch(
    task: Task,
    inputs: Inputs,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Go through the inputs of a shard, and yield the outcome of each.

    Args:
        task: what is done with each input.
        inputs: the inputs of all shards.
        progress: called with (inputs gone through, inputs of the shard, name).
        within: called with (rows done, rows in all, name) while a video is encoded.

    Yields:
        The outcomes, in the order of the inputs.
    """
    shard = task.options.shard
    total = -(-len(inputs) // shard.count)
    pace = Pace()
    task.begin(inputs)
    try:
        for number, item in enumerate(task.in_blocks(shard.items(inputs))):
            if progress is not None:
                progress(number, max(total, number + 1), item.path.name)
            left = pace.left(number, total)
            if left is not None:
                logger.info("%sing: %d of %d, %s left", task.command, number, total, left)
            yield task.run(item, within)
    finally:
        task.video_decoder.close()
