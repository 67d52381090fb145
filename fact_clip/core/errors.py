"""The exception for bad input, and where it stands; the command line prints it as one line, with exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fact_clip.core.messages import printable, sentence, shortened


class Location:
    """Where bad input stands. A front end may render it in its own words; `str` gives the default."""


@dataclass(frozen=True)
class FileLocation(Location):
    """A file or folder, with a line number and a part of it ("segment 3") where they are known."""

    path: Path
    line: int | None = None
    part: str = ""

    def __str__(self) -> str:
        return f"{self.path}{'' if self.line is None else f':{self.line}'}{self.part and f', {self.part}'}"


@dataclass(frozen=True)
class _Named(Location):
    name: str

    def __str__(self) -> str:
        return self.name


class ConfigKey(_Named):
    """A key of the configuration, as "data.root"."""


class CommandOption(_Named):
    """An option of the command line, as "--run"."""


class Argument(_Named):
    """An argument of a function, or a value in it ("labels", "class 'pour'")."""


class InputError(ValueError):
    """Input that cannot be used: where it stands (a path or the name of an argument), what is wrong, what to do."""

    def __init__(self, where: Location | str | Path, problem: str, fix: str = "") -> None:
        if isinstance(where, str):
            where = Argument(where)
        self.where: Location = FileLocation(where) if isinstance(where, Path) else where
        self.problem, self.fix = problem, fix
        super().__init__(printable(f"{shortened(str(where))}: {sentence(shortened(problem), shortened(fix))}"))

    @property
    def path(self) -> Path | None:
        """The file or folder that is wrong, if it is one."""
        return self.where.path if isinstance(self.where, FileLocation) else None

    def at(self, where: Location | str | Path) -> InputError:
        """Return the same error, of the same type, at another location."""
        return type(self)(where, self.problem, self.fix)

    def __reduce__(self) -> tuple[object, ...]:  # it crosses from the processes that read videos
        return type(self), (self.where, self.problem, self.fix)


@contextmanager
def library_errors(
    where: Location | str | Path, problem: str, *kinds: type[Exception], fix: str = ""
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
