"""Parsers of command arguments: lists of names, data sets, lists of files, new folders."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from fact_clip.core import InputError, Names, library_errors
from fact_clip.core.messages import describe_invalid_name, is_name, suggest

if TYPE_CHECKING:
    from fact_clip.config import DataConfig


def read_names(value: str | None, option: str) -> Names:
    """Parse names such as 'a, b, c'. A name that contains a comma is in double quotes.

    Args:
        value: Value of the option, or None if it was not given.
        option: Name of the option, for error messages.

    Returns:
        The names, or an empty tuple if the option was not given.
    """
    fix = 'write names such as "a, b, c", and put names that contain a comma in double quotes'
    cells: list[str] = []
    with library_errors(option, repr(value), csv.Error, ValueError, fix=fix):
        if value:
            (cells,) = csv.reader([value], skipinitialspace=True, strict=True)
    names = tuple(cell.strip() for cell in cells if cell.strip())
    if value and not names:
        raise InputError(option, f"{value!r} contains no names")
    check_names(names, option)
    return names


def read_formats(value: str) -> dict[str, str]:
    """Return a mapping from each format of --format to its file name ending.

    Args:
        value: Value of the option, or its default.
    """
    from fact_clip.formats import format_called

    names = read_names(value, "--format")
    return {name: format_called(name, "--format").ending for name in names}


def read_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """Return the names of --actions, or of --actions-file.

    Args:
        actions: Value of --actions.
        file: File with one name per line, or a mapping file ("0 name").

    Returns:
        The names, or None if neither option was given.
    """
    from fact_clip.core.io import read_lines

    if file is None:
        return None if actions is None else list(read_names(actions, "--actions"))
    if actions is not None:
        raise InputError("--actions", "give only one of --actions and --actions-file")
    lines = [line for line in read_lines(file, "action names, one per line") if line]
    if not lines or any(re.match(r"[\[{]|\d+[;,]", line) for line in lines[:2]):
        fix = "give one action name per line, or a mapping file"
        raise InputError(file, "not a list of names", fix)
    if all(re.match(r"\d+\s+\S", line) for line in lines):
        cells = [line.split(maxsplit=1) for line in lines]
        if {int(number) for number, _ in cells} != {*range(len(lines))}:
            problem = "every name has a number, but the numbers are not 0, 1, ... of a mapping"
            raise InputError(file, problem, "number the lines 0, 1, ..., or remove the numbers")
        lines = [name for _, name in cells]
    check_names(lines, file)
    return lines


def check_names(names: Sequence[str], where: str | Path) -> None:
    """Raise an InputError if a name is not printable or occurs twice."""
    for number, name in enumerate(names):
        if not is_name(name):
            raise InputError(where, describe_invalid_name(name))
        if name in names[:number]:
            raise InputError(where, f"{name!r} twice")


def data_config(data: str, overrides: list[str] | None) -> DataConfig:
    """Return the data settings of a recipe, a benchmark or a folder.

    The recipe.yaml of the folder is used, if there is one.

    Args:
        data: Name of a recipe or benchmark, a YAML file, or a folder.
        overrides: Settings in the form "key=value".
    """
    from fact_clip.config import Config, recipes
    from fact_clip.datasets.benchmarks import BENCHMARKS

    source = data
    settings = overrides or []
    if data not in recipes():
        if Path(data).is_dir():
            recipe = Path(data, "recipe.yaml")
            has_name = any(override.startswith("data.name=") for override in settings)
            source = str(recipe) if recipe.is_file() and not has_name else "folder"
            settings = [f"data.root={json.dumps(data)}", *settings]
        elif data in BENCHMARKS:
            source = "folder"
            settings = [f"data.name={data}", *settings]
        elif not data.endswith((".yaml", ".yml")):
            problem = "a file" if Path(data).is_file() else "no such folder or recipe"
            fix = suggest(data, [*recipes(), *BENCHMARKS], cutoff=0.6) or (
                "name a data set: mapping.txt, groundTruth, features, splits; "
                "or a recipe, by name or path"
            )
            raise InputError(data, problem, fix)
    return Config.load(source, settings).data


def read_paths() -> list[str]:
    """Return the paths on stdin, one per line."""
    if isinstance(sys.stdin, TextIOWrapper):  # file names may contain any bytes
        sys.stdin.reconfigure(errors="surrogateescape")
    paths = []
    for line in sys.stdin or ():
        name = line.removeprefix("\ufeff").strip()  # a byte-order mark from Windows
        if name:
            paths.append(name)
    if not paths:
        raise InputError("-", "no paths on stdin", "write one path per line to stdin")
    return paths


def check_new(folder: Path, fix: str = "name a new folder") -> None:
    """Raise an InputError unless a folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "it already exists and is not an empty folder", fix)
