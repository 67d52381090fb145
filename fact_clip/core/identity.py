"""The identity of a file: its size and a hash of its content, independent of its path."""

import hashlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal, Protocol

from fact_clip.core.types import Json

_EDGE = 1 << 16  # bytes hashed at the beginning and at the end
_BLOCK = 1 << 14  # bytes of each block between them
_N_BLOCKS = 16
_WHOLE = (".npy", ".json")  # arrays of one video nearly always have the same size


class File(Protocol):
    """A path, or a file in a remote store."""

    def stat(self) -> Any:
        """Return `st_size` (bytes) and `st_mtime_ns`, which changes with the content.

        Raises:
            OSError: The file does not exist.
        """

    def is_file(self) -> bool:
        """Return whether the file exists."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open the file for reading at any position."""


def hash_blocks(file: BinaryIO, size: int, is_whole: bool = False) -> str:
    """Hash the beginning, the end and 16 blocks between them. Small files are hashed in full.

    Args:
        file: File that can be read at any position.
        size: Size of the file in bytes.
        is_whole: Whether large files are also hashed in full.

    Returns:
        BLAKE2b hash of 16 bytes, in hexadecimal digits.
    """
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    if is_whole or size <= 2 * _EDGE + _N_BLOCKS * _BLOCK:
        for block in iter(lambda: file.read(_EDGE), b""):
            digest.update(block)
        return digest.hexdigest()
    digest.update(file.read(_EDGE))
    step = (size - 2 * _EDGE) // _N_BLOCKS
    for number in range(_N_BLOCKS):
        file.seek(_EDGE + number * step)
        digest.update(file.read(_BLOCK))
    file.seek(size - _EDGE)
    digest.update(file.read(_EDGE))
    return digest.hexdigest()


def identity_of(path: File, recorded: Mapping[str, Any] | None = None) -> Json:
    """Return the identity of a file: its size, its modification time and its hash.

    Features and descriptions are hashed in full.

    Args:
        path: The file.
        recorded: Earlier identity. Its hash is reused if the size and the time are the same.

    Returns:
        Mapping with "bytes", "modified_ns" and "hash".

    Raises:
        OSError: The path is not a regular file. A pipe or a device may have no end.
    """
    if not path.is_file():
        raise FileNotFoundError(str(path))
    status = path.stat()
    identity: Json = {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    if recorded is not None and identity.items() <= recorded.items():
        return dict(recorded)
    with path.open("rb") as file:
        is_whole = str(path).lower().endswith(_WHOLE)
        identity["hash"] = hash_blocks(file, status.st_size, is_whole)
    return identity


def is_same(recorded: Mapping[str, Any], path: File, *, is_moved: bool = False) -> bool:
    """Return whether a file has the content of an earlier identity.

    Args:
        recorded: Earlier identity.
        path: The file. It is read only if its time has changed and its size has not.
        is_moved: Whether the identity is from a different path, so that its time is not compared.
    """
    if path.stat().st_size != recorded.get("bytes"):
        return False
    has_hash = "hash" in recorded  # records of version 1.0.0 have no hash
    identity = identity_of(path, None if is_moved and has_hash else recorded)
    return bool(identity.get("hash") == recorded.get("hash"))
