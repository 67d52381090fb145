"""The videos and weights that speed is measured with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fact_clip.core import runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.models import FACT, Classes

from .test_plain import load

made_up = load("made_up")
SMALL = ("hidden=128", "frame_dim=96", "action_dim=32", "action_layers=1", "heads=4", "feedforward=32")


@pytest.mark.parametrize("name", made_up.SHAPES)
def test_planted_weights_predict_the_segments_of_the_video(name):
    torch.manual_seed(1)
    shape = made_up.SHAPES[name]
    config = shape.config(*(f"model.input.{size}" for size in SMALL))
    model = FACT(config.model, made_up.WIDTH, Classes(shape.classes)).eval()
    made_up.plant(model, shape)
    features, labels = made_up.video(shape, 4 * -(-shape.frames // shape.segments))
    assert len(runs(labels)) == 4
    with torch.no_grad():
        output = model(features.unsqueeze(0))
    for block in output.blocks:
        assert torch.equal(block.frame_logits[0].argmax(-1), labels)


def test_data_sets_can_be_trained_on(tmp_path):
    shape = replace(made_up.SHAPES["GTEA"], frames=90)
    made_up.write(tmp_path / "gtea", shape, 2)
    dataset = Dataset.open(shape.config(*made_up.folder(tmp_path / "gtea")).data)
    assert dataset.train == ("v0", "v1")
    features, labels = made_up.video(shape, 90, seed=1)
    assert torch.equal(torch.tensor(dataset.features("v1")), features)
    assert dataset.labels("v1").tolist() == labels.tolist()
