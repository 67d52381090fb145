"""BORIS: a project (.boris) to open and correct, and the table of events that BORIS exports."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from fact_clip.core import FileLocation, InputError, Instant, Json, Names, Segment, Segmentation
from fact_clip.core.io import read_mapping, read_value
from fact_clip.core.messages import is_name
from fact_clip.formats.base import (
    OURS,
    Annotation,
    Options,
    Span,
    check_line,
    choose,
    omitted_names,
    read_remark,
    remark,
    video_name,
    write_json,
    written_segments,
)
from fact_clip.formats.table import read_table, without_mark
from fact_clip.formats.times import (
    Number,
    parse_seconds,
    picture,
    picture_grid,
    picture_rate,
    second_of,
)

logger = logging.getLogger(__name__)

# Start of a comment that this package writes.
_CONFIDENCE = re.compile(
    r"\Afact-clip confidence (unknown|[01]|[01]\.[0-9]+|[0-9.]+e-[0-9]+)(; |\Z)"
)
_COLOUR = re.compile("#[0-9a-fA-F]{6}")
_KEYED = re.compile(r"(.*\S) ?\((\S)\)")  # a modifier with its key
_NO_MODIFIER = ("", "None")
_EXPECTED = "give a BORIS project"


@dataclass(frozen=True)
class Behaviour:
    """How a class is coded in BORIS.

    Args:
        key: Key on the keyboard, or "".
        colour: Colour as "#rrggbb", or "".
        description: Description of the class.
        code: Name of the behaviour, or "" if it is the name of the class.
        modifiers: Modifiers that are added to the code, one of each set.
        is_point: Whether it is coded by point events.
    """

    key: str = ""
    colour: str = ""
    description: str = ""
    code: str = ""
    modifiers: Names = ()
    is_point: bool = False


Ethogram = Mapping[str, Behaviour]
"""How each class is coded, by its name."""


def write_subjects(tracks: Mapping[str, Segmentation], path: Path, ethogram: Ethogram) -> None:
    """Write a project with one observation. Tracks are subjects, unless `OURS` is the only one.

    Args:
        tracks: Tracks of one video. Each segment becomes a start and a stop event. Each instant
            becomes a point event, or a start and a stop at the same time if its behaviour also has
            segments.
        path: File to write.
        ethogram: Keys, colours and modifiers of classes, with or without segments.
    """
    first = next(iter(tracks.values()))
    video = first.media or "video"
    name = Path(video).stem
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    events = _events(tracks, path, ethogram)
    # Add a millisecond, because BORIS drops a final stop whose decimal value exceeds the binary
    # fraction of the length.
    length = round(round(second_of(first, first.n_frames), 3) + 0.001, 3)

    blank = _blank()
    observation = blank["observation"]
    observation["file"]["1"] = [video]
    observation |= {
        "date": date,
        "description": next(filter(None, map(remark, tracks.values())), ""),
        "events": [
            [event.time, event.subject, event.code, event.modifier, event.comment, event.picture]
            for event in events
        ],
        "media_info": {
            "length": {video: length},
            "fps": {video: picture_rate(first)},
            "hasVideo": {video: True},
            "hasAudio": {video: False},
            "offset": {"1": 0.0},
        },
    }
    project = blank["project"] | {
        "project_date": date,
        "project_name": name,
        "behaviors_conf": _behaviours(omitted_names(first), events, ethogram),
        "observations": {name: observation},
        "subjects_conf": _subjects(tracks),
    }
    write_json(path, project)


def _subjects(tracks: Mapping[str, Segmentation]) -> Json:
    """Return the subjects of a project, which are the tracks that have a name."""
    subjects: Json = {}
    for name, segmentation in tracks.items():
        if [*tracks] != [OURS]:
            subject = {"key": "", "name": name, "description": remark(segmentation)}
            subjects[str(len(subjects))] = subject
    return subjects


def _blank() -> Json:
    """Return an empty project with all keys in the order of BORIS."""
    return read_mapping(Path(__file__).with_suffix(".json"), "parts of a project")


def _behaviours(background: Names, events: Sequence["_Event"], ethogram: Ethogram) -> Json:
    """Return the behaviours of a project: first the ethogram's, then the other events'."""
    kinds = {event.code: event.kind for event in events}
    classes: dict[str, list[Behaviour]] = {}  # code -> classes, which differ in their modifiers
    for name, behaviour in ethogram.items():
        if name not in background:
            classes.setdefault(behaviour.code or name, []).append(behaviour)
    for code in sorted(kinds):
        classes.setdefault(code, [Behaviour()])

    blank = _blank()["behavior"]
    behaviours = {}
    for number, (code, variants) in enumerate(classes.items()):
        kind = kinds.get(code, "POINT" if variants[0].is_point else "START")
        behaviours[str(number)] = blank | {
            "type": "Point event" if kind == "POINT" else "State event",
            "code": code,
            "key": variants[0].key,
            "description": variants[0].description,
            "color": variants[0].colour,
            "modifiers": _modifier_sets(variants),
        }
    return behaviours


def _modifier_sets(variants: Sequence[Behaviour]) -> Json | str:
    """Return the modifiers of a behaviour. If there is one set, each has the key of its class."""
    count = max(len(variant.modifiers) for variant in variants)
    sets: Json = {}
    for position in range(count):
        values: dict[str, None] = {}
        for variant in variants:
            if position < len(variant.modifiers):
                value = variant.modifiers[position]
                if count == 1 and variant.key:
                    value += f" ({variant.key})"
                values[value] = None
        sets[str(position)] = {"name": "", "description": "", "type": 0, "values": list(values)}
    return sets or ""


@dataclass(frozen=True)
class _Event:
    """The start or stop of a segment, an instant, or a row with both ends of a segment."""

    where: FileLocation  # for errors
    time: float  # seconds; to the millisecond in our files
    kind: str  # START, STOP, POINT, or "" if the file does not contain it
    code: str
    comment: str = ""
    modifier: str = ""  # one modifier of each set, separated by "|"
    picture: int = 0
    subject: str = ""
    stop: float | None = None  # stop of a row with both ends

    @property
    def label(self) -> str:
        """Return the name of the class, which consists of the code and its modifiers."""
        modifiers = [part.strip() for part in self.modifier.split("|")]
        return " ".join([self.code, *(part for part in modifiers if part not in _NO_MODIFIER)])


def _events(tracks: Mapping[str, Segmentation], path: Path, ethogram: Ethogram) -> list[_Event]:
    """Return the events of all segments and instants in the order of time.

    An instant inside a segment of the same class is left out, because BORIS has no point events of
    a state. A warning counts them.
    """
    lasting = set()
    for segmentation in tracks.values():
        lasting |= {_code_of(segment, ethogram) for segment in written_segments(segmentation)}
    events = []
    n_omitted = 0
    for name, segmentation in tracks.items():
        subject = "" if [*tracks] == [OURS] else name
        grid = picture_grid(segmentation)
        last_stop: dict[str, int] = {}  # for the segments of each class
        parts: list[Segment | Instant] = [*written_segments(segmentation), *segmentation.instants]
        parts.sort(key=lambda part: (part.start, part.stop))
        for part in parts:
            code = _code_of(part, ethogram)
            check_line(code)
            if part.start < last_stop.get(part.label, 0):
                n_omitted += 1
                continue
            last_stop[part.label] = part.stop
            frames = {"START": part.start, "STOP": part.stop}
            if part.start == part.stop and code not in lasting:
                frames = {"POINT": part.start}
            for kind, frame in frames.items():
                event = _Event(
                    FileLocation(path),
                    time=round(second_of(segmentation, frame), 3),
                    kind=kind,
                    code=code,
                    comment="" if kind == "STOP" else _comment_cell(part),
                    modifier="|".join(ethogram.get(part.label, Behaviour()).modifiers),
                    picture=picture(segmentation, frame, grid),
                    subject=subject,
                )
                events.append(event)
    if n_omitted:
        message = "%s: %d point events lie inside segments of their own class, and are left out"
        logger.warning(message, path, n_omitted)
    return sorted(events, key=lambda event: event.time)


def _code_of(part: Segment | Instant, ethogram: Ethogram) -> str:
    return ethogram.get(part.label, Behaviour()).code or part.label


def _comment_cell(segment: Segment | Instant) -> str:
    """Return the comment of an event: the confidence of a segment, then its comment."""
    parts = []
    if isinstance(segment, Segment) and segment.confidence is not None:
        parts.append(f"fact-clip confidence {segment.confidence!r}")
    elif _CONFIDENCE.match(segment.comment):  # otherwise read as a confidence
        parts.append("fact-clip confidence unknown")
    if segment.comment:
        parts.append(segment.comment)
    return "; ".join(parts)


def _read_comment(cell: str) -> str:
    """Return the comment of an event without the confidence that this package writes before it.

    Line ends are converted to Unix.
    """
    return _CONFIDENCE.sub("", cell.replace("\r\n", "\n").replace("\r", "\n"))


def _five_of(event: object) -> object:
    """Return seconds, subject, behaviour, modifiers and comment. The frame number is not read."""
    if not isinstance(event, list):
        return event
    cells = [cell if isinstance(cell, str) else "" for cell in event[3:5]]
    modifier, comment = [*cells, "", ""][:2]
    return (*event[:3], modifier, _read_comment(comment))


class _ModifierSet(BaseModel):
    values: list[Any] = []


def _sets_of(value: object) -> object:
    """Return the sets of modifiers. Old projects have a string."""
    return value if isinstance(value, dict) else {}


def _sign(value: object) -> str:
    """Return a key that is a single character, or ""."""
    return value if isinstance(value, str) and is_name(value) and len(value) == 1 else ""


def _hex_colour(value: object) -> str:
    """Return a colour as "#rrggbb", or ""."""
    return value.lower() if isinstance(value, str) and _COLOUR.fullmatch(value) else ""


class _Behaviour(BaseModel):
    code: str = ""
    type: Any = ""  # "State event", which has a length, or "Point event"
    key: Annotated[str, BeforeValidator(_sign)] = ""
    color: Annotated[str, BeforeValidator(_hex_colour)] = ""
    description: str | None = ""
    modifiers: Annotated[dict[str, _ModifierSet], BeforeValidator(_sets_of)] = {}


class _MediaInfo(BaseModel):
    length: dict[str, Number] = {}
    offset: dict[str, Number] = {}  # files of each player


class _Observation(BaseModel):
    events: list[
        Annotated[tuple[Number, str | None, str, str, str], BeforeValidator(_five_of)]
    ] = []
    file: dict[str, list[str]] = {}
    media_info: _MediaInfo = _MediaInfo()
    description: Any = None
    offset: Number | None = Field(None, alias="time offset")


class _Subject(BaseModel):
    name: str = ""
    description: Any = None


class _Project(BaseModel):
    behaviors_conf: dict[str, _Behaviour] = {}
    subjects_conf: dict[str, _Subject] = {}
    observations: dict[str, _Observation]


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the events of a BORIS project, or of its table of events.

    The table is a tabular or aggregated .tsv or .csv file. A video has the name of its media file,
    or of the observation if it has several files. A class is a behaviour with its modifiers. Point
    events are empty spans, which are left out unless `options.instants` is set.
    """
    if path.suffix.lower() in (".tsv", ".csv"):
        videos = _read_table(path)
    else:
        videos = _videos(read_value(_Project, path, _EXPECTED), path)
    annotations = []
    n_points = 0
    for video in videos:
        n_events = len(video.events)
        if not options.instants:
            video.events = [event for event in video.events if event.kind != "POINT"]
        n_points += n_events - len(video.events)
        subjects = [*video.backgrounds, *(event.subject for event in video.events)]
        subject = choose(video.where, "subject", subjects, options.tier) if subjects else ""
        spans = _spans([event for event in video.events if event.subject == subject])
        background = read_remark(video.description)
        if background:  # the project lists the subjects of all observations
            background = video.backgrounds.get(subject, background)
        if spans or background:  # otherwise, the observation is not coded yet
            end = next(iter(video.lengths)) if len(video.lengths) == 1 else None
            annotation = Annotation(path, spans, video.name, end=end, tier=subject)
            annotations.append(annotation.with_background(background))
    if n_points and not annotations:
        problem = "only point events, which have no length"
        raise InputError(path, problem, "convert them to state events")
    if n_points:
        message = "%s: %d point events are left out, since they have no length"
        logger.warning(message, path, n_points)
    return annotations


