"""The loop of a batch, which skips inputs with a result and survives failures of others."""

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
        item: Input.
        state: "computed" now, "done" by an earlier batch, "failed", or "set aside", which means
            that it was not tried because it had failed too often.
        segmentation: Result of `segment` if it was computed now, otherwise None.
        written: Files that were written.
        error: Reason why there is no result or why a file is missing, or None.
    """

    item: Item
    state: Literal["computed", "done", "failed", "set aside"]
    segmentation: Segmentation | None = None
    written: tuple[Path | RemoteFile, ...] = ()
    error: InputError | None = None


@dataclass(frozen=True)
class BatchOptions:
    """How a batch processes its inputs.

    Attributes:
        shard: Part of the inputs to process.
        limits: Limits for the decoding of each video.
        retry_failed: Whether to retry inputs that failed three times.
        overwrite: Whether to compute all results again.
        actors: Number of actors of Ray, or 0 to run the batch in this process.
        device: Device of the actors. Each actor gets a GPU if the cluster has GPUs, unless this is
            "cpu".
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
        out: Output folder.
        request: What results depend on, apart from the input.
        options: Options of the batch.

    Attributes:
        command: "extract" or "segment".
        folder: Output folder.
        block: Consecutive inputs, with or without a result, so that a resumed batch has the same
            blocks.
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
        """Load what `compute` needs. An error here ends the batch."""

    @abstractmethod
    def is_done(self, item: Item) -> bool:
        """Return whether the input has a result. Raise an InputError if it has a different one."""

    @abstractmethod
    def compute(self, item: Item, within: Progress | None) -> Outcome:
        """Compute and write a result. Raise an InputError if the input has a fault."""

    def complete(self, item: Item) -> Outcome:
        """Write the files of a done result that are missing."""
        return Outcome(item, "done")

    def begin(self, inputs: Inputs | None) -> None:
        """Read which inputs have failed. Without inputs, another process describes the batch."""
        self._undescribed = inputs
        if inputs is None or len(inputs) > 1:
            # If a single input fails, nothing is written, because it is not a batch.
            self._failures = Failures(self.folder, self.request)

    def describe(self) -> None:
        """Write the description of the batch, once."""
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
            item: Input.
            within: Function called with (rows done, all rows, name) while a video is encoded.

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
        """Record a failure."""
        if self._failures is not None:
            logger.info("%s: failed", item.location)
            self._failures.add(item, error, seconds, kind)


def run_batch(
    task: Task,
    inputs: Inputs,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Process the inputs of a shard, and yield the outcome of each.

    Args:
        task: What is done with each input.
        inputs: Inputs of all shards.
        progress: Function that is called with (inputs processed, inputs of the shard, name).
        within: Function that is called with (rows done, all rows, name) while a video is encoded.

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
