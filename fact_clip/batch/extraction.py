"""Extracting features in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fact_clip.batch.description import describe_batch
from fact_clip.batch.engine import BatchOptions, Outcome, run_batch
from fact_clip.batch.inputs import Inputs, Item
from fact_clip.core import InputError, Json, Progress
from fact_clip.core.arguments import validated
from fact_clip.encoders import FrameEncoder
from fact_clip.video.decode import SUFFIXES, Span
from fact_clip.video.extract import Settings, extract, is_current, precision_of
from fact_clip.video.isolated import IsolatedDecoder


@dataclass(frozen=True)
class Extracted:
    """The results for a list of videos: extracted, skipped as current, or failed."""

    written: list[Path] = field(default_factory=list)
    current: list[Path] = field(default_factory=list)
    failed: list[InputError] = field(default_factory=list)


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
    options = replace(options or BatchOptions(), store=str(out))
    task = ExtractTask(encoder, Path(out), settings or Settings(), options)
    return run_batch(task, inputs, options, progress, within)


@validated("encoder")
def extract_all(
    videos: Sequence[str | Path],
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Extracted:
    """Extract the features of videos, and return all results; see `extract_batch`.

    Args:
        videos: the video files, folders, globs or manifests.
        encoder: the frame encoder.
        out: the folder of the feature files.
        settings: of the extraction.
        progress: called with (videos done, videos, name) before each video.
        within: called with (rows done, rows expected, name) during a video.

    Returns:
        The result of each video.

    Raises:
        InputError: the encoder does not load, or two videos have one id.
    """
    extracted = Extracted()
    inputs = Inputs(videos, SUFFIXES)
    outcomes = extract_batch(encoder, inputs, out, settings, progress=progress, within=within)
    for outcome in outcomes:
        if outcome.error is not None:
            extracted.failed.append(outcome.error)
        elif outcome.done:
            extracted.current.append(outcome.source)
        elif not outcome.set_aside:
            extracted.written.append(outcome.source)
    return extracted


class ExtractTask:
    """Extracts features into a folder: NAME.npy, and NAME.json, which is its record.

    Args:
        encoder: the frame encoder.
        folder: the folder of the feature files.
        settings: of the extraction.
        options: of the batch.
    """

    title = "extracting"
    suffixes = (".npy", ".json")

    def __init__(
        self, encoder: FrameEncoder, folder: Path, settings: Settings, options: BatchOptions
    ) -> None:
        self.folder = folder
        self._encoder = encoder
        self._settings = settings
        self._overwrite = options.overwrite
        self._decoder = IsolatedDecoder(options.limits)
        self._inputs: Inputs | None = None
        self.request: Json = {
            "encoder": encoder.name,
            "precision": precision_of(encoder),
            "fps": settings.fps,
            "keep_going": settings.keep_going,
        }

    def begin(self, inputs: Inputs) -> None:
        """Take the inputs of the batch."""
        self._inputs = inputs

    def describe(self) -> None:
        """Write what the batch is."""
        if self._inputs is not None:
            describe_batch(self.folder, "extract", len(self._inputs), self.request)
            self._inputs = None

    def close(self) -> None:
        """End the decoder."""
        self._decoder.close()

    def load(self, item: Item) -> None:
        """Load the encoder, whose faults are no fault of a video."""
        self._encoder.load()

    def plan(self, item: Item) -> Outcome:
        """Return whether the features of a video are current."""
        settings = self._settings_for(item)
        done = not self._overwrite and is_current(
            item.path, self._encoder, self.folder, settings, item.id, item.source
        )
        return Outcome(item, item.id, done)

    def compute(self, outcome: Outcome, within: Progress | None) -> Outcome:
        """Extract the features of a video."""
        item = outcome.item
        with item.opened() as video:
            path = extract(
                video,
                self._encoder,
                self.folder,
                self._settings_for(item),
                progress=within,
                name=item.id,
                decoder=self._decoder,
                address=item.address,
            )
        return replace(outcome, written=(path,))

    def complete(self, outcome: Outcome) -> Outcome:
        """Return the outcome: features are complete or not there."""
        return outcome

    def _settings_for(self, item: Item) -> Settings:
        return replace(self._settings, span=Span(item.start, item.stop))
