"""Segmenting in batches: the model, the inputs that share a pass, and the request of a record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fact_clip.core import InputError, Json, Progress, Segmentation
from fact_clip.decoding import DecodeSettings
from fact_clip.formats import format_called
from fact_clip.inference.decoder import SegmentDecoder
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.similarity import TEMPERATURE
from fact_clip.inference.sources import FEATURES
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip.runs.files import FILES
from fact_clip.video.frames import SUFFIXES
from fact_clip_batch.engine import BatchOptions, Outcome, Task, run_batch
from fact_clip_batch.inputs import Inputs, Item
from fact_clip_batch.results import ResultFolder, identity_of_item

SHORT = 1 << 23
"""Largest size in bytes of a feature file that shares a pass with the others of its block."""

_MOST_ROWS = 2048  # of such a file, because the scores of all files of a block are kept in memory

SEGMENT_SUFFIXES = (FEATURES, *SUFFIXES)
"""Endings of the files of a folder that are segmented."""


@dataclass(frozen=True)
class SegmentSettings:
    """What `segment_batch` computes and writes.

    Attributes:
        formats: Names of file formats (docs/formats.md).
        actions: Candidate actions, or None for the classes of the run.
        decode: Settings of decoding.
        media: Address of the video to write into files, or None to write its path. "{name}" stands
            for the file name of the video, such as "take.mp4". If features do not name their video,
            it stands for the name of the feature file without its ending.
        with_background: Whether to write background segments to formats that leave them out.
    """

    formats: Sequence[str] = ("csv", "json")
    actions: Sequence[str] | None = None
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    media: str | None = None
    with_background: bool = False


def segment_batch(
    segmenter: Segmenter,
    inputs: Inputs,
    out: str | Path,
    settings: SegmentSettings | None = None,
    options: BatchOptions | None = None,
    *,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Iterator[Outcome]:
    """Segment feature files and videos, and write each result as soon as it is computed.

    A result is not computed again if the folder already has it for the same model, actions,
    settings and input. The result of a changed input is replaced. Without `overwrite`, edited
    files, and results of a different file, model, action list or settings, raise an error. An input
    that cannot be
    segmented does not stop the batch. It is recorded in ``failures.jsonl``.

    Args:
        segmenter: Model.
        inputs: Feature files and videos, with their ids.
        out: Folder to write to.
        settings: What is computed and written.
        options: Part of the inputs to process, and the limits for each of them.
        progress: Function that is called with (inputs done, inputs, name) before each input.
        within: Function that is called with (rows done, rows, name) while a video is encoded.

    Yields:
        The outcome of each input, in order. A result of an earlier batch does not have its
        segmentation.

    Raises:
        InputError: The actions, settings or formats do not fit the model.
    """
    task = SegmentTask(segmenter, out, settings or SegmentSettings(), options or BatchOptions())
    return run_batch(task, inputs, progress, within)


class SegmentTask(Task):
    """Segments inputs into a folder; see `ResultFolder` for what is written.

    Args:
        segmenter: Model.
        out: Folder of the results.
        settings: What is computed and written.
        options: Options of the batch.
    """

    command = "segment"

    def __init__(
        self,
        segmenter: Segmenter,
        out: str | Path,
        settings: SegmentSettings,
        options: BatchOptions,
    ) -> None:
        actions = segmenter.options.actions if settings.actions is None else settings.actions
        # Names of actions are checked here, because a wrong name is not the fault of an input.
        candidates = segmenter.choose(actions, settings.decode)
        request = {
            **_model_request(segmenter, settings.decode),
            **_extraction_request(segmenter),
            "actions": actions,
            "media": settings.media,
            "with_background": settings.with_background,
        }
        super().__init__(out, json.loads(json.dumps(request)), options)  # as it is read
        self.segmenter = segmenter
        self._settings = settings
        self._segment_decoder = SegmentDecoder(segmenter.scorer, candidates, settings.decode)
        self._computed_in_block: dict[str, _Computed] = {}  # by id
        self._results = ResultFolder(
            folder=self.folder,
            request=self.request,
            suffixes=[format_called(name, "formats").ending for name in settings.formats],
            with_background=settings.with_background,
        )

    def load(self, item: Item) -> None:
        """Load the encoder if the input is a video. An error here is not the fault of the input."""
        is_there = item.address is not None or item.path.is_file()
        if is_there:
            self.segmenter.sources.load_encoder(item.path)

    def is_done(self, item: Item) -> bool:
        """Return whether the folder has the result of an input."""
        return self._results.is_done(item)

    def read(self, item: Item) -> Segmentation:
        """Return the segmentation of a finished input. A damaged record raises an InputError."""
        return self._results.read(item)

    def complete(self, item: Item) -> Outcome:
        """Write the files of a done result that are missing."""
        return self._results.complete(item)

    def compute(self, item: Item, within: Progress | None) -> Outcome:
        """Segment an input, and write its record and files."""
        if self.block and _is_short(item):
            self._computed_in_block = self._segment_short_files(self.block)
            self.block = ()
        computed = self._computed_in_block.pop(item.id, None)
        if computed is None:
            if item.address is None and item.path.suffix.lower() == FEATURES:
                # The header is checked first, because the identity needs the whole content.
                self.segmenter.scorer.needs.open(item.path)
            computed = _Computed(identity_of_item(item), self._segment(item, within))
        identity = computed.identity
        segmentation = computed.segmentation
        is_later_part = identity.get("start") or identity.get("origin")
        if not is_later_part:  # a later part of a video does not have an address
            segmentation = self._with_media(item, segmentation)
        return self._results.write(item, identity, segmentation)

    def _segment(self, item: Item, within: Progress | None) -> Segmentation:
        sources = self.segmenter.sources
        sources.video_decoder = self.video_decoder
        try:
            with item.opened() as path:
                source = sources.read(path, within, item.span)
        finally:
            sources.video_decoder = None
        return self._segment_decoder.segmentation(self._segment_decoder.score(source))

    def _segment_short_files(self, block: Sequence[Item]) -> dict[str, _Computed]:
        """Return the results of the short feature files of a block, by id, except faulty ones.

        The last digits of probabilities depend on which files share a pass through the model. So
        all short files of the block share it, whether they are done or not.
        """
        decoder = self._segment_decoder
        identities = {}
        videos = []
        clocks = []
        for item in filter(_is_short, block):
            identity = identity_of_item(item)
            with suppress(InputError):  # raised again when this input is computed by itself
                source = self.segmenter.sources.read(item.path, span=item.span)
                if len(source.features) <= _MOST_ROWS:
                    videos.append(decoder.scorer.checked(source.features, source.where))
                    clocks.append(source.clock)
                    identities[item.id] = identity
        results = {}
        if videos:
            with suppress(InputError):
                scores = decoder.scorer.score_together(
                    videos, decoder.candidates, clocks, rivals=decoder.settings.reject is not None
                )
                segmentations = map(decoder.segmentation, scores)
                for item_id, segmentation in zip(identities, segmentations, strict=True):
                    results[item_id] = _Computed(identities[item_id], segmentation)
        return results

    def _with_media(self, item: Item, segmentation: Segmentation) -> Segmentation:
        """Return a segmentation with the address of its video.

        | input | video of the segmentation | "{name}" of the template |
        | -- | -- | -- |
        | video at an address | the address | last part of the address |
        | other video, or features with a video | its path | file name of the video |
        | features without a video | none | name of the feature file without ".npy" |
        """
        if item.address is not None and item.path.suffix.lower() in SUFFIXES:
            segmentation = replace(segmentation, media=item.address)
        media = self._settings.media
        if media:
            video_name = Path(segmentation.media or item.path.stem).name
            segmentation = replace(segmentation, media=media.replace("{name}", video_name))
        return segmentation


@dataclass(frozen=True)
class _Computed:
    """A result that is not written yet, with the identity of its input when it was read."""

    identity: Json
    segmentation: Segmentation


def _is_short(item: Item) -> bool:
    """Return whether an input is a feature file that is read with others."""
    is_local = item.address is None and item.path.suffix.lower() == FEATURES
    with suppress(OSError, ValueError):  # a path with NUL
        return is_local and item.path.stat().st_size <= SHORT
    return False


def _model_request(segmenter: Segmenter, settings: DecodeSettings) -> Json:
    """Return the part of a request that describes the model and its decoding."""
    scorer = segmenter.scorer
    if isinstance(scorer, Scorer):
        return {
            "run": _digest(scorer.run.path),
            "window": scorer.window,
            "adjust": settings.model_dump(),
        }
    assert isinstance(scorer, SimilarityScorer)
    similarity = {
        "templates": scorer.prompts,
        "temperature": TEMPERATURE,
        "smoothing": scorer.smoothing,
        "adjust": settings.over(scorer.settings).model_dump(),
    }
    return {"settings": similarity}


def _extraction_request(segmenter: Segmenter) -> Json:
    """Return the part of a request that describes extraction, unless the run implies it."""
    run = segmenter.scorer.run
    encoder = segmenter.sources.encoder_name
    fps = segmenter.options.fps
    request = {
        "encoder": None if run is not None and encoder == run.encoder else encoder,
        "fps": None if run is not None and fps == run.fps else fps,
    }
    if segmenter.options.precision != "auto":
        request["precision"] = segmenter.options.precision
    return request


def _digest(run: Path) -> str:
    """Return a digest of the weights, settings, classes and calibrations of a run."""
    digest = hashlib.sha256()
    for path in sorted([*run.glob("*"), *run.glob("members/*/*")]):
        if path.name in FILES and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(f"{path.relative_to(run)} ".encode() + content)
    return digest.hexdigest()
