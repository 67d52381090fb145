"""Extracting features in batches."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fact_clip.core import Array, Image, InputError, Progress, Singles, Size
from fact_clip.core.arguments import validated
from fact_clip.encoders import FrameEncoder
from fact_clip.video.extract import (
    Settings,
    check_ours,
    extract,
    is_current,
    origin_of,
    other_video,
)
from fact_clip_batch.engine import BatchOptions, Outcome, Task, run_batch
from fact_clip_batch.inputs import Inputs, Item


@validated("encoder")
def extract_batch(
    encoder: FrameEncoder,
    inputs: Inputs,
    out: str | Path,
    settings: Settings | None = None,
    options: BatchOptions | None = None,
    *,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Extract the features of each video that has no current ones.

    A faulty video stops no other, and is a line of ``failures.jsonl``.

    Args:
        encoder: the frame encoder.
        inputs: videos, with their ids.
        out: the folder of the feature files.
        settings: of the extraction.
        options: the part of the inputs, and the limits of each.
        progress: called with (videos done, videos, name) before each video.
        within: called with (rows done, rows expected, name) during a video.

    Yields:
        The outcome of each video, in order.

    Raises:
        InputError: the encoder does not load.
    """
    options = options or BatchOptions()
    shared = encoder if isinstance(encoder, SharedEncoder) else SharedEncoder(encoder)
    tasks = [
        ExtractTask(shared, out, settings or Settings(), options) for _ in range(options.decoders)
    ]
    return run_batch(tasks, inputs, progress, within)


class SharedEncoder:
    """A frame encoder that threads take turns with. It measures how long it waits for pictures.

    Args:
        encoder: the frame encoder.
    """

    name: str
    size: Size
    context: int
    prepare: Callable[[Image], Array]

    def __init__(self, encoder: FrameEncoder) -> None:
        self._encoder = encoder
        self._lock = threading.Lock()
        self._loaded_at: float | None = None
        self._last_at = 0.0
        self._busy = 0.0

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the encoder."""
        return getattr(self._encoder, name)

    @property
    def waiting(self) -> float | None:
        """Return the share of the time since it was loaded in which it waited for pictures."""
        if self._loaded_at is None or not self._busy:
            return None
        return 1 - self._busy / (self._last_at - self._loaded_at)

    def load(self) -> None:
        """Load the weights."""
        with self._lock:
            self._encoder.load()
            self._loaded_at = self._loaded_at or time.monotonic()

    def encode_images(self, prepared: Array) -> Singles:
        """Encode pictures, as soon as no other thread does."""
        with self._lock:
            began = time.monotonic()
            rows = self._encoder.encode_images(prepared)
            self._last_at = time.monotonic()
            self._busy += self._last_at - began
        return rows


class ExtractTask(Task):
    """Extracts features into a folder: NAME.npy, and NAME.json, which is its record.

    Args:
        encoder: the frame encoder.
        out: the folder of the feature files.
        settings: of the extraction.
        options: of the batch.
    """

    command = "extract"

    def __init__(
        self, encoder: FrameEncoder, out: str | Path, settings: Settings, options: BatchOptions
    ) -> None:
        super().__init__(out, origin_of(encoder, settings), options)
        self._encoder = encoder
        self._settings = settings

    def load(self, item: Item) -> None:
        """Load the encoder, whose faults are no fault of a video."""
        self._encoder.load()

    def plan(self, item: Item) -> Outcome:
        """Return whether the features of a video are current."""
        settings = replace(self._settings, span=item.span)
        outcome = Outcome(item, item.id)
        with suppress(InputError):  # a path that leads elsewhere, which `compute` reports
            target, sidecar = map(self.folder.file, _names(item))
            file = (item.location, item.source)
            if is_current(target, sidecar, self._encoder, settings, *file):
                return replace(outcome, done=True)
            path = other_video(sidecar, *file)
            if path is not None:
                return replace(outcome, error=self.other_file(item, path))
        return outcome

    def compute(self, outcomes: Sequence[Outcome], within: Progress | None) -> Iterator[Outcome]:
        """Extract the features of videos."""
        for outcome in outcomes:
            item = outcome.item
            names = _names(item)
            try:
                if self.folder.is_remote:  # `extract` looks at local files
                    check_ours(*map(self.folder.file, names))
                with item.opened() as video, self.folder.staged(*names) as folder:
                    extract(
                        video,
                        self._encoder,
                        folder,
                        replace(self._settings, span=item.span),
                        progress=within,
                        name=item.id,
                        decoder=self.decoder,
                        address=item.address,
                    )
            except InputError as error:
                yield replace(outcome, error=error)
            else:
                yield replace(outcome, written=(self.folder.file(names[0]),))


def _names(item: Item) -> tuple[str, str]:
    """Return the names of the feature file of a video and, written last, of its description."""
    return f"{item.id}.npy", f"{item.id}.json"
