"""Inputs and outputs in other stores (s3://, gs://, https://, memory://) by fsspec."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, BinaryIO

from fact_clip.core import InputError, library_errors
from fact_clip.core.extras import require
from fact_clip_batch.records import DESCRIPTION, RECORDS, result_names

_HEADER_BYTES = 4096  # that hold the header of a feature file
_COPIED = 0  # seconds since 1970: the time of a local file that is as in the store


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
class RemoteFile:
    """A file in another store, of which an identity can be taken.

    Attributes:
        address: with its protocol.
    """

    address: str

    def stat(self) -> SimpleNamespace:
        """Return the size and a number that changes with the content, named as by `os.stat`.

        OSError: there is no file.
        """
        store, path = open_store(self.address)
        size = store.info(path)["size"]
        state = hashlib.blake2b(str(store.ukey(path)).encode(), digest_size=7).digest()
        return SimpleNamespace(st_size=size, st_mtime_ns=int.from_bytes(state, "big"))

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
    if store.isdir(path):
        path = f"{path.rstrip('/')}/**"
    beginning, star, _ = path.partition("*")
    if not star:
        yield PurePosixPath(path).name, address
        return
    root = beginning.rpartition("/")[0]
    n_files = 0
    for name in sorted(store.glob(path)):
        is_hidden = "/." in name.removeprefix(root)
        if name.lower().endswith(tuple(suffixes)) and not is_hidden:
            n_files += 1
            yield name.removeprefix(root).lstrip("/"), store.unstrip_protocol(name)
    if not n_files:
        raise InputError(address, "no videos here", f"name files that end in {suffixes[0]}, ...")


class Mirror:
    """A local folder through which the outputs of one input at a time go to another store.

    An object is written as a whole, so that a result is complete or not there. The description and
    the failures of the batch are copied at once. A copy has the time `_COPIED` until it is changed.

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
        with suppress(FileNotFoundError):
            for path, info in self._store.find(self._root, detail=True).items():
                name = path.removeprefix(self._root).lstrip("/")
                self._sizes[name] = info["size"]
        for name in self._sizes:
            if _is_of_batch(name):
                self._fetch(name)

    def pull(self, item_id: str, suffixes: Sequence[str]) -> None:
        """Copy the record of an input and files of these endings, also those of NAME-2 and so on.

        Args:
            item_id: the id of the input.
            suffixes: the endings.
        """
        for name in result_names(item_id):
            candidates = {f"{RECORDS}/{name}.json", *(f"{name}{suffix}" for suffix in suffixes)}
            stored = candidates & self._sizes.keys()
            if not stored:
                return
            for candidate in stored:
                self._fetch(candidate)

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
        os.utime(path, (_COPIED, _COPIED))

    def push(self) -> None:
        """Write the new files to the store, and delete the local ones.

        Records of segments come first, those of features last.
        """
        paths = filter(Path.is_file, self.folder.rglob("*"))
        for path in sorted(
            paths, key=lambda path: (RECORDS not in path.parts, path.suffix != ".npy")
        ):
            name = path.relative_to(self.folder).as_posix()
            status = path.stat()
            is_unfinished = path.suffix == ".part" or path.name.startswith(f".{os.getpid()}-")
            if status.st_mtime != _COPIED and not is_unfinished:
                target = f"{self._root}/{name}"
                with library_errors(target, "cannot be written", OSError):
                    self._store.makedirs(target.rpartition("/")[0], exist_ok=True)
                    self._store.put_file(str(path), target)
                self._sizes[name] = status.st_size
                os.utime(path, (_COPIED, _COPIED))
            if not _is_of_batch(name):
                path.unlink()

    def close(self) -> None:
        """Delete the local folder."""
        self._scratch.cleanup()


def _is_of_batch(name: str) -> bool:
    """Return whether a file is the description or the failures of a batch."""
    return "/" not in name and (name == DESCRIPTION or name.endswith(".jsonl"))


@contextmanager
def local_folder(address: str | Path) -> Iterator[Path]:
    """Yield the folder of a batch, or a copy of the records of a remote one."""
    if not is_remote(address):
        yield Path(address)
        return
    mirror = Mirror(str(address))
    try:
        mirror.pull_records()
        yield mirror.folder
    finally:
        mirror.close()
