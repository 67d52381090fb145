"""Files of keys and values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError


def read_mapping(path: Path, expected: str, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The keys and values of a JSON file, by its suffix, or of a YAML file.

    Args:
        path: the file.
        expected: what should be there, for the error where nothing is.
        may_be_empty: an empty YAML file has no keys; else it is an error.

    Raises:
        InputError: no such file, one that is no text or is broken, or another thing than a mapping.
    """
    if not path.is_file():
        raise InputError(path, "no such file", expected)
    kind, parse = ("JSON", json.loads) if path.suffix == ".json" else ("YAML", yaml.safe_load)
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(path, f"not {kind} (bytes that are no text)") from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(path, f"not {kind} ({' '.join(str(error).split())})") from None
    if value is None and may_be_empty:
        return {}
    if not isinstance(value, dict):
        raise InputError(path, f"a {type(value).__name__}", "an object" if kind == "JSON" else "a mapping of keys")
    return value
