"""Reading text, YAML and JSON files, names that become file names, and writing a file whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fact_clip.core.errors import FileLocation, InputError

LARGEST_TEXT = 256 << 20
"""Bytes of a text that is read whole."""
_LARGEST_SETTINGS = 4 << 20  # of YAML, whose reader takes a second a megabyte


def check_file(path: str | Path, expected: str, largest: int | None = None) -> Path:
    """The path of a regular file; an InputError for a missing one, a folder, a pipe, a device, or one of more bytes.

    Opening a pipe to which nobody writes would wait for ever, and a device may have no end.
    """
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(path, f"no such file; expected {expected}") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror}); expected {expected}") from None
    except ValueError as error:  # a NUL
        raise InputError(path, f"no name of a file ({error}); expected {expected}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(path, f"a folder; expected {expected}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, f"no regular file, but a pipe or a device; expected {expected}")
    if not os.access(path, os.R_OK):
        raise InputError(path, f"cannot be read (no permission); expected {expected}")
    if largest is not None and status.st_size > largest:
        raise InputError(path, f"{status.st_size:,} bytes; expected {expected}, of at most {largest:,} bytes")
    return path


# How files begin that are often taken for text; latin-1 would make signs of them.
_BEGINNINGS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip file (as .xlsx is)",
    b"\x93NUMPY": "an array of NumPy",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
}


def read_text(
    path: Path, expected: str = "a file of segments", *, latin: bool = False, largest: int = LARGEST_TEXT
) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark; with `latin`, else in latin-1.

    A missing or unreadable file, and one that is no text or UTF-16, is an InputError that says what was `expected`.
    """
    check_file(path, expected, largest)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror}); expected {expected}") from None
    kind = next((kind for start, kind in _BEGINNINGS.items() if raw.startswith(start)), None)
    if kind is not None:
        raise InputError(path, f"{kind}; expected {expected}, as text in UTF-8")
    try:
        # bytes, because text mode would change line ends inside quoted names
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if latin:
            return raw.decode("latin-1")
        raise InputError(
            path, f"not UTF-8 text (byte {error.start}); expected {expected}", "save it as UTF-8"
        ) from None


LONGEST_LINE = 1 << 20
"""Signs of a line of names; what looks for similar names takes many times the memory of a line."""

MOST_LINES = 20_000_000
"""Lines of a text of names, as a video has frames."""
_MOST_NAMES = 1_000_000  # different lines
_PIECE = 1 << 20  # signs that are cut into lines together


def read_lines(path: Path, expected: str) -> list[str]:
    """The lines of a text of names in UTF-8, else in latin-1; an InputError for one of over `LONGEST_LINE` signs.

    They end as on any system; str.splitlines() also cuts at signs that latin-1 names have. Equal lines are one object,
    since a text of 100 MB, one label a frame, would take 1.6 GB otherwise.
    """
    text = read_text(path, expected, latin=True).replace("\r\n", "\n").replace("\r", "\n")
    lines, known, start = list[str](), dict[str, str](), 0
    while start <= len(text):
        end = text.find("\n", start + _PIECE)
        end = len(text) if end < 0 else end
        lines += [known.setdefault(line, line) for line in text[start:end].split("\n")]
        if len(lines) > MOST_LINES + 1 or len(known) > _MOST_NAMES:
            found = f"over {MOST_LINES:,} lines, or over {_MOST_NAMES:,} different ones"
            raise InputError(path, f"{found}; expected {expected}")
        start = end + 1
    longest = max(known, key=len)
    if len(longest) > LONGEST_LINE:
        raise InputError(
            FileLocation(path, lines.index(longest) + 1), f"a line of {len(longest):,} signs; expected {expected}"
        )
    return lines


