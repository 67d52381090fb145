"""The exception for bad input, and where it stands; the command line prints it as one line, with exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fact_clip.core.messages import printable, sentence, shortened


@dataclass(frozen=True)
class FileLocation:
    """A file or folder, with a line number and a part of it ("segment 3") where they are known."""

    path: Path
    line: int | None = None
    part: str = ""

    def __str__(self) -> str:
        return f"{self.path}{'' if self.line is None else f':{self.line}'}{self.part and f', {self.part}'}"


class ConfigKey(str):
    """A key of the configuration, as "data.root"."""


class CommandOption(str):
    """An option of the command line, as "--run"."""


class Argument(str):
    """An argument of a function, or a value in it ("labels", "class 'pour'")."""


Location: TypeAlias = FileLocation | Path | str
"""Where bad input stands, which a front end may render in its own words; a plain text is that of an argument."""


class InputError(ValueError):
    """Input that cannot be used: where it stands, what is wrong, what to do."""

    def __init__(self, where: Location, problem: str, fix: str = "") -> None:
        if isinstance(where, Path):
            where = FileLocation(where)
        self.where = Argument(where) if type(where) is str else where
        self.problem, self.fix = problem, fix
        super().__init__(
            printable(f"{shortened(str(where))}: {sentence(shortened(problem), shortened(fix))}")
        )

    @property
    def path(self) -> Path | None:
        """The file or folder that is wrong, if it is one."""
        return self.where.path if isinstance(self.where, FileLocation) else None

    def at(self, where: Location) -> InputError:
        """Return the same error, of the same type, at another location."""
        return type(self)(where, self.problem, self.fix)

    def __reduce__(self) -> tuple[object, ...]:  # it crosses from the processes that read videos
        return type(self), (self.where, self.problem, self.fix)


@contextmanager
def located(where: Location) -> Iterator[None]:
    """Say where the bad input stands that the block raises an InputError for."""
    try:
        yield
    except InputError as error:
        raise error.at(where) from None


@contextmanager
def library_errors(
    where: Location, problem: str, *kinds: type[Exception], fix: str = ""
) -> Iterator[None]:
    """Raise an InputError, with its reason, in place of an error of these kinds of a library or the system."""
    try:
        yield
    except kinds as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(where, f"{problem} ({reason})", fix) from None


class GapError(InputError):
    """Segments with frames between them that no segment has."""


class MissingDataError(InputError):
    """A data set that is not where the configuration says."""


class OrientationError(InputError):
    """Features of which it is not clear which side is time."""
