"""One writer a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fact_clip.core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has none, and no locks here
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, which is made, while the block runs; an InputError where another process holds it.

    The lock is the kernel's, on the open folder, and leaves no file: it ends with the process, however that ends. Where
    there are no such locks (Windows, some network file systems) nothing is held. Folders that were made and stayed
    empty are removed at the end.

    Args:
        folder: what to hold.
        what: what the holder does, for the error: "a training".
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY) if fcntl is not None else -1
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror}); expected a folder to write to") from None
    try:
        if not lock(opened) or not _is_still(opened, folder):
            raise InputError(
                folder, f"{what} is under way here; expected one at a time", "wait for it, or name another folder"
            )
        yield
    finally:
        for each in made:
            with suppress(OSError):
                each.rmdir()
        if opened >= 0:
            unlock(opened)
            os.close(opened)


def _is_still(opened: int, folder: Path) -> bool:
    """Whether an open folder has not been removed meanwhile, by one who made it for nothing."""
    try:
        return opened < 0 or os.path.samestat(os.fstat(opened), folder.stat())
    except OSError:
        return False


def lock(opened: int) -> bool:
    """Lock an open file or folder; False where another process has it. True too where it cannot be locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def unlock(opened: int) -> None:
    """Give up a lock; closing alone would leave it to processes that were forked meanwhile."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_UN)
