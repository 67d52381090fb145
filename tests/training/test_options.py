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
from .runs import log_of, weights


def trained(
    tiny: Any, out: Path, dropout: float = 0.3, blocks: str = "iuU", **settings: Any
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights and the losses of two epochs."""
    train(tiny(model={"blocks": blocks, "input": {"dropout": dropout}}, train={"epochs": 2, **settings}), out)
    return weights(out), [row["total"] for row in log_of(out)]


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
    """Compiled for the CPU, which needs a C++ compiler. Each branch is compiled once for all lengths.

    Without dropout: a compiled one draws other numbers.
    """
    from torch._dynamo.utils import counters

    _, losses = trained(tiny, tmp_path / "plain", 0.0, "iu")
    counters.clear()
    monkeypatch.setattr(trainer, "COMPILED_DEVICES", ("cpu",))
    _, found = trained(tiny, tmp_path / "compiled", 0.0, "iu")
    assert found == pytest.approx(losses, rel=1e-3)
    assert 0 < counters["stats"]["unique_graphs"] <= 4
