"""Names that become file names, paths that stay in their folder, files that are written whole, locks of folders."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fact_clip.core.errors import InputError, library_errors

try:
    import fcntl
except ImportError:  # Windows has none, and no locks here
    fcntl = None  # type: ignore[assignment]

MAX_FILE_NAME = 200
"""Bytes of a file name that `file_name` gives. File systems take 255, and endings and marks are still to come."""

# Characters that separate folders, control characters and line ends, and halves of surrogate pairs.
_NOT_IN_NAMES = re.compile(
    "[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff" + ('<>:"|?*]' if os.name == "nt" else "]")
)
# With any ending, Windows takes these for a device.
_DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
}


def file_name(name: str) -> str:
    """Return a file's name, without folder and ending, for a name that someone else chose; almost all stay as they are.

    It leads out of no folder and hides no file. Two names may give one file name, so the caller looks for that.
    """
    safe = _NOT_IN_NAMES.sub("_", name.strip())
    safe = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), safe) or "_"
    if safe.partition(".")[0].strip().casefold() in _DEVICES:
        safe = f"_{safe}"
    if len(safe.encode()) > MAX_FILE_NAME:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        safe = f"{safe.encode()[: MAX_FILE_NAME - 9].decode(errors='ignore')}-{digest}"
    return safe


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder, and of no other file."""
    return (
        name not in ("", ".", "..") and not _NOT_IN_NAMES.search(name) and len(name.encode()) <= 250
    )


def inside(folder: Path, *names: str) -> Path:
    """Return the path of a file that is about to be written below a folder: the folders on the way, and its name.

    An InputError where a name leads elsewhere, or where the file or a folder on the way is a symbolic link.
    """
    path = folder
    for name in names:
        if not is_file_name(name):
            raise InputError(folder, f"the file {'/'.join(names)!r} would not lie in this folder")
        path = path / name
        if path.is_symlink():
            raise InputError(
                path, "a symbolic link, where a file or folder is written", "remove it"
            )
    return path


def expanded(path: str | Path) -> Path:
    """Return a path whose ~ or ~NAME at the start is the home of that person; as it is if there is no such home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no such home


def same_place(first: Path, second: Path) -> bool:
    """Whether two paths are the same file or folder, by links of any kind, or will be."""
    try:
        return first.samefile(second)
    except OSError:  # one of them is not there yet
        return os.path.realpath(first) == os.path.realpath(second)


def check_place(path: Path) -> None:
    """Raise an InputError where a file cannot be written: before the first file of several is written."""
    with library_errors(path, "cannot be written", OSError):
        is_taken = (
            path.exists() and not path.is_file()
        )  # a device would be gone if a file were put in its place
        above = next((folder for folder in path.parents if os.path.lexists(folder)), Path())
        is_open = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    if is_taken or not is_open or "\0" in str(path):
        reason = (
            "it is not a regular file"
            if is_open
            else f"{above} is not a folder that you may write to"
        )
        raise InputError(path, f"cannot be written ({reason})", "name another file")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; those that are new and stay empty are removed after the block."""
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    with library_errors(folder, "cannot be written", OSError):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in new_folders:
            with suppress(OSError):
                path.rmdir()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write to, and rename the file to `path` if all went well; folders are made.

    After a failure an older file is as it was, and nothing new is left. An InputError where it cannot be written.
    """
    check_place(path)
    # the random part keeps two writers of one file apart; the suffix stays, as writers look at it
    mark = f".{os.getpid()}-{secrets.token_hex(4)}-"
    unfinished = path.with_name(
        mark + (path.name if len(os.fsencode(path.name)) < 220 else path.name[-50:])
    )
    with (
        made_folder(path.parent),
        library_errors(path, "cannot be written", OSError, UnicodeEncodeError),
    ):
        try:
            unfinished.touch()
            mode = unfinished.stat().st_mode
            unfinished.unlink()  # pympi keeps a copy of a file that is there
            yield unfinished
            unfinished.chmod(
                mode
            )  # safetensors renames a file of its own, which only its owner may read
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text in UTF-8, see `whole_file`."""
    with whole_file(path) as unfinished:
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@contextmanager
def locked(folder: Path, holder: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder, which is made, while the block runs; an InputError where another holds it after `patience` s.

    The lock is the kernel's, on the open folder, and ends with the process; Windows and some network file systems have
    none. Folders that were made and stayed empty are removed. `holder` is for the error ("a training").
    """
    with made_folder(folder):
        if fcntl is None:
            yield
            return
        with library_errors(folder, "cannot be written", OSError):
            opened = os.open(folder, os.O_RDONLY)
        try:
            until = time.monotonic() + patience
            while not (is_free := _lock(opened)) and time.monotonic() < until:
                time.sleep(0.01)
            # one who made the folder for nothing may have removed it, and another made it anew
            if not is_free or not (
                folder.is_dir() and os.path.samestat(os.fstat(opened), folder.stat())
            ):
                raise InputError(
                    folder, f"{holder} is under way here", "wait for it, or name another folder"
                )
            yield
        finally:
            with suppress(
                OSError
            ):  # closing alone would leave the lock to processes that were forked meanwhile
                fcntl.flock(opened, fcntl.LOCK_UN)
            os.close(opened)


def _lock(opened: int) -> bool:
    """Lock an open folder; False where another process has it. True too where it cannot be locked."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
