"""Action names as they are given on the command line."""

from __future__ import annotations

from pathlib import Path

from fact_clip.cli.console import names


def read_actions(path: Path) -> list[str]:
    """Names of a file, one a line, or those of a mapping file ("0 name" in every line).

    Raises:
        InputError: an unreadable file, no name, or a name twice.
    """
    from fact_clip.core import InputError
    from fact_clip.data.labels import read_lines

    listed = [line.strip() for line in read_lines(path, "action names, one a line") if line.strip()]
    if listed and all(len(line.split()) > 1 and line.split()[0].isdigit() for line in listed):
        listed = [line.split(maxsplit=1)[1] for line in listed]
    if not listed:
        raise InputError(path, "no names", "one action name a line")
    for place, name in enumerate(listed):
        if name in listed[:place]:
            raise InputError(path, f"{name!r} twice", "each name once")
    return listed


def given_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """The names of --actions or of --actions-file; None where neither is given, an InputError where both are."""
    from fact_clip.core import InputError

    if actions is not None and file is not None:
        raise InputError("--actions", "names beside --actions-file", "one of them")
    return names(actions) if file is None else read_actions(file)
