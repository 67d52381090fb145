"""The inputs of a batch: files, folders, globs, lists and manifests, each input with an id."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from fact_clip.core import InputError, Location, library_errors
from fact_clip.core.io import check_file
from fact_clip.core.paths import file_name
from fact_clip.formats.table import read_table
from fact_clip.video.frames import SUFFIXES, Span
from fact_clip_batch.stores import RemoteFile, is_remote, list_remote, visible_files

_COLUMNS = "id, uri, and perhaps start and stop in seconds"


@dataclass(frozen=True)
class Item:
    """One input of a batch.

    Attributes:
        id: Name of its outputs, with "/" between folders.
        path: Feature file or video.
        start: Seconds at which the part of the video that is read begins.
        stop: Seconds at which this part ends, or None for the end of the video.
        address: Address of an input in a remote store, such as "s3://bucket/video.mp4", or None.
            The path of such an input is its name.
    """

    id: str
    path: Path
    start: float = 0.0
    stop: float | None = None
    address: str | None = None

    @property
    def source(self) -> Path | RemoteFile:
        """Return the file whose identity can be recorded."""
        return self.path if self.address is None else RemoteFile(self.address)

    @property
    def location(self) -> str:
        """Return the address, or the absolute path."""
        return self.address or str(self.path.absolute())

    @property
    def span(self) -> Span:
        """Return the part of the video that is read."""
        return Span(self.start, self.stop)

    def opened(self) -> AbstractContextManager[Path]:
        """Return a context with the path of the input, or of a temporary copy of a remote one."""
        source = self.source
        return source.copied() if isinstance(source, RemoteFile) else nullcontext(source)


@dataclass(frozen=True)
class Shard:
    """One of several parts of a batch, selected by a hash of the ids.

    Attributes:
        index: Number of the part, from 0.
        count: Number of parts.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, value: str) -> Shard:
        """Return the shard of "I/N"."""
        with suppress(ValueError):
            index, count = map(int, value.split("/"))
            if 0 <= index < count:
                return cls(index, count)
        raise InputError("--shard", f"{value!r}", "write I/N: 0/4, 1/4, 2/4 and 3/4 for four jobs")

    def items(self, inputs: Iterable[Item]) -> Iterator[Item]:
        """Yield the inputs of this part."""
        return (item for item in inputs if hash_of(item.id) % self.count == self.index)


def hash_of(item_id: str) -> int:
    """Return a hash of an id, a number of 8 bytes."""
    digest = hashlib.blake2b(item_id.encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


class Inputs:
    """The inputs of a batch, which are listed again in each iteration.

    An id is the path relative to its root, without the ending. The root is the folder itself for a
    folder, the part before the first wildcard for a glob, the folder that all paths share for a
    list, and the parent folder for a file. A manifest states the ids.

    Args:
        sources: Paths of files, folders and manifests, globs, and lists of paths.
        suffixes: Endings of the files that are read from a folder.

    Attributes:
        hashes: Hashes of the ids, in order.

    Raises:
        InputError: There is no input, or two inputs have the same id.
    """

    def __init__(
        self,
        sources: str | Path | Sequence[str | Path | Sequence[str | Path]],
        suffixes: Sequence[str] = SUFFIXES,
    ) -> None:
        self._sources = [sources] if isinstance(sources, str | Path) else sources
        self._suffixes = tuple(suffixes)
        self.hashes = np.fromiter((hash_of(item.id) for item in self), np.uint64)  # 8 bytes each
        self.hashes.sort()
        if not len(self):
            raise InputError("inputs", "there is none", "name a file or a folder")
        if (self.hashes[1:] == self.hashes[:-1]).any():
            paths: dict[str, Path] = {}
            for item in self:
                if item.id in paths:
                    problem = f"the id {item.id}, which {paths[item.id]} has too"
                    fix = "name the folder above both, or give ids in a manifest"
                    raise InputError(item.path, problem, fix)
                paths[item.id] = item.path

    def __len__(self) -> int:
        return len(self.hashes)

    def __iter__(self) -> Iterator[Item]:
        for source in self._sources:
            if isinstance(source, str) and is_remote(source):
                yield from self._remote_items(source)
            elif isinstance(source, str | Path):
                yield from self._items(Path(source))
            else:
                yield from _list_items(source)

    def _remote_items(self, address: str) -> Iterator[Item]:
        """Yield the inputs of a file, folder or glob in a remote store."""
        files = list_remote(address)
        items = (Item(_id(Path(name)), Path(Path(name).name), address=file) for name, file in files)
        yield from self._fitting(address, items)

    def _items(self, path: Path) -> Iterator[Item]:
        """Yield the inputs of one source."""
        if path.is_dir():
            yield from self._fitting(path, _items_below(path, visible_files(path)))
        elif path.suffix.lower() == ".csv":
            yield from read_manifest(path)
        elif glob.has_magic(str(path)) and not path.exists():
            names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
            files = filter(Path.is_file, map(Path, names))
            fixed = takewhile(lambda part: not glob.has_magic(part), path.parts)
            yield from self._fitting(path, _items_below(Path(*fixed), files))
        else:
            yield Item(_id(path, path.parent), path)

    def _fitting(self, source: str | Path, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of a folder or glob with one of the endings, or the source itself."""
        is_empty = True
        for item in items:
            if item.address == source or item.path.name.lower().endswith(self._suffixes):
                is_empty = False
                yield item
        if is_empty:
            fix = f"name files that end in {', '.join(self._suffixes)}"
            raise InputError(source, "no videos here", fix)


def _items_below(root: Path, paths: Iterable[Path]) -> Iterator[Item]:
    for path in paths:
        yield Item(_id(path, root), path)


def _id(path: Path, root: Path = Path()) -> str:
    """Return the id of a file below a root: its path without the ending, as names of files."""
    return "/".join(map(file_name, path.relative_to(root).with_suffix("").parts))


def _list_items(paths: Sequence[str | Path]) -> Iterator[Item]:
    """Yield the inputs of a list of files."""
    folders = {str(path.parent) for path in map(Path, paths)}
    root = None
    with suppress(ValueError):  # relative and absolute paths share no folder
        root = Path(os.path.commonpath(folders))
    for path in map(Path, paths):
        yield Item(_id(path, root or path.parent), path)


def read_manifest(path: Path) -> Iterator[Item]:
    """Yield the inputs of a manifest: CSV with the columns id, uri, start and stop.

    Args:
        path: Manifest. Relative paths in it start at its folder.

    Yields:
        The inputs.
    """
    check_file(path, f"a manifest: {_COLUMNS}")
    for where, row in read_table(path, ("id", "uri")):
        uri = row["uri"]
        if not row["id"] or not uri:
            raise InputError(where, "no id, or no uri", f"each row has {_COLUMNS}")
        item_name = "/".join(map(file_name, row["id"].split("/")))
        start = _seconds(row.get("start"), where) or 0.0
        stop = _seconds(row.get("stop"), where)
        if stop is not None and stop <= start:
            raise InputError(where, f"a part from {start:g} s to {stop:g} s")
        item = Item(item_name, path.parent / uri, start, stop)
        if is_remote(uri):
            item = replace(item, path=Path(PurePosixPath(uri).name), address=uri)
        yield item


def _seconds(cell: str | None, where: Location) -> float | None:
    if not cell:
        return None
    with library_errors(where, "not seconds", ValueError):
        seconds = float(cell)
        if not 0 <= seconds < 1e9:
            raise ValueError("out of range")
    return seconds
