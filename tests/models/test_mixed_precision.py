"""Under bfloat16 autocast a step runs, and the loss, the matching and the pooling of segments compute in float32."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec, Output
from fact_clip.models.branches import cut_segments, pool_segments
from fact_clip.models.kernels.gru import BidirectionalGRU
from fact_clip.models.objects import ObjectEvidence

from ..small import SIZES, model_config

HEADS = {
    "closed": Classes(5),
    "verb-noun": Classes(5, (0, 0, 1, 1, 2), (0, 1, 0, 2, 1), 3, 3),
    "text": Classes(5, n_slots=2, text_width=12, evidence_slot=1, evidence_width=16),
}
SPEC = ObjectSpec(columns=((0, 4), (1, 5), (2, 6), (3, 7)), fixed=(3,), slot=1)


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def unit(*shape: int, seed: int) -> torch.Tensor:
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=-1)


def model_of(head: str) -> FACT:
    torch.manual_seed(0)
    config = model_config(blocks="iuUU", tokens=7, head=head, input=SIZES)
    texts = (unit(5, 2, 12, seed=1), SPEC, unit(4, 12, seed=2)) if head == "text" else ()
    return FACT(config, 8, HEADS[head], *texts)


def in_float32(output: Output) -> Output:
    def convert(block):
        values = {field.name: getattr(block, field.name) for field in dataclasses.fields(block)}
        return type(block)(**{key: v.float() if isinstance(v, torch.Tensor) else v for key, v in values.items()})

    return dataclasses.replace(output, blocks=tuple(map(convert, output.blocks)))


@pytest.mark.parametrize("head", HEADS)
def test_a_step_under_autocast_has_the_loss_of_its_outputs_in_float32(head):
    """Two videos, one padded, with background, ignored frames, and all weights in use."""
    model = model_of(head)
    features = torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([0, 1, 2, 3, 4, 1]).repeat_interleave(10).repeat(2, 1)
    labels[0, 15:25] = -1
    mask = torch.arange(60) < torch.tensor([[60], [40]])
    labels = labels.masked_fill(~mask, -1)
    loss = LossConfig(balance=0.5, segment_balance=0.25, background_weight=0.5, null_weight=0.3, smoothing=2.0)
    criterion = Criterion(loss, HEADS[head], (0,), frames=[20, 40, 10, 20, 10])
    with autocast():
        output = model(features, mask)
        terms = criterion(output, labels, mask)
    assert terms.total.dtype == torch.float32
    expected = criterion(in_float32(output), labels, mask)
    assert terms.matches == expected.matches
    assert terms.total.item() == pytest.approx(expected.total.item(), rel=1e-6)
    assert terms.as_dict() == pytest.approx(expected.as_dict(), rel=1e-6)
    terms.total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())
    # Nearly the step of float32: bfloat16 keeps three digits.
    exact = criterion(model(features, mask), labels, mask)
    assert terms.total.item() == pytest.approx(exact.total.item(), rel=0.05)


def test_the_mean_of_a_long_segment_is_that_of_float32():
    """A sum of 20,000 ones stops at 256 in bfloat16."""
    labels = torch.zeros(1, 20_000, dtype=torch.long)
    labels[:, 15_000:] = 1
    scores = torch.nn.functional.one_hot(labels).to(torch.bfloat16)
    mask = torch.ones(1, 20_000, dtype=torch.bool)
    x = torch.randn(1, 20_000, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16) + 1
    with autocast():
        segments = cut_segments(scores, mask)
        pooled = pool_segments(x, segments, mask)
    assert segments.length.tolist() == [[15_000, 5_000]]
    assert pooled.dtype == torch.float32
    values = x[0].double()
    expected = torch.stack([values[:15_000].mean(0), values[15_000:].mean(0)])
    torch.testing.assert_close(pooled[0].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_the_gru_over_segments_is_that_of_float32(padded):
    torch.manual_seed(0)
    gru = BidirectionalGRU(6, 4, 1)
    x, mask = torch.randn(2, 300, 6), torch.ones(2, 300, dtype=torch.bool)
    mask[1, 200:] = not padded
    with autocast():
        found = gru(x.to(torch.bfloat16), mask, mask.sum(1))
    torch.testing.assert_close(found, gru(x.to(torch.bfloat16).float(), mask, mask.sum(1)), rtol=1e-6, atol=1e-6)


def test_words_find_their_objects_as_in_float32():
    """The softmax is over 50 times the cosine, of which bfloat16 keeps too little."""
    names = unit(4, 384, seed=2)
    objects = ObjectEvidence(SPEC, names)
    text = torch.stack([unit(3, 384, seed=1), torch.nn.functional.normalize(names[:3] + 0.9 * names[1:], dim=-1)], 1)
    with autocast():
        found = objects.objects_of(text)
    torch.testing.assert_close(found, objects.objects_of(text), rtol=1e-6, atol=1e-6)
