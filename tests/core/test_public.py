"""Public functions: an argument of a wrong type that made the call fail is bad input, and nothing else is."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.core import Segmentation, Vocabulary
from fact_clip.core.public import public, public_class

from ..refusals import refused


def fail(value: Any) -> None:
    raise TypeError(f"cannot use {value!r}")


@public
def takes(
    text: str = "",
    number: float = 0.0,
    count: int = 0,
    names: Sequence[str] = (),
    table: Mapping[str, int] | None = None,
    kind: Literal["a", "b"] = "a",
    place: str | Path = ".",
    vocabulary: Vocabulary | None = None,
    made: Callable[[], int] | None = None,
    thing: Any = None,
) -> None:
    """Fails whatever it gets."""
    fail(thing)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"text": 3}, "text"),
        ({"number": "3"}, "number"),
        ({"number": True}, "number"),
        ({"count": 2.5}, "count"),
        ({"names": "stir"}, "names"),
        ({"names": ["stir", 4]}, "names"),
        ({"table": {"a": "b"}}, "table"),
        ({"kind": "c"}, "kind"),
        ({"place": None}, "place"),
        ({"vocabulary": ["stir"]}, "vocabulary"),
        ({"made": 4}, "made"),
    ],
)
def test_a_wrong_type_is_named(given, place):
    with refused(place):
        takes(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"text": "a", "number": 3, "count": np.int64(3), "names": ("stir",), "table": {"a": 1}, "kind": "b"},
        {"number": np.float32(2), "place": Path("x"), "vocabulary": Vocabulary.from_names(["a"]), "made": lambda: 3},
        {"table": None, "thing": "anything"},
    ],
)
def test_a_fault_of_the_function_stays_what_it_is(given):
    with pytest.raises(TypeError, match="cannot use"):
        takes(**given)


def test_wrong_calls_stay_type_errors():
    with pytest.raises(TypeError, match="unexpected keyword"):
        takes(nothing=3)


def test_what_stands_in_for_a_type_may():
    @public
    def length(names: list[str]) -> int:
        return len(names)

    assert length(("a", "b")) == 2
    assert length("ab") == 2


def test_a_class_and_its_subclasses():
    @public_class
    class Counter:
        def __init__(self, start: int) -> None:
            self.value = start + 0

        @classmethod
        def made(cls, start: int) -> Counter:
            return cls(start + 0)

        def add(self, more: int) -> int:
            return self.value + more

        def _hidden(self, more: int) -> int:
            return self.value + more

    with refused("start"):
        Counter("x")
    with refused("start"):
        Counter.made("x")
    with refused("more"):
        Counter(1).add("x")
    with pytest.raises(TypeError):
        Counter(1)._hidden("x")
    assert Counter.made(2).add(3) == 5


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: metrics.harmonic_mean("0.5", 0.5), "seen"),
        (lambda: metrics.openness_ratio(0.5, 0.5), "harmonic_means"),
        (lambda: metrics.figure_name(None), "key"),
        (lambda: Segmentation.load(None), "path"),
        (lambda: Vocabulary.from_mapping(3), "mapping"),
    ],
)
def test_what_the_rooms_export(call, place):
    with refused(place):
        call()


def test_exported_functions_travel_between_processes():
    from fact_clip.metrics import segmental

    assert metrics.edit is segmental.edit
    assert pickle.loads(pickle.dumps(metrics.edit)) is metrics.edit
