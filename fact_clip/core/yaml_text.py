"""YAML as values: safe, and bounded in depth, in aliases and in the digits of a number."""

from __future__ import annotations

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
                where, f"{size:,} values with its aliases written out", f"{expected}, {_MOST_VALUES:,} at most"
            )
        if depth > _DEEPEST:
            raise InputError(where, f"YAML nested {depth} deep", f"{expected}, {_DEEPEST} deep at most")
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(where, f"not YAML ({' '.join(str(error).split())})", expected) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """A safe loader that gives up on deep nesting before Python does."""

    depth = 0

    def construct_yaml_int(self, node: Any) -> int:
        """An integer that 64 bits hold."""
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
