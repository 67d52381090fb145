"""Reading text, YAML and JSON files, names that become file names, and writing a file whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fact_clip.core.errors import InputError


def read_mapping(path: Path, expected: str, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The keys and values of a JSON file, by its suffix, or of a YAML file, which `may_be_empty`.

    An InputError if the file is missing (it says what was `expected`), broken or not a mapping.
    """
    import yaml  # here, because the command line makes file names and has no time for it

    if not path.is_file():
        raise InputError(path, "no such file", expected)
    kind, parse = ("JSON", json.loads) if path.suffix == ".json" else ("YAML", yaml.safe_load)
    try:
        value = parse(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(path, f"not {kind} (bytes that are no text)") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(path, f"not {kind} ({' '.join(str(error).split())})") from None
    if value is None and may_be_empty:
        return {}
    if not isinstance(value, dict):
        raise InputError(path, f"a {type(value).__name__}", "an object" if kind == "JSON" else "a mapping of keys")
    return value


def read_text(path: Path, expected: str = "a file of segments") -> str:
    """The text of a file; a missing or unreadable one is an InputError that says what was `expected`."""
    try:
        # bytes, because text mode would change line ends inside quoted names
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", expected) from None
    except UnicodeDecodeError:
        raise InputError(path, "not UTF-8 text", expected) from None


LONGEST_NAME = 200
"""Bytes of a file name that `file_name` gives. File systems take 255, and endings and marks are still to come."""

# Signs that separate folders, control characters and line ends, and halves of surrogate pairs, which no encoding takes.
_NO_NAME = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff" + ('<>:"|?*]' if os.name == "nt" else "]"))
# With any ending, Windows takes these for a device.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def file_name(foreign: str, longest: int = LONGEST_NAME) -> str:
    """A file's name, without folder and ending, for a name that someone else chose; almost every name stays as it is.

    Separators, control characters and dots at the start become "_", so that no name leads out of a folder or hides a
    file. Names of Windows devices get a "_" before them, and the rest of a name of more than `longest` bytes becomes a
    digest. The same name always gives the same file name; two names may give one, so the caller looks for that.
    """
    name = _NO_NAME.sub("_", foreign.strip())
    name = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), name) or "_"
    if name.partition(".")[0].strip().casefold() in _DEVICES:
        name = f"_{name}"
    if len(name.encode()) > longest:
        digest = hashlib.sha256(foreign.encode(errors="surrogatepass")).hexdigest()[:8]
        name = f"{name.encode()[: longest - 9].decode(errors='ignore')}-{digest}"
    return name


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder, and of no other file."""
    return name not in ("", ".", "..") and not _NO_NAME.search(name) and len(name.encode()) <= 250


def inside(folder: Path, *names: str) -> Path:
    """The path of a file that is about to be written below a folder: the names of folders on the way, and its own.

    An InputError where a name leads elsewhere, or where the file or a folder on the way is a symbolic link. The folder
    itself may be one.
    """
    path = folder
    for name in names:
        if not is_file_name(name):
            raise InputError(folder, f"the file {'/'.join(names)!r}", "a file inside this folder")
        path = path / name
        if path.is_symlink():
            raise InputError(path, "a symbolic link", "a file or folder of its own, to write to", "remove it")
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write to, and rename the file to `path` if all went well; folders are made.

    After a failure nothing new is left, and an older file is as it was. The file gets the mode of any new file there,
    as the umask says. An InputError if the disk refuses.
    """
    # the number of the process keeps two writers of one file apart; the suffix stays, as writers look at it
    mark = f".{os.getpid()}-"
    unfinished = path.with_name(mark + (path.name if len(os.fsencode(path.name)) < 230 else path.name[-50:]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = _mode_of_a_new_file(unfinished)
            yield unfinished
            # safetensors writes to a file of its own, which only its owner may read, and renames it
            if stat.S_IMODE(unfinished.stat().st_mode) != mode:
                unfinished.chmod(mode)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "a place to write to") from None


def _mode_of_a_new_file(path: Path) -> int:
    """The permissions that a file made here gets; nothing stays. The umask can only be read by setting it."""
    path.unlink(missing_ok=True)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
