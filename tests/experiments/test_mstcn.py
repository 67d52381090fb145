"""MS-TCN: its reach by hand, and that that a stage reads the probabilities of the one before."""

from __future__ import annotations

import torch

from fact_clip.datasets.synthetic import write_workbench

from ..scripts import load_script

tcn = load_script("experiments/tcn.py")
mstcn = load_script("experiments/mstcn.py")


def test_the_first_stage_sees_1023_frames_on_each_side():
    """Ten layers of dilation 1 to 512 reach 1 + 2 + ... + 512 frames."""
    torch.manual_seed(0)
    model = mstcn.MSTCN(columns=3, classes=4).eval()
    rows = torch.randn(2400, 3)
    changed = rows.clone()
    changed[1200] += 100
    moved = (model(rows)[0] != model(changed)[0]).any(1).nonzero().flatten()
    assert (int(moved.min()), int(moved.max())) == (1200 - 1023, 1200 + 1023)


def test_a_later_stage_reads_the_probabilities_of_the_one_before():
    torch.manual_seed(0)
    model = mstcn.MSTCN(columns=3, classes=4).eval()
    stages = model(torch.randn(50, 3))
    assert stages.shape == (4, 50, 4)
    second = model.stages[1](stages[0].exp().T.unsqueeze(0))[0].T.log_softmax(-1)
    torch.testing.assert_close(stages[1], second)


def test_an_epoch_changes_the_model(tmp_path, monkeypatch):
    """All training videos are read, those of validation included, and the test videos get figures."""
    monkeypatch.setattr(mstcn, "EPOCHS", 1)
    root = write_workbench(tmp_path / "data", videos=4, persons=4, dim=8)
    dataset = tcn.open_split(str(root), "1", "workbench")
    torch.manual_seed(0)
    before = mstcn.MSTCN(8, len(dataset.vocabulary)).state_dict()
    torch.manual_seed(0)
    after = mstcn.trained(dataset)
    assert any((before[key] != value).any() for key, value in after.state_dict().items())
    assert list(mstcn.tested(after, dataset)) == list(tcn.FIGURES)
