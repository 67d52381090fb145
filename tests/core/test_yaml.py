"""YAML as plain values."""

from __future__ import annotations

import pytest

from fact_clip.core.io import parse_yaml

from ..refusals import refused


def test_values_as_yaml_means_them():
    text = "a: &x [1, -9223372036854775807, 16]\nb: [1, -9223372036854775807, 16]\nc: {d: 1.5, e: yes, f: ~, g: '01'}\n"
    numbers = [1, -9223372036854775807, 16]
    assert parse_yaml(text, "r") == {
        "a": numbers, "b": numbers, "c": {"d": 1.5, "e": True, "f": None, "g": "01"},
    }  # fmt: skip
    assert parse_yaml("# nothing\n", "r") is None


@pytest.mark.parametrize("text", ["2024-99-99", "a: [", "!!python/object/apply:os.getcwd []", "&x [*x]"])
def test_what_is_refused_in_one_line(text):
    with refused("r"):
        parse_yaml(text, "r")


@pytest.mark.parametrize(
    "text", ["a: 1:30", "a: 010", "a: 0x10", "a: 1_5", "a: 1:30.5", "a: 1\na: 2", "a: {b: 1, c: 2, b: 3}"]
)
def test_what_yaml_would_read_in_its_own_way(text):
    """1:30 is 90 and 010 is 8 to YAML 1.1, and of two equal keys the last one counts."""
    with refused("r"):
        parse_yaml(text, "r")
    assert parse_yaml("a: '1:30'", "r") == {"a": "1:30"}
