"""What `segment` does: result files and their records, tables, timelines, names burned into a video, live input."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from fact_clip.cli.console import InterruptedCommandError, bars, note, progress, table
from fact_clip.cli.options import ModelOptions, OutputOptions, collect
from fact_clip.core import CommandOption, FileLocation, InputError, Segment, Segmentation
from fact_clip.core.arguments import names_of
from fact_clip.core.colours import palette
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.distributed import Processes
from fact_clip.core.io import parse_json, read_text
from fact_clip.core.messages import is_name, join_names, printable
from fact_clip.core.paths import check_place, file_name, inside, same_place, write_lines
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.layout import read_lines
from fact_clip.decoding.similarity import TEMPERATURE, TransportSettings
from fact_clip.formats import save
from fact_clip.formats.base import COLUMNS
from fact_clip.formats.json_file import as_dict, from_dict
from fact_clip.inference.scorer import Scorer, check_features
from fact_clip.inference.segmenter import FEATURES, Segmenter
from fact_clip.inference.stream import Stream
from fact_clip.run import FILES
from fact_clip.video import overlay as burning
from fact_clip.video.decode import LIVE, SUFFIXES, live_frames

logger = logging.getLogger(__name__)

RECORDS = ".results"  # The folder, inside the output folder, with a record for each result
_UNNAMED = (".csv", ".txt", ".srt", ".audacity.txt")  # Files that name no video


class Task(NamedTuple):
    """One input, the name of its files without their endings, and whether its result is there; what became of it."""

    source: Path
    name: str
    done: bool
    segmentation: Segmentation | None = None
    written: tuple[Path, ...] = ()
    error: InputError | None = None  # why there is no segmentation, or why a file is missing


def names_of_results(stem: str) -> Iterator[str]:
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
            for name in names_of_results(stem):
                done = False if self.overwrite else self._is_done(name, source)
                if (
                    done is not None
                    and name not in tasks
                    and (name == stem or name not in stems.values())
                ):
                    tasks[name] = Task(source, name, done)
                    break
        return list(tasks.values())

    def _is_done(self, name: str, source: Path) -> bool | None:
        """Return whether the result for `source` is there under this name; None if something else is."""
        record = self._record(name)
        if record and record["request"] != self._request_for(source):
            return None
        written = record.get("suffixes", ())
        if any(
            (self.folder / f"{name}{suffix}").exists()
            for suffix in self.suffixes
            if suffix not in written
        ):
            return None
        return bool(record)

    def _record(self, name: str, line: int = 0) -> dict[str, Any]:
        """Return the first or second line of a record; {} where there is none."""
        path = self.folder / RECORDS / f"{name}.json"
        with suppress(InputError, IndexError):
            record = parse_json(read_text(path).split("\n")[line], path, "a record of this command")
            if isinstance(record, dict) and (line or {"request", "suffixes"} <= record.keys()):
                return record
        return {}

    def _request_for(self, source: Path) -> Any:
        entry = None
        with suppress(OSError):  # raised again where the input is read
            status = source.stat()
            entry = {
                "path": str(source.resolve()),
                "bytes": status.st_size,
                "modified_ns": status.st_mtime_ns,
            }
        request = {**self.request, "with_background": self.with_background, "input": entry}
        return json.loads(json.dumps(request))  # as it is read

    def write(self, task: Task, segmentation: Segmentation | None = None) -> Task:
        """Write the record of a task that is not done, and the files of any task that are not there; what became of it.

        The segmentation of a task that is done is in its record. A format that cannot hold it stops no other.
        """
        written, error = list[Path](), None
        try:
            record_path = inside(self.folder, RECORDS, f"{task.name}.json")
            files = {
                suffix: inside(self.folder, f"{task.name}{suffix}") for suffix in self.suffixes
            }
            if segmentation is None:
                segmentation = from_dict(record_path, self._record(task.name, 1))
            record = self._record(task.name) if task.done else {}
            suffixes = sorted({*self.suffixes, *record.get("suffixes", ())})
            if not task.done:  # a batch that is cut off now must not leave files of another result beside this record
                for path in files.values():
                    path.unlink(missing_ok=True)
            if suffixes != record.get("suffixes"):
                record = {"request": self._request_for(task.source), "suffixes": suffixes}
                write_lines(record_path, map(json.dumps, (record, as_dict(segmentation))))
        except InputError as fault:
            return task._replace(segmentation=segmentation, error=fault)
        for suffix, path in files.items():
            if not path.exists():
                try:
                    # the ending alone would let a name like x.boris decide
                    written.append(
                        save(segmentation, path, with_background=self.with_background, kind=suffix)
                    )
                except InputError as fault:
                    error = error or fault
        return task._replace(segmentation=segmentation, written=tuple(written), error=error)


def segment_files(
    inputs: Sequence[str],
    opened: Callable[[], tuple[Segmenter, list[str] | None]],
    options: ModelOptions,
    settings: DecodeSettings,
    output: OutputOptions,
    media: str | None,
) -> None:
    """Segment the inputs that are not done yet, each process its share; write, print and draw the results."""
    suffixes, folder, processes = (
        output.suffixes(),
        output.folder(options.run),
        Processes(options.device),
    )
    paths = processes.broadcast(lambda: collect([*map(Path, inputs)], features=True))
    if media is not None:
        _check_media(
            media,
            paths,
            is_named=output.as_json or any(suffix not in _UNNAMED for suffix in suffixes),
        )
    _check_outputs(folder, paths, suffixes, output.plot, output.overlay)
    model, candidates = opened()
    request = _request(model, options.encoder, settings)
    request |= {
        "actions": candidates,
        "media": media,
        "fps": options.fps,
        "keep_going": options.keep_going,
    }
    results = Results(folder, suffixes, request, output.overwrite, output.with_background)
    truths = {} if output.plot is None else processes.broadcast(lambda: _read_truths(paths, model))
    tasks = processes.broadcast(lambda: results.plan(paths))
    open_tasks = [task for task in tasks if not task.done]
    share = {task.source: task for task in processes.share(open_tasks)}
    new: dict[Path, Task] = {}

    def failed(source: Path, error: InputError) -> None:
        new[source] = share[source]._replace(error=error)

    try:
        with bars("segmenting", "") as (overall, within):
            for path, result in model.segment_all(
                list(share),
                candidates,
                settings=settings,
                progress=overall,
                within=within,
                failed=failed,
            ):
                name = (
                    media.replace("{name}", Path(result.media or path).name)
                    if media
                    else result.media
                )
                new[path] = results.write(share[path], replace(result, media=name))
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    gathered = iter(processes.gather([new[path] for path in share], len(open_tasks)))
    if not processes.is_main:
        return
    outcomes = [results.write(task) if task.done else next(gathered) for task in tasks]
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    segmented = {
        task.source: task.segmentation for task in outcomes if task.segmentation is not None
    }
    files = [path for task in outcomes for path in task.written]
    if output.plot is not None and segmented:
        files.append(_draw_timelines(segmented, truths, model, output.plot))
    if output.overlay is not None:
        files.append(_burn_in(segmented, model, output.overlay, options.keep_going))
    if output.as_json:
        print(
            json.dumps(
                [{"input": str(path), **as_dict(result)} for path, result in segmented.items()],
                indent=2,
            )
        )
    elif segmented:
        print(
            "\n\n".join(
                f"{_head(path, result)}\n{segment_table(result)}"
                for path, result in segmented.items()
            )
        )
    _report(outcomes, files, folder)


def _check_media(media: str, inputs: Sequence[Path], is_named: bool) -> None:
    """Refuse a --media that is no address, gives all videos one, or stands in no output."""
    if not is_named:
        raise InputError(
            CommandOption("--media"), "no format of these names its video", "add --format json"
        )
    is_address = is_name(media) and not re.search(r"[{}]", media.replace("{name}", ""))
    if not is_address or ("{name}" not in media and len(inputs) > 1):
        fix = "write an address with {name} where the name of the file goes"
        raise InputError(CommandOption("--media"), f"{media!r} for {len(inputs)} videos", fix)


def _check_outputs(
    folder: Path,
    inputs: Sequence[Path],
    suffixes: Sequence[str],
    plot: Path | None,
    overlay: Path | None,
) -> None:
    """Refuse, before the work, what cannot be written or would replace files of a data set."""
    check_place(folder / f"{file_name(inputs[0].stem)}{suffixes[0]}")
    if ".json" in suffixes and any(
        (folder / f"{file_name(path.stem)}.npy").is_file() for path in inputs
    ):
        raise InputError(
            CommandOption("--out"),
            f"NAME.json describes the features in {folder}",
            "name another folder",
        )
    if folder.name == "groundTruth" and (folder.parent / "mapping.txt").is_file():
        raise InputError(
            CommandOption("--out"), f"{folder} has the labels of a data set", "name another folder"
        )
    if plot is not None:
        from fact_clip.report.plots import check_suffix

        check_suffix(plot)
    if overlay is not None:
        check_place(burning.check_suffix(overlay))
        if (
            len(inputs) != 1
            or inputs[0].suffix.lower() not in SUFFIXES
            or same_place(overlay, inputs[0])
        ):
            raise InputError(
                CommandOption("--overlay"),
                f"not for {join_names(inputs)}",
                "name one video, and another file",
            )


def _request(model: Segmenter, encoder: str | None, settings: DecodeSettings) -> dict[str, Any]:
    """What results depend on, apart from names and inputs; as earlier versions recorded it."""
    scorer = model.scorer
    if isinstance(scorer, Scorer):
        digest, run = (
            hashlib.sha256(),
            scorer.run.path,
        )  # of weights, settings, classes and calibrations
        for path in sorted(
            path for name in FILES for path in (run / name, *run.glob(f"members/*/{name}"))
        ):
            if path.is_file():
                with path.open("rb") as file:
                    digest.update(
                        f"{path.relative_to(run)} ".encode()
                        + hashlib.file_digest(file, "sha256").digest()
                    )
        request = {"run": digest.hexdigest(), "encoder": encoder, "window": scorer.window}
        return {**request, "adjust": settings.model_dump()}
    used, transport = settings.over(scorer.settings), asdict(TransportSettings())
    similarity = {
        "templates": scorer.prompts,
        "temperature": TEMPERATURE,
        "smoothing": scorer.smoothing,
    }
    decoding = {"threshold": used.threshold, "shortest": used.shortest, "background": "background"}
    return {"encoder": encoder, "settings": {**similarity, **decoding, "transport": transport}}


def _read_truths(inputs: Sequence[Path], model: Segmenter) -> dict[Path, Segmentation]:
    """Read labels of inputs that lie in a data set of the common layout, which may be another than that of the run."""
    truths = dict[Path, Segmentation]()
    for path in inputs:
        file = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
        if file.is_file():
            labels = names_of(
                read_lines(file, "a label file, one class name per line"), str(file), typed=True
            )
            labels = tuple(
                UNLABELLED if name in model.scorer.unlabelled else name for name in labels
            )
            truths[path] = Segmentation.from_frames(labels, model.scorer.fps)
    return truths


def _draw_timelines(
    segmented: Mapping[Path, Segmentation],
    truths: Mapping[Path, Segmentation],
    model: Segmenter,
    plot: Path,
) -> Path:
    """Draw timelines of all inputs, each below its true labels where there are some."""
    from fact_clip.report.plots import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in segmented.items():
        prefix = f"{path.stem} " if len(segmented) > 1 else ""
        if (truth := truths.get(path)) is not None:
            same = truth.n_frames == prediction.n_frames
            if not same:
                logger.warning(
                    "%s: %d labels, and %d frames", path, truth.n_frames, prediction.n_frames
                )
            rows[f"{prefix}truth"] = replace(truth, times=prediction.times) if same else truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(segmented)).stem if len(segmented) == 1 else ""
    return save_timeline(
        rows, plot, background=(*model.vocabulary.background, UNLABELLED), title=title
    )


def _burn_in(
    segmented: Mapping[Path, Segmentation], model: Segmenter, overlay: Path, keep_going: bool
) -> Path:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    ((video, segmentation),) = segmented.items()
    actions = [
        name
        for name in dict.fromkeys(segmentation.transcript)
        if name not in model.vocabulary.background
    ]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    with progress("overlay") as report:
        burning.overlay(
            video, segmentation, overlay, colours, keep_going=keep_going, progress=report
        )
    return overlay


def _head(path: Path, segmentation: Segmentation) -> str:
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{printable(str(path))}: {segmentation.n_frames} frames{rate}"


def segment_table(segmentation: Segmentation) -> str:
    """Return start, stop, seconds, action and confidence of each segment as text; new words of an action beside it."""
    words, rows = dict[str, list[str]](), list[dict[str, object]]()
    for word in segmentation.new_words:
        words.setdefault(word.action, []).append(
            f"{'far from training' if word.far else 'new'}: {word.word}"
        )
    for segment in segmentation:
        start, stop = (segmentation.seconds(frame) for frame in (segment.start, segment.stop))
        span = None if start is None or stop is None else f"{start:.2f} - {stop:.2f}"
        row = {
            "start": segment.start,
            "stop": segment.stop,
            "seconds": span,
            "action": segment.label,
        }
        rows.append(
            row
            | {"confidence": segment.confidence}
            | ({"words": words.get(segment.label)} if words else {})
        )
    return table(rows, digits=2)


def _report(tasks: Sequence[Task], files: Sequence[Path], folder: Path) -> None:
    lines = [f"written: {join_names(files)}"] if files else []
    if done := sum(task.done for task in tasks):
        lines.append(
            f"already there: {done} of {len(tasks)} in {folder}; --overwrite does them anew"
        )
    if renamed := [
        task for task in tasks if not task.done and task.name != file_name(task.source.stem)
    ]:
        first = f"{renamed[0].name} for {renamed[0].source.name}"
        reason = "since another result has the name; --overwrite replaces it"
        lines.append(f"fact-clip: {len(renamed)} named anew ({first}), {reason}")
    errors = [task.error for task in tasks if task.error is not None]
    lines += [f"fact-clip: {error}" for error in errors]
    if errors:
        lines.append(f"fact-clip: {len(errors)} of {len(tasks)} inputs failed")
    note(*map(printable, lines))
    if errors:
        raise typer.Exit(1)


def segment_live(
    source: str, model: Segmenter, stream: Stream, folder: Path, output: OutputOptions
) -> None:
    """Print each segment as soon as it is final; at the end, or at Ctrl-C, print the others and write the files."""
    suffixes = [] if output.out is None and output.formats is None else output.suffixes()
    is_file = not source.startswith(LIVE) and source != "-"
    segments: list[Segment] = []
    error: InputError | None = None

    def show(ended: Sequence[Segment]) -> None:
        for segment in ended:
            print(_live_line(segment, stream.fps, output.as_json), flush=True)
        if suffixes:
            segments.extend(ended)

    try:
        for part in _live_parts(source, model):
            show(stream.push(part))
    except KeyboardInterrupt:
        note("fact-clip: stopped; the segments that were not final follow")
    except InputError as fault:  # what came before it is not lost
        error = fault
    show(stream.finish())
    if segments:
        result = replace(stream.segmentation(segments), media=source if is_file else None)
        for name in names_of_results(file_name(Path(source).stem) if is_file else "live"):
            paths = {suffix: inside(folder, f"{name}{suffix}") for suffix in suffixes}
            if output.overwrite or not any(path.exists() for path in paths.values()):
                break
        for suffix, path in paths.items():
            save(result, path, with_background=output.with_background, kind=suffix)
        note(f"written: {', '.join(map(str, paths.values()))}")
    if error is not None:
        raise error


def _live_line(segment: Segment, fps: float | None, as_json: bool) -> str:
    seconds = [None if fps is None else frame / fps for frame in (segment.start, segment.stop)]
    if as_json:
        values = (segment.start, segment.stop, *seconds, segment.label, segment.confidence)
        return json.dumps(dict(zip(COLUMNS, values, strict=True)))
    span = (
        f"{segment.start} - {segment.stop}"
        if fps is None
        else f"{seconds[0]:.2f} - {seconds[1]:.2f}"
    )
    confidence = "" if segment.confidence is None else f"{segment.confidence:.2f}"
    return printable("  ".join([span, segment.label, confidence]).rstrip())


def _live_parts(source: str, model: Segmenter) -> Iterator[NDArray[Any]]:
    """Yield rows (1, D) of stdin or a feature file, or pictures (1, H, W, 3), one by one as they come."""
    scorer = model.scorer
    if source == "-":
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                where = FileLocation(Path("-"), number)
                row = parse_json(line, where, "numbers, [0.5, 1.0, ...]")
                yield check_features([row], where, scorer.width, scorer.needs.origin).astype(
                    np.float32
                )
    elif Path(source).suffix.lower() == FEATURES:
        for row in model.open(Path(source))[0]:
            yield row[None]
    else:
        for frame in live_frames(source, model.extraction.fps, model.encoder_for(source).size):
            yield frame.image[None]
