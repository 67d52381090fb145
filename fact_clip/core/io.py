"""Strict reading of text, JSON, YAML, dataclasses and archives of arrays."""

import dataclasses
import json
import math
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

from fact_clip.core.arrays import Array
from fact_clip.core.errors import FileLocation, InputError, Location, library_errors
from fact_clip.core.messages import pydantic_problem
from fact_clip.core.paths import whole_file
from fact_clip.core.types import Json

T = TypeVar("T")


def check_file(path: str | Path, expected: str) -> Path:
    """Return the path of a regular file. Reject a missing file, a folder, a pipe and a device."""
    path = Path(path)
    fix = f"give {expected}"
    with library_errors(path, "cannot be read", OSError, ValueError, fix=fix):  # NUL: ValueError
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InputError(path, "not a regular file but a folder, a pipe or a device", fix)
    return path


def read_text(path: Path, expected: str = "a file of segments", *, latin: bool = False) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Args:
        path: The file.
        expected: Description of a correct file, for an error.
        latin: Whether a file that is not in UTF-8 is read as latin-1.

    Returns:
        The content, with unchanged line ends.
    """
    check_file(path, expected)
    with library_errors(path, "cannot be read", OSError):
        raw = path.read_bytes()  # text mode would change line ends inside quoted names

    # Images, archives and UTF-16 contain NUL bytes, which latin-1 would turn into characters.
    if b"\0" not in raw:
        with suppress(UnicodeDecodeError):
            return raw.decode("utf-8-sig")
        if latin:
            return raw.decode("latin-1")
    raise InputError(path, "not text in UTF-8", f"give {expected}, saved as UTF-8")


def read_lines(path: Path, expected: str) -> list[str]:
    """Read the stripped lines of a file of names, in UTF-8 or latin-1, with any line endings."""
    content = read_text(path, expected, latin=True).replace("\r\n", "\n").replace("\r", "\n")
    # splitlines would also split at characters that names may contain.
    lines = [line.strip() for line in content.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_mapping(path: Path, expected: str) -> Json:
    """Read the keys and values of a JSON file (suffix .json) or a YAML file, which may be empty."""
    if path.suffix == ".json":
        content = read_text(path, f"{expected}, JSON in UTF-8")
        value = parse_json(content, path, expected)
        kind = "an object"
    else:
        content = read_text(path, f"{expected}, YAML in UTF-8")
        value = parse_yaml(content, path)
        kind = "a mapping of keys"
        if value is None:
            return {}
    if not isinstance(value, dict):
        raise InputError(path, f"a {type(value).__name__}, not {kind}")
    return value


def parse_json(content: str, where: Location, expected: str, *, finite: bool = True) -> Any:
    """Parse JSON strictly.

    Args:
        content: JSON text.
        where: Location of the text, for an error.
        expected: Description of a correct file, for an error.
        finite: Whether NaN and infinities are rejected.

    Returns:
        The value. Invalid JSON, a repeated key and half a surrogate pair raise an InputError.
    """
    refuse = _refuse_constant if finite else None
    try:
        value = json.loads(content, parse_constant=refuse, object_pairs_hook=_object)
        if "\\u" in content:  # may be half a surrogate pair, which cannot be written to a file
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        line = getattr(error, "lineno", None)
        location = FileLocation(where, line) if isinstance(where, Path) else where
        raise InputError(location, f"not JSON ({reason})", f"give {expected}") from None
    return value


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    """Return a JSON object in which each key occurs once. Python would silently use the last
    one."""
    values: Json = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} twice in one object")
        values[key] = value
    return values


# Errors of NumPy for broken files. Its header parser does not catch the errors of the tokenizer.
BROKEN_ARRAY: tuple[type[Exception], ...] = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    TypeError,
    KeyError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(
    path: Path, expected: str, fix: str = "", most_bytes: float = math.inf
) -> dict[str, Array]:
    """Read the arrays of a .npz file by name, without pickles and up to a maximum unpacked size."""
    check_file(path, expected)
    damaged = library_errors(path, "damaged, not readable", *BROKEN_ARRAY, fix=fix)
    with damaged, np.load(path, allow_pickle=False) as arrays:
        size = sum(member.file_size for member in arrays.zip.infolist())
        if size > most_bytes:
            # `damaged` converts this to an InputError.
            raise ValueError(f"{size:,} bytes when unpacked, more than {most_bytes:,}")
        # A member that is not an array is read as bytes.
        return {name: np.asarray(arrays[name]) for name in arrays.files}


def check_uncompressed(path: Path) -> None:
    """Raise an InputError for a compressed archive of weights.

    torch never compresses the archives that it writes, but unpacks compressed ones of any size.
    """
    if not zipfile.is_zipfile(path):
        return
    damaged = library_errors(path, "damaged, not readable", zipfile.BadZipFile)
    with damaged, zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > path.stat().st_size:
        problem = f"compressed: {size:,} bytes when unpacked"
        raise InputError(path, problem, "give the file as torch.save wrote it")


def parse_yaml(content: str, where: Location, fix: str = "") -> Any:
    """Parse YAML strictly (see `_Loader`). Invalid YAML raises an InputError at `where`."""
    kinds = (yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError)
    with library_errors(where, "not YAML", *kinds, fix=fix):
        return yaml.load(content, _Loader)


class _Loader(yaml.SafeLoader):
    """Reject surprises of YAML 1.1: 1:30 as 90, 010 as 8, 1_5 as 15, repeated keys, and aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return a node, and reject aliases, which can describe cycles and very large values."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            raise yaml.YAMLError(f"the alias *{event.anchor}, line {line}; write its value instead")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping in which each key occurs once."""
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name, count in names.items():
            if count > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {name!r} twice, line {line} and below")
        return super().construct_mapping(node, deep)


