"""What tests say of bad input: the type of the error and its place, never its sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from fact_clip.core import InputError


class Refusal:
    """The error of a ``with refused(...)``, once its block has ended."""

    value: Exception

    @property
    def message(self) -> str:
        """The whole line, for the few tests of a value in it: a suggested name, a number."""
        return str(self.value)


def short(place: object) -> str:
    """A place without the folders of an absolute path: ``/tmp/x/mapping.txt:3`` is ``mapping.txt:3``."""
    return re.sub(r"^(?:/[^/:,]*)*/", "", str(place))


@contextmanager
def refused(place: str | Path | None = None, kind: type[Exception] = InputError) -> Iterator[Refusal]:
    """Expect an error of this type, of one line, at this place: "data.root", "--run", "mapping.txt:3".

    Absolute paths are compared by their last part, and without a `place` any will do.
    """
    refusal = Refusal()
    with pytest.raises(kind) as caught:
        yield refusal
    refusal.value = caught.value
    assert "\n" not in refusal.message
    if place is not None:
        where = short(getattr(caught.value, "where", ""))
        # a part of a file need not be named
        assert short(place) in (where, where.split(", ")[0]), refusal.message


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


def refused_line(answer: tuple[int, str, str], place: str | Path | None = None) -> str:
    """Check that a command ended with exit code 2 and one line on stderr, beside warnings, at this place; return it."""
    code, out, err = answer
    assert (code, out) == (2, ""), err
    lines = [line for line in err.splitlines(keepends=True) if not line.startswith("fact-clip: warning: ")]
    assert len(lines) == 1, err
    assert lines[0].startswith("fact-clip: "), err
    assert lines[0].endswith("\n"), err
    line = lines[0].removeprefix("fact-clip: ").removesuffix("\n")
    assert place is None or short(line).startswith(f"{short(place)}: "), err
    return line
