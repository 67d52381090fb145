"""Stored values: a dataclass is written as JSON and read back strictly, by the types and bounds of its annotations."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fact_clip.core.errors import FileLocation, InputError
from fact_clip.core.io import parse_json, read_text
from fact_clip.core.paths import whole_file

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")


def read_value(kind: type[T], path: Path, fix: str = "") -> T:
    """Read a JSON file as a dataclass or a pydantic model.

    Raises:
        InputError: no such file, no JSON, or a value that does not fit; `fix` says what to do then.
    """
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
        raise invalid_value(error, path, fix) from None


def invalid_value(error: ValidationError, path: Path, fix: str = "") -> InputError:
    """Return the first fault that pydantic found in a file as an InputError."""
    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    return InputError(FileLocation(path, part=key), message[:1].lower() + message[1:], fix)


def write_value(path: Path, value: Any) -> None:
    """Write a dataclass, or any JSON value, as JSON; whole or not at all."""
    tree = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(tree, indent=1), encoding="utf-8")
