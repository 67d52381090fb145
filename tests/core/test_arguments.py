import math

import numpy as np
import pytest

from fact_clip.core.arguments import number_of, whole_of

from ..refusals import refused


def test_numbers():
    assert number_of(2, "x") == 2.0
    assert number_of(np.float32(0.5), "x") == 0.5
    assert whole_of(np.int64(3), "x", 1, 3) == 3


@pytest.mark.parametrize(
    "value",
    [True, "1", math.inf, 10**400, -(10**5000)],
    ids=["true", "text", "infinity", "400 digits", "5000 digits"],
)
def test_what_is_no_number_is_named_in_few_signs(value):
    with refused("x"):
        number_of(value, "x", "a rate")
    with refused("x"):
        whole_of(value, "x", 1, 3)
