"""What does not fit a model is told when the model is made or called, and never by torch."""

from __future__ import annotations

import math

import pytest
import torch

from fact_clip.config import BlockConfig, LossConfig, ModelConfig
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec

from ..refusals import refused

SMALL = BlockConfig(hidden=8, action_dim=8, action_layers=1, frame_dim=8, frame_layers=1)
CONFIG = ModelConfig(blocks="iu", tokens=3, input=SMALL)
LABELS = torch.tensor([[0, 1, 1, -1]])


@pytest.fixture(scope="module")
def model():
    return FACT(CONFIG, 5, Classes(3))


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: FACT(CONFIG, 0, Classes(3)), "input_dim"),
        (lambda: FACT(CONFIG, 5.0, Classes(3)), "input_dim"),
        (lambda: FACT(CONFIG, 5, Classes(3), frame_weight=1.5), "frame_weight"),
        (lambda: FACT(None, 5, Classes(3)), "config"),
        (lambda: FACT(CONFIG, 5, 3), "classes"),
        (
            lambda: FACT(CONFIG.model_copy(update={"head": "text"}), 5, Classes(3)),
            "head 'text'",
        ),
        (
            lambda: FACT(CONFIG.model_copy(update={"head": "text"}), 5, Classes(3), torch.zeros(2, 1, 4)),
            "text",
        ),
        (lambda: Classes(3, (0, 1), (0, 1, 0), 2, 2), "classes.verb"),
        (lambda: Classes(2, (0, 1), (0, 2), 2, 2), "classes.noun"),
        (lambda: ObjectSpec(((0, 1), (2,)), (0,), 0), "columns"),
        (lambda: ObjectSpec(((0, 1),), (1,), 0), "fixed"),
        (lambda: Criterion(None, Classes(3)), "config"),
        (lambda: Criterion(LossConfig(), Classes(3), (3,)), "background"),
        (lambda: Criterion(LossConfig(), Classes(3), unseen=(-1,)), "unseen"),
        (lambda: Criterion(LossConfig(), Classes(3), (), math.nan), "mean_transcript_length"),
        (lambda: Criterion(LossConfig(), Classes(3), frames=[1]), "frames"),
    ],
)
def test_what_cannot_be_made(call, place):
    with refused(place):
        call()


@pytest.mark.parametrize(
    ("features", "mask", "place"),
    [
        (torch.zeros(1, 4, 6), None, "model"),
        (torch.zeros(4, 5), None, "model"),
        (torch.zeros(1, 0, 5), None, "model"),
        (torch.zeros(1, 4, 5, dtype=torch.long), None, "model"),
        (torch.zeros(1, 4, 5), torch.ones(1, 3, dtype=torch.bool), "model"),
        (torch.zeros(1, 4, 5), torch.ones(1, 4), "model"),
        ([[1.0]], None, "features"),
    ],
)
def test_what_a_model_cannot_read(model, features, mask, place):
    with refused(place):
        model(features, mask)


def test_transcripts_of_another_shape():
    reads = FACT(CONFIG.model_copy(update={"transcript": True}), 5, Classes(3))
    with refused("transcript"):
        reads(torch.zeros(1, 4, 5), transcript=torch.zeros(2, 2, dtype=torch.long))
    with refused("transcript"):
        reads(torch.zeros(1, 4, 5), transcript=torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        (LABELS.float(), "loss"),
        (LABELS[:, :2], "loss"),
        (LABELS + 2, "loss"),
        ("abcd", "labels"),
    ],
)
def test_what_a_loss_cannot_read(model, labels, place):
    with refused(place):
        Criterion(LossConfig(null_weight=0.2), Classes(3))(model(torch.zeros(1, 4, 5)), labels)
