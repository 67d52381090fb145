"""Argument checks for public functions."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import reprlib
import sys
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from fact_clip.core.arrays import Array
from fact_clip.core.errors import InputError, Location, library_errors
from fact_clip.core.messages import describe_invalid_name, is_name, pydantic_problem
from fact_clip.core.types import Names

if TYPE_CHECKING:
    from pydantic import TypeAdapter

P = ParamSpec("P")
R = TypeVar("R")


def validated(*unchecked: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of a public function against its annotations, without converting them.

    Args:
        unchecked: Parameters that the function checks itself, such as arrays and protocols.

    Returns:
        A decorator. The decorated function raises an InputError that names the first argument of a
        wrong type.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.cache
        def adapters() -> dict[str, TypeAdapter[Any]]:
            hints = typing.get_type_hints(function)
            names = [name for name in signature.parameters if name in hints]
            return {name: _adapter(hints[name]) for name in names if name not in unchecked}

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            arguments = signature.bind(*args, **kwargs).arguments
            for name, adapter in adapters().items():
                if name in arguments:
                    _validate(adapter, arguments[name], name)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def _adapter(hint: Any) -> TypeAdapter[Any]:
    """Return the pydantic check of a type. Dataclasses have already checked their own fields."""
    from pydantic import ConfigDict, InstanceOf, TypeAdapter

    if dataclasses.is_dataclass(hint):
        return TypeAdapter(InstanceOf[hint])
    if hasattr(hint, "model_config"):  # pydantic models accept no second configuration
        return TypeAdapter(hint)
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))


def _validate(adapter: TypeAdapter[Any], value: Any, where: str) -> None:
    from pydantic import ValidationError

    if isinstance(value, np.generic):  # numbers of numpy are accepted like numbers of Python
        value = value.item()
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        problem = pydantic_problem(error.errors()[0]["msg"])
        raise InputError(where, f"{reprlib.repr(value)}: {problem}") from None


def path_of(value: Any, where: str) -> Path:
    """Return a string or path as a path, and reject other values and the empty string."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise InputError(where, f"{value!r}, not a path")
    return Path(value)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number. Booleans are not numbers."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def number_of(
    value: Any,
    where: str,
    expected: str = "a number",
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Return a finite number, and reject other values and numbers out of bounds.

    Args:
        value: Value to check. Numbers of numpy are accepted, and booleans are not.
        where: Name of the argument, for an error.
        expected: Description of a correct value, for an error.
        least: Lowest allowed value.
        most: Highest allowed value.

    Returns:
        The number as a float.
    """
    number = value.item() if isinstance(value, np.generic) else value
    if not is_number(number) or not least <= number <= most:
        raise InputError(where, f"{reprlib.repr(value)}, not {expected}")
    return float(number)


def whole_of(value: Any, where: str, least: int, most: int) -> int:
    """Return an integer in bounds, and reject other values.

    Args:
        value: Value to check. Integers of numpy are accepted, and booleans are not.
        where: Name of the argument, for an error.
        least: Lowest allowed value.
        most: Highest allowed value.

    Returns:
        The integer.
    """
    expected = f"a whole number, {least:,} to {most:,}"
    number = number_of(value, where, expected, least=least, most=most)
    if not isinstance(value, int | np.integer):
        raise InputError(where, f"{number:g}, not {expected}")
    return int(value)


def is_list(value: Any) -> bool:
    """Return whether a value is iterable. Arrays without a dimension have `__iter__`, but are
    not."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0


def names_of(values: Any, where: str, *, typed: bool = False) -> Names:
    """Check and return a list of names.

    Args:
        values: Names. A single string and values that are not strings are rejected.
        where: Name of the argument, for an error.
        typed: Whether unprintable characters are also rejected (see `is_name`).

    Returns:
        The names.
    """
    if isinstance(values, str | bytes) or not is_list(values):
        raise InputError(where, f"{values!r}, not a list of names")
    names = tuple(values)
    for name in names:
        if typed or not isinstance(name, str):
            check_name(name, where, legacy=True)
    return tuple(map(str, names))  # strings of numpy would be written to JSON in a different way


def check_name(value: Any, where: Location, *, legacy: bool = False) -> None:
    """Raise an InputError if a value cannot be the name of a class (see `is_name`)."""
    if not is_name(value, legacy=legacy):
        raise InputError(where, describe_invalid_name(value))


def array_of(value: Any, where: Location, expected: str, kinds: str = "fiub") -> Array:
    """Return a value as an array.

    Args:
        value: Array, tensor or nested lists.
        where: Name of the argument, for an error.
        expected: Description of a correct value, for an error.
        kinds: Allowed kinds of numpy data types. The default allows numbers.

    Returns:
        The array. Values that are not arrays of these kinds, and masked elements, raise an
        InputError.
    """
    # For example, a tensor with gradients raises a RuntimeError.
    with library_errors(where, f"not {expected}", ValueError, TypeError, RuntimeError):
        array = np.asarray(value)
    has_wrong_kind = array.size > 0 and array.dtype.kind not in kinds
    if has_wrong_kind or np.ma.is_masked(value):  # np.asarray would return the masked values
        raise InputError(where, f"{type(value).__name__} of type {array.dtype}, not {expected}")
    return array


def table_of(value: Any, where: str, shape: tuple[int | str, ...], *, finite: bool = True) -> Array:
    """Return a value as an array of numbers of a shape.

    Args:
        value: Array, tensor or nested lists.
        where: Name of the argument, for an error.
        shape: Expected shape. A letter stands for any length except 0, such as in ("N", 3).
        finite: Whether NaN and infinities are rejected.

    Returns:
        The array. Values of a different kind or shape raise an InputError.
    """
    sizes = ", ".join(map(str, shape))
    if len(shape) == 1:
        sizes += ","
    expected = f"numbers, ({sizes})"
    if finite:
        expected = f"finite {expected}"

    array = array_of(value, where, expected)
    has_shape = array.ndim == len(shape) and all(
        length > 0 if isinstance(size, str) else length == size
        for length, size in zip(array.shape, shape, strict=True)
    )
    if not has_shape or (finite and not np.isfinite(array).all()):
        raise InputError(where, f"an array of shape {array.shape}, not {expected}")
    return array
