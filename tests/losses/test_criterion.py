"""What the parity files do not cover: the automatic null weight, many segments, ignored frames, tiny videos."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.losses.matching import matching_cost
from fact_clip.losses.truth import Truth
from fact_clip.models import FACT, Classes

from ..refusals import refused
from ..small import SIZES, model_config

SMALL = {**SIZES, "hidden": 16, "frame_dim": 8, "action_dim": 8, "feedforward": 8}


def model_of(tokens: int, blocks: str = "iuU", classes: int = 4) -> FACT:
    torch.manual_seed(0)
    return FACT(model_config(blocks=blocks, tokens=tokens, input=SMALL), 5, Classes(classes))


def features(length: int) -> torch.Tensor:
    return torch.randn(1, length, 5, generator=torch.Generator().manual_seed(2))


def criterion_of(match: str = "o2o", classes: int = 4, **values) -> Criterion:
    return Criterion(LossConfig(match=match, null_weight=0.2, **values), Classes(classes), (0,))


# --- matching, worked out by hand -------------------------------------------------------------------


def test_cost_by_hand():
    """p = (.5, .3, .2 null); segment 0 of class 1 covers frames 0 and 1 of 3; attention .5, 1, 0 (token 0)."""
    truth = Truth.of(torch.tensor([[1, 1, 0]]))
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    attention = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    cost = matching_cost(probs[None], attention[None], truth, class_cost=0.2, overlap_cost=1.0)[0]
    # token 0 and segment 0: overlap 1.5, union 1.5 + 2 - 1.5; with segment 1: overlap 0
    assert cost[0].tolist() == pytest.approx([-(0.2 * 0.3 + 1.5 / 2), -(0.2 * 0.5)])
    # token 1 and segment 0: overlap .5, union 1.5 + 2 - .5; with segment 1: overlap 1, union 1.5 + 1 - 1
    assert cost[1].tolist() == pytest.approx([-(0.2 * 0.8 + 0.5 / 3), -(0.2 * 0.1 + 1 / 1.5)])


def test_more_segments_than_tokens():
    labels = torch.arange(4).repeat(10)  # 40 segments
    model, criterion = model_of(tokens=3), criterion_of()
    terms = criterion(model(features(40)), labels)
    assert len(terms.matches[0]) == 3
    terms.total.backward()
    assert torch.isfinite(terms.total)


# --- weights ----------------------------------------------------------------------------------------


def test_automatic_null_weight_by_hand():
    """M / ((M - mean transcript length) * C): 60 / ((60 - 12) * 5) = 0.25; verb-noun: C -> (3 + 4) / 2."""
    config = LossConfig(null_weight=-1)
    assert Criterion(config, Classes(5), (), 12.0).null_weight(60, False) == pytest.approx(0.25)
    verbs = Classes(5, (0, 1, 2, 0, 1), (0, 1, 2, 3, 0), 3, 4)
    assert Criterion(config, verbs, (), 12.0).null_weight(60, False) == pytest.approx(60 / (48 * 3.5))
    assert Criterion(config, Classes(5), (), 12.0).null_weight(60, True) == 1.0
    with refused("model.tokens"):
        Criterion(config, Classes(5), (), 60.0).null_weight(60, False)
    with refused("loss.null_weight"):
        Criterion(config, Classes(5)).null_weight(60, False)


# --- ignored frames and tiny videos -----------------------------------------------------------------


@pytest.mark.parametrize("matcher", ["o2o", "o2m"])
def test_no_gradient_at_ignored_frames(matcher):
    labels = torch.tensor([0] * 6 + [-1] * 5 + [2] * 6 + [1] * 3)
    model, criterion = model_of(tokens=5), criterion_of(matcher)
    output = model(features(20))
    blocks = [dataclasses.replace(b, frame_logits=b.frame_logits.detach().requires_grad_()) for b in output.blocks]
    update = blocks[1]
    for name in ("a2f_attention_logits", "f2a_attention_logits"):
        update = dataclasses.replace(update, **{name: getattr(update, name).detach().requires_grad_()})
    blocks[1] = update
    criterion(dataclasses.replace(output, blocks=tuple(blocks)), labels).total.backward()
    ignored = labels < 0
    for block in blocks:
        gradient = block.frame_logits.grad[0].abs().sum(1)
        assert bool((gradient[ignored] == 0).all())
        assert bool((gradient[~ignored] > 0).all())
    assert float(update.a2f_attention_logits.grad[0][ignored].abs().sum()) == 0
    assert float(update.f2a_attention_logits.grad[0][:, ignored].abs().sum()) == 0
    assert float(update.f2a_attention_logits.grad.abs().sum()) > 0


@pytest.mark.parametrize("matcher", ["o2o", "o2m", "seq"])
@pytest.mark.parametrize("labels", [[1], [2, 2, 2, 2], [-1, -1, -1], [0, -1, 0], [0, 1]])
def test_tiny_videos(matcher, labels):
    model, criterion = model_of(tokens=3, blocks="iuUU"), criterion_of(matcher)
    terms = criterion(model(features(len(labels))), torch.tensor(labels))
    terms.total.backward()
    assert torch.isfinite(terms.total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    if max(labels) < 0:
        assert terms.total.item() == 0
        assert terms.matches == ([],)


def test_wrong_labels_are_told():
    model, criterion = model_of(tokens=3), criterion_of()
    with refused("loss"):
        criterion(model(features(3)), torch.tensor([0, 9, 1]))
    with refused("loss"):
        criterion(model(features(3)), torch.tensor([0, 1]))
    with refused("loss"):
        criterion(model(features(3)), torch.tensor([0, 4, 1]))
    padding = torch.tensor([[True, True, False]])
    assert torch.isfinite(criterion(model(features(3)), torch.tensor([0, 1, 9]), padding).total)


def test_a_video_without_a_label_and_a_null_class_without_a_weight_weigh_nothing():
    model, labels = model_of(6), torch.tensor([[0, 0, 1, 1, 2, 2], [-1] * 6])
    criterion = Criterion(LossConfig(null_weight=0.0), Classes(4), (0,))
    terms = criterion(model(features(6).expand(2, -1, -1)), labels)
    alone = criterion(model(features(6)), labels[:1])
    assert terms.total.isfinite()
    assert terms.total.item() == pytest.approx(alone.total.item() / 2, rel=1e-5)
