"""A row of the corpus: one bad input, the command that gets it, and the answer that it must get."""

from __future__ import annotations

import copy
import io
import json
import os
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
        name: KIND/WHAT, once in the corpus.
        command: the words after `fact-clip`, parted by blanks unless they are given as a list; "scripts/train" and so
            on for the published command lines. `{w}` is the world (`world.py`), which no command may change.
        place: what the one line on stderr begins with, after "fact-clip: "; paths by their last part ("mapping.txt:3").
        files: made in the working folder before the command; a function gets the path.
        copies: parts of the world that are copied into the working folder first.
        code: 2 for bad input; 1 where a list of findings is the answer; 0 where the input is odd but good.
        leaves: patterns of what may be new or changed in the working folder afterwards.
        environment: variables on top of the usual ones; None takes one away.
        stdin: what the command reads there.
        fresh: run in a new process, imports and all.
        disk: largest file that may be written, in bytes.
        room: the working folder is a file system of its own, on which so many bytes are left (in pages of 4096).
    """

    name: str
    command: str | Sequence[str]
    place: str = ""
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


def changed(tree: Any, change: Callable[[Any], object]) -> str:
    """A tree with one change, as JSON."""
    tree = copy.deepcopy(tree)
    change(tree)
    return dumped(tree)


def edited(path: str, **changes: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file, in its object at `path` ("classes")."""

    def change(file: Path) -> None:
        tree = json.loads(file.read_text(encoding="utf-8"))
        inner = tree
        for part in path.split(".") if path else ():
            inner = inner[int(part) if isinstance(inner, list) else part]
        inner.update(changes)
        file.write_text(json.dumps(tree), encoding="utf-8")

    return change


def bytewise(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Change the bytes of a file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def replaced(old: str, new: str) -> Callable[[Path], object]:
    """Replace the first `old` in a text file, which must have it."""

    def change(raw: bytes) -> bytes:
        assert old.encode() in raw, f"no {old!r}"
        return raw.replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)

    return bytewise(change)


def appended(more: bytes | str) -> Callable[[Path], object]:
    """Add to the end of a file."""
    return bytewise(lambda raw: raw + (more if isinstance(more, bytes) else more.encode("utf-8", "surrogateescape")))


def cut(size: int) -> Callable[[Path], object]:
    """Keep the first bytes of a file (those but the last with a negative size)."""
    return bytewise(lambda raw: raw[:size])


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the arrays of a safetensors file."""

    def make(file: Path) -> None:
        from safetensors.numpy import load_file, save_file

        values = load_file(file)
        change(values)
        save_file(values, file)

    return make


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink(missing_ok=True)
        make(path)

    return replace


folder = _instead(Path.mkdir)
fifo = _instead(os.mkfifo)
gone = _instead(lambda path: None)


def link(target: str) -> Callable[[Path], None]:
    """A symbolic link, instead of what is there."""
    return _instead(lambda path: path.symlink_to(target))
