"""Reading text, YAML and JSON files, and writing a file whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError


def read_mapping(path: Path, expected: str, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The keys and values of a JSON file, by its suffix, or of a YAML file, which `may_be_empty`.

    An InputError if the file is missing (it says what was `expected`), broken or not a mapping.
    """
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


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a name beside `path` to write to, and rename the file to `path` if all went well; folders are made.

    After a failure nothing new is left, and an older file is as it was. The file gets the mode of any new file there,
    as the umask says. An InputError if the disk refuses.
    """
    # the number of the process keeps two writers of one file apart; the suffix stays, as writers look at it
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
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
