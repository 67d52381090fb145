"""fact-clip summary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, argument, option
from fact_clip.core import BACKGROUND, InputError, Json, located
from fact_clip.core.messages import join_names

if TYPE_CHECKING:
    from fact_clip.formats.base import Options


def summary(
    labels: Annotated[list[Path], argument("LABELS", "Label files, one a video, or a folder.")],
    *,
    against: Annotated[
        list[Path] | None,
        option(
            "A file by somebody else, for each of LABELS in order, may be repeated; or a folder of"
            " files with the same names."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        option("Frames per second of files that do not say it.", min=1e-6, max=1e5),
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames"] | None,
        option("Unit of the columns start and stop of .csv files. Default: seconds."),
    ] = None,
    tier: Annotated[
        str | None, option("Tier or subject of LABELS, in files that have several.")
    ] = None,
    against_tier: Annotated[
        str | None, option("Tier or subject of the files of --against. Default: that of --tier.")
    ] = None,
    duration: Annotated[
        float | None,
        option("Seconds that videos last whose files do not say it.", min=1e-3, max=1e9),
    ] = None,
    video: Annotated[
        list[Path] | None,
        option("The video of each of LABELS in order, for its duration; may be repeated."),
    ] = None,
    out: Annotated[Path | None, option("Table to write, .csv or .xlsx.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how long, how often and when each action is done, and how far two labellings agree.

    Files are of any format that the page reads. Background is left out. What lies between
    segments counts as background, and shares are of the labelled time. Agreement, as on the page,
    in continuous time: Cohen's kappa and accuracy, F1 at overlaps of 10, 25 and 50 %, the edit
    score, the mean distance of edges in seconds, and the ICC of total times. Kappa depends on the
    duration of the video, which most formats do not hold: give --duration or --video.

    \b
    Example:
      fact-clip summary labels/*.eaf --out times.xlsx
      fact-clip summary ann/take.eaf --against bob/take.eaf --video take.mp4
      fact-clip summary ann --against bob
      fact-clip summary take.eaf --tier ann --against take.eaf --against-tier bob
    """
    from fact_clip.formats.base import Options
    from fact_clip_app.budget import Extent, Pair, time_budget, transitions, write_tables

    options = Options(tier=tier, unit=unit, instants=True)
    files = _files(labels)
    read = partial(_read, fps=fps, durations=_durations(files, video, duration))
    recordings = {name: read(name, path, options) for name, path in files.items()}
    parts = {name: recording.parts for name, recording in recordings.items()}
    extents = {}
    for name, recording in recordings.items():
        duration_or_none = recording.seconds if recording.has_end else None
        # what lies between segments is background
        labelled = Pair(recording.parts, (), recording.seconds).known.seconds
        extents[name] = Extent(labelled, duration_or_none)
    tables: dict[str, list[Json]] = {
        "time": time_budget(parts, extents),
        "transitions": transitions(parts.values()),
    }
    if against:
        options = replace(options, tier=against_tier or tier)
        tables["agreement"] = [
            _agreement(name, recordings[name], read(name, path, options))
            for name, path in _counterparts(files, against).items()
        ]
    endless = [name for name, recording in recordings.items() if not recording.has_end]
    if endless:
        note(
            f"{join_names(endless)}: the file does not say how long the video is, so shares are of "
            "the time to the end of the last segment; --duration or --video says it"
        )

    if out is not None:
        for path in write_tables(out, tables):
            print(path)
        return
    texts = [
        table(table_rows, digits=2)
        for name, table_rows in tables.items()
        if name != "transitions" and table_rows
    ]
    print_result(tables, "\n".join(texts), as_json)


