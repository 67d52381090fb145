"""Which files a command works on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def collect(inputs: Sequence[Path], features: bool = False) -> list[Path]:
    """Files from files, folders and "-", which is a list on stdin, one a line; each name (without suffix) once.

    Args:
        inputs: what was given on the command line.
        features: of folders take feature files (.npy) as well as videos.

    Raises:
        InputError: a folder that has none, an empty list, or two files of one name.
    """
    from fact_clip.core import InputError
    from fact_clip.video.decode import SUFFIXES

    wanted = (".npy", *SUFFIXES) if features else SUFFIXES
    given: list[Path] = []
    for path in inputs:
        given += [Path(line.strip()) for line in sys.stdin if line.strip()] if str(path) == "-" else [path]
    if not given:
        raise InputError("-", "no lines on stdin", "a path a line")
    found: list[Path] = []
    for path in given:
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in wanted) if path.is_dir() else [path]
        if not inside:
            raise InputError(path, "a folder without videos", f"files that end in {', '.join(wanted)}")
        found += inside
    first: dict[str, Path] = {}
    for path in found:
        same = first.setdefault(path.stem, path)
        if same is not path:
            raise InputError(path, f"the same name as {same}", "a name of its own for each video")
    return found
