"""Weights of classes and of frames, by hand."""

import math

import pytest
import torch

from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.losses.criterion import class_weights, frame_weights
from fact_clip.losses.truth import Truth
from fact_clip.models import FACT, Classes
from fact_clip.models.output import BlockOutput, Output

from ..refusals import refused
from ..small import model_config


def test_balance_by_hand():
    """Frames 4, 16 and none: 4^-.5 : 16^-.5 = 2 : 1, scaled so that 4 a + 16 b = 20; background has no part in it."""
    config = LossConfig(balance=0.5, background_weight=0.3)
    weights = class_weights(config, 4, [0], [1000, 4, 16, 0])
    torch.testing.assert_close(weights, torch.tensor([0.3, 5 / 3, 5 / 6, 1.0]))
    torch.testing.assert_close(class_weights(LossConfig(background_weight=2), 3, [1]), torch.tensor([1.0, 2.0, 1.0]))
    with refused("loss.balance"):
        class_weights(config, 4, [0])


def test_the_frame_term_sees_class_weights():
    """Two frames of classes 0 and 1 with probabilities 3/4 and 1/4, weighted."""
    scores = torch.tensor([[[3.0, 1.0], [3.0, 1.0]]]).log()
    output = Output(
        (BlockOutput(torch.zeros(1, 2, 1), scores, torch.zeros(1, 1, 1), torch.zeros(1, 1, 3)),),
        torch.ones(1, 2, dtype=torch.bool),
        torch.ones(1, 1, dtype=torch.bool),
        None,
        0.1,
    )
    config = LossConfig(balance=0.5, null_weight=1.0, smoothing=0.0)
    criterion = Criterion(config, Classes(2), frames=[3, 1])
    first, second = criterion.class_weights.tolist()
    assert second / first == pytest.approx(math.sqrt(3))
    terms = criterion(output, torch.tensor([0, 1]))
    expected = -(first * math.log(0.75) + second * math.log(0.25)) / 2
    assert terms.blocks[0].frame.item() == pytest.approx(expected)


def test_frames_of_short_segments_weigh_more_by_hand():
    """Background 3 frames, an action of 4, one of 1, an unlabelled stretch, the first action again, 9 frames."""
    labels = torch.tensor([[0] * 3 + [1] * 4 + [2] + [-1] * 2 + [1] * 9])
    truth, is_action = Truth.of(labels), torch.tensor([False, True, True])
    powers = [1 / 2] * 4 + [1.0] + [1 / 3] * 9  # n^-.5 of 4, 1 and 9
    mean = sum(powers) / 14
    action = [power / mean for power in powers]
    expected = [1.0] * 3 + action[:5] + [1.0] * 2 + action[5:]
    torch.testing.assert_close(frame_weights(truth, is_action, 0.5)[0], torch.tensor(expected))
    torch.testing.assert_close(frame_weights(truth, is_action, 0.0)[0], torch.ones(19))
    # with background alone there is no action to weigh
    torch.testing.assert_close(frame_weights(Truth.of(labels[:, :3]), is_action, 0.5)[0], torch.ones(3))


def test_the_frame_term_is_weighed_by_segments():
    """One frame voter, two classes: the loss is the weighted mean of -log p by hand."""
    labels, logits = (torch.tensor([1, 1, 1, 1, 0]), torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0)))
    tokens = torch.zeros(1, 2, 3)
    block = BlockOutput(torch.zeros(1, 5, 4), logits, torch.zeros(1, 2, 4), tokens)
    output = Output((block,), torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool), None, 0.5)
    config = LossConfig(segment_balance=1.0, null_weight=1.0, smoothing=0.0)
    found = Criterion(config, Classes(2))(output, labels).blocks[0].frame.item()
    logp = logits[0].log_softmax(-1)
    powers = [0.25] * 4 + [1.0]
    mean = sum(powers) / 5
    by_hand = -sum(power / mean * logp[frame, labels[frame]].item() for frame, power in enumerate(powers)) / 5
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_terms_of_tokens_and_attention_weigh_less():
    sizes = {"hidden": 16, "frame_dim": 8, "frame_layers": 3, "action_dim": 8, "heads": 2, "feedforward": 8}
    torch.manual_seed(0)
    model = FACT(model_config(blocks="iu", tokens=6, input=sizes), 5, Classes(3))
    output, labels = model(torch.randn(1, 20, 5)), torch.arange(20) // 5 % 3
    one, less = (
        Criterion(LossConfig(null_weight=0.2, token_weight=weight), Classes(3))(output, labels) for weight in (1, 0.25)
    )
    for of_one, of_less in zip(one.blocks, less.blocks, strict=True):
        assert (of_less.frame, of_less.smooth) == (of_one.frame, of_one.smooth)
        for term in ("token", "f2a", "a2f"):
            assert getattr(of_less, term).item() == pytest.approx(0.25 * getattr(of_one, term).item(), rel=1e-6)
    assert one.blocks[1].f2a.item() > 1
    assert less.total.item() == pytest.approx(sum(block.total.item() for block in less.blocks) / 2, rel=1e-6)