def _stem(path: Path) -> str:
    """Return the name of a label file without the ending of its format, which may have two dots."""
    from fact_clip.formats import format_of

    return path.name[: -len(format_of(path).ending)]


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the label files by their names, including files in folders."""
    files: list[Path] = []
    for path in paths:
        files += _folder_files(path) if path.is_dir() else [path]
    stems = [_stem(path) for path in files]
    return {
        stem if stems.count(stem) == 1 else str(path): path
        for stem, path in zip(stems, files, strict=True)
    }


def _folder_files(folder: Path) -> list[Path]:
    """Return the label files of a folder; of several of one name the .json, or else the first."""
    from fact_clip.formats import FORMATS, format_of

    readable = [form for form in FORMATS.values() if form.annotations or form.read]
    endings = tuple(form.ending.lower() for form in readable)
    files = [
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(endings) and format_of(path) in readable
    ]
    if not files:
        raise InputError(folder, "no label file in this folder", f"use {', '.join(endings)}")
    # a .json has the length
    files.sort(key=lambda path: (format_of(path).ending != ".json", path))
    by_name: dict[str, Path] = {}
    for path in files:
        by_name.setdefault(_stem(path), path)
    omitted = [path.name for path in files if by_name[_stem(path)] != path]
    if omitted:
        note(f"{folder}: left out, as files of the same name are read: {join_names(omitted)}")
    return sorted(by_name.values())


def _counterparts(files: Mapping[str, Path], against: Sequence[Path]) -> dict[str, Path]:
    """Return the file of the second person for each name. A folder need not have all of them."""
    if len(against) == 1 and against[0].is_dir():
        second = {_stem(path): path for path in _folder_files(against[0])}
        stems = {name: _stem(path) for name, path in files.items()}
        for stem, number in Counter(stems.values()).items():
            if number > 1 and stem in second:
                problem = f"{number} of LABELS are named {stem!r}"
                raise InputError(against[0], problem, "summarise one folder at a time")
        pairs = {name: second[stem] for name, stem in stems.items() if stem in second}
        if not pairs:
            problem = "no file with the name of one of LABELS"
            raise InputError(against[0], problem, "give two files the same name")
        if len(pairs) < len(files):
            note(f"{against[0]}: {len(pairs)} of {len(files)} files have a second labelling")
        return pairs
    if len(against) != len(files):
        problem = f"{len(against)} files for {len(files)}"
        raise InputError("--against", problem, "give one for each, or a folder")
    return dict(zip(files, against, strict=True))


def _durations(
    files: Mapping[str, Path], videos: Sequence[Path] | None, duration: float | None
) -> dict[str, tuple[float, float]]:
    """Return the times of the first frame and the end of videos, as far as options say it."""
    if not videos:
        return {} if duration is None else dict.fromkeys(files, (0.0, duration))
    if duration is not None:
        raise InputError("--duration", "--video says it", "give one of them")
    if len(videos) != len(files):
        problem = f"{len(videos)} videos for {len(files)} label files"
        raise InputError("--video", problem, "give one for each")
    from fact_clip.video.pictures import picture_times

    spans = []
    for path in videos:
        times = picture_times(path)
        spans.append((float(times[0]), float(times[-1])))
    return dict(zip(files, spans, strict=True))


@dataclass(frozen=True)
class Recording:
    """The labels of a video, in seconds."""

    parts: Sequence[tuple[float, float, str]]  # start, stop and action, or UNLABELLED
    seconds: float  # its duration, or the end of its last segment
    has_end: bool  # whether that is the duration


def _read(
    name: str,
    path: Path,
    options: "Options",
    fps: float | None,
    durations: Mapping[str, tuple[float, float]],
) -> Recording:
    """Read the label file of a video, whose duration is given unless the file says it."""
    from fact_clip.datasets.labels import UNLABELLED
    from fact_clip.formats import format_of, load
    from fact_clip.formats.csv_file import usual_unit
    from fact_clip_app.budget import timed_parts

    file_format = format_of(path)
    if file_format.annotations is None:
        if options.tier is not None:
            raise InputError("--tier", f"{path} has no tiers", "leave it out")
        labelling = load(path)
        labelling = replace(labelling, fps=labelling.fps or fps)
        end = labelling.seconds(labelling.n_frames)
        if end is None:
            raise InputError(path, "labels without times", "give --fps")
        parts = timed_parts(labelling, {*labelling.background, BACKGROUND} - {UNLABELLED})
        parts.append((0.0, labelling.seconds(0) or 0.0, UNLABELLED))
        return Recording(parts, end, has_end=True)

    options = replace(options, unit=options.unit or usual_unit(path))
    annotations = file_format.annotations(path, options)
    if len(annotations) != 1:
        raise InputError(path, f"{len(annotations)} videos", "give files of one video")
    (annotation,) = annotations
    scale = 1.0 if annotation.unit == "seconds" else annotation.fps or fps
    if scale is None:
        raise InputError(path, "frames without a rate", "give --fps")
    background = {annotation.background, BACKGROUND, *annotation.further_background}
    background -= {UNLABELLED}
    parts = [
        (span.start / scale, span.stop / scale, span.label)
        for span in annotation.spans
        if span.label not in background
    ]
    last_stop = max((span.stop / scale for span in annotation.spans), default=0.0)
    first, end = durations.get(name, (0.0, last_stop))
    parts.append((0.0, first, UNLABELLED))
    has_end = bool(annotation.end) or name in durations
    if annotation.end:
        end = annotation.end / scale
    elif end < last_stop - 0.5:
        problem = f"segments up to {last_stop:.1f} s of a video of {end:.1f} s"
        raise InputError(path, problem, "give the duration of this video")
    if annotation.background == UNLABELLED:
        stop = 0.0
        for span in sorted(annotation.spans, key=lambda span: span.start):
            if stop < span.start / scale:
                parts.append((stop, span.start / scale, UNLABELLED))
            stop = max(span.stop / scale, stop)
        parts.append((stop, max(end, stop), UNLABELLED))
    return Recording(parts, end, has_end)


def _agreement(name: str, first: Recording, second: Recording) -> Json:
    """Return the agreement of two labellings, as a row of the table."""
    from fact_clip_app.budget import Pair, check_apart, time_agreement

    for recording in (first, second):
        check_apart(name, recording.parts)
    ends = [recording.seconds for recording in (first, second) if recording.has_end]
    if not ends:
        ends = [first.seconds, second.seconds]
        note(
            f"{name}: no file says how long the video is, {max(ends):.3f} s are assumed, the end of"
            " the last segment; --duration or --video says it"
        )
    pair = Pair(first.parts, second.parts, max(ends)).known
    with located(name):
        figures = time_agreement([pair]).figures
    return {"video": name, "duration": pair.seconds, **figures}
