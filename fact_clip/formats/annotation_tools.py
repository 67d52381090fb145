"""Annotations as tools keep them: ELAN, BORIS, VGG Image Annotator 3, Label Studio."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fact_clip.core import InputError
from fact_clip.formats.annotation_tables import Options, json_object, json_tree, seconds, table, video_name
from fact_clip.formats.annotations import Annotation, Span

OURS = "action"  # the tier, attribute or control that `fact_clip.export` writes


def chosen(where: str | Path, kind: str, names: Iterable[str], tier: str | None) -> str:
    """The one asked for, the only one, or the one that this program writes; else an InputError that lists all."""
    listed = list(dict.fromkeys(names))
    if not listed:
        raise InputError(where, f"no {kind} with segments", "at least one")
    if tier is not None and tier not in listed:
        raise InputError(where, f"no {kind} {tier!r}", f"one of {', '.join(map(repr, listed))}")
    if tier is None and len(listed) > 1 and OURS not in listed:
        raise InputError(where, f"several: {', '.join(map(repr, listed))}", f"one {kind}", "choose by --tier")
    return tier if tier is not None else OURS if OURS in listed else listed[0]


Reader = Callable[[Path, Options], list[Annotation]]


def of_form(expected: str) -> Callable[[Reader], Reader]:
    """Make a reader of nested JSON refuse a file that has some part of another type, in one line as all else."""

    def decorate(reader: Reader) -> Reader:
        @wraps(reader)
        def read(path: Path, options: Options) -> list[Annotation]:
            try:
                return reader(path, options)
            except InputError:
                raise
            except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise InputError(path, f"a part of another form ({reason})", expected) from error

        return read

    return decorate


def read_eaf(path: Path, options: Options) -> list[Annotation]:
    """One tier of an ELAN document, in seconds; the video has the name of the file.

    Raises:
        InputError: not XML, not ELAN, no tier with times or several, or an annotation whose ends have no time.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "an ELAN document") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(path, f"not XML ({error})", "an ELAN document") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(path, f"XML of <{root.tag}>", "an ELAN document, <ANNOTATION_DOCUMENT>")
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tiers = {tier.get("TIER_ID", ""): list(tier.iter("ALIGNABLE_ANNOTATION")) for tier in root.iter("TIER")}
    tier = chosen(path, "tier", (name for name, found in tiers.items() if found), options.tier)
    spans = []
    for found in tiers[tier]:
        where = f"{path}, tier {tier!r}, annotation {found.get('ANNOTATION_ID')}"
        times = [slots.get(found.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)]
        if None in times:
            raise InputError(where, "an end without a time", "an annotation that is aligned", "align it in ELAN")
        start, stop = (seconds(where, time or "", "time slot") / 1000 for time in times)
        spans.append(Span(start, stop, found.findtext("ANNOTATION_VALUE") or "", where))
    return [Annotation(path.name.partition(".")[0], tuple(spans), "seconds", str(path))]


@of_form("a BORIS project")
def read_boris(path: Path, options: Options) -> list[Annotation]:
    """State events of a BORIS project, or of its table of events (tabular or aggregated; .tsv or .csv).

    A video has the name of its media file, or of the observation where there are several. Point events and modifiers
    are left out. With several subjects one is chosen by `options.tier`.

    Raises:
        InputError: another kind of file, several subjects, or a start without a stop.
    """
    if path.suffix.lower() in (".tsv", ".csv"):
        return _boris_table(path, options)
    project = json_object(path, "a BORIS project")
    if not isinstance(project.get("observations"), dict):
        raise InputError(path, "no observations", "a BORIS project")
    behaviours = project.get("behaviors_conf", {}).values()
    points = {each["code"] for each in behaviours if str(each.get("type", "")).lower().startswith("point")}
    found = []
    for name, observation in project["observations"].items():
        where = f"{path}, observation {name!r}"
        media = [file for files in observation.get("file", {}).values() for file in files]
        video = video_name(media[0]) if len(media) == 1 else name
        lengths = [float(length) for length in observation.get("media_info", {}).get("length", {}).values()]
        try:
            rows = [(float(row[0]), str(row[1]), str(row[2])) for row in observation.get("events", [])]
        except (TypeError, ValueError, IndexError, KeyError):
            raise InputError(where, "events of another form", "[time, subject, behaviour, ...]") from None
        rows = [row for row in rows if row[2] not in points]
        if not rows:  # not coded yet
            continue
        subject = chosen(where, "subject", (row[1] for row in rows), options.tier)
        events = [(time, code) for time, who, code in rows if who == subject]
        end = lengths[0] if len(lengths) == 1 else None
        found.append(Annotation(video, tuple(_states(where, events)), "seconds", str(path), end=end))
    return found


def _states(where: str, events: list[tuple[float, str]]) -> Iterator[Span]:
    """An event of a state starts it, the next one of the same state stops it."""
    running: dict[str, float] = {}
    for time, code in sorted(events, key=lambda event: event[0]):
        if code in running:
            yield Span(running.pop(code), time, code, where)
        else:
            running[code] = time
    for code, start in running.items():
        raise InputError(where, f"{code!r} starts at {start:g} s and never stops", "a stop", "add it in BORIS")


