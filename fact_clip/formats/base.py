"""Parts that readers and writers share: options, annotations, tiers and names."""

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
    MAX_FPS,
    MIN_FPS,
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
LATEST = 1e9  # seconds (30 years) or frames, which no video exceeds
OURS = "action"  # name of the tier, attribute or control in files of this package
COMMENT = "comment"  # the tier, column or key of the comments of segments
_REMARK = "background: "  # start of the remark with the names of omitted background


@dataclass(frozen=True)
class Options:
    """Options of readers for facts that a file does not contain."""

    # name of a tier (ELAN), subject (BORIS), attribute (VIA) or control (Label Studio)
    tier: str | None = None
    unit: Unit | None = None  # unit of the columns `start` and `stop` (CSV)
    # rate of the frame numbers, or None for the rate in the file or else of the features
    fps: float | None = None
    verbs: Path | None = None  # class files of Epic-Kitchens, both or neither
    nouns: Path | None = None
    decimal: Literal[".", ","] = "."  # decimal mark of the times (CSV)
    instants: bool = False  # whether point events are read, as empty spans (BORIS, ELAN)
    default_fps: float | None = None  # rate of frame numbers, if no other is known


@dataclass(frozen=True)
class Span:
    """A labelled stretch `[start, stop)` in the unit of its annotation, which may be empty."""

    start: float
    stop: float
    label: str
    where: FileLocation = field(repr=False, compare=False)  # location for errors
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

    path: Path  # file that was read
    spans: Sequence[Span]  # in any order, with gaps and overlaps
    name: str = ""  # name of the video without folder and suffix, or "" for the name of the file
    unit: Unit = "seconds"
    fps: float | None = None  # rate of the frame numbers; None: they count feature rows
    end: float | None = None  # length of the video in `unit`, if the file has it
    background: str | None = None  # label of time between spans, if the file has it
    further_background: Names = ()  # labels of spans that are also background
    start: float | None = (
        None  # time of the first frame in `unit`, or None if the file does not contain it
    )
    tier: str = ""  # name of the tier that was read, or "" if the format has no tiers

    def __post_init__(self) -> None:
        if not self.name:
            # the video of "take.1.via.json" is "take.1"
            name = re.sub(r"\.(binary|boris|via|label-studio)$", "", self.path.stem)
            object.__setattr__(self, "name", name)
        if self.fps is not None and not MIN_FPS <= self.fps <= MAX_FPS:
            raise InputError(self.path, f"{self.fps:g} frames per second", "set --source-fps")
        if self.background is not None:
            check_name(self.background, self.path)

    def with_background(self, names: Names) -> "Annotation":
        """Return the annotation with names of background, the first of which labels the gaps."""
        if not names:
            return self
        return replace(self, background=names[0], further_background=names[1:])


Reader = Callable[[Path, Options], list[Annotation]]


def omitted_names(segmentation: Segmentation) -> Names:
    """Return the names whose segments are left out of files without a label for each frame.

    These are the names of background. If the first name is "?", background is written, so that gaps
    are time that nobody has labelled.
    """
    if UNLABELLED in segmentation.background[:1]:
        return (UNLABELLED,)
    return segmentation.background


def written_segments(segmentation: Segmentation) -> tuple[Segment, ...]:
    """Return the segments that are not left out, in order."""
    omitted = omitted_names(segmentation)
    return tuple(segment for segment in segmentation if segment.label not in omitted)


def background_note(segmentation: Segmentation) -> str:
    """Return the name of the gaps and of segments that are background, or ""."""
    names = segmentation.background
    if not names:
        return ""
    written = {*segmentation.transcript} - {*omitted_names(segmentation)}
    further = [name for name in names[1:] if name in written]
    if not further and not names[0].startswith("["):
        return names[0]
    return json.dumps([names[0], *further], ensure_ascii=False)


def read_background_note(note: str) -> Names:
    """Return the names in a `background_note`. The first one is the name of the gaps."""
    if note.startswith("["):
        with suppress(ValueError):
            names = json.loads(note)
            if names and all(isinstance(name, str) for name in names):
                return tuple(names)
    return (note,)


def remark(segmentation: Segmentation) -> str:
    """Return a remark that names the background, for a text field, or ""."""
    note = background_note(segmentation)
    return f"{_REMARK}{note}" if note else ""


def read_remark(value: object) -> Names:
    """Return the background of a `remark`, or () if the value is not a remark."""
    if isinstance(value, str) and value.startswith(_REMARK):
        return read_background_note(value.removeprefix(_REMARK))
    return ()


class TiersError(InputError):
    """An error for a file with several tiers if none is selected. `tiers` has their names."""

    tiers: Names = ()


def choose(where: Location, kind: str, names: Iterable[str], tier: str | None) -> str:
    """Choose a tier: `tier` if it is set, else the only one, else `OURS` with a warning.

    Args:
        where: File, for errors.
        kind: Word of the format for a tier.
        names: Names of the tiers with segments.
        tier: Name that the user selected, or None.

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
        message = "%s: the segments of %s %s are left out, since there is %r; --tier changes this"
        logger.warning(message, where, kind, omitted, OURS)
    return choice


def library(path: Path, module: str, extra: str) -> Any:
    """Import a module of an extra. If it is missing, the InputError shows how to install it."""
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
    """Return the name of a video file without its folder or address and its ending."""
    _, is_local_file, address = media.rpartition("/data/local-files/?d=")  # of Label Studio
    if is_local_file or "://" in media:
        address = unquote(address.partition("?")[0])
    return _MEDIA.sub("", PureWindowsPath(address).name)


def write_json(path: Path, tree: Any, indent: int = 1) -> None:
    """Write a JSON file, without escaping names."""
    path.write_text(json.dumps(tree, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines, which contain their line ends, in the same way on all systems."""
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
