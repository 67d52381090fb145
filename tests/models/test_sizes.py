"""What does not fit a model is told when the model is made or called, and never by torch."""

from __future__ import annotations

import math

import pytest
import torch

from fact_clip.config import BlockConfig, LossConfig, ModelConfig
from fact_clip.core import InputError
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec

SMALL = BlockConfig(hidden=8, action_dim=8, action_layers=1, frame_dim=8, frame_layers=1)
CONFIG = ModelConfig(blocks="iu", tokens=3, input=SMALL)
LABELS = torch.tensor([[0, 1, 1, -1]])


@pytest.fixture(scope="module")
def model():
    return FACT(CONFIG, 5, Classes(3))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: FACT(CONFIG, 0, Classes(3)), "input_dim: 0; expected a whole number, 1 to 1,000,000"),
        (lambda: FACT(CONFIG, 5.0, Classes(3)), "input_dim: 5.0; expected a whole number"),
        (lambda: FACT(CONFIG, 5, Classes(3), frame_weight=1.5), "frame_weight: 1.5; expected a share, 0 to 1"),
        (lambda: FACT(None, 5, Classes(3)), "config: NoneType None; expected a ModelConfig"),
        (lambda: FACT(CONFIG, 5, 3), "classes: int 3; expected a Classes"),
        (
            lambda: FACT(CONFIG.model_copy(update={"head": "text"}), 5, Classes(3)),
            "head 'text': needs text vectors (C, slots, E); none were given",
        ),
        (
            lambda: FACT(CONFIG.model_copy(update={"head": "text"}), 5, Classes(3), torch.zeros(2, 1, 4)),
            "text: shape (2, 1, 4); expected vectors of 3 classes",
        ),
        (lambda: Classes(-1), "classes.count: -1; expected a whole number, 1 to 1,000,000"),
        (lambda: Classes(3, n_slots=-2), "classes.n_slots: -2; expected a whole number"),
        (lambda: Classes(3, (0, 1), (0, 1, 0), 2, 2), "classes.verb: 2 entries; expected one for each of 3 classes"),
        (lambda: Classes(2, (0, 1), (0, 2), 2, 2), "classes.noun: 2; expected a whole number, 0 to 1"),
        (lambda: ObjectSpec(((0, 1), (2,)), (0,), 0), "columns: "),
        (lambda: ObjectSpec(((0, 1),), (1,), 0), "fixed: 1; expected a whole number, 0 to 0"),
        (lambda: Criterion(None, Classes(3)), "config: NoneType None; expected a LossConfig"),
        (lambda: Criterion(LossConfig(), Classes(3), (3,)), "background: 3; expected a whole number, 0 to 2"),
        (lambda: Criterion(LossConfig(), Classes(3), unseen=(-1,)), "unseen: -1; expected a whole number, 0 to 2"),
        (lambda: Criterion(LossConfig(), Classes(3), (), math.nan), "mean_transcript_length: nan; expected segments"),
        (lambda: Criterion(LossConfig(), Classes(3), frames=[1]), "frames: an array of shape (1,); expected (3,)"),
    ],
)
def test_what_cannot_be_made(call, told):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("features", "mask", "told"),
    [
        (torch.zeros(1, 4, 6), None, "model: features are (1, 4, 6); expected (B, T, 5)"),
        (torch.zeros(4, 5), None, "model: features are (4, 5); expected (B, T, 5)"),
        (torch.zeros(1, 0, 5), None, "model: features of type torch.float32 and shape (1, 0, 5); expected floating"),
        (torch.zeros(1, 4, 5, dtype=torch.long), None, "model: features of type torch.int64"),
        (torch.zeros(1, 4, 5), torch.ones(1, 3, dtype=torch.bool), "model: a mask of type torch.bool and shape (1, 3)"),
        (torch.zeros(1, 4, 5), torch.ones(1, 4), "model: a mask of type torch.float32 and shape (1, 4); expected true"),
        ([[1.0]], None, "features: list [[1.0]]; expected a Tensor"),
    ],
)
def test_what_a_model_cannot_read(model, features, mask, told):
    with pytest.raises(InputError) as error:
        model(features, mask)
    assert str(error.value).startswith(told)


def test_transcripts_of_another_shape():
    reads = FACT(CONFIG.model_copy(update={"transcript": True}), 5, Classes(3))
    with pytest.raises(InputError, match=r"transcript: shape \(2, 2\); expected \(1, M\)"):
        reads(torch.zeros(1, 4, 5), transcript=torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(InputError, match=r"transcript: shape \(1, 0\); expected \(1, M\), one entry at least"):
        reads(torch.zeros(1, 4, 5), transcript=torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (LABELS.float(), "loss: labels of type torch.float32; expected class indices, torch.int64"),
        (LABELS[:, :2], "loss: labels are (1, 2); expected (1, 4), one per frame"),
        (LABELS + 2, "loss: label 3 is not one of the 3 classes"),
        ("abcd", "labels: str 'abcd'; expected"),
    ],
)
def test_what_a_loss_cannot_read(model, labels, told):
    with pytest.raises(InputError) as error:
        Criterion(LossConfig(null_weight=0.2), Classes(3))(model(torch.zeros(1, 4, 5)), labels)
    assert str(error.value).startswith(told)
