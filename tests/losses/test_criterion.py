"""What the parity files do not cover: the automatic null weight, many segments, ignored frames, tiny videos."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fact_clip.config import LossConfig, ModelConfig
from fact_clip.datasets.loader import Truth
from fact_clip.losses import Criterion
from fact_clip.losses.matching import match, matching_cost
from fact_clip.models import FACT, Classes

from ..refusals import refused
from ..small import SIZES

SMALL = {**SIZES, "hidden": 16, "frame_dim": 8, "action_dim": 8, "feedforward": 8}


def model_of(tokens: int, blocks: str = "iuU", classes: int = 4) -> FACT:
    torch.manual_seed(0)
    return FACT(ModelConfig(blocks=blocks, tokens=tokens, input=SMALL), 5, Classes(classes))


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


def test_cost_ignores_attention_at_ignored_frames():
    truth = Truth.of(torch.tensor([[1, 1, -1, 0]]))
    probs = torch.full((1, 2, 3), 1 / 3)
    attention = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.2, 0.8]]])
    other = attention.clone()
    other[0, 2] = torch.tensor([0.9, 0.1])
    assert torch.equal(matching_cost(probs, attention, truth, 1, 1), matching_cost(probs, other, truth, 1, 1))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("o2o", {(0, 0), (1, 1), (2, 2)}),
        # classes 5 (segments 0, 2) and 7 (segment 1). Sums: token 0 (-9, -1), 1 (-3, -8), 2 (-8, -2). Assigned: 0 to 5,
        # 1 to 7; token 2 joins 5. Segment 0 takes token 0 (-6 < -1), segment 2 takes token 2 (-7 < -3).
        ("o2m", {(0, 0), (1, 1), (2, 2)}),
        ("seq", {(0, 0), (1, 1), (2, 2)}),
    ],
)
def test_matchers_by_hand(kind, expected):
    cost = np.array([[-6, -1, -3], [-1, -8, -2], [-1, -2, -7]], dtype=float)
    assert set(match(kind, cost, np.array([5, 7, 5]))) == expected


def test_one_to_many_gives_a_token_several_segments():
    cost = np.array([[-6, -1, -3], [-1, -8, -2]], dtype=float)
    assert set(match("o2m", cost, np.array([5, 7, 5]))) == {(0, 0), (1, 1), (0, 2)}


def test_one_to_many_with_more_classes_than_tokens():
    """Two tokens, three classes: the class that stays without a token has unmatched segments."""
    cost = np.array([[-6, -1, -3], [-1, -8, -2]], dtype=float)
    assert set(match("o2m", cost, np.array([5, 7, 9]))) == {(0, 0), (1, 1)}


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


def test_frame_term_by_hand():
    """Two classes, background weight .5, three labelled frames of four; the sum is divided by 3, not by weights."""
    model = model_of(tokens=2, blocks="iu", classes=2)
    output = model(features(4))
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [5.0, 5.0], [0.0, 0.0]]])
    blocks = tuple(dataclasses.replace(block, frame_logits=logits) for block in output.blocks)
    loss = Criterion(LossConfig(null_weight=0.2, background_weight=0.5, smoothing=0), Classes(2), (0,))
    terms = loss(dataclasses.replace(output, blocks=blocks), torch.tensor([1, 0, -1, 1]))
    expected = (np.log(1 + np.exp(-1)) + 0.5 * np.log(1 + np.exp(-2)) + np.log(2)) / 3
    assert terms.blocks[0].frame.item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_is_clamped_and_skips_ignored_frames():
    """Log-probabilities change by about 6 in one step: both squares are clamped to 16; ignored pairs are left out."""
    model = model_of(tokens=2, blocks="i", classes=2)
    output = model(features(4))
    logits = torch.tensor([[[6.0, 0.0], [0.0, 6.0], [6.0, 0.0], [0.0, 0.0]]])
    blocks = tuple(dataclasses.replace(block, frame_logits=logits) for block in output.blocks)
    output = dataclasses.replace(output, blocks=blocks)
    terms = criterion_of(smoothing=2.0, classes=2)(output, torch.tensor([0, 1, -1, 1]))
    assert terms.blocks[0].smooth.item() == pytest.approx(2.0 * 16.0)


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


def test_ignored_labels_do_not_change_the_loss():
    """Relabelling what is ignored cannot matter: the loss of [0 0 - - 1] has no trace of the middle."""
    model, criterion = model_of(tokens=5), criterion_of()
    labels = torch.tensor([0] * 8 + [-1] * 6 + [3] * 6)
    output = model(features(20))
    terms = criterion(output, labels)
    assert {segment for _, segment in terms.matches[0]} == {0, 1}
    changed = dataclasses.replace(
        output,
        blocks=tuple(dataclasses.replace(b, frame_logits=_shaken(b.frame_logits, labels < 0)) for b in output.blocks),
    )
    assert criterion(changed, labels).total.item() == pytest.approx(terms.total.item(), rel=1e-6)


def _shaken(logits: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    logits = logits.clone()
    logits[:, where] += torch.arange(logits.shape[-1]) * 3.0
    return logits


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
