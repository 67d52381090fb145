"""What holds on the CPU holds on a CUDA device; `make gpu` runs these."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import fact_clip
import fact_clip_compat as compat
from fact_clip import decoding
from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes
from fact_clip.training import train, trainer

from ..published import CASES, read_case
from ..small import model_config

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

SYNCHRONISATIONS = 12  # of a training step, at most
FIELDS = {
    "frame_logits": "frame_logits",
    "frame_logprob": "frame_logits",
    "token_logits": "token_logits",
    "token_logprob": "token_logits",
    "segment_logits": "segment_logits",
    "segment_logprob": "segment_logits",
    "a2f_attn": "a2f_attention",
    "a2f_attn_logits": "a2f_attention_logits",
    "f2a_attn_logits": "f2a_attention_logits",
}


@pytest.fixture(autouse=True)
def float32_products():
    """Products of float32 matrices as such: in TF32 they have three digits."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """max|a-b| / max|b|."""
    found, expected = found.detach().cpu(), expected.detach().cpu()
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", CASES)
def test_recorded_numbers(name):
    facts, tensors = read_case(name)
    keys = ("n_classes", "input_dim", "verb_of_class", "noun_of_class", "n_verbs", "n_nouns")
    model, criterion = compat.load_reference(
        {k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")},
        facts["config"],
        background=facts["background_classes"],
        text_embeddings=tensors.get("text_embeddings"),
        **{key: facts[key] for key in keys if key in facts},
    )
    model.cuda()
    transcript = tensors["transcript"].unsqueeze(0).cuda() if facts["config"].get("FACT.trans") else None
    output = model(tensors["input.features"].unsqueeze(0).cuda(), transcript=transcript)
    for index, block in enumerate(output.blocks):
        for theirs, ours in FIELDS.items():
            if (expected := tensors.get(f"block{index}.{theirs}")) is not None:
                assert error(getattr(block, ours)[0], expected) < 1e-4, (index, theirs)
    terms = criterion(output, tensors["input.labels"].cuda())
    expected = set(zip(tensors["match.token_index"].tolist(), tensors["match.segment_index"].tolist(), strict=True))
    assert set(terms.matches[0]) == expected
    assert error(terms.total.reshape(1), tensors["loss.total"]) < 1e-4
    assert torch.equal(decoding.best_classes(output)[0].cpu(), tensors["prediction"])
    terms.total.backward()
    for parameter, value in model.named_parameters():
        recorded = tensors.get(f"grad_norm.{parameter}")
        if recorded is not None:  # 1e-5: what is zero in theory is rounding
            assert float(value.grad.norm()) == pytest.approx(float(recorded), rel=1e-3, abs=1e-5), parameter


def small() -> tuple[FACT, Criterion]:
    torch.manual_seed(3)
    sizes = {"hidden": 24, "frame_dim": 16, "frame_layers": 4, "action_dim": 16, "heads": 2, "feedforward": 16}
    model = FACT(model_config(blocks="iuUU", tokens=7, input=sizes), 6, Classes(5))
    return model.cuda(), Criterion(LossConfig(smoothing=2.0, null_weight=0.3), Classes(5), background=(0,))


def test_batch_equals_alone():
    """Outputs, loss and gradients of a padded batch, and those of its videos one by one."""
    model, criterion = small()
    lengths = (1, 2, 37, 900)
    features = [torch.randn(length, 6, generator=torch.Generator().manual_seed(length)) for length in lengths]
    labels = [(torch.arange(length) // 30) % 5 for length in lengths]
    pad = torch.nn.utils.rnn.pad_sequence
    x = pad(features, batch_first=True, padding_value=3.7).cuda()
    y = pad(labels, batch_first=True, padding_value=-1).cuda()
    mask = pad([torch.ones(length, dtype=torch.bool) for length in lengths], batch_first=True).cuda()
    batch = model(x, mask)
    total = criterion(batch, y, mask).total
    total.backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    totals = []
    for index, length in enumerate(lengths):
        alone = model(features[index].unsqueeze(0).cuda())
        for ours, theirs in zip(alone.blocks, batch.blocks, strict=True):
            found = theirs.frame_logits[index, :length]
            torch.testing.assert_close(found, ours.frame_logits[0], rtol=1e-4, atol=1e-4)
        one = criterion(alone, labels[index].unsqueeze(0).cuda()).total
        (one / len(lengths)).backward()
        totals.append(one.item())
    assert total.item() == pytest.approx(sum(totals) / len(totals), rel=1e-4)
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, dict(model.named_parameters())[name].grad, rtol=1e-3, atol=1e-4, msg=name)


def test_training_and_segment(tiny, workbench, tmp_path):
    """A training on the device follows the one on the CPU, and its model gives the same labels on both."""
    losses = {}
    for device in ("cpu", "cuda"):
        train(tiny(train={"epochs": 3, "device": device, "precision": "float32"}), tmp_path / device)
        rows = [json.loads(line) for line in (tmp_path / device / "log.jsonl").read_text().splitlines()]
        losses[device] = [row["total"] for row in rows]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-2)
    features = np.load(workbench / "features/person1_video1.npy")
    found = {device: fact_clip.load(tmp_path / "cuda", device=device).segment(features) for device in ("cpu", "cuda")}
    labels = [found[device].to_frames() for device in ("cpu", "cuda")]
    assert len(labels[0]) == len(features)
    assert sum(a == b for a, b in zip(*labels, strict=True)) >= 0.99 * len(features)  # ties of rounding


def test_backward_and_optimiser_do_not_wait():
    """Once the loss is there, nothing is read back from the device."""
    model, criterion = small()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x, y = torch.randn(2, 300, 6).cuda(), ((torch.arange(300) // 30) % 5).repeat(2, 1).cuda()
    for checked in (False, True):  # the first step allocates
        total = criterion(model(x), y).total
        torch.cuda.set_sync_debug_mode("error" if checked else "default")
        try:
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("blocks", ["iu", "iuuu", "iuU"])
def test_synchronisations_of_a_step(blocks, tiny, tmp_path, monkeypatch):
    """At most twelve, and no more with more videos in a batch, or with more blocks that do not cut segments."""
    counts: dict[int, int] = {}
    for batch_size in (2, 3):
        steps: list[int] = []

        class Counted(trainer.Trainer):
            def _step(self, *arguments: Any, steps: list[int] = steps) -> Any:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    torch.cuda.set_sync_debug_mode("warn")
                    try:
                        answer = super()._step(*arguments)
                    finally:
                        torch.cuda.set_sync_debug_mode("default")
                steps.append(sum("synchronizing CUDA operation" in str(each.message) for each in caught))
                return answer

        with monkeypatch.context() as patched:
            patched.setattr(trainer, "Trainer", Counted)
            settings = {"epochs": 2, "device": "cuda", "batch_size": batch_size}
            train(tiny(model={"blocks": blocks}, train=settings), tmp_path / str(batch_size))
        counts[batch_size] = max(steps[1:])
    assert counts[3] <= SYNCHRONISATIONS
    assert counts[3] == counts[2]
