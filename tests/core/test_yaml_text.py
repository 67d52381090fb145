"""YAML is bounded before values are made of it."""

from __future__ import annotations

import pytest

from fact_clip.core.yaml_text import parse_yaml

from ..refusals import refused


def test_values_as_yaml_means_them():
    text = "a: &x [1, -9223372036854775807, 16]\nb: *x\nc: {d: 1.5, e: yes, f: ~, g: '01'}\n"
    numbers = [1, -9223372036854775807, 16]
    assert parse_yaml(text, "r", "a recipe") == {
        "a": numbers, "b": numbers, "c": {"d": 1.5, "e": True, "f": None, "g": "01"},
    }  # fmt: skip
    assert parse_yaml("# nothing\n", "r", "a recipe") is None


def nested(depth: int) -> str:
    """Lists in lists, `depth` values deep."""
    return "[" * (depth - 1) + "1" + "]" * (depth - 1)


def chained(lists: int) -> str:
    """Each of ten lists holds the one before it, so that depth comes from aliases alone."""
    return "\n".join(["- &a0 [1]", *(f"- &a{number} [*a{number - 1}]" for number in range(1, lists))])


def doubled(times: int) -> str:
    """Ten values, then lists of ten times the list before."""
    lines = ["- &a0 [1,1,1,1,1,1,1,1,1,1]"]
    return "\n".join(lines + [f"- &a{k} [{','.join([f'*a{k - 1}'] * 10)}]" for k in range(1, times)])


def test_depth_and_number_up_to_the_limits():
    assert parse_yaml(nested(40), "r", "a recipe") is not None
    assert len(parse_yaml(chained(38), "r", "a recipe")) == 38  # the last is 39 deep, in a list
    assert len(parse_yaml(doubled(4), "r", "a recipe")[3]) == 10  # 12,345 values written out


@pytest.mark.parametrize(
    "text",
    [
        nested(41),
        chained(39),
        doubled(5),
        "&a [*a]",
        "9223372036854775808",
        "9" * 5000,
        "2024-99-99",
        "a: [",
        "!!python/object/apply:os.getcwd []",
        "{[1]: 2}",
    ],
)
def test_what_is_refused_in_one_line(text):
    with refused("r"):
        parse_yaml(text, "r", "a recipe")


@pytest.mark.parametrize(
    "text", ["a: 1:30", "a: 010", "a: 0x10", "a: 1_5", "a: 1:30.5", "a: 1\na: 2", "a: {b: 1, c: 2, b: 3}"]
)
def test_what_yaml_would_read_in_its_own_way(text):
    """1:30 is 90 and 010 is 8 to YAML 1.1, and of two equal keys the last one counts."""
    with refused("r"):
        parse_yaml(text, "r", "a recipe")
    assert parse_yaml("a: '1:30'", "r", "a recipe") == {"a": "1:30"}
