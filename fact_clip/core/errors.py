"""The one exception for bad input; the command line turns it into one line and exit code 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LONGEST = 400
"""Signs of each part of a message; of a longer one the middle is left out."""

# Control characters, other line ends, halves of surrogate pairs, and signs of no width: those that turn the direction
# of writing, byte-order marks, soft hyphens. The joiners U+200C and U+200D have a use in Persian and in emoji.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """A text as one line for a terminal: what cannot be seen, or would move the cursor, is written as an escape."""
    joined = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), joined)


LONGEST_NAME = 1000
"""Signs of the name of a class."""


def is_name(text: object, *, old: bool = False) -> bool:
    """Whether a value can name a class: text of one line that is not blank and whose signs can be seen.

    `old` lets form feeds pass, and U+0080 to U+009F, which stand for letters in files of Windows read as latin-1.
    """
    if not isinstance(text, str) or len(text) > LONGEST_NAME or not text.strip().strip("\u200c\u200d"):
        return False
    unseen = {sign[0] for sign in _UNSEEN.finditer(text)}
    return all(old and (sign in "\x0b\x0c" or "\x80" <= sign <= "\x9f") for sign in unseen)


def no_name(text: str) -> str:
    """What a message says was found in place of a name; `text` is one that `is_name` refuses."""
    if len(text) > LONGEST_NAME:
        return f"a name of {len(text):,} signs, {shortened(text)[:40]!r}..."
    return f"control characters or unseen signs in {text!r}" if text.strip() else f"a blank name, {text!r}"


def shortened(text: str) -> str:
    """The text, or its beginning and its end if it is very long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


LISTED = 12
"""Names that a message lists, at most; of the rest the number is told."""


def listed(names: Sequence[str]) -> str:
    """Names of a message, of which many are counted: "a, b, and 7 more"."""
    more = f", and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more}"


class InputError(ValueError):
    """Input that cannot be used: where (file, key or argument), what was found, what was expected, and what to do."""

    def __init__(self, where: str | Path, found: str, expected: str = "", todo: str = "") -> None:
        self.where, self.found, self.expected, self.todo = str(where), found, expected, todo
        parts = [f"{shortened(self.where)}: {shortened(found)}"]
        if expected:
            parts.append(f"expected {shortened(expected)}")
        if todo:
            parts.append(shortened(todo))
        super().__init__(printable("; ".join(parts)))

    def __reduce__(self) -> tuple[object, ...]:  # from a process that reads videos
        return type(self), (self.where, self.found, self.expected, self.todo)
