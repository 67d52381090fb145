"""One recipe file that stands for several, told apart by their names alone.

Such a file has the key ``variants``, a pattern of names with alternatives in braces: ``view{0,1}_{lh,rh}`` are four.
Any text in it may hold a pattern with as many alternatives; variant number n takes its n-th one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError

_BRACES = re.compile(r"\{([^{}]*)\}")


def expand(pattern: str) -> list[str]:
    """Every name of a pattern, the last alternatives changing first: "a{0,1}" -> ["a0", "a1"]."""
    parts = _BRACES.split(pattern)  # text, alternatives, text, ...
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def several(pattern: str) -> list[list[str]]:
    """The alternatives of a pattern where there is more than one: "a{0,1}_{b}" -> [["0", "1"]]."""
    return [choice for choice in (part.split(",") for part in _BRACES.findall(pattern)) if len(choice) > 1]


def variant_files(folder: Path) -> dict[str, Path]:
    """Name of each variant -> the file of `folder` that it comes from."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        pattern = re.search(r"^variants: *(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if pattern is not None:
            found.update(dict.fromkeys(expand(str(yaml.safe_load(pattern[1]))), path))
    return found


def chosen_variant(tree: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """A recipe without its key ``variants``: that of the name, or the first where the name is empty.

    Raises:
        InputError: a text of the recipe with another number of alternatives.
    """
    rest = dict(tree)
    pattern = rest.pop("variants", None)
    if pattern is None:
        return rest
    names = expand(str(pattern))
    return _chosen(rest, names.index(name) if name in names else 0, len(names), path)


def _chosen(tree: Mapping[str, Any], number: int, count: int, path: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            value = _chosen(value, number, count, path)
        elif isinstance(value, str) and _BRACES.search(value):
            texts = expand(value)
            if len(texts) != count:
                found = f"{key}: {value} has {len(texts)} alternatives"
                raise InputError(path, found, f"{count}, one for each of the variants")
            value = texts[number]
        result[key] = value
    return result
