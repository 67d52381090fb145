"""The one exception for bad input; the command line turns it into one line and exit code 2."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used: where (file, key or argument), what was found, what was expected, and what to do."""

    def __init__(self, where: str | Path, found: str, expected: str = "", todo: str = "") -> None:
        self.where, self.found, self.expected, self.todo = str(where), found, expected, todo
        parts = [f"{where}: {found}"]
        if expected:
            parts.append(f"expected {expected}")
        if todo:
            parts.append(todo)
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:  # from a process that reads videos
        return type(self), (self.where, self.found, self.expected, self.todo)