@dataclass
class _Video:
    """The data of one video in a file."""

    name: str
    where: FileLocation
    events: list[_Event]
    lengths: set[float]  # paths of its media files
    description: object
    # names of background, by subject
    backgrounds: Mapping[str, Names] = field(default_factory=dict)


def _videos(project: _Project, path: Path) -> list[_Video]:
    """Return the videos of a project."""
    points = {
        behaviour.code
        for behaviour in project.behaviors_conf.values()
        if str(behaviour.type).lower().startswith("point")
    }
    backgrounds = {}
    for configured in project.subjects_conf.values():
        background = read_remark(configured.description)
        if background:
            backgrounds[configured.name] = background
    videos = []
    for name, observation in project.observations.items():
        where = FileLocation(path, part=f"observation {name!r}")
        for offset in (observation.offset, *observation.media_info.offset.values()):
            _check_offset(where, offset)
        events = []
        for time, subject, code, modifier, comment in observation.events:
            kind = "POINT" if code in points else ""
            event = _Event(
                where, time, kind, code.strip(), comment, modifier, subject=subject or ""
            )
            events.append(event)
        media = [file for files in observation.file.values() for file in files]
        if len(media) == 1:
            name = video_name(media[0])
        length_of = observation.media_info.length
        lengths = set()  # files of a player follow each other
        for files in observation.file.values():
            if files and length_of.keys() >= {*files}:
                lengths.add(sum(length_of[file] for file in files))
        video = _Video(name, where, events, lengths, observation.description, backgrounds)
        videos.append(video)
    return videos


