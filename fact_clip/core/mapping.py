"""Mapping files: "id name" a line."""

from __future__ import annotations

import re
from pathlib import Path

from fact_clip.core.errors import InputError

_LINE = re.compile(r"([0-9]+)[ \t]+(.+)")


def parse_mapping(file: Path) -> tuple[tuple[str, ...], list[InputError]]:
    """Names by id, and every fault of the file: a malformed line, an id or a name twice (file:line), a missing id.

    UTF-8, else latin-1; CRLF and blank lines are tolerated. A faulty line gives no name.

    Raises:
        InputError: the file cannot be read.
    """
    by_id: dict[int, str] = {}
    line_of: dict[str, int] = {}
    faults = []
    # not splitlines(): that also cuts at characters which latin-1 names may hold
    for number, line in enumerate(_text(file).split("\n"), start=1):
        line = line.strip(" \t\r")
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(InputError(f"{file}:{number}", repr(line), '"id name", as in "0 background"'))
            continue
        index, name = int(match[1]), match[2]
        if index in by_id:
            faults.append(InputError(f"{file}:{number}", f"id {index} twice", "each id once"))
        elif name in line_of:
            found = f"{name!r} again, as in line {line_of[name]}"
            faults.append(InputError(f"{file}:{number}", found, "each name once"))
        else:
            by_id[index], line_of[name] = name, number
    missing = next((index for index in range(len(by_id)) if index not in by_id), None)
    if missing is not None or not by_id:
        found = "no classes" if missing is None else f"no id {missing}"
        faults.append(InputError(file, found, f"the ids 0 to {max(len(by_id) - 1, 0)}, each once"))
    return tuple(by_id[index] for index in sorted(by_id)), faults


def read_mapping(file: Path) -> tuple[str, ...]:
    """Names by id of a file without a fault; else the first fault is raised."""
    names, faults = parse_mapping(file)
    if faults:
        raise faults[0]
    return names


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", 'a mapping file, "id name" a line') from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
