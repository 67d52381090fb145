"""Recipes: short YAML files that hold only what differs from the defaults; ``base: NAME`` builds one on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fact_clip.core.errors import CommandOption, InputError
from fact_clip.core.io import check_file, parse_yaml, read_mapping
from fact_clip.core.messages import suggest

RECIPES = Path(__file__).parents[1] / "configs"


def recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(
    recipe: str | Path, above: tuple[Path, ...] = (), base: str | None = None
) -> dict[str, Any]:
    """Return the tree of a recipe, by name or path, merged into that of its base, or of another `base`.

    `above` are the files that build on this one, nearest last; a relative path starts from the last of them.
    """
    path = _find_recipe(recipe, above)
    if path.resolve() in (file.resolve() for file in above):
        raise InputError(above[-1], f"base: {recipe} is built on this file", "name another base")
    tree = read_mapping(path, "a YAML recipe")
    tree = {
        key: value for key, value in tree.items() if value is not None
    }  # a group whose keys are all comments
    _resolve_paths(path, tree)
    own_base = tree.pop("base", None)
    base = base or own_base
    return tree if base is None else merged(read_recipe(str(base), (*above, path)), tree)


def _find_recipe(recipe: str | Path, above: tuple[Path, ...]) -> Path:
    if str(recipe).endswith((".yaml", ".yml")):
        return check_file(above[-1].parent / recipe if above else recipe, "a YAML recipe")
    names = recipes()
    if str(recipe) in names:
        return RECIPES / f"{recipe}.yaml"
    fix = (
        suggest(str(recipe), names, 0.4)
        or f"give the path of a YAML file, or one of {', '.join(names)}"
    )
    raise InputError(above[-1] if above else recipe, f"no recipe {str(recipe)!r}", fix)


def _resolve_paths(path: Path, tree: Mapping[str, Any]) -> None:
    """Make a relative ``data.root`` or ``data.holdout`` absolute, in place, if it lies beside the recipe.

    A path from the current folder goes before one beside the recipe, unless that is a data set.
    """
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    root, holdout = data.get("root"), data.get("holdout")
    if isinstance(root, str) and not root.startswith("~"):
        beside = path.parent / root
        is_data = any((beside / part).exists() for part in ("mapping.txt", "groundTruth"))
        if beside.is_dir() and (is_data or not Path(root).is_dir()):
            data["root"] = str(beside.resolve())
    if isinstance(holdout, str) and not Path(holdout).is_file():
        beside = path.parent / holdout
        in_root = isinstance(root, str) and Path(data["root"], holdout).is_file()
        if beside.is_file() and not in_root:
            data["holdout"] = str(beside.resolve())


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new tree: `base` with what `top` adds or replaces, group by group."""
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def set_key(tree: dict[str, Any], keys: Sequence[str], value: Any, where: str) -> None:
    """Set the value of nested keys; a group of keys is merged with what is there."""
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(where, f"{key!r} is a value, not a group of keys")
    before = tree.get(keys[-1])
    tree[keys[-1]] = (
        merged(before, value)
        if isinstance(before, Mapping) and isinstance(value, Mapping)
        else value
    )


def with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the tree of a recipe, changed by ``key=value`` settings; of one that is given twice the last counts."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(
                CommandOption(override), "not a setting", "write key=value, as in train.epochs=20"
            )
        set_key(tree, key.split("."), value_of(key, value, key), override)
    return tree


def value_of(key: str, text: str, where: str) -> Any:
    """Return the value of a typed setting, as YAML reads it; a pattern begins with a brace, as a mapping does."""
    is_pattern = key == "data.grammar" and text[:1] in ("{", "[")
    return text if is_pattern else parse_yaml(text, where, "put quotes around what has blanks")
