"""The exceptions for bad input. Each of them has a location."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fact_clip.core.messages import printable, sentence, shortened


@dataclass(frozen=True)
class FileLocation:
    """A file or folder, with a line number and a part of it ("segment 3") if they are known."""

    path: Path
    line: int | None = None
    part: str = ""

    def __str__(self) -> str:
        location = str(self.path)
        if self.line is not None:
            location += f":{self.line}"
        if self.part:
            location += f", {self.part}"
        return location


Location: TypeAlias = FileLocation | Path | str
"""The location of bad input. A string is an argument, an option or a key of the configuration."""


class InputError(ValueError):
    """Input that cannot be used.

    Args:
        where: Location of the input.
        problem: Description of the problem.
        fix: Advice, or "".
    """

    def __init__(self, where: Location, problem: str, fix: str = "") -> None:
        if isinstance(where, Path):
            where = FileLocation(where)
        self.where: Location = where
        self.problem = problem
        self.fix = fix

        location = shortened(str(where))
        explanation = sentence(shortened(problem), shortened(fix))
        super().__init__(printable(f"{location}: {explanation}"))

    @property
    def path(self) -> Path | None:
        """Return the file or folder of the location, or None if the location is not a path."""
        return self.where.path if isinstance(self.where, FileLocation) else None

    def at(self, where: Location) -> InputError:
        """Return the same error, of the same type, with a different location."""
        return type(self)(where, self.problem, self.fix)

    # Processes send errors by pickle, which would call the class with only the message.
    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.where, self.problem, self.fix)


@contextmanager
def located(where: Location) -> Iterator[None]:
    """Set the location of an InputError that is raised in the block.

    Args:
        where: New location of the error.
    """
    try:
        yield
    except InputError as error:
        raise error.at(where) from None


@contextmanager
def library_errors(
    where: Location, problem: str, *kinds: type[BaseException], fix: str = ""
) -> Iterator[None]:
    """Raise an InputError instead of errors of a library or the operating system.

    Args:
        where: Location of the bad input.
        problem: Description of the problem. The original error is added in brackets.
        kinds: Types of errors to replace.
        fix: Advice, or "".
    """
    try:
        yield
    except kinds as error:
        if isinstance(error, InputError | KeyboardInterrupt):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(where, f"{problem} ({reason})", fix) from None


class GapError(InputError):
    """Segments with frames between them that belong to no segment."""


class MissingDataError(InputError):
    """A data set that does not exist at the path in the configuration."""


class OrientationError(InputError):
    """Features whose time axis cannot be determined."""
