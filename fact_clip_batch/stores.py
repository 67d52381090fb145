"""Files and folders on this machine and in remote stores (s3://, gs://, https://), by fsspec."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, BinaryIO, Literal, cast

from fact_clip.core import library_errors
from fact_clip.core.extras import require
from fact_clip.core.paths import output_path


def is_remote(address: object) -> bool:
    """Return whether an address belongs to a remote store, such as "s3://bucket/folder"."""
    return "://" in str(address)


def open_store(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    require(address, "fsspec", "remote")
    import fsspec

    with library_errors(address, "cannot be opened", ImportError, ValueError, OSError):
        store, path = fsspec.core.url_to_fs(address)
    return store, str(path)


class RemoteFile:
    """A file in a remote store, with the methods of a path that batches need.

    Args:
        address: Address with its protocol.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._store, self._path = open_store(address)

    def __str__(self) -> str:
        return self._address

    def stat(self) -> SimpleNamespace:
        """Return the size and a number that changes with the content, named as by `os.stat`.

        An OSError means that there is no file.
        """
        size = self._store.info(self._path)["size"]
        state = str(self._store.ukey(self._path)).encode()
        number = int.from_bytes(hashlib.blake2b(state, digest_size=7).digest(), "big")
        return SimpleNamespace(st_size=size, st_mtime_ns=number)

    def is_file(self) -> bool:
        """Return whether the file is there."""
        return bool(self._store.isfile(self._path))

    def with_suffix(self, suffix: str) -> RemoteFile:
        """Return the file next to this one with a different ending."""
        ending = PurePosixPath(self._path).suffix
        return RemoteFile(self._address.removesuffix(ending) + suffix)

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open the file for reading at any position."""
        return cast(BinaryIO, self._store.open(self._path, mode))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        if not missing_ok or self.is_file():
            self._store.rm_file(self._path)

    def put(self, source: Path) -> None:
        """Write the whole file as a copy of a local file."""
        with library_errors(self._address, "cannot be written", OSError):
            self._store.makedirs(self._path.rpartition("/")[0], exist_ok=True)
            self._store.put_file(str(source), self._path)

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """Copy the file, and the NAME.json next to features, to a temporary folder."""
        with TemporaryDirectory(prefix="fact-clip-") as folder:
            copy = Path(folder, PurePosixPath(self._address).name)
            with library_errors(self._address, "cannot be read", OSError):
                # The time stands for the state of the remote file, as in `stat`.
                state = self.stat().st_mtime_ns
                self._store.get_file(self._path, str(copy))
                sidecar = self.with_suffix(".json")
                if copy.suffix == ".npy" and sidecar.is_file():
                    self._store.get_file(sidecar._path, str(copy.with_suffix(".json")))
            os.utime(copy, ns=(state, state))
            yield copy


def list_remote(address: str) -> Iterator[tuple[str, str]]:
    """List the files of a remote file, folder or glob that are not hidden, folder by folder.

    Args:
        address: Address with its protocol.

    Yields:
        The path of each file relative to its root, and its address.
    """
    store, path = open_store(address)
    if store.isdir(path):
        path = f"{path.rstrip('/')}/**"
    beginning, star, _ = path.partition("*")
    if not star:
        yield PurePosixPath(path).name, address
        return
    root = beginning.rpartition("/")[0]
    files = {}
    for name, facts in store.glob(path, detail=True).items():
        relative = PurePosixPath(name.removeprefix(root).lstrip("/"))
        if facts["type"] == "file" and "/." not in f"/{relative}":
            files[relative] = store.unstrip_protocol(name)
    for relative in sorted(files, key=lambda path: (path.parent.parts, path.name)):
        yield str(relative), files[relative]


def visible_files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, without those that are hidden or being written.

    Linked folders are followed unless they lead back to a parent folder.
    """
    for folder, names, files in os.walk(root, followlinks=True):
        target = Path(folder).resolve()
        names[:] = [
            name
            for name in sorted(names)
            if name[0] != "." and not target.is_relative_to((target / name).resolve())
        ]
        for name in sorted(files):
            if name[0] != ".":
                yield Path(folder, name)


class Folder:
    """The output folder of a batch, on this machine or in a remote store.

    Args:
        address: Path, or address in a remote store.

    Attributes:
        is_remote: Whether it is in a remote store.
    """

    def __init__(self, address: str | Path) -> None:
        self._address = str(address)
        self.is_remote = is_remote(address)

    def __str__(self) -> str:
        return self._address

    def address(self, name: str) -> str:
        """Return the address of a file, a folder or a pattern in this folder."""
        return f"{self._address.rstrip('/')}/{name}"

    def file(self, name: str) -> Path | RemoteFile:
        """Return a file by its name, with "/" between folders."""
        if self.is_remote:
            return RemoteFile(self.address(name))
        return output_path(Path(self._address), name, "")

    def names(self) -> Iterator[str]:
        """Yield the names of all files that are not hidden, folder by folder."""
        if self.is_remote:
            yield from (name for name, _ in list_remote(self.address("**")))
            return
        for path in visible_files(Path(self._address)):
            yield path.relative_to(self._address).as_posix()

    @contextmanager
    def staged(self, *names: str) -> Iterator[Path]:
        """Yield a local folder to write files to.

        Args:
            names: Names of the files. In a remote store, whole files appear in this order when the
                block has ended.
        """
        if not self.is_remote:
            yield Path(self._address)
            return
        with TemporaryDirectory(prefix="fact-clip-") as folder:
            yield Path(folder)
            for name in names:
                RemoteFile(self.address(name)).put(Path(folder, name))
