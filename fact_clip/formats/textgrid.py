"""Praat (.TextGrid): actions on one interval tier, confidences and comments on further ones.

Long and short text files are read.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Segmentation, library_errors
from fact_clip.core.io import check_file, read_text
from fact_clip.formats.base import COMMENT, OURS, Annotation, Options, Span, choose
from fact_clip.formats.times import second_of, timed

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence"
_INTERVALS = "IntervalTier"
_POINTS = "TextTier"
_SAVE = "save it again in Praat"

# Praat reads strings in quotes, and numbers and flags between blanks. All else is a comment, as
# "xmin =" and "[1]:".
_STRING = r'"((?:[^"]|"")*)"'
_NUMBER = r"(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d\d?)?)(?!\S)"
_TOKEN = re.compile(rf"{_STRING}|{_NUMBER}|(<exists>|<absent>)|!.*")

Interval = tuple[float, float, str]


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a long text file: tier `action`, and `confidence` and `comment` if there are some.

    Background is an empty interval.
    """
    tiers: dict[str, list[Interval]] = {OURS: [], CONFIDENCE: [], COMMENT: []}
    for start, stop, segment in timed(segmentation):
        confidence = "" if segment.confidence is None else repr(segment.confidence)
        marks = (segment.label, confidence, segment.comment)
        for intervals, mark in zip(tiers.values(), marks, strict=True):
            intervals.append((start, stop, mark))
    for name in (CONFIDENCE, COMMENT):
        if not any(mark for *_, mark in tiers[name]):
            del tiers[name]

    end = second_of(segmentation, segmentation.n_frames)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end!r}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, labelled) in enumerate(tiers.items(), start=1):
        complete = list(_without_gaps(labelled, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {end!r}",
            f"        intervals: size = {len(complete)}",
        ]
        for index, (start, stop, label) in enumerate(complete, start=1):
            quoted = label.replace('"', '""')
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {start!r}",
                f"            xmax = {stop!r}",
                f'            text = "{quoted}"',
            ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _without_gaps(intervals: list[Interval], end: float) -> Iterator[Interval]:
    """Yield intervals from 0 to the end, with empty ones in the gaps, which a tier has not."""
    last = 0.0
    for start, stop, label in intervals:
        if start > last:
            yield last, start, ""
        if stop > start:
            yield start, stop, label
        last = stop
    if end > last:
        yield last, end, ""


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the labelled intervals of one tier, in seconds. Points are omitted."""
    tokens = _Tokens(path)
    if (tokens.string(), tokens.string()) != ("ooTextFile", "TextGrid"):
        raise InputError(path, "not a TextGrid", "save it in Praat as a text file, long or short")
    tokens.number()  # the start
    end = tokens.number()
    n_tiers = 0
    if tokens.next(3, "<exists> or <absent>") == "<exists>":
        n_tiers = int(tokens.number())
    tiers: dict[str, list[tuple[Interval, FileLocation]]] = {}
    n_points = 0
    for _ in range(n_tiers):
        kind = tokens.string()
        name = tokens.string()
        if kind not in (_INTERVALS, _POINTS) or name in tiers:
            problem = f"tier {name!r} of class {kind!r}"
            raise InputError(tokens.where, problem, "give each tier another name")
        tokens.number()  # its start
        tokens.number()  # its end
        tiers[name] = []
        for _ in range(int(tokens.number())):
            start = tokens.number()
            stop = start
            if kind == _INTERVALS:
                stop = tokens.number()
            else:
                n_points += 1
            label = tokens.string()
            if label.strip() and stop > start:
                tiers[name].append(((start, stop, label), tokens.where))
    if n_points:
        logger.warning("%s: points, which have no length, are left out: %d", path, n_points)

    names = [name for name, marks in tiers.items() if marks]
    if not names and OURS in tiers:
        names = [OURS]
    if OURS in names:  # then confidences and comments are those of our actions
        names = [name for name in names if name not in (CONFIDENCE, COMMENT)]
    tier = choose(path, "tier", names, options.tier)
    comments = {}
    if tier == OURS:
        for (start, stop, label), _ in tiers.get(COMMENT, []):
            comments[start, stop] = label
    spans = []
    for (start, stop, label), where in tiers[tier]:
        spans.append(Span(start, stop, label, where, comments.get((start, stop), "")))
    return [Annotation(path, spans, end=end)]


class _Tokens:
    """The strings, numbers and flags of a file in order, with the line of the last one."""

    def __init__(self, path: Path) -> None:
        self.where = FileLocation(check_file(path, "a TextGrid"))
        with path.open("rb") as file:
            mark = file.read(2)
        if mark in (b"\xff\xfe", b"\xfe\xff"):  # Praat writes names that are not ASCII in UTF-16
            with library_errors(path, "not UTF-16 text", UnicodeDecodeError, fix=_SAVE):
                self._content = path.read_text(encoding="utf-16")
        else:
            self._content = read_text(path, "a TextGrid", latin=True)
        self._matches = _TOKEN.finditer(self._content)

    def next(self, group: int, expected: str) -> str:
        """Return the next token, which must be of one group of `_TOKEN`."""
        for match in self._matches:
            if match[0].startswith("!"):  # a comment
                continue
            line = self._content.count("\n", 0, match.start()) + 1
            self.where = FileLocation(self.where.path, line)
            if match[group] is not None:
                return match[group]
            break
        raise InputError(self.where, f"no {expected}", _SAVE)

    def string(self) -> str:
        """Return the next token, a string."""
        return self.next(1, "text in quotes").replace('""', '"')

    def number(self) -> float:
        """Return the next token, a number."""
        return float(self.next(2, "number"))
