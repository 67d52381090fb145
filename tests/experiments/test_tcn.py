"""The plain convolution: its reach and its loss by hand, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch

from fact_clip.datasets.synthetic import write_workbench

from ..scripts import load_script

tcn = load_script("experiments/tcn.py")


def test_a_frame_sees_511_on_each_side():
    """Nine layers of dilation 1 to 256 reach 1 + 2 + ... + 256 frames."""
    torch.manual_seed(0)
    model = tcn.TCN(columns=3, classes=4).eval()
    rows = torch.randn(1400, 3)
    changed = rows.clone()
    changed[700] += 1
    moved = (model(rows) != model(changed)).any(1).nonzero().flatten()
    assert (int(moved.min()), int(moved.max())) == (700 - 511, 700 + 511)


def test_loss_by_hand():
    """Frames of p(right) 1/2 and 1/4, one without a label; the only large change is cut off at 16."""
    logp = torch.tensor([[0.5, 0.5], [0.25, 0.75], [math.exp(-9), 1 - math.exp(-9)]]).log()
    change = [math.log(2) ** 2, math.log(1.5) ** 2, 16, (math.log(1 - math.exp(-9)) - math.log(0.75)) ** 2]
    expected = (math.log(2) + math.log(4)) / 2 + 0.15 * sum(change) / 4
    assert float(tcn.loss_of(logp, torch.tensor([0, 0, -1]))) == pytest.approx(expected, rel=1e-5)


def test_it_learns_a_little_in_seconds(tmp_path):
    """Above the share of the commonest class after two seconds; the kept epoch was validated."""
    root = write_workbench(tmp_path / "data", videos=12, persons=6, dim=16)
    training = tcn.Training(tcn.open_split(str(root), "1", "workbench"), seconds=2.0, seed=0)
    epochs = training.run()
    figures = training.tested()
    assert list(figures) == list(tcn.FIGURES)
    assert figures["frame_accuracy"] > 20
    assert 1 <= training.best.epoch <= epochs
    assert training.best.penalty in tcn.PENALTIES
