"""What all readers and writers share: options, annotations with gaps and overlaps, tiers, names."""

import importlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any, Literal
from urllib.parse import unquote

from fact_clip.core import (
    LEAST_FPS,
    MOST_FPS,
    UNLABELLED,
    FileLocation,
    InputError,
    Location,
    Names,
    Segment,
    Segmentation,
)
from fact_clip.core.arguments import check_name
from fact_clip.core.extras import require
from fact_clip.core.messages import is_name, join_names

logger = logging.getLogger(__name__)

Unit = Literal["seconds", "frames"]
LATEST = 1e9  # seconds (30 years) or frames; no video ends later
OURS = "action"  # the tier, attribute or control that our writers use
COMMENT = "comment"  # the tier, column or key of the comments of segments
_REMARK = "background: "  # beginning of the remark of our writers that names omitted background


@dataclass(frozen=True)
class Options:
    """Reader options for what a file does not say."""

    # of several tiers (ELAN), subjects (BORIS), attributes (VIA) or controls (Label Studio)
    tier: str | None = None
    unit: Unit | None = None  # of the columns `start` and `stop` (CSV)
    # of the frame numbers; None: the rate in the file, else that of the features
    fps: float | None = None
    verbs: Path | None = None  # the class files of Epic-Kitchens, both or neither
    nouns: Path | None = None
    decimal: Literal[".", ","] = "."  # in the times (CSV)
    instants: bool = False  # read point events, as empty spans (BORIS, ELAN)
    default_fps: float | None = None  # of frame numbers, if neither `fps` nor the file has a rate


@dataclass(frozen=True)
class Span:
    """A labelled stretch `[start, stop)` in the unit of its annotation; it may be empty."""

    start: float
    stop: float
    label: str
    where: FileLocation = field(repr=False, compare=False)  # its location, for errors
    comment: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip())
        if not 0 <= self.start <= self.stop <= LATEST:  # false for NaN
            problem = f"{self.label!r} from {self.start:g} to {self.stop:g}"
            fix = f"give times from 0 to {LATEST:,.0f}, the start before the stop"
            raise InputError(self.where, problem, fix)
        check_name(self.label, self.where)


@dataclass(frozen=True)
class Annotation:
    """The annotation of one video in a file."""

    path: Path  # the file
    spans: Sequence[Span]  # in any order, with gaps and overlaps
    name: str = ""  # of the video, without folder and suffix; "": that of the file
    unit: Unit = "seconds"
    fps: float | None = None  # of the frame numbers; None: they are frames of the features
    end: float | None = None  # length of the video in `unit`, if the file has it
    background: str | None = None  # label of what lies between the spans, if the file has it
    further_background: Names = ()  # labels of spans that are background, too
    start: float | None = (
        None  # of the video in `unit`, if the file has the time of its first frame
    )
    tier: str = ""  # that was read; "": the format has none

    def __post_init__(self) -> None:
        if not self.name:
            # the video of "take.1.via.json" is "take.1"
            name = re.sub(r"\.(binary|boris|via|label-studio)$", "", self.path.stem)
            object.__setattr__(self, "name", name)
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise InputError(self.path, f"{self.fps:g} frames a second", "set --source-fps")
        if self.background is not None:
            check_name(self.background, self.path)

    def with_background(self, names: Names) -> "Annotation":
        """Return the annotation with the name of its gaps, and further names of background."""
        if not names:
            return self
        return replace(self, background=names[0], further_background=names[1:])


Reader = Callable[[Path, Options], list[Annotation]]


def omitted_names(segmentation: Segmentation) -> Names:
    """Return the names whose segments are left out of files that have no label for each frame.

    These are the names of background. If the first one is "?", background is written, so that
    gaps mean what nobody has labelled.
    """
    if UNLABELLED in segmentation.background[:1]:
        return (UNLABELLED,)
    return segmentation.background