def read_mapping(path: Path, expected: str, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The keys and values of a JSON file, by its suffix, or of a YAML file, which `may_be_empty`.

    An InputError if the file is missing (it says what was `expected`), broken or not a mapping.
    """
    kind = "JSON" if path.suffix == ".json" else "YAML"
    text = read_text(
        path, f"{expected}, {kind} in UTF-8", largest=LARGEST_TEXT if kind == "JSON" else _LARGEST_SETTINGS
    )
    if kind == "JSON":
        value = parse_json(text, path, expected)
    else:
        from fact_clip.core.yaml_text import parse_yaml  # the command line makes file names and has no time for it

        value = parse_yaml(text, path)
    if value is None and may_be_empty:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            path, f"a {type(value).__name__}" + "; expected " + ("an object" if kind == "JSON" else "a mapping of keys")
        )
    return value


def parse_json(text: str, where: str | Path, expected: str, *, finite: bool = True) -> Any:
    """The value of a JSON text; an InputError that names `where` if it is none.

    NaN and infinities, which are no JSON, are refused if `finite`. So are a key that an object has twice, and half of a
    surrogate pair, which no file takes.
    """
    try:
        whole = _whole if re.search(r"[0-9]{19}", text) else None
        refused = _refused if finite else None
        value = json.loads(text, parse_constant=refused, parse_int=whole, object_pairs_hook=_object)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if isinstance(where, Path) else ""  # else it says the line
        raise InputError(f"{where}{line}", f"not JSON ({error.msg}); expected {expected}") from None
    except RecursionError:
        raise InputError(where, f"JSON that is nested too deeply; expected {expected}") from None
    except UnicodeEncodeError:
        raise InputError(where, f"a name with half of a surrogate pair; expected {expected}") from None
    except ValueError as error:
        raise InputError(where, f"not JSON ({error}); expected {expected}") from None
    return value


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object with each key once; Python would silently take the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice in one object")
        found[key] = value
    return found


def _whole(text: str) -> int:
    """An integer that 64 bits hold."""
    if len(text) > 20 or abs(value := int(text)) >= 1 << 63:
        raise ValueError(f"an integer of {len(text.lstrip('-'))} digits")
    return value


def expanded(path: str | Path) -> Path:
    """A path whose ~ or ~NAME at the start is the home of that person; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


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
            raise InputError(folder, f"the file {'/'.join(names)!r}; expected a file inside this folder")
        path = path / name
        if path.is_symlink():
            raise InputError(path, "a symbolic link; expected a file or folder of its own, to write to", "remove it")
    return path


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths are the same file or folder, by links of any kind, or will be."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)
    except ValueError:  # no file has a name with a NUL
        return False


def check_place(path: Path) -> None:
    """An InputError where a file cannot be written: something else is there, or what should be its folder is none.

    For a look at all places before the first file of several is written.
    """
    try:
        if path.name and path.exists() and not path.is_file():  # a device would be gone if a file were put in its place
            raise InputError(path, "no regular file, but a folder, a pipe or a device; expected a file to write")
        above = next((folder for folder in path.parents if os.path.lexists(folder)), Path())
        usable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
        reason = "" if usable else "no permission" if above.is_dir() else f"{above} is no folder"
        if not path.name:
            reason = "no name of a file"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError as error:  # a NUL
        reason = str(error)
    if reason:
        raise InputError(path, f"cannot be written ({reason}); expected a place to write to")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write to, and rename the file to `path` if all went well; folders are made.

    After a failure nothing new is left, and an older file is as it was. The file gets the mode of any new file there,
    as the umask says. An InputError if the disk refuses, or if something else than a file is there.
    """
    if "\0" in str(path) or len(os.fsencode(path.name)) > 255 or not path.name:
        raise InputError(path, "no name of a file; expected a place to write to")
    # the number of the process keeps two writers of one file apart; the suffix stays, as writers look at it
    mark = f".{os.getpid()}-"
    check_place(path)
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
        # numpy says how many values were left of a full disk, and no reason
        reason = error.strerror or error
        raise InputError(path, f"cannot be written ({reason}); expected a place to write to") from None
    except UnicodeEncodeError as error:
        found = f"a name that no text file takes ({error.object[error.start : error.end]!r})"
        raise InputError(path, f"{found}; expected names of whole characters") from None


def _mode_of_a_new_file(path: Path) -> int:
    """The permissions that a file made here gets; nothing stays. The umask can only be read by setting it."""
    path.unlink(missing_ok=True)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
