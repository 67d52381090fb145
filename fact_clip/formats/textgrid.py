"""Praat (.TextGrid): actions on one interval tier, their confidence on another; long and short text files are read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from fact_clip.core import FileLocation, InputError, Segmentation, library_errors
from fact_clip.core.io import check_file, read_text
from fact_clip.formats.base import (
    OURS,
    Annotation,
    Options,
    Span,
    choose,
    name_of,
    one_line,
    second_of,
    timed,
)

logger = logging.getLogger(__name__)

CONFIDENCE = "confidence"
_KINDS = ("IntervalTier", "TextTier")
_SAVE = "save it again in Praat"

# Praat reads texts in quotes and what stands free of other characters; all else is a comment, as "xmin =" and "[1]:".
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d\d?)?)(?!\S)|(<exists>|<absent>)|!.*'
)


def write(segmentation: Segmentation, path: Path) -> None:
    """Write a long text file: tier `action`, and `confidence` if there are some; background is an empty interval."""
    rows, end = (
        list(timed(path, segmentation)),
        second_of(path, segmentation, segmentation.n_frames),
    )
    tiers = {OURS: [(start, stop, one_line(path, segment.label)) for start, stop, segment in rows]}
    if any(segment.confidence is not None for *_, segment in rows):
        texts = (
            "" if segment.confidence is None else repr(segment.confidence) for *_, segment in rows
        )
        tiers[CONFIDENCE] = [
            (start, stop, text) for (start, stop, _), text in zip(rows, texts, strict=True)
        ]
    head = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end!r}",
    ]
    lines = [*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        every = list(_without_gaps(intervals, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
        ]
        lines += [
            "        xmin = 0",
            f"        xmax = {end!r}",
            f"        intervals: size = {len(every)}",
        ]
        for index, (start, stop, text) in enumerate(every, start=1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {start!r}",
                f"            xmax = {stop!r}",
            ]
            lines.append(f'            text = "{quoted}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _without_gaps(
    intervals: list[tuple[float, float, str]], end: float
) -> Iterator[tuple[float, float, str]]:
    """Yield intervals from 0 to the end, with empty ones between; a tier has no gaps."""
    before = 0.0
    for start, stop, text in [*intervals, (end, end, "")]:
        if start > before:
            yield before, start, ""
        if stop > start:
            yield start, stop, text
        before = stop


def read_annotations(path: Path, options: Options) -> list[Annotation]:
    """Read the intervals with a text of one tier, in seconds; points, which have no length, are left out."""
    tokens = _Tokens(path)
    if (tokens.text(), tokens.text()) != ("ooTextFile", "TextGrid"):
        raise InputError(path, "not a TextGrid", "save it in Praat as a text file, long or short")
    tokens.number()
    end, exists = tokens.number(), tokens.next(3, "<exists> or <absent>") == "<exists>"
    tiers, points = dict[str, list[Span]](), 0
    for _ in range(int(tokens.number()) if exists else 0):
        kind, name = tokens.text(), tokens.text()
        if kind not in _KINDS or name in tiers:
            raise InputError(
                tokens.where, f"tier {name!r} of class {kind!r}", "give each tier another name"
            )
        tokens.number(), tokens.number()
        tiers[name] = []
        for _ in range(int(tokens.number())):
            start = tokens.number()
            stop = tokens.number() if kind == _KINDS[0] else start
            points += kind != _KINDS[0]
            if (text := tokens.text()).strip() and stop > start:
                tiers[name].append(Span(start, stop, text, tokens.where))
    if points:
        logger.warning("%s: points, which have no length, are left out: %d", path, points)
    names = [name for name, spans in tiers.items() if spans] or [
        name for name in tiers if name == OURS
    ]
    ours = OURS in names  # whose confidences are no actions
    tier = choose(
        path, "tier", (name for name in names if not (ours and name == CONFIDENCE)), options.tier
    )
    return [Annotation(name_of(path), tuple(tiers[tier]), "seconds", path, end=end)]


class _Tokens:
    """The texts, numbers and flags of a file in order, with the line of the last one."""

    def __init__(self, path: Path) -> None:
        self.where = FileLocation(check_file(path, "a TextGrid"))
        with path.open("rb") as file:
            is_utf_16 = file.read(2) in (
                b"\xff\xfe",
                b"\xfe\xff",
            )  # as Praat writes names that are not ASCII
        with library_errors(path, "not UTF-16 text", UnicodeDecodeError, fix=_SAVE):
            self.all = (
                path.read_text(encoding="utf-16")
                if is_utf_16
                else read_text(path, "a TextGrid", latin=True)
            )
        self.matches = (match for match in _TOKEN.finditer(self.all) if match[0][0] != "!")

    def next(self, group: int, expected: str) -> str:
        """Return the next token, of one of the groups of `_TOKEN`."""
        match = next(self.matches, None)
        if match is not None:
            self.where = FileLocation(self.where.path, self.all.count("\n", 0, match.start()) + 1)
        if match is None or match[group] is None:
            raise InputError(self.where, f"no {expected}", _SAVE)
        return match[group]

    def text(self) -> str:
        """Return the next token, a text."""
        return self.next(1, "text in quotes").replace('""', '"')

    def number(self) -> float:
        """Return the next token, a number."""
        return float(self.next(2, "number"))
