"""Every number of the configuration has its bounds, and no key takes what is no value of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fact_clip.config import Config

from ..refusals import refused


def leaves(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key that holds no group, with its field."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        group = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if group is None:
            yield f"{prefix}{name}", field
        else:
            yield from leaves(group, f"{prefix}{name}.")


def numbers() -> Iterator[tuple[str, FieldInfo]]:
    for key, field in leaves():
        kinds = (field.annotation, *get_args(field.annotation))
        if bool not in kinds and (int in kinds or float in kinds) and key != "data.split":
            yield key, field


NUMBERS = dict(numbers())
SIDES = {"ge": -1, "le": 1, "gt": 0, "lt": 0}  # a bound, and the step from it to what is beyond


def beyond(field: FieldInfo) -> Iterator[float]:
    """Values just outside of the bounds of a field."""
    for bound in field.metadata:
        for name, step in SIDES.items():
            if (value := getattr(bound, name, None)) is not None:
                yield value + step


@pytest.mark.parametrize("key", NUMBERS)
def test_what_is_no_number_of_a_key_is_refused(key):
    field = NUMBERS[key]
    wrong: list[Any] = [math.nan, math.inf, -math.inf, "[1, 2]", "abc", 1e300, *beyond(field)]
    for value in wrong:
        text = {math.inf: ".inf", -math.inf: "-.inf"}.get(value, value) if value == value else ".nan"
        with refused() as caught:
            Config.load("kscgr", [f"{key}={text}"])
        assert key in caught.message


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_has_bounds_on_both_sides(key):
    sides = {name for bound in NUMBERS[key].metadata for name in SIDES if getattr(bound, name, None) is not None}
    assert sides & {"ge", "gt"}
    assert sides & {"le", "lt"}


@pytest.mark.parametrize("key", [key for key, _ in leaves() if key != "data.grammar"])  # which has braces
def test_a_group_is_no_value(key):
    with refused() as caught:
        Config.load("kscgr", [f"{key}={{a: 1}}"])
    assert key in caught.message
