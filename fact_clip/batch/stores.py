"""Inputs and outputs in other stores (s3://, gs://, https://, memory://) by fsspec."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from fact_clip.batch.description import FILE as DESCRIPTION
from fact_clip.core import InputError, library_errors
from fact_clip.core.extras import require

_HEADER_BYTES = 4096  # that hold the header of a feature file
RECORDS = ".results"
"""Folder with the records of segmentations, inside the output folder."""


def is_remote(address: object) -> bool:
    """Return whether an address is one of another store, as "s3://bucket/folder"."""
    return "://" in str(address)


def open_store(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    require(address, "fsspec", "remote")
    import fsspec

    with library_errors(address, "cannot be opened", ImportError, ValueError, OSError):
        store, path = fsspec.core.url_to_fs(address)
    return store, str(path)


@dataclass(frozen=True)
class RemoteStatus:
    """The size and the state of a file, with the names of `os.stat_result`."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True)
class RemoteFile:
    """A file in another store, of which an identity can be taken.

    Attributes:
        address: with its protocol.
    """

    address: str

    def stat(self) -> RemoteStatus:
        """Return the size and a number that changes with the content. OSError: there is no file."""
        store, path = open_store(self.address)
        size = store.info(path)["size"]
        state = hashlib.blake2b(str(store.ukey(path)).encode(), digest_size=7).digest()
        return RemoteStatus(size, int.from_bytes(state, "big"))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file for reading at any position."""
        store, path = open_store(self.address)
        file: BinaryIO = store.open(path, mode)
        return file

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """Copy the file to a temporary folder, and the NAME.json beside features, too."""
        name = PurePosixPath(self.address).name
        store, path = open_store(self.address)
        with TemporaryDirectory(prefix="fact-clip-") as folder:
            copy = Path(folder, name)
            with library_errors(self.address, "cannot be read", OSError):
                status = self.stat()
                store.get_file(path, str(copy))
            if copy.suffix == ".npy":
                sidecar = str(PurePosixPath(path).with_suffix(".json"))
                if store.exists(sidecar):
                    store.get_file(sidecar, str(copy.with_suffix(".json")))
            # The time stands for the state of the remote file, as in `stat`.
            os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
            yield copy


def list_remote(address: str, suffixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """List the files of a remote file, folder or glob.

    Args:
        address: with its protocol.
        suffixes: the endings of the files of a folder or glob.

    Yields:
        The path of each file relative to its root, and its address.
    """
    store, path = open_store(address)
    if "*" in path:
        root = path.partition("*")[0].rpartition("/")[0]
        paths = store.glob(path)
    elif store.isdir(path):
        root = path.rstrip("/")
        paths = store.find(path)
    else:
        yield PurePosixPath(path).name, address
        return
    n_files = 0
    for name in sorted(paths):
        is_hidden = "/." in name.removeprefix(root)
        if name.lower().endswith(tuple(suffixes)) and not is_hidden:
            n_files += 1
            yield name.removeprefix(root).lstrip("/"), store.unstrip_protocol(name)
    if not n_files:
        raise InputError(address, "no videos here", f"name files that end in {suffixes[0]}, ...")


class Mirror:
    """A local folder through which the outputs of one input at a time go to another store.

    An object is written as a whole, so that a result is complete or not there.

    Args:
        address: the remote folder.
    """

    def __init__(self, address: str) -> None:
        self._store, path = open_store(address)
        self._root = path.rstrip("/")
        self._scratch = TemporaryDirectory(prefix="fact-clip-")
        self.folder = Path(self._scratch.name, "out")
        self.folder.mkdir()
        # Objects cannot be appended to, so that each process has a file of its own.
        self.failure_file = f"failures-{secrets.token_hex(6)}.jsonl"
        self._sizes: dict[str, int] = {}
        self._fetched: dict[Path, int] = {}

    def begin(self) -> None:
        """List the remote folder, and copy the description and the failures of the batch."""
        with suppress(FileNotFoundError):
            for path, info in self._store.find(self._root, detail=True).items():
                name = path.removeprefix(self._root).lstrip("/")
                self._sizes[name] = info["size"]
        for name in self._sizes:
            if "/" not in name and (name == DESCRIPTION or name.endswith(".jsonl")):
                self._fetch(name)

    def pull(self, item_id: str, suffixes: Sequence[str]) -> None:
        """Copy the record of an input and files of these endings, also those of NAME-2 and so on.

        Args:
            item_id: the id of the input.
            suffixes: the endings.
        """
        number = 1
        name = item_id
        while True:
            candidates = [f"{RECORDS}/{name}.json", *(f"{name}{suffix}" for suffix in suffixes)]
            names = [candidate for candidate in candidates if candidate in self._sizes]
            for candidate in names:
                self._fetch(candidate)
            if not names:
                return
            number += 1
            name = f"{item_id}-{number}"

    def pull_records(self) -> None:
        """Copy all records, and the headers of features."""
        for name in self._sizes:
            if name.startswith(f"{RECORDS}/") or name.endswith((".json", ".npy")):
                self._fetch(name)

    def _fetch(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = f"{self._root}/{name}"
        if path.suffix == ".npy":
            # The header and the size tell whether features are complete.
            size = self._sizes[name]
            path.write_bytes(self._store.cat_file(source, start=0, end=min(size, _HEADER_BYTES)))
            os.truncate(path, size)
        else:
            self._store.get_file(source, str(path))
        self._fetched[path] = path.stat().st_mtime_ns

    def push(self) -> None:
        """Write the new files to the store, a record of features last, and delete the copies."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        for path in sorted(paths, key=self._order):
            is_unfinished = path.suffix == ".part" or path.name.startswith(f".{os.getpid()}-")
            if not is_unfinished and self._fetched.get(path) != path.stat().st_mtime_ns:
                name = path.relative_to(self.folder).as_posix()
                with library_errors(f"{self._root}/{name}", "cannot be written", OSError):
                    self._store.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
                    self._store.put_file(str(path), f"{self._root}/{name}")
                self._sizes[name] = path.stat().st_size
                self._fetched[path] = path.stat().st_mtime_ns
        for path in self.folder.iterdir():
            if path.name == RECORDS or path.is_dir():
                shutil.rmtree(path)
            elif path.name != DESCRIPTION and path.suffix != ".jsonl":
                path.unlink()
        kept_names = set(self.folder.iterdir())
        self._fetched = {path: at for path, at in self._fetched.items() if path in kept_names}

    def _order(self, path: Path) -> tuple[bool, bool, str]:
        is_record = path.relative_to(self.folder).parts[0] == RECORDS
        return not is_record, path.suffix == ".json", str(path)

    def close(self) -> None:
        """Delete the local folder."""
        self._scratch.cleanup()


@contextmanager
def local_folder(address: str | Path) -> Iterator[Path]:
    """Yield the folder of a batch, or a copy of the records of a remote one."""
    if not is_remote(address):
        yield Path(address)
        return
    mirror = Mirror(str(address))
    try:
        mirror.begin()
        mirror.pull_records()
        yield mirror.folder
    finally:
        mirror.close()