def _boris_table(path: Path, options: Options) -> list[Annotation]:
    rows = list(table(path, ("Behavior",)))
    subject = chosen(path, "subject", (row.get("Subject", "") for _, row in rows), options.tier)
    events: dict[str, list[tuple[float, str]]] = {}
    spans: dict[str, list[Span]] = {}
    for where, row in rows:
        if row.get("Subject", "") != subject:
            continue
        media = row.get("Media file name") or row.get("Media file path") or row.get("Media file") or ""
        name = video_name(media) if media else row.get("Observation id") or path.name.partition(".")[0]
        kind = row.get("Behavior type") or row.get("Status") or ""
        if kind.upper() == "POINT":
            continue
        if row.get("Start (s)") and row.get("Stop (s)"):
            start, stop = (seconds(where, row[column], column) for column in ("Start (s)", "Stop (s)"))
            spans.setdefault(name, []).append(Span(start, stop, row["Behavior"], where))
        else:
            events.setdefault(name, []).append((seconds(where, row.get("Time", ""), "Time"), row["Behavior"]))
    for name, found in events.items():
        spans.setdefault(name, []).extend(_states(f"{path}, {name!r}", found))
    return [Annotation(name, tuple(found), "seconds", str(path)) for name, found in spans.items()]


@of_form("a VIA 3 project")
def read_via(path: Path, options: Options) -> list[Annotation]:
    """Temporal segments of a VIA 3 project: the values of one attribute, a video each.

    Raises:
        InputError: another kind of file, or several attributes of segments.
    """
    project = json_object(path, "a VIA 3 project")
    if not all(isinstance(project.get(key), dict) for key in ("attribute", "file", "metadata", "view")):
        raise InputError(path, "no attribute, file, metadata and view", "a VIA 3 project")
    attributes = {key: kind for key, kind in project["attribute"].items() if kind.get("anchor_id") == "FILE1_Z2_XY0"}
    names = {key: str(kind.get("aname")) for key, kind in attributes.items()}
    tier = chosen(path, "attribute", names.values(), options.tier)
    key = next(key for key, name in names.items() if name == tier)
    meanings: Mapping[str, str] = attributes[key].get("options") or {}
    spans: dict[str, list[Span]] = {}
    for entry, found in project["metadata"].items():
        times, value = found.get("z", []), found.get("av", {}).get(key)
        if len(times) != 2 or value is None:
            continue
        where = f"{path}, segment {entry!r}"
        try:
            file = project["file"][project["view"][found["vid"]]["fid_list"][0]]
        except (KeyError, IndexError):
            raise InputError(where, f"video {found.get('vid')!r}", "one of the files of the project") from None
        start, stop = (seconds(where, str(time), "z") for time in times)
        label = meanings.get(value, value)
        spans.setdefault(video_name(file.get("fname", "")), []).append(Span(start, stop, label, where))
    if not spans:
        raise InputError(path, f"no segments with attribute {tier!r}", "at least one")
    return [Annotation(name, tuple(listed), "seconds", str(path)) for name, listed in spans.items()]


@of_form("an export of Label Studio as JSON")
def read_label_studio(path: Path, options: Options) -> list[Annotation]:
    """Timeline labels of a Label Studio export (JSON, not JSON-MIN), or of its pre-annotations.

    Of a task the last annotation counts that was not cancelled, else the last prediction. Frames are counted from 1,
    both ends included, at `options.fps`, else at the task's `data.fps`. Labels on a sound track are in seconds.

    Raises:
        InputError: another kind of file, or several controls with labels.
    """
    tasks = json_tree(path, "an export of Label Studio")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise InputError(path, "no list of tasks with data", "an export of Label Studio as JSON")
    found = []
    for number, task in enumerate(tasks):
        where = f"{path}, task {task.get('id', number)}"
        media = str(task.get("file_upload") or task["data"].get("video") or "")
        name = re.sub(r"^[0-9a-f]{8}-", "", video_name(media))  # Label Studio puts eight digits before an upload
        if not name:
            raise InputError(where, "no data.video", "the video of the task")
        answers = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
        answers = answers or task.get("predictions") or []
        if not answers:  # not labelled yet
            continue
        regions = [region for region in answers[-1].get("result") or [] if _labels(region)]
        control = chosen(where, "control", (str(each.get("from_name")) for each in regions), options.tier)
        regions = [region for region in regions if region.get("from_name") == control]
        in_frames = {"ranges" in region["value"] for region in regions}
        if len(in_frames) > 1:
            raise InputError(where, f"frames and seconds in control {control!r}", "one of them")
        spans = tuple(span for region in regions for span in _region(where, region))
        fps = options.fps or task["data"].get("fps")
        found.append(Annotation(name, spans, "frames" if True in in_frames else "seconds", str(path), fps))
    return found


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region.get("value", {})
    return list(value.get("timelinelabels") or (value.get("labels") if "start" in value else None) or [])


def _region(where: str, region: Mapping[str, Any]) -> Iterator[Span]:
    value, where = region["value"], f"{where}, region {region.get('id')!r}"
    try:
        stretches = [(one["start"] - 1, one["end"]) for one in value["ranges"]] if "ranges" in value else None
        stretches = [(value["start"], value["end"])] if stretches is None else stretches
        for start, stop in stretches:
            yield Span(float(start), float(stop), str(_labels(region)[0]), where)
    except (KeyError, TypeError):
        raise InputError(where, f"{value}", "start and end") from None
