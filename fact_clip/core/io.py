"""Reading text, JSON, YAML, stored values and archives of arrays; a damaged file is an InputError that names it."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from fact_clip.core.errors import FileLocation, InputError, Location, library_errors
from fact_clip.core.messages import pydantic_problem
from fact_clip.core.paths import whole_file

T = TypeVar("T")


def check_file(path: str | Path, expected: str) -> Path:
    """Return the path of a regular file; an InputError for a missing one, a folder, a pipe or a device."""
    path = Path(path)
    with library_errors(
        path, "cannot be read", OSError, ValueError, fix=f"give {expected}"
    ):  # a NUL is a ValueError
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InputError(
            path, "not a regular file but a folder, a pipe or a device", f"give {expected}"
        )
    return path


def read_text(path: Path, expected: str = "a file of segments", *, latin: bool = False) -> str:
    """Return the text of a file in UTF-8, with or without a byte-order mark; with `latin`, else in latin-1."""
    check_file(path, expected)
    with library_errors(path, "cannot be read", OSError):
        raw = path.read_bytes()  # because text mode would change line ends inside quoted names
    if (
        b"\0" not in raw
    ):  # as in a picture, an archive or UTF-16, which latin-1 would turn into characters
        with suppress(UnicodeDecodeError):
            return raw.decode("utf-8-sig")
        if latin:
            return raw.decode("latin-1")
    raise InputError(path, "not text in UTF-8", f"give {expected}, saved as UTF-8")


def read_lines(path: Path, expected: str) -> list[str]:
    """Return the lines of a text of names in UTF-8, else in latin-1, with the line ends of any system."""
    text = read_text(path, expected, latin=True).replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")  # splitlines would cut at characters that names have


def read_mapping(path: Path, expected: str) -> dict[str, Any]:
    """Return the keys and values of a JSON file, by its suffix, or of a YAML file, which may be empty."""
    is_json = path.suffix == ".json"
    text = read_text(path, f"{expected}, {'JSON' if is_json else 'YAML'} in UTF-8")
    value = parse_json(text, path, expected) if is_json else parse_yaml(text, path)
    if value is None and not is_json:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            path, f"a {type(value).__name__}, not {'an object' if is_json else 'a mapping of keys'}"
        )
    return value


def parse_json(text: str, where: Location, expected: str, *, finite: bool = True) -> Any:
    """Return the value of a JSON text; an InputError if broken, for a key twice, for NaN and infinities if `finite`."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number")

    try:
        value = json.loads(
            text, parse_constant=refuse if finite else None, object_pairs_hook=_object
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode(
                "utf-8"
            )  # half a surrogate pair, which no file takes
        return value
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        location = (
            FileLocation(where, line) if isinstance(where, Path) else where
        )  # else it says the line
        raise InputError(
            location, f"not JSON ({getattr(error, 'msg', error)})", f"give {expected}"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object with each key once; Python would silently take the last."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} twice in one object")
        values[key] = value
    return values


# What NumPy raises on broken files: its header parser lets the errors of Python's tokenizer through.
BROKEN_ARRAY: tuple[type[Exception], ...] = (
    ValueError, OSError, EOFError, SyntaxError, ArithmeticError, RecursionError, MemoryError, TypeError, KeyError,
    NotImplementedError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npz(path: Path, expected: str, fix: str = "") -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file by name, without pickles."""
    check_file(path, expected)
    damaged = library_errors(path, "damaged, not readable", *BROKEN_ARRAY, fix=fix)
    with damaged, np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def parse_yaml(text: str, where: Location, fix: str = "") -> Any:
    """Return the value of a YAML text; an InputError that names `where` if it is none."""
    kinds = yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError
    with library_errors(where, "not YAML", *kinds, fix=fix):
        return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """Refuses what YAML 1.1 reads in its own way: 1:30 as 90, 010 as 8, 1_5 as 15, and the last of two equal keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping with each key once."""
        names = Counter(
            key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)
        ).most_common(1)
        if names and names[0][1] > 1:
            raise yaml.YAMLError(
                f"the key {names[0][0]!r} twice, line {node.start_mark.line + 1} and below"
            )
        return super().construct_mapping(node, deep)


_DECIMAL = {
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9]*)",
    "tag:yaml.org,2002:float": r"[-+]?[0-9.eE+-]+|[-+]?\.(inf|nan)",
}


def _construct_number(loader: _Loader, node: Any) -> Any:
    if not re.fullmatch(_DECIMAL[node.tag], node.value, re.IGNORECASE):
        raise yaml.YAMLError(
            f"the number {node.value[:40]}, which YAML reads in its own way; in quotes it is a text"
        )
    return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)


for _tag in _DECIMAL:
    _Loader.add_constructor(_tag, _construct_number)


def read_value(kind: type[T], path: Path, fix: str = "") -> T:
    """Read a JSON file as a dataclass or a pydantic model; an InputError, with this `fix`, where it does not fit."""
    text = read_text(path, "a JSON file")
    parse_json(text, path, "JSON")  # each key once, finite numbers
    return parse_value(kind, text, path, fix)


def parse_value(kind: type[T], value: str | Mapping[str, Any], path: Path, fix: str = "") -> T:
    """Check a JSON text, or what was parsed from one, as a value of this type; see `read_value`."""
    from pydantic import TypeAdapter, ValidationError  # what only measures needs neither

    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        part = ".".join(map(str, fault["loc"]))
        raise InputError(
            FileLocation(path, part=part), pydantic_problem(fault["msg"]), fix
        ) from None


def write_value(path: Path, value: Any) -> None:
    """Write a dataclass, or any JSON value, as JSON; whole or not at all."""
    tree = (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(tree, indent=1), encoding="utf-8")
