"""YAML as plain values: each key once, numbers in decimal digits; nothing in it is executed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError, Location


def parse_yaml(text: str, where: Location | str | Path, fix: str = "") -> Any:
    """Return the value of a YAML text; an InputError that names `where` if it is none."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise InputError(where, "YAML that is nested too deeply", fix) from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
        raise InputError(where, f"not YAML ({' '.join(str(error).split())})", fix) from None


class _Loader(yaml.SafeLoader):
    """Refuses what YAML 1.1 reads in its own way: 1:30 as 90, 010 as 8, 1_5 as 15, and the last of two equal keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping with each key once."""
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} twice, line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        """Return an integer in decimal digits."""
        return int(_decimal(node.value, r"[-+]?(0|[1-9][0-9]*)"))

    def construct_yaml_float(self, node: Any) -> float:
        """Return a number in decimal digits."""
        _decimal(node.value, r"[-+]?[0-9.eE+-]+|[-+]?\.(inf|nan)")
        return super().construct_yaml_float(node)


def _decimal(text: str, pattern: str) -> str:
    if not re.fullmatch(pattern, text, re.IGNORECASE):
        raise yaml.YAMLError(f"the number {text[:40]}, which YAML reads in its own way; in quotes it is a text")
    return text


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
