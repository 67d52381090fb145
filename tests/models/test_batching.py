"""A padded batch gives each video what it gets alone: outputs, loss and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec

from ..small import SIZES, model_config

LENGTHS = (1, 2, 37, 900)
SMALL = {**SIZES, "frame_layers": 4, "action_layers": 2}
VERB_NOUN = Classes(5, (0, 0, 1, 1, 2), (0, 1, 0, 2, 1), 3, 3)
CASES = {
    "iuUU m2": ({"blocks": "iuUU"}, Classes(5)),
    "iuU m, layer norm, positions": (
        {"blocks": "iuU", "frame_positions": True, "input": {"frame": "m", "frame_norm": True}},
        Classes(5),
    ),
    "IUU verb-noun": ({"blocks": "IUU", "head": "verb-noun", "frame_positions": True}, VERB_NOUN),
    "iuU similarity": (
        {"blocks": "iuU", "head": "similarity"},
        Classes(5, n_slots=2, text_width=4, evidence_width=16),
    ),
    "iuU text, objects": (
        {"blocks": "iuU", "head": "text"},
        Classes(5, n_slots=2, text_width=4, evidence_slot=1, evidence_width=6),
    ),
    "transcript": ({"blocks": "iuU", "transcript": True, "tokens": 0, "input": {"action": "gru_om"}}, Classes(5)),
}


def build(name: str) -> tuple[FACT, Criterion]:
    values, classes = CASES[name]
    values = {"tokens": 7, **values, "input": {**SMALL, **values.get("input", {})}}
    torch.manual_seed(3)
    joint: dict[str, Any] = {}
    if classes.text_width:
        text = torch.nn.functional.normalize(torch.randn(5, classes.n_slots, classes.text_width), dim=-1)
        text[0] = 0  # the background has no word
        joint = {"text": text, "space": torch.randn(2, classes.text_width)}
    if classes.evidence_slot:
        objects = ObjectSpec(columns=((0, 3), (1, 4), (2, 5)), fixed=(2,), slot=1, hidden=10, width=6)
        joint = {"text": text, "objects": objects, "object_text": text[1:4, 1]}
    model = FACT(model_config(**values), 6, classes, **joint)
    match = "seq" if values.get("transcript") else "o2m" if "IUU" in name else "o2o"
    loss = LossConfig(match=match, smoothing=2.0, null_weight=0.3, background_weight=0.5)
    return model, Criterion(loss, classes, background=(0,))


def videos() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(features (T, D), labels (T,), transcript (M,)) of each length, with an ignored stretch in the long ones."""
    generator = torch.Generator().manual_seed(5)
    found = []
    for length in LENGTHS:
        labels = torch.randint(5, (length // 30 + 1,), generator=generator).repeat_interleave(30)[:length]
        transcript = torch.unique_consecutive(labels)
        if length > 30:
            labels[10:20] = -1
        found.append((torch.randn(length, 6, generator=generator), labels, transcript))
    return found


def pad(items: list[torch.Tensor], value: float) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(items, batch_first=True, padding_value=value)


def junk_padded(items: list[torch.Tensor]) -> torch.Tensor:
    """Padding must not matter, so it is not zero here."""
    return pad(items, 3.7)


@pytest.mark.parametrize("name", CASES)
def test_batch_equals_alone(name):
    model, criterion = build(name)
    model.train()  # dropout is 0
    data = videos()
    with_transcript = "transcript" in name
    mask = pad([torch.ones(len(x), dtype=torch.bool) for x, _, _ in data], False).bool()
    script = pad([t for _, _, t in data], -1) if with_transcript else None
    batch = model(junk_padded([x for x, _, _ in data]), mask, transcript=script)
    terms = criterion(batch, pad([y for _, y, _ in data], -1), mask)
    terms.total.backward()
    together = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    totals = []
    for index, (x, y, t) in enumerate(data):
        alone = model(x.unsqueeze(0), transcript=t.unsqueeze(0) if with_transcript else None)
        for ours, theirs in zip(alone.blocks, batch.blocks, strict=True):
            for field in ("frame_logits", "token_logits", "segment_logits", "a2f_attention"):
                expected = getattr(ours, field)
                if expected is not None:
                    found = getattr(theirs, field)[index : index + 1, : expected.shape[1], : expected.shape[2]]
                    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        one = criterion(alone, y).total
        (one / len(data)).backward()
        totals.append(one.item())
    assert terms.total.item() == pytest.approx(sum(totals) / len(totals), rel=1e-5)
    assert together.keys() == {n for n, p in model.named_parameters() if p.grad is not None}
    for n, parameter in model.named_parameters():
        if n in together:
            torch.testing.assert_close(together[n], parameter.grad, rtol=1e-4, atol=1e-5, msg=n)


def test_forward_keeps_nothing():
    """Two calls with other inputs between them give the same; forward leaves no tensor on a module."""
    model, _ = build("iuUU m2")
    model.eval()
    first = torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(1))
    before = {k: set(vars(m)) for k, m in model.named_modules()}
    one = model(first).blocks[-1].frame_logits
    model(torch.zeros(2, 9, 6))
    assert torch.equal(model(first).blocks[-1].frame_logits, one)
    assert before == {k: set(vars(m)) for k, m in model.named_modules()}
