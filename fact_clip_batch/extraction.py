"""Extracting features in batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fact_clip.core import Progress
from fact_clip.core.arguments import validated
from fact_clip.encoders import FrameEncoder
from fact_clip.video.extract import (
    Settings,
    check_ours,
    extract,
    is_current,
    origin_of,
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
    """Extract the features of each video that does not have current features.

    A video that cannot be read does not stop the batch. It is recorded in ``failures.jsonl``.

    Args:
        encoder: Frame encoder.
        inputs: Videos with their ids.
        out: Folder of the feature files.
        settings: Settings of the extraction.
        options: Part of the inputs to process, and the limits for each of them.
        progress: Function that is called with (videos done, videos, name) before each video.
        within: Function that is called with (rows done, rows expected, name) during a video.

    Yields:
        The outcome of each video, in order.

    Raises:
        InputError: The encoder cannot be loaded.
    """
    task = ExtractTask(encoder, out, settings or Settings(), options or BatchOptions())
    return run_batch(task, inputs, progress, within)


class ExtractTask(Task):
    """Extracts features into a folder: NAME.npy, and NAME.json, which is its record.

    Args:
        encoder: Frame encoder.
        out: Folder of the feature files.
        settings: Settings of the extraction.
        options: Options of the batch.
    """

    command = "extract"

    def __init__(
        self, encoder: FrameEncoder, out: str | Path, settings: Settings, options: BatchOptions
    ) -> None:
        super().__init__(out, origin_of(encoder, settings), options)
        self._encoder = encoder
        self._settings = settings

    def load(self, item: Item) -> None:
        """Load the encoder. An error here is not the fault of a video."""
        self._encoder.load()

    def is_done(self, item: Item) -> bool:
        """Return whether the features of a video are current."""
        settings = replace(self._settings, span=item.span)
        target, sidecar = map(self.folder.file, _names(item))
        return is_current(target, sidecar, self._encoder, settings, item.location, item.source)

    def compute(self, item: Item, within: Progress | None) -> Outcome:
        """Extract the features of a video."""
        names = _names(item)
        if self.folder.is_remote:  # `extract` only checks local files
            check_ours(*map(self.folder.file, names))
        with item.opened() as video, self.folder.staged(*names) as folder:
            extract(
                video,
                self._encoder,
                folder,
                replace(self._settings, span=item.span),
                progress=within,
                name=item.id,
                decoder=self.video_decoder,
                address=item.address,
            )
        return Outcome(item, "computed", written=(self.folder.file(names[0]),))


def _names(item: Item) -> tuple[str, str]:
    """Return the names of the feature file of a video and, written last, of its description."""
    return f"{item.id}.npy", f"{item.id}.json"
