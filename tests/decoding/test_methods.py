"""The ways that `decode.method` names."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.config import DecodeConfig
from fact_clip.decoding import METHODS, decode_switching, decode_transport


@pytest.fixture
def log_scores():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(60, 4)) + 3 * np.eye(4)[np.arange(60) // 15]
    return np.log(np.exp(raw) / np.exp(raw).sum(1, keepdims=True))


def test_each_is_the_decoder_of_its_name(log_scores):
    price = DecodeConfig(switch_penalty=0.7)
    np.testing.assert_array_equal(METHODS["switching"](log_scores, price), decode_switching(log_scores, 0.7))
    np.testing.assert_array_equal(METHODS["transport"](log_scores, price), decode_transport(np.exp(log_scores)))
    assert set(METHODS) == set(DecodeConfig.model_fields["method"].annotation.__args__)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_ruled_out_is_never_named_and_changes_nothing(method, log_scores):
    """A column of -inf is as good as no column."""
    without = METHODS[method](log_scores, DecodeConfig(switch_penalty=0.7))
    ruled_out = np.insert(log_scores, 2, -np.inf, axis=1)
    found = METHODS[method](ruled_out, DecodeConfig(switch_penalty=0.7))
    np.testing.assert_array_equal(found, np.array([0, 1, 3, 4])[without])