_DECIMAL = {
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9]*)",
    "tag:yaml.org,2002:float": r"[-+]?[0-9.eE+-]+|[-+]?\.(inf|nan)",
}


def _construct_number(loader: _Loader, node: Any) -> Any:
    if not re.fullmatch(_DECIMAL[node.tag], node.value, re.IGNORECASE):
        number = node.value[:40]
        raise yaml.YAMLError(
            f"the number {number}, which YAML reads differently; put a text in quotes"
        )
    return yaml.SafeLoader.yaml_constructors[node.tag](loader, node)


for _tag in _DECIMAL:
    _Loader.add_constructor(_tag, _construct_number)


def read_value(kind: type[T], path: Path, fix: str = "") -> T:
    """Read a JSON file as a dataclass or a pydantic model.

    Args:
        kind: Type of the value.
        path: The file.
        fix: Advice if the file does not fit the type, for an error.

    Returns:
        The value. A file that does not fit raises an InputError.
    """
    content = read_text(path, "a JSON file")
    parse_json(content, path, "JSON")  # checks that keys are unique and numbers are finite
    return parse_value(kind, content, path, fix)


def parse_value(kind: type[T], value: str | Mapping[str, Any], path: Path, fix: str = "") -> T:
    """Convert JSON text, or the value parsed from it, to a type (see `read_value`)."""
    # This is imported here, because programs that only compute metrics do not need pydantic.
    from pydantic import TypeAdapter, ValidationError

    if isinstance(value, str):
        content = value
    else:
        with library_errors(path, "not values of JSON", TypeError, ValueError, RecursionError):
            content = json.dumps(value)
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        part = ".".join(map(str, fault["loc"]))
        location = FileLocation(path, part=part)
        raise InputError(location, pydantic_problem(fault["msg"]), fix) from None


def write_value(path: Path, value: Any) -> None:
    """Write a dataclass or a JSON value as JSON, atomically."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=1), encoding="utf-8")
