"""Recipes: short YAML files, each on its base, and one file that may stand for several.

A recipe holds only what differs from the defaults or from ``base: NAME``. A file with the key ``variants``, a pattern
of names with alternatives in braces, stands for all: ``view{0,1}_{lh,rh}`` are four. Any text in it may hold a pattern
with as many alternatives; variant number n takes its n-th one.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fact_clip.core.errors import InputError
from fact_clip.core.files import read_mapping

RECIPES = Path(__file__).parent / "configs"
_BRACES = re.compile(r"\{([^{}]*)\}")


def recipes() -> list[str]:
    """Names of the recipes that come with the package, those of one file that stands for several included."""
    return sorted({*(path.stem for path in RECIPES.glob("*.yaml")), *variant_files(RECIPES)})


def read_recipe(recipe: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tree of a recipe on its base; ``above``: the files that are built on it."""
    by_name = not str(recipe).endswith((".yaml", ".yml"))
    path = RECIPES / f"{recipe}.yaml" if by_name else Path(recipe)
    if above and path.parent != RECIPES:
        path = above[-1].parent / path  # a base is named from the file that names it
    variant = ""
    if not path.is_file() and path.stem in (files := variant_files(path.parent)):
        variant, path = path.stem, files[path.stem]
    if path.resolve() in (file.resolve() for file in above):
        raise InputError(above[-1], f"base {recipe} is built on this file", "a base without a circle")
    if not path.is_file() and (by_name or path.parent == RECIPES):
        near = difflib.get_close_matches(str(recipe), recipes(), n=1, cutoff=0.4)
        todo = f"did you mean {near[0]!r}?" if near else "give one of them or the path of a YAML file"
        raise InputError(recipe, "no such recipe", f"one of {', '.join(recipes())}", todo)
    tree = read_mapping(path, "a YAML recipe", may_be_empty=True)
    base = tree.pop("base", None)
    return chosen_variant(merged(read_recipe(str(base), (*above, path)), tree) if base else tree, variant, path)


def merged(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of `base` with what `top` says besides or instead, group by group; neither is changed."""
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(dict(result[key]), value) if both else value
    return result


def put(tree: dict[str, Any], keys: list[str], value: Any, where: str) -> None:
    """Set the value of nested keys in a recipe's tree; an InputError where one of them is a value already."""
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(where, f"{key!r} is a value, not a group of keys")
    tree[keys[-1]] = value


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
