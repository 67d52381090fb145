"""Segment many files into a folder, with a record of each result so that a batch can resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from fact_clip.core import InputError, Progress, Segmentation
from fact_clip.core.distributed import Processes
from fact_clip.core.io import parse_json, read_text
from fact_clip.core.paths import file_name, inside, write_lines
from fact_clip.decoding import DecodeSettings
from fact_clip.decoding.similarity import TEMPERATURE, TransportSettings
from fact_clip.formats import format_called, save
from fact_clip.formats.json_file import as_dict, from_dict
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import FEATURES, Segmenter
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip.run import FILES
from fact_clip.video.decode import SUFFIXES

RECORDS = ".results"
"""Folder with the records, inside the output folder."""


@dataclass(frozen=True)
class FileResult:
    """One input of a batch and its result."""

    source: Path
    name: str  # of its files, without their endings
    done: bool  # an earlier batch computed the result
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: InputError | None = None  # why there is no segmentation, or why a file is missing


def segment_files(
    segmenter: Segmenter,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    formats: Sequence[str] = ("csv", "json"),
    actions: Sequence[str] | None = None,
    settings: DecodeSettings | None = None,
    media: str | None = None,
    with_background: bool = False,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    processes: Processes | None = None,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> list[FileResult]:
    """Segment feature files and videos, and write each result as soon as it is computed.

    Results that are in the folder already, of the same model, actions, settings and input, are not
    computed again. A result of another request gets the name NAME-2, NAME-3 and so on. An input
    that cannot be segmented does not stop the others.

    Args:
        segmenter: the model.
        inputs: feature files, videos, or folders of either.
        out: the folder to write to.
        formats: names of file formats (docs/formats.md).
        actions: candidate actions, or None for the classes of the run.
        settings: of decoding, or None for those of the run.
        media: an address of the video to write into files, in which "{name}" stands for its file
            name. None writes its path.
        with_background: write background segments to formats that leave them out.
        overwrite: compute all inputs again, and replace their files.
        options: further facts that distinguish requests, as JSON values. None takes the frame rate
            and ``keep_going`` of the segmenter.
        processes: the processes that share the inputs. All of them must call this function.
        progress: called with (inputs done, inputs, name) before each input.
        within: called with (rows done, rows, name) while a video is encoded.

    Returns:
        The result of each input, in order. Processes other than the first return an empty list.

    Raises:
        InputError: if inputs share a name, or if actions, settings or formats do not fit.
    """
    processes = processes or Processes("auto")
    settings = settings or DecodeSettings()
    if options is None:
        extraction = segmenter.extraction
        options = {"encoder": None, "fps": extraction.fps, "keep_going": extraction.keep_going}
    segmenter.choose(actions, settings)  # wrong names are no fault of an input
    folder = ResultFolder(
        folder=Path(out),
        suffixes=[format_called(name, "formats").ending for name in formats],
        request={
            **_model_request(segmenter, settings),
            **options,
            "actions": actions,
            "media": media,
            "with_background": with_background,
        },
        overwrite=overwrite,
        with_background=with_background,
    )
    sources = processes.broadcast(lambda: collect_inputs(inputs))
    plan = processes.broadcast(lambda: folder.plan(sources))
    open_results = [result for result in plan if not result.done]
    share = {result.source: result for result in processes.share(open_results)}
    computed: dict[Path, FileResult] = {}

    def fail(source: Path, error: InputError) -> None:
        computed[source] = replace(share[source], error=error)

    segmentations = segmenter.segment_all(
        list(share),
        actions,
        settings=settings,
        progress=progress,
        within=within,
        failed=fail,
    )
    for source, segmentation in segmentations:
        address = segmentation.media
        if media:
            address = media.replace("{name}", Path(address or source).name)
        segmentation = replace(segmentation, media=address)
        computed[source] = folder.write(share[source], segmentation)
    ordered = [computed[source] for source in share]
    gathered = iter(processes.gather(ordered, len(open_results)))
    if not processes.is_main:
        return []
    return [folder.write(result) if result.done else next(gathered) for result in plan]


def collect_inputs(
    inputs: Sequence[str | Path], suffixes: Sequence[str] = (FEATURES, *SUFFIXES)
) -> list[Path]:
    """List the files of a batch.

    Args:
        inputs: files, and folders whose files are taken. Hidden files are left out.
        suffixes: the endings of the files of a folder.

    Returns:
        The paths, each once.

    Raises:
        InputError: if a folder has no such file, or if two files share a name.
    """
    by_stem: dict[str, Path] = {}
    for path in map(Path, inputs):
        files = [path]
        if path.is_dir():
            files = [file for file in path.iterdir() if file.suffix.lower() in suffixes]
            # A name that starts with a dot is hidden, or of a file that is still being written.
            files = sorted(file for file in files if file.name[0] != ".")
        if not files:
            fix = f"name one with files that end in {', '.join(suffixes)}"
            raise InputError(path, "no videos in this folder", fix)
        for file in files:
            if by_stem.setdefault(file.stem, file) is not file:
                problem = f"the name of {by_stem[file.stem]} too"
                raise InputError(file, problem, "give each once, with another name")
    return list(by_stem.values())


def result_names(stem: str) -> Iterator[str]:
    """Yield the names that a result may have: NAME, NAME-2, NAME-3, ..."""
    yield stem
    for number in count(2):
        yield f"{stem}-{number}"


@dataclass(frozen=True)
class ResultFolder:
    """Result files in a folder, each with a record of the request that it answers.

    A record, `.results/NAME.json`, has two lines: the request (model, actions, settings, input)
    with the endings of the files, and the segmentation. It is written before the files NAME.csv
    and so on, and every file is written atomically. So an interrupted batch resumes, and a result
    of other actions is never taken for this one.
    """

    folder: Path
    suffixes: Sequence[str]
    request: Mapping[str, Any]
    overwrite: bool
    with_background: bool

    def plan(self, sources: Sequence[Path]) -> list[FileResult]:
        """Return a result for each input, named after the input unless another result is so named.

        Args:
            sources: the inputs.

        Returns:
            The results, without segmentations.
        """
        stems = {source: file_name(source.stem) for source in sources}
        results: dict[str, FileResult] = {}
        for source, stem in stems.items():
            for name in result_names(stem):
                done = False if self.overwrite else self._is_done(name, source)
                belongs_to_another = name != stem and name in stems.values()
                if done is not None and name not in results and not belongs_to_another:
                    results[name] = FileResult(source, name, done)
                    break
        return list(results.values())

    def _is_done(self, name: str, source: Path) -> bool | None:
        """Return whether the result is computed, or None if the name belongs to another result."""
        record = self._read_record(name)
        if record and record["request"] != self._request_for(source):
            return None
        recorded = record.get("suffixes", ())
        for suffix in self.suffixes:
            if suffix not in recorded and (self.folder / f"{name}{suffix}").exists():
                return None
        return bool(record)

    def _read_record(self, name: str, line: int = 0) -> dict[str, Any]:
        """Return the first or second line of a record, or {} if it is missing or damaged."""
        path = self.folder / RECORDS / f"{name}.json"
        with suppress(InputError, IndexError):
            record = parse_json(read_text(path).split("\n")[line], path, "a record of this command")
            if isinstance(record, dict) and (line or {"request", "suffixes"} <= record.keys()):
                return record
        return {}

    def _request_for(self, source: Path) -> Any:
        file = None
        with suppress(OSError):  # it is raised again where the input is read
            status = source.stat()
            file = {
                "path": str(source.resolve()),
                "bytes": status.st_size,
                "modified_ns": status.st_mtime_ns,
            }
        return json.loads(json.dumps({**self.request, "input": file}))  # as it is read

    def write(self, result: FileResult, segmentation: Segmentation | None = None) -> FileResult:
        """Write the record of a new result, and the files of any result that are missing.

        Args:
            result: the input.
            segmentation: its segmentation, or None to read it from the record.

        Returns:
            The result with the files that were written. A format that cannot hold the segmentation
            is reported as its error, and does not stop the others.
        """
        try:
            record_path = inside(self.folder, RECORDS, f"{result.name}.json")
            files = {
                suffix: inside(self.folder, f"{result.name}{suffix}") for suffix in self.suffixes
            }
            if segmentation is None:
                segmentation = from_dict(record_path, self._read_record(result.name, 1))
            if result.done:
                recorded = self._read_record(result.name).get("suffixes", [])
            else:
                recorded = []
                # An interruption must not leave files of another result beside this record.
                for path in files.values():
                    path.unlink(missing_ok=True)
            suffixes = sorted({*self.suffixes, *recorded})
            if suffixes != recorded:
                record = {"request": self._request_for(result.source), "suffixes": suffixes}
                write_lines(record_path, map(json.dumps, (record, as_dict(segmentation))))
        except InputError as error:
            return replace(result, segmentation=segmentation, error=error)
        written = []
        first_error = None
        for suffix, path in files.items():
            if path.exists():
                continue
            try:
                # The kind is named because a file called x.boris has the ending of another format.
                save(segmentation, path, with_background=self.with_background, kind=suffix)
                written.append(path)
            except InputError as error:
                first_error = first_error or error
        return replace(result, segmentation=segmentation, written=tuple(written), error=first_error)


def _model_request(segmenter: Segmenter, settings: DecodeSettings) -> dict[str, Any]:
    """Return what a result depends on, apart from candidates and inputs. Records hold it."""
    scorer = segmenter.scorer
    if isinstance(scorer, Scorer):
        return {
            "run": _digest(scorer.run.path),
            "window": scorer.window,
            "adjust": settings.model_dump(),
        }
    assert isinstance(scorer, SimilarityScorer)
    complete = settings.over(scorer.settings)
    similarity = {
        "templates": scorer.prompts,
        "temperature": TEMPERATURE,
        "smoothing": scorer.smoothing,
        "threshold": complete.threshold,
        "shortest": complete.shortest,
        "background": "background",
        "transport": asdict(TransportSettings()),
    }
    return {"settings": similarity}


def _digest(run: Path) -> str:
    """Return a digest of the weights, settings, classes and calibrations of a run."""
    digest = hashlib.sha256()
    paths: set[Path] = set()
    for name in FILES:
        paths |= {run / name, *run.glob(f"members/*/{name}")}
    for path in sorted(paths):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(f"{path.relative_to(run)} ".encode() + content)
    return digest.hexdigest()
