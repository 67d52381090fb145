"""Frame scores that other programs wrote: .npy, .npz and .csv, one file per video."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import Array, FileLocation, InputError, library_errors
from fact_clip.core.io import read_npz, read_text
from fact_clip.datasets.features import open_array

SUFFIXES = (".npy", ".npz", ".csv")

_EXPECTED = "scores of a video: .npy, .npz or .csv"


def score_files(folder: Path) -> dict[str, Path]:
    """Return the score files of a folder by the names of their videos, without hidden files.

    Raises:
        InputError: The folder does not exist or has no score file, or a video has two files.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "give a folder of scores per model")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            fix = "keep one file per video"
            raise InputError(path, f"a second file of the video of {files[path.stem].name}", fix)
        files[path.stem] = path
    if not files:
        raise InputError(folder, "no score file in this folder", f"give {_EXPECTED}")
    return files


def files_of_models(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the score files of each video, one per model, in the order of the folders.

    Raises:
        InputError: A folder lacks a video that a different folder has.
    """
    models = [score_files(folder) for folder in folders]
    videos: dict[str, list[Path]] = {}
    for name in dict.fromkeys(name for files in models for name in files):
        for folder, files in zip(folders, models, strict=True):
            if name not in files:
                raise InputError(folder, f"no scores of {name!r}, which a different folder has")
        videos[name] = [files[name] for files in models]
    return videos


def read_scores(path: Path, names: Sequence[str]) -> Array:
    """Read the scores of a video as they are stored.

    Args:
        path: A .npy file, a .npz file with one array, or a .csv file with one column per class. The
            first line of a .csv file may contain the names of the classes, in any order.
        names: Names of the classes.

    Raises:
        InputError: The file is damaged, or has different content.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _read_csv(path, names)
    if suffix == ".npy":
        return open_array(path)
    arrays = read_npz(path, _EXPECTED)
    if len(arrays) != 1:
        raise InputError(path, f"{len(arrays)} arrays", "write one array with the scores")
    return next(iter(arrays.values()))


def check_square(videos: Mapping[str, Sequence[Path]], names: Sequence[str]) -> None:
    """Check that the orientation of all arrays is known: some array is not square.

    All arrays are then (T, C). A .csv file always has one column per class.

    Args:
        videos: Result of `files_of_models`.
        names: Names of the C classes.

    Raises:
        InputError: An array is (C, C), and no other file shows the orientation.
    """
    size = len(names)
    files = [path for paths in videos.values() for path in paths if path.suffix.lower() != ".csv"]
    shapes = {path: np.shape(read_scores(path, names)) for path in files}
    square = [path for path in files if shapes[path] == (size, size)]
    is_decided = len(square) < len(files) and {shape[1:] for shape in shapes.values()} == {(size,)}
    if square and not is_decided:
        problem = f"rows may be frames or classes, because there are {size} of each"
        raise InputError(square[0], problem, "write a .csv file with one column per class")


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell)
        return True
    return False


def _read_csv(path: Path, names: Sequence[str]) -> Any:
    """Read the rows of a .csv file, with columns in the order of the classes."""
    rows = list(csv.reader(read_text(path, _EXPECTED).splitlines()))
    header = names
    first = 1
    if rows and sorted(rows[0]) == sorted(names):
        if all(map(_is_number, names)):
            problem = "the first row may be names or scores, because all names are numbers"
            raise InputError(path, problem, "write .npy files")
        header = rows.pop(0)
        first = 2
    columns = [header.index(name) for name in names]
    table = []
    for number, row in enumerate(rows, start=first):
        where = FileLocation(path, number)
        problem = f"not {len(names)} numbers, one per class"
        if len(row) != len(names):
            raise InputError(where, problem)
        with library_errors(where, problem, ValueError):
            table.append([float(row[column]) for column in columns])
    return table
