"""File names, paths inside a folder, atomic writing, and locks of folders."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fact_clip.core.errors import InputError, library_errors

try:
    import fcntl
except ImportError:  # Windows has no such module, so folders are not locked on Windows
    fcntl = None  # type: ignore[assignment]

MAX_FILE_NAME = 200
"""Bytes of a name from `file_name`. File systems allow 255, but suffixes are added later."""

# Characters that separate folders, control characters and line ends, halves of surrogate pairs.
_FORBIDDEN = "/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
if os.name == "nt":
    _FORBIDDEN += '<>:"|?*'
_NOT_IN_NAMES = re.compile(f"[{_FORBIDDEN}]")

# Windows interprets these names, with any suffix, as devices.
_PORTS = {f"{port}{number}" for number in range(10) for port in ("com", "lpt")}
_DEVICES = {"con", "prn", "aux", "nul"} | _PORTS


def file_name(name: str) -> str:
    """Convert a name from outside to a file name without folder and suffix.

    Most names are unchanged. The result does not leave the folder and is not a hidden file. Two
    names may result in the same file name, so the caller has to check for this.
    """
    safe = _NOT_IN_NAMES.sub("_", name.strip())
    visible = safe.lstrip(".")
    safe = "_" * (len(safe) - len(visible)) + visible or "_"
    if safe.partition(".")[0].strip().casefold() in _DEVICES:
        safe = f"_{safe}"
    if len(safe.encode()) > MAX_FILE_NAME:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        beginning = safe.encode()[: MAX_FILE_NAME - 9].decode(errors="ignore")
        safe = f"{beginning}-{digest}"
    return safe


def is_file_name(name: str) -> bool:
    """Return whether a name is a valid and unambiguous name of a file in a folder."""
    if name in ("", ".", "..") or _NOT_IN_NAMES.search(name):
        return False
    return len(name.encode()) <= 250


def inside(folder: Path, *names: str) -> Path:
    """Return the path of a file to write below a folder.

    Args:
        folder: Folder that the path must not leave.
        names: Names of the folders on the way, and then the name of the file.

    Returns:
        The path. A name that leads outside, or a symbolic link on the way, raises an InputError.
    """
    path = folder
    for name in names:
        if not is_file_name(name):
            raise InputError(folder, f"the file {'/'.join(names)!r} would not be in this folder")
        path = path / name
        if path.is_symlink():
            problem = "a symbolic link at the place of an output"
            raise InputError(path, problem, "remove it")
    return path


def output_path(folder: Path, name: str, suffix: str) -> Path:
    """Return the path of an output below a folder (see `inside`).

    Args:
        folder: Folder of all outputs.
        name: Name of the output, with "/" between folders.
        suffix: Ending of the file.
    """
    *folders, stem = name.split("/")
    return inside(folder, *folders, f"{stem}{suffix}")


def expanded(path: str | Path) -> Path:
    """Replace ~ or ~NAME at the start with the home folder of that user, if it exists."""
    # Path.expanduser raises an error if the home folder does not exist.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def same_place(first: Path, second: Path) -> bool:
    """Return whether two paths are, or will be, the same file or folder. Links are followed."""
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist yet
        return os.path.realpath(first) == os.path.realpath(second)


def check_place(path: Path) -> None:
    """Raise an InputError if a file cannot be written. Call it before you write several files."""
    with library_errors(path, "cannot be written", OSError):
        parent = next((folder for folder in path.parents if os.path.lexists(folder)), Path())
        is_open = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
        # Replacing a device with a file would delete the device.
        is_taken = path.exists() and not path.is_file()

    if not is_open:
        reason = f"you may not write to the folder {parent}, or it is not a folder"
    elif is_taken or "\0" in str(path):
        reason = "it is not a regular file"
    else:
        return
    raise InputError(path, f"cannot be written ({reason})", "name a different file")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents. New folders that are empty after the block are removed."""
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
    """Write a file atomically: yield a temporary path, and rename it on success.

    Parent folders are created. After a failure, an older file is unchanged and no new file remains.

    Args:
        path: File to write. If it cannot be written, an InputError is raised.

    Yields:
        Path in the same folder, with the same suffix, to which the block writes.
    """
    check_place(path)
    name = path.name
    if len(os.fsencode(name)) >= 220:
        name = name[-50:]  # the end is kept, because writers read the suffix
    # The random part separates two processes that write the same file.
    unfinished = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}-{name}")

    write_errors = library_errors(path, "cannot be written", OSError, UnicodeEncodeError)
    with made_folder(path.parent), write_errors:
        try:
            unfinished.touch()
            mode = unfinished.stat().st_mode
            unfinished.unlink()  # pympi would keep a copy of an existing file
            yield unfinished
            unfinished.chmod(mode)  # safetensors creates files that only their owner may read
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text in UTF-8 atomically (see `whole_file`)."""
    content = "".join(f"{line}\n" for line in lines)
    with whole_file(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8")


@contextmanager
def locked(folder: Path, holder: str) -> Iterator[None]:
    """Hold the lock of a folder while the block runs, and create the folder if it is missing.

    The kernel locks the open folder until the process ends. Windows and some network file systems
    do not support such locks. New folders that stay empty are removed.

    Args:
        folder: Folder to lock.
        holder: Holder of the lock, for the error, such as "a training run".
    """
    with made_folder(folder):
        if fcntl is None:
            yield
            return

        with library_errors(folder, "cannot be written", OSError):
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            is_locked = _lock(descriptor)
            # A different process may have replaced the folder.
            is_here = folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())
            if not is_locked or not is_here:
                problem = f"{holder} is already active here"
                raise InputError(folder, problem, "wait for it, or name a different folder")
            yield
        finally:
            # Without unlocking, processes that were forked meanwhile would keep the lock.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open folder, and return False if a different process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True