def _check_offset(where: FileLocation, offset: float | None) -> None:
    """Raise an InputError if times lie beyond the end of the video."""
    if offset:
        problem = f"a time offset of {offset:g} s from the video"
        raise InputError(where, problem, "set it to 0 in BORIS")


def _read_table(path: Path) -> list[_Video]:
    """Return the videos of a table of events."""
    # By path and name, because a/x.mp4 and b/x.mp4 are different videos.
    videos: dict[tuple[str, str], _Video] = {}
    media_of: dict[str, str] = {}  # video of each observation
    observation_of: dict[tuple[str, str], str] = {}
    for where, row in read_table(path, ("Behavior",)):
        numbers = {}
        for column in ("Time offset (s)", "Time", "Start (s)", "Stop (s)"):
            if row.get(column) not in (None, "", "NA"):
                numbers[column] = parse_seconds(where, row[column], column)
        _check_offset(where, numbers.get("Time offset (s)"))
        media = _first(row, "Media file name", "Media file path", "Media file")
        name = video_name(media) if media else row.get("Observation id", "")
        new_video = _Video(name, FileLocation(path), [], set(), row.get("Description"))
        video = videos.setdefault((media, name), new_video)
        observation = row.get("Observation id", "")
        if observation and media_of.setdefault(observation, media) != media:
            problem = f"observation {observation!r} of several videos, whose times continue"
            raise InputError(where, problem, "make one observation per video, or give the project")
        if observation_of.setdefault((media, name), observation) != observation:
            problem = f"a second observation, {observation!r}, of the video {name!r}"
            raise InputError(where, problem, "give a separate table for each observation")
        length = _first(row, "Media duration (s)", "Total length")
        # This is not a number if there are several files or none.
        if re.fullmatch(r"[0-9.]+", length):
            video.lengths.add(parse_seconds(where, length, "the length of the video"))
        start = numbers.get("Start (s)", numbers.get("Time"))
        if start is None:
            raise InputError(where, "neither Time, nor Start (s) and Stop (s)")
        comment = _first(row, "Comment", "Comment start", "Comment stop")
        event = _Event(
            where,
            time=start,
            kind=_first(row, "Behavior type", "Status").upper(),
            code=without_mark(row["Behavior"]).strip(),
            comment=_read_comment(without_mark(comment)),
            modifier="|".join(row[column] for column in row if column.startswith("Modifier")),
            subject=row.get("Subject", ""),
            stop=numbers.get("Stop (s)"),
        )
        video.events.append(event)
    return list(videos.values())