def written_segments(segmentation: Segmentation) -> tuple[Segment, ...]:
    """Return the segments that are not left out, in order."""
    omitted = omitted_names(segmentation)
    return tuple(segment for segment in segmentation if segment.label not in omitted)


def background_note(segmentation: Segmentation) -> str:
    """Return the name of the gaps, with the names of segments that are background, or ""."""
    names = segmentation.background
    if not names:
        return ""
    written = {*segmentation.transcript} - {*omitted_names(segmentation)}
    further = [name for name in names[1:] if name in written]
    if not further and not names[0].startswith("["):
        return names[0]
    return json.dumps([names[0], *further], ensure_ascii=False)


def read_background_note(note: str) -> Names:
    """Return the names of a `background_note`, that of the gaps first."""
    if note.startswith("["):
        with suppress(ValueError):
            names = json.loads(note)
            if names and all(isinstance(name, str) for name in names):
                return tuple(names)
    return (note,)


def remark(segmentation: Segmentation) -> str:
    """Return a remark for a field of free text that names the background, or ""."""
    note = background_note(segmentation)
    return f"{_REMARK}{note}" if note else ""


def read_remark(value: object) -> Names:
    """Return the background of a `remark`, or nothing for any other value."""
    if isinstance(value, str) and value.startswith(_REMARK):
        return read_background_note(value.removeprefix(_REMARK))
    return ()


class TiersError(InputError):
    """Segments of several tiers without a choice of one; `tiers` are their names."""

    tiers: Names = ()


def choose(where: Location, kind: str, names: Iterable[str], tier: str | None) -> str:
    """Choose a tier: `tier` if set, else the only one, else `OURS`, with a warning.

    Args:
        where: the file, for errors.
        kind: what the format calls a tier.
        names: the tiers with segments.
        tier: the name that the user set, or None.

    Returns:
        The name of the tier.
    """
    candidates = list(dict.fromkeys(names))
    if not candidates:
        raise InputError(where, f"no {kind} with segments")
    if tier is not None:
        choice = tier
        problem = f"no {kind} {tier!r}"
    else:
        choice = candidates[0] if len(candidates) == 1 else OURS
        problem = f"segments of more than one {kind}"
    if choice not in candidates:
        fix = f"choose one with --tier: {join_names(map(repr, candidates))}"
        error = TiersError(where, problem, fix)
        error.tiers = tuple(candidates)
        raise error

    if tier is None and len(candidates) > 1:
        omitted = join_names(repr(name) for name in candidates if name != OURS)
        message = (
            "%s: the segments of %s %s are left out, since there is %r; --tier chooses another"
        )
        logger.warning(message, where, kind, omitted, OURS)
    return choice


def library(path: Path, module: str, extra: str) -> Any:
    """Import a module of an extra; without it an InputError says how to install it."""
    require(path, module.partition(".")[0], extra)
    return importlib.import_module(module)


def check_line(label: str) -> None:
    """Reject a blank label, line ends, tabs and other invisible characters."""
    if not is_name(label):
        problem = f"label {label!r} is not a name of one line, without tabs"
        raise InputError("label", problem, "write .csv or .json")


_MEDIA = re.compile(
    r"\.(3g[2p]|asf|avi|flac|flv|m2ts|m2v|m4[av]|mkv|mov|mp[34]|mpe?g|mts|mxf|npy|og[agv]|ts|vob|"
    r"wav|webm|wmv)$",
    re.IGNORECASE,
)


def video_name(media: str) -> str:
    """Return the name of a video file without folder (of any system), address and ending."""
    _, is_local_file, address = media.rpartition("/data/local-files/?d=")  # of Label Studio
    if is_local_file or "://" in media:
        address = unquote(address.partition("?")[0])
    return _MEDIA.sub("", PureWindowsPath(address).name)


def write_json(path: Path, tree: Any, indent: int = 1) -> None:
    """Write a JSON file, without escaping names."""
    path.write_text(json.dumps(tree, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with its line end, with the same line ends on all systems."""
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
