"""Compiling and padding change how a training computes, and not what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fact_clip.losses import Criterion
from fact_clip.losses.truth import Truth
from fact_clip.training import train, trainer
from fact_clip.training.trainer import padded_lengths

from ..small import model_config
from .runs import log_of


def losses_of_training(tiny: Any, out: Path) -> list[float]:
    """The losses of two epochs, without dropout: a compiled one draws other numbers."""
    train(tiny(model={"blocks": "iu", "input": {"dropout": 0.0, "frame_layers": 1}}), out)
    return [row["total"] for row in log_of(out)]


def test_lengths_to_pad_to() -> None:
    """Ten lengths in equal ratios: 100, 100 * 8^(1/9) and so on to 800; few where videos are alike."""
    lengths = padded_lengths([800, 100, 350])
    assert lengths == [math.ceil(100 * 8 ** (step / 9)) for step in range(10)]
    assert (lengths[0], lengths[-1]) == (100, 800)
    assert padded_lengths([5, 5]) == [5]
    assert padded_lengths([5, 6]) == [5, 6]


def test_a_longer_batch_has_the_same_loss() -> None:
    from fact_clip.config import LossConfig
    from fact_clip.models import FACT, Classes

    torch.manual_seed(0)
    sizes = {"hidden": 24, "frame_dim": 16, "frame_layers": 4, "action_dim": 16, "heads": 2, "feedforward": 16}
    model = FACT(model_config(blocks="iuUU", tokens=7, input=sizes), 6, Classes(5))
    criterion = Criterion(LossConfig(smoothing=2.0, null_weight=0.3), Classes(5), background=(0,))
    x, truth = torch.randn(2, 50, 6), Truth.of((torch.arange(50) // 9 % 5).repeat(2, 1))
    mask = torch.arange(64).expand(2, -1) < 50
    longer = torch.nn.functional.pad(x, (0, 0, 0, 14), value=2.5)
    expected = criterion(model(x), truth).total.item()
    assert criterion(
        model(longer, mask), Truth.of(torch.nn.functional.pad(truth.labels, (0, 14), value=-1))
    ).total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_does_not_compile_again(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled for the CPU, which needs a C++ compiler. Each branch is compiled once for all lengths."""
    from torch._dynamo.utils import counters
    from torch._inductor import config

    monkeypatch.setattr(config, "compile_threads", 1)  # without processes that import torch to compile for this one
    losses = losses_of_training(tiny, tmp_path / "plain")
    counters.clear()
    monkeypatch.setattr(trainer, "COMPILED_DEVICES", ("cpu",))
    found = losses_of_training(tiny, tmp_path / "compiled")
    assert found == pytest.approx(losses, rel=1e-3)
    assert 0 < counters["stats"]["unique_graphs"] <= 4