def _first(row: Mapping[str, str], *columns: str) -> str:
    """Return the first cell that is not empty in some columns, or ""."""
    return next((row[column] for column in columns if row.get(column)), "")


def _spans(events: list[_Event]) -> list[Span]:
    """Pair the event that starts a behaviour with the next one that has the same modifiers."""
    spans = []
    start_of: dict[str, _Event] = {}
    for event in sorted(events, key=lambda event: event.time):
        label = event.label
        start = event
        stop = event.time if event.kind == "POINT" else event.stop
        if stop is None:
            is_running = label in start_of
            if event.kind == ("START" if is_running else "STOP"):
                fault = "starts again" if is_running else "stops without a start"
                problem = f"{label!r} {fault} at {event.time:g} s"
                raise InputError(event.where, problem, "correct it in BORIS")
            if not is_running:
                start_of[label] = event
                continue
            start = start_of.pop(label)
            stop = event.time
        comment = start.comment or event.comment
        spans.append(Span(start.time, stop, label, event.where, comment=comment))
    for label, start in start_of.items():
        problem = f"{label!r} starts at {start.time:g} s and never stops"
        raise InputError(start.where, problem, "add its stop in BORIS")
    return spans


def read_ethogram(path: Path) -> dict[str, Behaviour]:
    """Return how the classes of a BORIS project are coded, in the order of its ethogram.

    For a behaviour with modifiers, these are the classes that have events. The first one has the
    colour and the description of the behaviour.

    Args:
        path: File of the project.

    Returns:
        Behaviour of each class, by name. Keys with several characters and named colours are left
        out.
    """
    project = read_value(_Project, path, _EXPECTED)
    labels: dict[str, dict[str, str]] = {}  # modifiers by code and class
    for video in _videos(project, path):
        for event in video.events:
            labels.setdefault(event.code, {})[event.label] = event.modifier

    ethogram: dict[str, Behaviour] = {}
    for behaviour in project.behaviors_conf.values():
        code = behaviour.code.strip()
        keys = {}  # key of each modifier, which follows it in brackets
        for modifier_set in behaviour.modifiers.values():
            for value in modifier_set.values:
                keyed = _KEYED.fullmatch(str(value))
                if keyed is not None:
                    keys[keyed[1]] = keyed[2]
        variants = labels.get(code, {}) if behaviour.modifiers else {code: ""}
        for number, (label, modifier) in enumerate(variants.items()):
            is_point = str(behaviour.type).startswith("Point event")
            look = Behaviour(is_point=is_point)
            if number == 0:
                description = behaviour.description or ""
                look = replace(look, colour=behaviour.color, description=description)
            key = behaviour.key if label == code else keys.get(modifier, "")
            ethogram[label] = replace(look, key=key)
    return ethogram
