"""Public functions: an argument of a wrong type that made a call fail is an InputError like any other bad input."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import itertools
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union

import numpy as np

from fact_clip.core.arguments import flag_of
from fact_clip.core.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# What a call that got something else fails with.
_FAILURES = (TypeError, AttributeError, ValueError, LookupError, OverflowError, RuntimeError)


def public(function: Callable[P, R]) -> Callable[P, R]:
    """The function, of which an argument that is not of its annotated type is an InputError where the call failed.

    Looked at after a failure alone, so that a call costs nothing and what can stand in for a type may. Looked at before
    are flags, since everything can stand in for one, and "no" would be yes; and what is called only after the work.
    """
    first = _looked_at_first(function)

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, (place, check) in first.items():
            if name in kwargs or place < len(args):
                check(kwargs[name] if name in kwargs else args[place], name)
        try:
            return function(*args, **kwargs)
        except InputError:
            raise
        except _FAILURES as error:
            fault = _wrong_type(function, args, kwargs)
            if fault is None:
                raise
            raise fault from error

    return told


def _looked_at_first(function: Callable[..., Any]) -> dict[str, tuple[int, Callable[[Any, str], object]]]:
    """Arguments that are looked at before a call: their places (the last of all for those without one), and by what."""
    checks = {bool: flag_of, "bool": flag_of, "Progress | None": _progress_of}
    parameters = inspect.signature(function).parameters.values()
    return {
        each.name: (sys.maxsize if each.kind is each.KEYWORD_ONLY else place, checks[each.annotation])
        for place, each in enumerate(parameters)
        if isinstance(each.annotation, Hashable) and each.annotation in checks
    }


def _progress_of(value: Any, where: str) -> None:
    if value is not None and not callable(value):
        raise InputError(where, f"{value!r}; expected a function, or None")


def public_class(cls: type[T]) -> type[T]:
    """A class whose constructor and public methods are `public`."""
    for name, member in list(vars(cls).items()):
        if inspect.isgeneratorfunction(member) or (name.startswith("_") and name not in ("__init__", "__call__")):
            continue
        if inspect.isfunction(member):
            setattr(cls, name, public(member))
        elif isinstance(member, classmethod):
            setattr(cls, name, classmethod(public(member.__func__)))
    return cls


def make_public(room: dict[str, Any]) -> None:
    """Make `public` what a room exports: the functions and classes in its ``__all__``, at home and in its namespace.

    A line of the room, and no decorators, because mutation testing leaves decorated functions out.
    """
    for name in room["__all__"]:
        member = room[name]
        if inspect.isclass(member) and not getattr(member, "_is_protocol", False):
            public_class(member)
        elif inspect.isfunction(member) and not inspect.isgeneratorfunction(member):
            room[name] = public(member)
            setattr(sys.modules[member.__module__], name, room[name])


def _wrong_type(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> InputError | None:
    """The error of the first argument that is not of its annotated type; None where all are, or nobody can tell."""
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:  # arguments that are missing or too many
        return None
    for name, value in given.items():
        hint = _hint(function, name)
        if not _fits(value, hint):
            return InputError(name, f"{type(value).__name__} {reprlib.repr(value)}; expected {_in_words(hint)}")
    return None


def _hint(function: Callable[..., Any], name: str) -> Any:
    """The annotated type of an argument; Any where there is none, or it is a name for type checkers alone."""
    alone = types.SimpleNamespace(__annotations__={name: function.__annotations__.get(name, Any)})
    try:
        return typing.get_type_hints(alone, function.__globals__)[name]
    except NameError:
        return Any


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as far as that can be told from its outside and its first elements."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is Annotated:
        return _fits(value, inner[0])
    if hint in (int, float):
        numbers = (int, np.integer) if hint is int else (int, float, np.integer, np.floating)
        return isinstance(value, numbers) and not isinstance(value, bool)
    outside = origin or hint
    if outside is collections.abc.Callable:
        return callable(value)
    if not isinstance(outside, type) or outside in (np.ndarray, object) or getattr(outside, "_is_protocol", False):
        return True  # a type variable, and what has to be looked at otherwise
    if isinstance(value, str | bytes) and outside not in (str, bytes, collections.abc.Hashable):
        return False  # a text is a sequence of texts, but nobody means that
    if isinstance(value, np.ndarray) and not value.ndim and outside.__module__ == "collections.abc":
        return False  # it says that it can be iterated over
    if not isinstance(value, outside):
        return False
    if isinstance(value, collections.abc.Sequence) and len(inner) in (1, 2) and inner[-1] in (..., inner[0]):
        return all(_fits(element, inner[0]) for element in value[:_LOOKED_AT])
    if isinstance(value, Mapping) and len(inner) == 2:
        first = itertools.islice(value.items(), _LOOKED_AT)
        return all(_fits(key, inner[0]) and _fits(own, inner[1]) for key, own in first)
    return True


_LOOKED_AT = 100  # elements

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
_WORDS |= {Mapping: "names with their values", collections.abc.Sequence: "a list", tuple: "a list"}


def _in_words(hint: Any) -> str:
    """A type as a message names it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(one) for one in inner if one is not type(None)))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is Annotated:
        return _in_words(inner[0])
    outside = origin or hint
    if outside in (collections.abc.Sequence, tuple, list, collections.abc.Iterable) and inner and inner[0] is not ...:
        return f"a list, each {_in_words(inner[0])}"
    name = getattr(outside, "__name__", str(outside))
    return _WORDS.get(outside) or f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
