"""YAML as values: safe, and bounded in depth, in aliases and in the digits of a number."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError

_DEEPEST, _MOST_VALUES = 40, 100_000  # of a text with its aliases written out


def parse_yaml(text: str, where: str | Path, expected: str) -> Any:
    """The value of a YAML text; an InputError that names `where` if it is none, is nested deeply or multiplies.

    Nothing in it is executed. A short text with aliases may stand for billions of values.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        size, depth = _written_out(node, {})
        if size > _MOST_VALUES:
            raise InputError(
                where, f"{size:,} values with its aliases written out; expected {expected}, {_MOST_VALUES:,} at most"
            )
        if depth > _DEEPEST:
            raise InputError(where, f"YAML nested {depth} deep; expected {expected}, {_DEEPEST} deep at most")
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(where, f"not YAML ({' '.join(str(error).split())}); expected {expected}") from None
    finally:
        if loader is not None:
            loader.dispose()


_PLAIN_INT, _PLAIN_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)"), re.compile(r"[-+]?[0-9.eE+-]+|[-+]?\.(inf|nan)", re.I)


class _Loader(yaml.SafeLoader):
    """A safe loader that gives up on deep nesting before Python does, and knows numbers in decimal digits alone.

    YAML 1.1 reads 1:30 as 90, 010 as 8 and 1_5 as 15, and takes the last of two equal keys. Nobody means that.
    """

    depth = 0

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping with each key once."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} twice, line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: Any) -> float:
        """A number in decimal digits."""
        if not _PLAIN_FLOAT.fullmatch(node.value):
            raise yaml.YAMLError(f"the number {node.value}, which YAML reads in its own way; in quotes it is a text")
        return super().construct_yaml_float(node)

    def construct_yaml_int(self, node: Any) -> int:
        """An integer in decimal digits that 64 bits hold."""
        if len(node.value) < 1000 and not _PLAIN_INT.fullmatch(node.value):
            raise yaml.YAMLError(f"the number {node.value}, which YAML reads in its own way; in quotes it is a text")
        value = super().construct_yaml_int(node) if len(node.value) < 1000 else 1 << 64
        if abs(value) >= 1 << 63:
            raise yaml.YAMLError(f"an integer of {len(node.value)} signs")
        return value

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.YAMLError(f"nested more than {_DEEPEST} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def _written_out(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node stands for with all aliases replaced by what they name, and how deep they are nested."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise yaml.YAMLError("an alias of what it is in")
        return found
    if isinstance(node, yaml.ScalarNode):
        return 1, 1
    known[id(node)] = None
    parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    inner = [_written_out(part, known) for part in parts]
    known[id(node)] = result = 1 + sum(size for size, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    return result
