"""Recipes: YAML files that contain only differences from the defaults, and their inheritance."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fact_clip.core import Json
from fact_clip.core.errors import InputError
from fact_clip.core.io import check_file, parse_yaml, read_mapping
from fact_clip.core.messages import suggest

RECIPES = Path(__file__).parents[1] / "configs"

NOT_INHERITED: Json = {
    "action": "sa",
    "action_layers": 1,
    "frame_layers": 5,
    "segment_layers": 1,
}
"""Keys of a block that are not inherited from the previous block, with their defaults."""

BLOCK_OF_LETTER = {"i": "input", "I": "input", "u": "update", "U": "pooled"}


def recipes() -> list[str]:
    """List the recipes in the package.

    Returns:
        Their names, sorted.
    """
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(
    recipe: str | Path, parents: tuple[Path, ...] = (), base: str | None = None
) -> Json:
    """Read a recipe, merged into the recipe that it builds on (``base: NAME``).

    Args:
        recipe: Name or path. A relative path starts from the last of `parents`.
        parents: Files that build on this one, the closest last.
        base: Recipe to build on instead of the one that the file names.

    Returns:
        The settings by group.

    Raises:
        InputError: A file cannot be read, or a recipe builds on itself.
    """
    path = _find_recipe(recipe, parents)
    if path.resolve() in [parent.resolve() for parent in parents]:
        problem = f"base: {recipe} is built on this file"
        raise InputError(parents[-1], problem, "name a different base")
    tree = read_mapping(path, "a YAML recipe")
    # If all keys of a group are comments, its value is None.
    tree = {key: value for key, value in tree.items() if value is not None}
    _resolve_paths(path, tree)
    base_in_file = tree.pop("base", None)
    base = base or base_in_file
    if base is None:
        return tree
    return merged(read_recipe(str(base), (*parents, path)), tree)


def _find_recipe(recipe: str | Path, parents: tuple[Path, ...]) -> Path:
    name = str(recipe)
    if name.endswith((".yaml", ".yml")):
        path = parents[-1].parent / recipe if parents else recipe
        return check_file(path, "a YAML recipe")
    names = recipes()
    if name in names:
        return RECIPES / f"{name}.yaml"
    fix = suggest(name, names, 0.4)
    if not fix:
        fix = f"give the path of a YAML file, or one of {', '.join(names)}"
    where = parents[-1] if parents else recipe
    raise InputError(where, f"no recipe {name!r}", fix)


def _resolve_paths(path: Path, tree: Mapping[str, Any]) -> None:
    """Make ``data.root`` and ``data.holdout`` absolute, in place, if they are next to the recipe.

    A folder in the current folder takes precedence over one next to the recipe, unless the latter
    is a data set. The file of held-out classes is searched in the data, then next to the recipe.
    """
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    root = data.get("root")
    if isinstance(root, str) and not root.startswith("~"):
        beside = path.parent / root
        is_data_set = (beside / "mapping.txt").exists() or (beside / "groundTruth").exists()
        if beside.is_dir() and (is_data_set or not Path(root).is_dir()):
            data["root"] = str(beside.resolve())
    holdout = data.get("holdout")
    if isinstance(holdout, str):
        beside = path.parent / holdout
        is_in_root = isinstance(root, str) and Path(data["root"], holdout).is_file()
        if beside.is_file() and not is_in_root:
            resolved = beside.resolve()
            if resolved != Path(holdout).resolve():
                data["holdout"] = str(resolved)


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> Json:
    """Merge two trees of settings, group by group.

    Args:
        base: Settings.
        top: Settings that replace or extend `base`.

    Returns:
        A new tree.
    """
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        elif value is not None or not isinstance(below, Mapping):  # an empty group changes nothing
            result[key] = value
    return result


def inherit_blocks(model: Mapping[str, Any]) -> Json:
    """Return a model's settings in which each block inherits missing keys from the previous block.

    A block that does not occur gets the sizes of the last one that does, so that equal models have
    equal settings.

    Args:
        model: Group "model" of a recipe.
    """
    used = _used_blocks(model)
    sizes = _given_sizes(model.get("input"))
    result = dict(model)
    for name in used:
        if name == "input" or not _is_block(model.get(name)):
            continue
        sizes = {**sizes, **NOT_INHERITED, **_given_sizes(model.get(name))}
        result[name] = sizes
    for name in ("update", "pooled"):
        if name not in used and _is_block(model.get(name)):
            # Unknown keys are kept, so that they are reported.
            result[name] = {**_given_sizes(model.get(name)), **sizes, **NOT_INHERITED}
    return result


def _used_blocks(model: Mapping[str, Any]) -> list[str]:
    """Return the kinds of blocks in a model in order, without duplicates."""
    letters = str(model.get("blocks", "iuUU"))
    return list(dict.fromkeys(BLOCK_OF_LETTER.get(letter, "input") for letter in letters))


def drop_inherited(model: Json) -> None:
    """Remove, in place, the sizes of each block that equal the sizes of the previous block.

    Args:
        model: Complete group "model", in which unused blocks equal the last used one.
    """
    blocks = dict.fromkeys([*_used_blocks(model), "update", "pooled"])
    for block, following in reversed([*pairwise(blocks)]):
        for key, value in model[block].items():
            if key not in NOT_INHERITED and model[following][key] == value:
                del model[following][key]


def _is_block(value: Any) -> bool:
    """Return whether a value can be the settings of a block. Others are reported later."""
    return value is None or isinstance(value, Mapping)


def _given_sizes(block: Any) -> Json:
    """Return the settings of a block that are set."""
    if not isinstance(block, Mapping):
        return {}
    return {key: value for key, value in block.items() if value is not None}


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Json:
    """Return the values of nested settings by dotted keys, such as "train.lr".

    Args:
        tree: Settings.
        prefix: Text before each key.

    Returns:
        The values by key.
    """
    flat: Json = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def set_key(tree: Json, keys: Sequence[str], value: Any, where: str) -> None:
    """Set the value of nested keys. A group of keys is merged with its present value.

    Args:
        tree: Settings to change.
        keys: Path of the value, starting at the outermost group.
        value: Value, or group of values.
        where: Location for errors.

    Raises:
        InputError: A key on the path is a value.
    """
    group = tree
    for key in keys[:-1]:
        group = group.setdefault(key, {})
        if not isinstance(group, dict):
            raise InputError(where, f"{key!r} is a value, not a group of keys")
    present = group.get(keys[-1])
    if isinstance(present, Mapping) and isinstance(value, Mapping):
        value = merged(present, value)
    group[keys[-1]] = value


def split_base(overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the last ``base=NAME`` among overrides, and the other overrides."""
    base = None
    settings = []
    for override in overrides:
        if override.startswith("base="):
            base = override.removeprefix("base=")
        else:
            settings.append(override)
    return base, settings


def with_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> Json:
    """Return a copy of settings with ``key=value`` overrides. A repeated key uses the last one."""
    result = copy.deepcopy(dict(tree))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            fix = "write key=value, such as train.epochs=20"
            raise InputError(override, "not a setting", fix)
        set_key(result, key.split("."), value_of(key, value, key), override)
    return result


def value_of(key: str, value: str, where: str) -> Any:
    """Read the value of a typed setting as YAML.

    A pattern of names is not YAML, although it begins with a brace like a YAML mapping.

    Args:
        key: Dotted key.
        value: Text after ``key=``.
        where: Location for errors.

    Returns:
        The value.
    """
    if key == "data.grammar" and value[:1] in ("{", "["):
        return value
    return parse_yaml(value, where, "put quotes around values with spaces")
