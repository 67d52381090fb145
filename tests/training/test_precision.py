"""bfloat16 where it is asked for or native; float32 elsewhere."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from fact_clip.devices import device
from fact_clip.devices.device import pick_precision
from fact_clip.training import train

from .runs import log_of, weights

CPU = torch.device("cpu")
TEXT = {
    "model": {"blocks": "iuU", "head": "text"},
    "text": {"encoder": "hash:32", "parts": ["sentence", "factors"]},
    "loss": {"balance": 0.5, "segment_balance": 0.25, "background_weight": 0.5},
}


def test_a_training_in_bf16_starts_where_that_in_float32_starts(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: True)
    losses = {}
    for precision in ("float32", "bf16"):
        one = dict(TEXT, train={"epochs": 2, "precision": precision})
        train(tiny(**one), tmp_path / precision)
        losses[precision] = [row["total"] for row in log_of(tmp_path / precision)]
        assert np.isfinite(losses[precision]).all()
        assert {value.dtype for value in weights(tmp_path / precision).values()} == {torch.float32}
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)


def test_auto_is_float32_without_a_gpu_that_has_bf16():
    assert pick_precision("auto", CPU, "p") == "float32"
    assert pick_precision("float32", CPU, "p") == "float32"


def test_bf16_on_a_cpu_without_it_is_done_with_one_line_of_warning(monkeypatch):
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)
    with pytest.warns(UserWarning, match="^p: this cpu") as found:
        assert pick_precision("bf16", CPU, "p") == "bf16"
    assert len(found) == 1
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick_precision("bf16", CPU, "p") == "bf16"


@pytest.mark.parametrize(
    ("native", "expected"), [(True, ("bf16", "bf16", "float32")), (False, ("float32", "bf16", "float32"))]
)
def test_auto_takes_bf16_where_a_gpu_has_it(native, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tuple(pick_precision(asked, torch.device("cuda"), "p") for asked in ("auto", "bf16", "float32"))
    assert found == expected
