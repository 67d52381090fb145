"""A row of the corpus: one bad input, the command that gets it, and the answer that it must get."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Content = bytes | str | Callable[[Path], object]
"""What a file holds, or a function that makes it."""


@dataclass(frozen=True)
class Row:
    """One bad input.

    Args:
        name: GROUP/WHAT, once in the corpus.
        command: the words after `fact-clip`, parted by blanks unless they are given as a list; "scripts/train" and so
            on for the published command lines. `{w}` is the world (`world.py`), which no command may change.
        words: what the one line on stderr (stdout with code 0) must hold.
        files: made in the working folder before the command; a function gets the path.
        copies: parts of the world that are copied into the working folder first.
        code: 2 for bad input; 1 where a list of findings is the answer; 0 where the input is odd but good.
        leaves: patterns of what may be new in the working folder afterwards.
        environment: variables on top of the usual ones; None takes one away.
        stdin: what the command reads there.
        fresh: run in a new process, imports and all.
        disk: largest file that may be written, in bytes; a full disk for the command.
        room: the working folder is a file system of its own, on which so many bytes are left (in pages of 4096).
    """

    name: str
    command: str | Sequence[str]
    words: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict)
    copies: tuple[str, ...] = ()
    code: int = 2
    leaves: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    stdin: str = ""
    fresh: bool = False
    disk: int | None = None
    room: int | None = None

    def argv(self, world: Path) -> list[str]:
        """The words of the command."""
        words = self.command.split() if isinstance(self.command, str) else self.command
        return [word.replace("{w}", str(world)) for word in words]

    def make(self, world: Path, folder: Path) -> None:
        """Put its files into a working folder."""
        for part in self.copies:
            source = world / part
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / part)
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_bytes(content.replace("{w}", str(world)).encode("utf-8", "surrogateescape"))


# --- contents ----------------------------------------------------------------------------------------------


def dumped(value: Any) -> str:
    """JSON, with NaN and infinities as Python writes them."""
    return json.dumps(value)


def array(values: Any, dtype: Any = np.float32) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype=dtype))
    return file.getvalue()


def header(text: str, rest: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file with this header, right or wrong."""
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode("latin-1") + rest


def edited(path: str, **changes: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file; a key with dots ("classes__count") is written with two underscores."""

    def change(file: Path) -> None:
        tree = json.loads(file.read_text(encoding="utf-8"))
        inner = tree
        for part in path.split(".") if path else ():
            inner = inner[int(part) if isinstance(inner, list) else part]
        for key, value in changes.items():
            if value is MISSING:
                del inner[key]
            else:
                inner[key] = value
        file.write_text(json.dumps(tree), encoding="utf-8")

    return change


MISSING = object()
"""As a value of `edited`: the key is taken out."""


def replaced(old: str, new: str) -> Callable[[Path], None]:
    """Replace the first `old` in a text file, which must have it."""

    def change(file: Path) -> None:
        text = file.read_bytes().decode("utf-8")
        assert old in text, f"{file} has no {old!r}"
        file.write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))

    return change


def appended(more: bytes | str) -> Callable[[Path], None]:
    """Add to the end of a file."""

    def change(file: Path) -> None:
        file.write_bytes(
            file.read_bytes() + (more if isinstance(more, bytes) else more.encode("utf-8", "surrogateescape"))
        )

    return change


def cut(size: int) -> Callable[[Path], None]:
    """Keep the first bytes of a file (those but the last with a negative size)."""
    return lambda file: file.write_bytes(file.read_bytes()[:size]) and None


def flipped(place: int, count: int = 8) -> Callable[[Path], None]:
    """Turn the bits of some bytes."""

    def change(file: Path) -> None:
        raw = bytearray(file.read_bytes())
        place_ = place if place >= 0 else len(raw) + place
        raw[place_ : place_ + count] = bytes(255 - byte for byte in raw[place_ : place_ + count])
        file.write_bytes(bytes(raw))

    return change


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the arrays of a safetensors file."""

    def make(file: Path) -> None:
        from safetensors.numpy import load_file, save_file

        found = load_file(file)
        change(found)
        save_file(found, file)

    return make


def folder(path: Path) -> None:
    """A folder where a file is expected."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def fifo(path: Path) -> None:
    """A pipe to which nobody writes."""
    import os

    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(target: str) -> Callable[[Path], None]:
    """A symbolic link, in place of what is there."""

    def make(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


def gone(path: Path) -> None:
    """The file is taken away."""
    path.unlink()


def sparse(size: int, start: bytes = b"") -> Callable[[Path], None]:
    """A file of this size that takes no room on the disk."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)

    return make
