"""Argument checks for public functions."""

from __future__ import annotations

import functools
import inspect
import math
import os
import reprlib
import sys
import typing
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from fact_clip.core.errors import InputError, Location, library_errors
from fact_clip.core.messages import describe_invalid_name, is_name, pydantic_problem

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a public function against its annotations; arrays are left to the function."""
    signature = inspect.signature(function)

    @functools.cache
    def adapters() -> dict[str, Any]:
        from pydantic import ConfigDict, PydanticUserError, TypeAdapter
        from pydantic_core import SchemaError

        checks = {}
        for name, hint in typing.get_type_hints(function).items():
            if name != "return" and "numpy" not in repr(hint):  # arrays are checked by the function
                config = (
                    None
                    if hasattr(hint, "model_config")
                    else ConfigDict(arbitrary_types_allowed=True)
                )
                with suppress(
                    PydanticUserError, SchemaError, TypeError
                ):  # protocols, names for type checkers
                    checks[name] = TypeAdapter(hint, config=config)
        return checks

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from pydantic import ValidationError

        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if (adapter := adapters().get(name)) is not None:
                try:
                    adapter.validate_python(
                        value.item() if isinstance(value, np.generic) else value, strict=True
                    )
                except ValidationError as error:
                    problem = pydantic_problem(error.errors()[0]["msg"])
                    raise InputError(name, f"{reprlib.repr(value)}: {problem}") from None
        return function(*args, **kwargs)

    return wrapper


def path_of(value: Any, where: str) -> Path:
    """A text or a path as a path; an InputError that names `where` for anything else, and for an empty text."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise InputError(where, f"{value!r}, not a path")
    return Path(value)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are not."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def number_of(
    value: Any,
    where: str,
    expected: str = "a number",
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """A finite number in bounds; an InputError for anything else, true and false among it."""
    number = value.item() if isinstance(value, np.generic) else value
    if not is_number(number) or not least <= number <= most:
        raise InputError(where, f"{reprlib.repr(value)}, not {expected}")
    return float(number)


def whole_of(value: Any, where: str, least: int, most: int) -> int:
    """A whole number in bounds; an InputError for anything else, true and false among it."""
    number = number_of(
        value, where, expected := f"a whole number, {least:,} to {most:,}", least, most
    )
    if not isinstance(value, int | np.integer):
        raise InputError(where, f"{number:g}, not {expected}")
    return int(value)


def is_list(value: Any) -> bool:
    """Whether a value has elements; an array of no axis says that it can be iterated over, and cannot."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0


def names_of(values: Any, where: str, *, typed: bool = False) -> tuple[str, ...]:
    """Several names; an InputError for one text, for what is no text, and, if `typed`, for what no person can type."""
    if isinstance(values, str | bytes) or not is_list(values):
        raise InputError(where, f"{values!r}, not a list of names")
    listed = tuple(values)
    for value in listed:
        if typed or not isinstance(value, str):
            check_name(value, where, legacy=True)
    return tuple(map(str, listed))  # numpy's own text type is not written to JSON in the same way


def check_name(value: Any, where: Location, *, legacy: bool = False) -> None:
    """Raise an InputError for what cannot name a class, see `is_name`."""
    if not is_name(value, legacy=legacy):
        raise InputError(where, describe_invalid_name(value))


def array_of(value: Any, where: Location, expected: str, kinds: str = "fiub") -> NDArray[Any]:
    """An array of numbers, or of other `kinds` of NumPy; an InputError for anything else, and for masked entries."""
    with library_errors(
        where, f"not {expected}", ValueError, TypeError, RuntimeError
    ):  # as of a tensor with gradients
        array = np.asarray(value)
    # np.asarray gives what lies under a mask
    if np.ma.is_masked(value) or (array.size and array.dtype.kind not in kinds):
        raise InputError(where, f"{type(value).__name__} of type {array.dtype}, not {expected}")
    return array


def table_of(
    value: Any, where: str, shape: tuple[int | str, ...], *, finite: bool = True
) -> NDArray[Any]:
    """An array of numbers of a shape; an InputError for anything else, and for NaN or infinities unless not `finite`.

    A letter in the shape stands for any length but 0, as in ("N", 3).
    """
    expected = (
        f"{'finite ' * finite}numbers, ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    )
    array = array_of(value, where, expected)
    fits = len(shape) == array.ndim and all(
        n > 0 if isinstance(wanted, str) else n == wanted
        for n, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or (finite and not np.isfinite(array).all()):
        raise InputError(where, f"an array of shape {array.shape}, not {expected}")
    return array
