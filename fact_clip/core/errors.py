"""The one exception for bad input; the command line turns it into one line and exit code 2."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Something that a person gave us cannot be used.

    Args:
        where: the file, key or argument at fault.
        found: what was found there.
        expected: what would have been right.
        todo: what the person can do about it.
    """

    def __init__(self, where: str | Path, found: str, expected: str = "", todo: str = "") -> None:
        self.where, self.found, self.expected, self.todo = str(where), found, expected, todo
        parts = [f"{where}: {found}"]
        if expected:
            parts.append(f"expected {expected}")
        if todo:
            parts.append(todo)
        super().__init__("; ".join(parts))
