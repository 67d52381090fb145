"""Segmenting in batches: result files with a record of each, so that a batch can resume."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fact_clip.core import Json, Progress, Segmentation
from fact_clip.core.errors import InputError
from fact_clip.core.identity import identity_of, is_same
from fact_clip.core.paths import output_path, write_lines
from fact_clip.core.version import __version__
from fact_clip.decoding import DecodeSettings
from fact_clip.formats import format_called, save
from fact_clip.formats.json_file import as_dict, from_dict
from fact_clip.inference.decoder import SegmentDecoder
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.similarity import TEMPERATURE
from fact_clip.inference.sources import FEATURES
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip.runs.files import FILES
from fact_clip.video.pictures import SUFFIXES, Span
from fact_clip_batch.engine import BatchOptions, Outcome, Task, run_batch
from fact_clip_batch.inputs import Inputs, Item
from fact_clip_batch.records import RECORDS, edited_files, hash_of_file, read_record
from fact_clip_batch.stores import RemoteFile

_FIX = "name another out=, or set overwrite=True"

SHORT = 1 << 23
"""Bytes of a feature file that is segmented together with others of its block, at most."""

_MOST_ROWS = 2048  # of such a file, since the scores of all files of a block are in memory

SEGMENT_SUFFIXES = (FEATURES, *SUFFIXES)
"""Endings of the files of a folder that are segmented."""


@dataclass(frozen=True)
class SegmentSettings:
    """What `segment_batch` computes and writes.

    Attributes:
        formats: names of file formats (docs/formats.md).
        actions: candidate actions; None: the classes of the run.
        decode: settings of decoding.
        media: an address of the video to write into files, in which "{name}" stands for its file
            name. None writes its path.
        with_background: write background segments to formats that leave them out.
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

    Results that are in the folder already, of the same model, actions, settings and input, are not
    computed again. A changed input replaces its result. Without `overwrite`, files that somebody
    has edited and results of another file, model, actions or settings are errors. An input that
    cannot be segmented does not stop the others, and is a line of ``failures.jsonl``.

    Args:
        segmenter: the model.
        inputs: feature files and videos, with their ids.
        out: the folder to write to.
        settings: what is computed and written.
        options: the part of the inputs, and the limits of each.
        progress: called with (inputs done, inputs, name) before each input.
        within: called with (rows done, rows, name) while a video is encoded.

    Yields:
        The outcome of each input, in order. A result of an earlier batch has no segmentation.

    Raises:
        InputError: actions, settings or formats do not fit.
    """
    task = SegmentTask(segmenter, out, settings or SegmentSettings(), options or BatchOptions())
    return run_batch(task, inputs, progress, within)


class SegmentTask(Task):
    """Segments inputs into a folder. Each result has a record of the request that it answers.

    A record, `.results/NAME.json`, has two lines: the request (model, actions, settings, input)
    with the endings of the files, and the segmentation. It is written before the files NAME.csv
    and so on, and again with their hashes; every file is written atomically. So an interrupted
    batch resumes, and a result of other actions is never taken for this one.

    Args:
        segmenter: the model.
        out: the folder of the results.
        settings: what is computed and written.
        options: of the batch.
    """

    command = "segment"

    def __init__(
        self,
        segmenter: Segmenter,
        out: str | Path,
        settings: SegmentSettings,
        options: BatchOptions,
    ) -> None:
        # Wrong names are no fault of an input.
        actions = segmenter.options.actions if settings.actions is None else settings.actions
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
        self._ready: dict[str, tuple[Json, Segmentation]] = {}  # what `block` has given, by id
        self._suffixes = [format_called(name, "formats").ending for name in settings.formats]

    def load(self, item: Item) -> None:
        """Load the encoder, if the input is a video. Its faults are no fault of the input."""
        is_there = item.address is not None or item.path.is_file()
        if is_there:
            self.segmenter.sources.load_encoder(item.path)

    def is_done(self, item: Item) -> bool:
        """Return whether the result of an input is there."""
        record = read_record(self._record(item))
        suffixes = record.get("suffixes", [])
        for suffix in self._suffixes:
            file = self._file(item, suffix)
            if suffix not in suffixes and file.is_file():
                raise InputError(str(file), "fact-clip segment did not make this file", _FIX)
        if "request" not in record:
            return False
        request = dict(record["request"])
        identity = request.pop("input")
        if request != self.request or record.get("id") != item.id:
            problem = f"{self.folder} has a result of another run, other actions or settings"
            raise InputError(item.path, problem, _FIX)
        path = identity.get("path", item.location)
        is_moved = path != item.location
        try:
            part = Span(identity.get("start", 0.0), identity.get("stop"))
            is_described = _description(item).items() <= identity.items()
            is_this = part == item.span and is_described
            if is_this and is_same(identity, item.source, is_moved=is_moved):
                return True
        except OSError:  # it is raised again where the input is read
            return False
        if is_moved:
            problem = f"{item.id} in {self.folder} is of {path}"
            raise InputError(item.path, problem, f"{_FIX}, or name the folder above both")
        for file in edited_files(self.folder, item.id, record):
            raise InputError(str(file), "edited, and its input has changed since", _FIX)
        return False

    def _file(self, item: Item, suffix: str) -> Path | RemoteFile:
        return self.folder.file(f"{item.id}{suffix}")

    def _record(self, item: Item) -> Path | RemoteFile:
        return self.folder.file(f"{RECORDS}/{item.id}.json")

    def read(self, item: Item) -> Segmentation:
        """Return the segmentation of a done input. A damaged record raises an InputError."""
        record = self._record(item)
        return from_dict(Path(str(record)), read_record(record, 1))

    def compute(self, item: Item, within: Progress | None) -> Outcome:
        """Segment an input, and write its record and files."""
        if self.block and _is_short(item):
            self._ready = self._segment_together()
        ready = self._ready.pop(item.id, None)
        identity, segmentation = ready or (_identity(item), self._segment(item, within))
        if not identity.get("start") and not identity.get("origin"):  # a later part has no address
            segmentation = self._with_media(item, segmentation)
        former = read_record(self._record(item)).get("suffixes", [])
        suffixes = list(dict.fromkeys([*self._suffixes, *former]))
        # An interruption must not leave files of another result beside this record.
        for suffix in suffixes:
            self._file(item, suffix).unlink(missing_ok=True)
        record = {
            "id": item.id,
            "request": {**self.request, "input": identity},
            "suffixes": suffixes,
            "files": {},
            "rows": segmentation.n_frames,
            "version": __version__,
        }
        outcome = Outcome(item, "computed", segmentation)
        return self._write_files(outcome, record, segmentation, suffixes)

    def _segment(self, item: Item, within: Progress | None) -> Segmentation:
        self.segmenter.sources.decoder = self.decoder
        try:
            with item.opened() as path:
                read = self.segmenter.sources.read(path, within, item.span)
        finally:
            self.segmenter.sources.decoder = None
        return self._segment_decoder.segmentation(self._segment_decoder.score(read))

    def _segment_together(self) -> dict[str, tuple[Json, Segmentation]]:
        """Return identities and results of the short feature files of a block, without faulty ones.

        Last digits of probabilities depend on which files share a pass, so all do, done or not.
        """
        decoder = self._segment_decoder
        identities = {}
        videos = []
        clocks = []
        for item in filter(_is_short, self.block):
            identity = _identity(item)
            with suppress(InputError):  # it is raised again by the input whose fault it is
                read = self.segmenter.sources.read(item.path, span=item.span)
                if len(read.features) <= _MOST_ROWS:
                    videos.append(decoder.scorer.checked(read.features, read.where))
                    clocks.append(read.clock)
                    identities[item.id] = identity
        self.block = ()
        if not videos:
            return {}
        with suppress(InputError):
            scores = decoder.scorer.score_together(
                videos, decoder.candidates, clocks, rivals=decoder.settings.reject is not None
            )
            results = zip(identities.values(), map(decoder.segmentation, scores), strict=True)
            return dict(zip(identities, results, strict=True))
        return {}

    def _with_media(self, item: Item, segmentation: Segmentation) -> Segmentation:
        """Return a segmentation with the address of its video."""
        if item.address is not None and item.path.suffix.lower() in SUFFIXES:
            segmentation = replace(segmentation, media=item.address)
        media = self._settings.media
        if media:
            address = Path(segmentation.media or item.path.stem).name
            segmentation = replace(segmentation, media=media.replace("{name}", address))
        return segmentation

    def complete(self, item: Item) -> Outcome:
        """Write the files of a done result that are missing."""
        outcome = Outcome(item, "done")
        record = read_record(self._record(item))
        files = record.get("files", {})
        if all(suffix in files and self._file(item, suffix).is_file() for suffix in self._suffixes):
            return outcome
        for file in edited_files(self.folder, item.id, record):
            problem = "edited, so further formats would differ from it"
            return replace(outcome, state="failed", error=InputError(str(file), problem, _FIX))
        try:
            record["suffixes"] = sorted({*self._suffixes, *record["suffixes"]})
            return self._write_files(outcome, record, self.read(item), self._suffixes)
        except InputError as error:
            return replace(outcome, state="failed", error=error)

    def _write_files(
        self,
        outcome: Outcome,
        record: Json,
        segmentation: Segmentation,
        suffixes: Sequence[str],
    ) -> Outcome:
        """Write a record, the files that are missing, and the record with the hashes of these.

        A format that cannot hold the result is the error of the outcome.
        """
        item = outcome.item
        self._write_record(item, record, segmentation)
        files = record.setdefault("files", {})
        written = []
        first_error = None
        for suffix in suffixes:
            file = self._file(item, suffix)
            name = f"{item.id}{suffix}"
            try:
                is_missing = not file.is_file()
                if is_missing:
                    with self.folder.staged(name) as folder:
                        # The kind is named because a file called x.boris has another ending.
                        background = self._settings.with_background
                        path = output_path(folder, name, "")
                        save(segmentation, path, with_background=background, kind=suffix)
                    written.append(file)
                if is_missing or suffix not in files:
                    files[suffix] = hash_of_file(file)
            except InputError as error:
                first_error = first_error or error
        self._write_record(item, record, segmentation)
        state = "failed" if first_error else outcome.state
        return replace(outcome, state=state, written=tuple(written), error=first_error)

    def _write_record(self, item: Item, record: Json, segmentation: Segmentation) -> None:
        record_name = f"{RECORDS}/{item.id}.json"
        with self.folder.staged(record_name) as folder:
            lines = map(json.dumps, (record, as_dict(segmentation)))
            write_lines(output_path(folder, record_name, ""), lines)


def _is_short(item: Item) -> bool:
    """Return whether an input is a feature file that is read with others."""
    is_local = item.address is None and item.path.suffix.lower() == FEATURES
    with suppress(OSError, ValueError):  # a path with NUL
        return is_local and item.path.stat().st_size <= SHORT
    return False


def _identity(item: Item) -> Json:
    """Return the path, the content and the description of an input, as records hold them."""
    identity = item.span.facts
    with suppress(OSError):  # it is raised again where the input is read
        identity |= {"path": item.location, **_description(item), **identity_of(item.source)}
    return identity


def _description(item: Item) -> Json:
    """Return a hash of the NAME.json beside features, and the second of the video they start at."""
    sidecar = item.source.with_suffix(".json")
    if item.path.suffix.lower() != FEATURES or not sidecar.is_file():
        return {"description": None}
    start = read_record(sidecar).get("start")
    origin = float(start) if isinstance(start, int | float) else 0.0
    return {"description": identity_of(sidecar)["hash"], "origin": origin}


def _model_request(segmenter: Segmenter, settings: DecodeSettings) -> Json:
    """Return what a result depends on, apart from candidates and inputs. Records hold it."""
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
    """Return how features are made from videos, as far as the run does not say it."""
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
