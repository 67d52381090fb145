"""The one exception for bad input; the command line turns it into one line and exit code 2."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST = 400
"""Signs of each part of a message; of a longer one the middle is left out."""

# Control characters, other line ends, signs that turn the direction of writing, and halves of surrogate pairs.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text as one line for a terminal: what cannot be seen, or would move the cursor, is written as an escape."""
    joined = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), joined)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def has_control(text: str) -> bool:
    """Whether a text has control characters, line ends or halves of surrogate pairs, which no name has."""
    return _CONTROL.search(text) is not None


def shortened(text: str) -> str:
    """The text, or its beginning and its end if it is very long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


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
