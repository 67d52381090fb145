"""Messages about invalid configurations."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fact_clip.core import InputError, Location

Model = TypeVar("Model", bound=BaseModel)

# Groups of the published YAML files.
_PUBLISHED = ("dataset", "aux", "FACT", "Bi", "Bu", "BU", "Loss", "TM", "CLIP")


def validate_tree(model: type[Model], tree: Any, where: Location) -> Model:
    """Convert a tree to a pydantic model.

    Args:
        model: Class of the model.
        tree: Nested mappings and lists.
        where: Location for errors, or "" to use the key.

    Returns:
        The model.

    Raises:
        InputError: A value is invalid. The first one is named.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        fault = first_fault(model, error, tree)
        if not where:
            raise fault from None
        problem = f"{fault.where}: {fault.problem}" if fault.where else fault.problem
        raise InputError(where, problem, fault.fix) from None


def first_fault(model: type[BaseModel], error: ValidationError, tree: Any) -> InputError:
    """Return the error of the first invalid value, located by its dotted key."""
    details = error.errors()[0]
    key = _key_of(details["loc"], tree)
    if details["type"] == "extra_forbidden":
        return InputError(key, "unknown key", _suggest_key(model, key))
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return InputError(key, f"{reprlib.repr(details['input'])} is not {message}")


def _key_of(location: tuple[int | str, ...], tree: Any) -> str:
    """Return the dotted key for a pydantic location, which also contains names of types."""
    keys = []
    value = tree
    for part in location:
        is_index = isinstance(value, list | tuple) and isinstance(part, int)
        is_key = isinstance(value, Mapping) and part in value
        if is_index or is_key:
            keys.append(str(part))
            value = value[part]
    return ".".join(keys)


def _suggest_key(model: type[BaseModel], key: str) -> str:
    """Return advice about an unknown key."""
    if key in _PUBLISHED:
        return "read published YAML files with scripts/train.py --cfg"
    names = list(_keys(model))
    full_names = {name.rpartition(".")[2]: name for name in names} | {name: name for name in names}
    (closest,) = difflib.get_close_matches(key[:100], full_names, n=1, cutoff=0.0)
    return f"did you mean {full_names[closest]}?"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted keys of a group, with the keys of its subgroups last."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for key in _keys(field.annotation):
                yield f"{name}.{key}"
