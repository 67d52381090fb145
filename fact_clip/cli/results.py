"""What `segment` writes, prints and draws: files and their records, tables, timelines, names burned into a video."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fact_clip.cli.console import progress, table
from fact_clip.core.errors import InputError
from fact_clip.core.messages import is_name, printable
from fact_clip.core.paths import file_name, inside, whole_file

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.inference.segmenter import Segmenter

logger = logging.getLogger(__name__)

RECORDS = ".results"  # The folder, inside the output folder, with a record for each result


@dataclass(frozen=True)
class Task:
    """One input, the name of its files without their endings, and whether its result is there already."""

    source: Path
    name: str
    done: bool


class Outcome(NamedTuple):
    """What became of an input."""

    task: Task
    segmentation: Segmentation | None
    written: list[Path]
    error: InputError | None = None  # why there is no segmentation, or why a file is missing


def names_of(stem: str) -> Iterator[str]:
    """Yield the names that a result may have: NAME, NAME-2, NAME-3, ..."""
    return (stem if number == 1 else f"{stem}-{number}" for number in count(1))


@dataclass(frozen=True)
class Results:
    """Results in a folder, each with a record of what it is the result of.

    A record, `.results/NAME.json`, has two lines: the request (model, actions, input) with the endings of the files,
    and the segmentation. It is written before the files NAME.csv and so on, and every file appears whole. So a batch
    that was cut off goes on where it stopped, and a result of other actions is never taken for this one.
    """

    folder: Path
    suffixes: Sequence[str]
    request: Mapping[str, Any]
    overwrite: bool
    with_background: bool

    def plan(self, inputs: Sequence[Path]) -> list[Task]:
        """Return a task for each input. Its name is that of the input, or NAME-2, ... where another result has it."""
        stems, tasks = {source: file_name(source.stem) for source in inputs}, dict[str, Task]()
        for source, stem in stems.items():
            for name in names_of(stem):
                done = False if self.overwrite else self._is_done(name, source)
                if done is not None and name not in tasks and (name == stem or name not in stems.values()):
                    tasks[name] = Task(source, name, done)
                    break
        return list(tasks.values())

    def _is_done(self, name: str, source: Path) -> bool | None:
        """Return whether the result for `source` is there under this name; None if something else is."""
        record = self._record(name)
        if record and record["request"] != self._request_for(source):
            return None
        written = record.get("suffixes", ())
        if any((self.folder / f"{name}{suffix}").exists() for suffix in self.suffixes if suffix not in written):
            return None
        return bool(record)

    def _record(self, name: str, line: int = 0) -> dict[str, Any]:
        """Return the first or second line of a record; {} where there is none."""
        from fact_clip.core.io import parse_json, read_text

        path = self.folder / RECORDS / f"{name}.json"
        try:
            record = parse_json([*read_text(path).split("\n"), ""][line], path, "a record of this command")
        except InputError:
            return {}
        return record if isinstance(record, dict) and (line or {"request", "suffixes"} <= record.keys()) else {}

    def _request_for(self, source: Path) -> Any:
        try:
            status = source.stat()
            entry = {"path": str(source.resolve()), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        except OSError:  # reported where the input is read
            entry = None
        request = {**self.request, "with_background": self.with_background, "input": entry}
        return json.loads(json.dumps(request))  # as it is read

    def write(self, task: Task, segmentation: Segmentation | None = None) -> Outcome:
        """Write the record of a task that is not done, and the files of any task that are not there.

        The segmentation of a task that is done is in its record. A format that cannot hold it stops no other.
        """
        from fact_clip.formats import save
        from fact_clip.formats.json_file import as_dict, from_dict

        written, error = list[Path](), None
        try:
            record_path = inside(self.folder, RECORDS, f"{task.name}.json")
            files = {suffix: inside(self.folder, f"{task.name}{suffix}") for suffix in self.suffixes}
            if segmentation is None:
                segmentation = from_dict(record_path, self._record(task.name, 1))
            record = self._record(task.name) if task.done else {}
            suffixes = sorted({*self.suffixes, *record.get("suffixes", ())})
            if not task.done:  # a batch that is cut off now must not leave files of another result beside this record
                for path in files.values():
                    path.unlink(missing_ok=True)
            if suffixes != record.get("suffixes"):
                record = {"request": self._request_for(task.source), "suffixes": suffixes}
                lines = (json.dumps(value) + "\n" for value in (record, as_dict(segmentation)))
                with whole_file(record_path) as unfinished:
                    unfinished.write_text("".join(lines), encoding="utf-8")
        except InputError as fault:
            return Outcome(task, segmentation, written, fault)
        for suffix, path in files.items():
            if not path.exists():
                try:
                    # the ending alone would let a name like x.boris decide
                    written.append(save(segmentation, path, with_background=self.with_background, kind=suffix))
                except InputError as fault:
                    error = error or fault
        return Outcome(task, segmentation, written, error)


def fingerprint(run: Path) -> str:
    """Return the SHA-256 of what decides the results of a run: its weights, settings, classes and calibrations."""
    from fact_clip.run import FILES

    digest = hashlib.sha256()
    for path in sorted(path for name in FILES for path in (run / name, *run.glob(f"members/*/{name}"))):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.relative_to(run)} ".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# --- what is shown --------------------------------------------------------------------------------------------------


def segment_table(segmentation: Segmentation) -> str:
    """Return start, stop, seconds, action and confidence of each segment as text; new words of an action beside it."""
    words, rows = dict[str, list[str]](), list[dict[str, object]]()
    for word in segmentation.new_words:
        words.setdefault(word.action, []).append(f"{'far from training' if word.far else 'new'}: {word.word}")
    for segment in segmentation:
        start, stop = (segmentation.seconds(frame) for frame in (segment.start, segment.stop))
        span = None if start is None or stop is None else f"{start:.2f} - {stop:.2f}"
        row = {"start": segment.start, "stop": segment.stop, "seconds": span, "action": segment.label}
        rows.append(row | {"confidence": segment.confidence} | ({"words": words.get(segment.label)} if words else {}))
    return table(rows, digits=2)


def titled_table(path: Path, segmentation: Segmentation) -> str:
    """Return `segment_table` under the name of the input."""
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{printable(str(path))}: {segmentation.n_frames} frames{rate}\n{segment_table(segmentation)}"


def read_truths(inputs: Sequence[Path], model: Segmenter) -> dict[Path, Segmentation]:
    """Read labels of inputs that lie in a data set of the common layout, which may be another than that of the run."""
    from fact_clip.core import Segmentation
    from fact_clip.datasets.layout import UNLABELLED, read_lines

    truths = dict[Path, Segmentation]()
    for path in inputs:
        file = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
        if file.is_file():
            labels = read_lines(file, "a label file, one class name per line")
            if not all(map(is_name, labels)):
                raise InputError(file, "lines that are no names", "give one class name per frame")
            labels = [UNLABELLED if name in model.scorer.unlabelled else name for name in labels]
            truths[path] = Segmentation.from_frames(labels, model.scorer.fps)
    return truths


def draw_timelines(
    segmented: Mapping[Path, Segmentation], truths: Mapping[Path, Segmentation], model: Segmenter, plot: Path
) -> Path:
    """Draw timelines of all inputs, each below its true labels where there are some."""
    from fact_clip.datasets.layout import UNLABELLED
    from fact_clip.report.timeline import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in segmented.items():
        prefix = f"{path.stem} " if len(segmented) > 1 else ""
        if (truth := truths.get(path)) is not None:
            same = truth.n_frames == prediction.n_frames
            if not same:
                logger.warning("%s: %d labels, and %d frames", path, truth.n_frames, prediction.n_frames)
            rows[f"{prefix}truth"] = replace(truth, times=prediction.times) if same else truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(segmented)).stem if len(segmented) == 1 else ""
    return save_timeline(rows, plot, background=(*model.vocabulary.background, UNLABELLED), title=title)


def burn_in(segmented: Mapping[Path, Segmentation], model: Segmenter, overlay: Path, keep_going: bool) -> Path:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.core.colours import palette
    from fact_clip.video.overlay import overlay as write

    ((video, segmentation),) = segmented.items()
    actions = [name for name in dict.fromkeys(segmentation.transcript) if name not in model.vocabulary.background]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    with progress("overlay") as report:
        write(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
    return overlay
