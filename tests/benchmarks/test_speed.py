"""What the table of speeds is made of."""

from __future__ import annotations

import pytest
import torch

from .test_plain import load

for name in ("startup", "plain", "made_up"):
    load(name)
speed = load("speed")


def test_figure_is_the_ratio_of_medians_and_the_spread_that_of_pairs():
    row = speed.ratio("step", [1.0, 2.0, 4.0], [3.0, 2.0, 8.0], 1.4)
    assert row.cells() == ["step", "2 s", "3 s", "1.50", "1.00 to 3.00", "≥ 1.4", "met"]
    assert speed.markdown([row]).splitlines()[-1] == "| step | 2 s | 3 s | 1.50 | 1.00 to 3.00 | ≥ 1.4 | met |"


@pytest.mark.parametrize(
    ("value", "target", "at_most", "missed"),
    [
        (1.5, 1.5, False, False),
        (1.4, 1.5, False, True),
        (1.05, 1.05, True, False),
        (1.1, 1.05, True, True),
        (0, None, False, False),
    ],
)
def test_missed(value, target, at_most, missed):
    assert speed.Row("", "", "", value, target, at_most).missed is missed


def test_first_call_of_each_does_not_count():
    calls = []
    times = speed.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert "".join(calls) == "ababab"
    assert [len(found) for found in times.values()] == [2, 2]


def test_products_in_place_and_attention_are_counted():
    a, b, query = torch.ones(3, 4, 5), torch.ones(3, 5, 6), torch.ones(1, 2, 7, 8)
    with speed.counter() as counted:
        torch.zeros(3, 4, 6).baddbmm_(a, b)
        a @ b
    assert counted.get_total_flops() == 2 * (2 * 3 * 4 * 5 * 6)
    with torch.no_grad(), speed.counter() as counted:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert counted.get_total_flops() == 2 * (2 * 2 * 7 * 7 * 8)
