import math

import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of, whole_of


def test_numbers():
    assert number_of(2, "x") == 2.0
    assert number_of(np.float32(0.5), "x") == 0.5
    assert whole_of(np.int64(3), "x", 1, 3) == 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "True"),
        ("1", "'1'"),
        (math.inf, "inf"),
        (10**400, "a whole number of over 30 digits"),
        (-(10**5000), "a whole number of over 30 digits"),
    ],
    ids=["true", "text", "infinity", "400 digits", "5000 digits"],
)
def test_what_is_no_number_is_named_in_few_signs(value, told):
    with pytest.raises(InputError) as error:
        number_of(value, "x", "a rate")
    assert str(error.value) == f"x: {told}; expected a rate"
    with pytest.raises(InputError) as error:
        whole_of(value, "x", 1, 3)
    assert str(error.value) == f"x: {told}; expected a whole number, 1 to 3"
