"""Compare models with the numbers that the reference code computed (recorded/README.md)."""

from __future__ import annotations

import pytest
import torch

import fact_clip_compat as compat
from fact_clip import decoding

from ..published import CASES, read_case

# Zero in theory, recorded as rounding.
ROUNDING = ("a2f_layer.X_K.bias", "block_list.0.action_branch.layers.0.self_attn.in_proj_weight")


@pytest.fixture(params=CASES)
def case(request):
    """Return (facts, tensors, model, criterion, output) of a recorded model."""
    facts, tensors = read_case(request.param)
    keys = ("n_classes", "input_dim", "verb_of_class", "noun_of_class", "n_verbs", "n_nouns")
    state = {k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")}
    model, criterion = compat.load_reference(
        state,
        facts["config"],
        background=facts["background_classes"],
        text_embeddings=tensors.get("text_embeddings"),
        **{key: facts[key] for key in keys if key in facts},
    )
    transcript = tensors["transcript"].unsqueeze(0) if facts["config"].get("FACT.trans") else None
    output = model(tensors["input.features"].unsqueeze(0), transcript=transcript)
    return facts, tensors, model, criterion, output


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """max|a-b| / max|b|."""
    assert found.shape == expected.shape
    return float((found - expected).detach().abs().max() / expected.abs().max())


def test_forward(case):
    _, tensors, _, _, output = case
    names = {
        "frame_logits": "frame_logits",
        "token_logits": "token_logits",
        "segment_logits": "segment_logits",
        "frame_logprob": "frame_logits",
        "token_logprob": "token_logits",
        "segment_logprob": "segment_logits",
        "a2f_attn": "a2f_attention",
        "a2f_attn_logits": "a2f_attention_logits",
        "f2a_attn_logits": "f2a_attention_logits",
    }
    checked = 0
    for index, block in enumerate(output.blocks):
        for theirs, ours in names.items():
            if (expected := tensors.get(f"block{index}.{theirs}")) is not None:
                assert error(getattr(block, ours)[0], expected) < 1e-4, (index, theirs)
                checked += 1
    assert checked == sum(key.startswith("block") and not key.endswith(".loss") for key in tensors)
    if "clip.frame_embeddings" in tensors:
        assert error(output.frame_embeddings[0], tensors["clip.frame_embeddings"]) < 1e-4


def test_loss_matching_and_prediction(case):
    _, tensors, _, criterion, output = case
    terms = criterion(output, tensors["input.labels"])
    expected = set(zip(tensors["match.token_index"].tolist(), tensors["match.segment_index"].tolist(), strict=True))
    assert set(terms.matches[0]) == expected
    for index, block in enumerate(terms.blocks):
        assert error(block.total.reshape(1), tensors[f"block{index}.loss"]) < 1e-4, index
    assert error(terms.total.reshape(1), tensors["loss.total"]) < 1e-4
    if "loss.fact" in tensors:
        assert error(terms.fact.reshape(1), tensors["loss.fact"]) < 1e-4
        assert error(terms.contrastive.reshape(1), tensors["loss.contrastive"]) < 1e-4
    assert torch.equal(decoding.best_classes(output)[0], tensors["prediction"])


def test_gradient_norms(case):
    _, tensors, model, criterion, output = case
    criterion(output, tensors["input.labels"]).total.backward()
    for name, parameter in model.named_parameters():
        recorded = tensors.get(f"grad_norm.{name}")
        found = 0.0 if parameter.grad is None else float(parameter.grad.norm())
        if recorded is None:
            assert found == 0.0, name
            continue
        tolerance = 1e-5 if name.endswith((*ROUNDING, "f2a_layer.X_K.bias")) else 1e-6
        assert found == pytest.approx(float(recorded), rel=1e-3, abs=tolerance), name
