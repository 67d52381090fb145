"""Archives and arrays of others, whose sizes are looked at before any memory is asked for."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core.errors import InputError
from fact_clip.core.files import check_file

# What NumPy raises on broken files: its header parser lets the errors of Python's tokenizer through.
BROKEN_ARRAY: tuple[type[Exception], ...] = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    ArithmeticError,
    RecursionError,
)
BROKEN_ARRAY += (MemoryError, TypeError, tokenize.TokenError)
_BROKEN_ARCHIVE: tuple[type[Exception], ...] = (
    *BROKEN_ARRAY,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    KeyError,
    TypeError,
)

LARGEST_UNPACKED = 4 << 30
"""Bytes that the members of an archive may have together."""


def check_archive(path: Path, expected: str) -> None:
    """An InputError where the members of a zip file say that they unpack to more than any of ours would.

    What is no zip file is left to its reader.
    """
    check_file(path, expected)
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(path, f"damaged, not readable ({error}); expected {expected}") from None
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > LARGEST_UNPACKED or (unpacked > 1 << 26 and unpacked > 50 * packed):
        raise InputError(path, f"an archive of {packed:,} bytes that unpacks to {unpacked:,}; expected {expected}")


def read_npz(path: Path, expected: str, todo: str = "") -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name; an InputError for a damaged one, and for arrays that claim to be larger."""
    check_archive(path, expected)
    try:
        with zipfile.ZipFile(path) as archive:
            if len(set(archive.namelist())) < len(archive.namelist()):
                raise ValueError("an array twice")
            for member in archive.infolist():
                with archive.open(member) as file:
                    _check_header(member, file)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _BROKEN_ARCHIVE as error:
        raise InputError(
            path, f"damaged, not readable ({' '.join(str(error).split())}); expected {expected}", todo
        ) from None


def _check_header(member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    """A ValueError for an array that says it is larger than its part of the archive."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} says that its shape is {shape}")
