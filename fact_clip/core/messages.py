"""How messages are worded: suggested names, cut lists, visible characters; and when long work says how far it is."""

from __future__ import annotations

import difflib
import logging
import re
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

MAX_PART = 400  # Characters of each part of a message; the middle of a longer one is left out
MAX_NAME = 1000  # Characters of the name of a class
MAX_LISTED = 12  # Names that a message lists; the rest are counted

# Control characters, other line ends, halves of surrogate pairs, and characters of no width: those that turn the
# direction of writing, byte-order marks, soft hyphens. Persian and emoji use the joiners U+200C and U+200D.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text as one line for a terminal; invisible characters are escaped."""
    line = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), line)


def shortened(text: str) -> str:
    """Return the text, or its beginning and its end if it is very long."""
    return (
        text if len(text) <= MAX_PART else f"{text[: MAX_PART // 2]} ... {text[-MAX_PART // 2 :]}"
    )


def sentence(problem: str, fix: str = "") -> str:
    """Join what is wrong and what to do: "no class 'por'. Did you mean 'pour'?"."""
    if not fix:
        return problem
    first = fix.partition(" ")[0]
    fix = fix[0].upper() + fix[1:] if first.isalpha() else fix
    return f"{problem}{'' if problem.endswith(('.', '?')) else '.'} {fix}{'' if fix[-1] in '.?!' else '.'}"


def pydantic_problem(message: str) -> str:
    """Return a message of pydantic as the middle of a sentence."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def listed(names: Iterable[object]) -> str:
    """Join names for a message: "a, b, and 7 more"."""
    texts = list(map(str, names))
    more = f", and {len(texts) - MAX_LISTED:,} more" if len(texts) > MAX_LISTED else ""
    return f"{', '.join(texts[:MAX_LISTED])}{more}"


def suggest(name: str, names: Iterable[str], cutoff: float = 0.0) -> str:
    """Suggest the most similar of some names ("did you mean 'pour'?"), or "" if none is as similar as `cutoff`."""
    by_spelling = {spelling_key(candidate): candidate for candidate in reversed(list(names))}
    close = difflib.get_close_matches(
        spelling_key(name[:MAX_NAME]), by_spelling, n=1, cutoff=cutoff
    )
    return f"did you mean {by_spelling[close[0]]!r}?" if close else ""


def is_name(text: object, *, legacy: bool = False) -> bool:
    """Whether a value can name a class: one line in visible characters; `legacy` allows those of Windows as latin-1."""
    if not isinstance(text, str) or len(text) > MAX_NAME or not text.strip().strip("\u200c\u200d"):
        return False
    invisible = {match[0] for match in _INVISIBLE.finditer(text)}
    return all(legacy and (char in "\x0b\x0c" or "\x80" <= char <= "\x9f") for char in invisible)


def describe_invalid_name(text: object) -> str:
    """Say why a value that `is_name` refuses cannot be a name."""
    if not isinstance(text, str):
        return f"{text!r}, not a name"
    if len(text) > MAX_NAME:
        return f"a name of {len(text):,} characters, {text[:40]!r}..."
    return (
        f"control or invisible characters in {text!r}"
        if text.strip()
        else f"a blank name, {text!r}"
    )


def normalize(name: str) -> str:
    """Return a name in NFC form with single spaces; names that look the same become equal."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def spelling_key(name: str) -> str:
    """Return what names have in common that differ in case, underscores and blanks alone, or look the same."""
    return normalize(name.replace("_", " ")).casefold()


SECONDS = 10.0  # Lines of one piece of work are at least this far apart, unless a tenth of it was done in between


class Pace:
    """When the next line about some work is due, and how long the rest takes. Made when the work begins.

    `done` is what was done before. Unless `tenths`, no line is due after a tenth of the work that is quickly done.
    """

    def __init__(self, done: float = 0, *, tenths: bool = True) -> None:
        self._first = self._told = done
        self._began = self._last = time.monotonic()
        self._tenths = tenths

    def left(self, done: float, total: float) -> str | None:
        """How long the rest takes at the mean speed so far, as "12 min", where a line is due; None where none is."""
        now = time.monotonic()
        tenth = self._tenths and 10 * (done - self._told) >= total
        if done <= self._told or not (tenth or now - self._last >= SECONDS):
            return None
        self._last, self._told = now, done
        seconds = (now - self._began) / (done - self._first) * max(total - done, 0)
        if seconds < 100:
            return f"{seconds:.0f} s"
        return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def paced(
    items: Collection[Item],
    what: str,
    logger: logging.Logger,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    tenths: bool = False,
) -> Iterator[Item]:
    """The items one by one; before each, `progress` is called with (done, total, item, without folders).

    Work that takes longer than `SECONDS` writes a line to the log now and then, "what: 30 of 100, 12 s left".
    """
    pace, total = Pace(tenths=tenths), len(items)
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, total, Path(str(item)).name)
        if left := pace.left(done, total):
            logger.info("%s: %d of %d, %s left", what, done, total, left)
        yield item
