"""The implementation that ours is measured against gives the same numbers."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

import fact_clip_compat as compat
from fact_clip import decoding
from fact_clip.config import AugmentConfig, Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes

from ..published import read_case
from ..scripts import load_script

# The recordings of closed-set models without frame positions and transcripts, matched one to one.
RECORDED = ("all_tokens_null", "breakfast_iuUU_mstcn2", "gtea_iuU_mstcn", "smooth_clamped")


def load(name: str) -> ModuleType:
    """Import a file of benchmarks/."""
    return load_script(f"benchmarks/{name}.py")


plain = load("plain")


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """max|a-b| / max|b|."""
    assert found.shape == expected.shape
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_numbers(name):
    facts, tensors = read_case(name)
    config, _ = compat.read_config(facts["config"])
    model = plain.PlainFACT(config.model, facts["input_dim"], facts["n_classes"]).eval()
    model.load_state_dict({k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")})
    loss = plain.PlainLoss(config.loss, facts["n_classes"], config.model.tokens, facts["background_classes"], 0.0)

    results = model(tensors["input.features"])
    fields = {
        "frame_logits": "frame_logits",
        "token_logits": "token_logits",
        "segment_logits": "segment_logits",
        "a2f_attn": "a2f",
        "a2f_attn_logits": "a2f_logits",
        "f2a_attn_logits": "f2a_logits",
    }
    checked = 0
    for index, result in enumerate(results):
        for theirs, ours in fields.items():
            if (expected := tensors.get(f"block{index}.{theirs}")) is not None:
                assert error(getattr(result, ours), expected) < 1e-4, (index, theirs)
                checked += 1
    assert checked == sum(key.startswith("block") and not key.endswith(".loss") for key in tensors)

    total, blocks, pairs = loss(results, tensors["input.labels"])
    expected = set(zip(tensors["match.token_index"].tolist(), tensors["match.segment_index"].tolist(), strict=True))
    assert set(pairs) == expected
    for index, block in enumerate(blocks):
        assert error(block.reshape(1), tensors[f"block{index}.loss"]) < 1e-4, index
    assert error(total.reshape(1), tensors["loss.total"]) < 1e-4
    assert torch.equal(plain.decode(results, config.decode.frame_weight), tensors["prediction"])


@pytest.mark.parametrize("recipe", ["breakfast", "havid_view0_lh_pt", "gtea"])
def test_same_outputs_loss_and_gradients_as_ours(recipe):
    """The recipes at a quarter of their width, with an ignored stretch."""
    torch.manual_seed(2)
    small = ("hidden=128", "frame_dim=32", "action_dim=32", "action_layers=2", "heads=4", "feedforward=32")
    sizes = [f"model.input.{size}" for size in (*small, "dropout=0.0")]
    config = Config.load(recipe, ["model.tokens=20", *sizes])
    ours = FACT(config.model, 24, Classes(9), frame_weight=config.decode.frame_weight)
    theirs = plain.PlainFACT(config.model, 24, 9)
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(300, 24)
    labels = torch.randint(9, (10,)).repeat_interleave(30)
    labels[40:55] = -1

    output, results = ours(features.unsqueeze(0)), theirs(features)
    for mine, other in zip(output.blocks, results, strict=True):
        assert error(mine.frame_logits[0], other.frame_logits) < 1e-4
        assert error(mine.token_logits[0], other.token_logits) < 1e-4
    assert torch.equal(decoding.best_classes(output)[0], plain.decode(results, config.decode.frame_weight))

    terms = Criterion(config.loss, Classes(9), (0,), mean_transcript_length=9.0)(output, labels.unsqueeze(0))
    total, _, pairs = plain.PlainLoss(config.loss, 9, 20, (0,), 9.0)(results, labels)
    assert set(terms.matches[0]) == set(pairs)
    assert error(terms.total.reshape(1), total.reshape(1)) < 1e-5
    terms.total.backward()
    total.backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        if parameter.grad is None:
            assert gradients[name] is None or not gradients[name].any(), name
        else:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_data_path_reads_what_ours_reads(workbench, tmp_path):
    """The files are (T, D) here and (D, T) there, as in Breakfast."""
    config = Config.load("gtea", ["data.name=workbench", f"data.root={workbench}"])
    dataset = Dataset.open(config.data)
    for name in dataset.train:
        (tmp_path / "features").mkdir(exist_ok=True)
        (tmp_path / "groundTruth").mkdir(exist_ok=True)
        np.save(tmp_path / f"features/{name}.npy", np.asarray(dataset.features(name)).T)
        names = [dataset.vocabulary.names[label] for label in dataset.labels(name)]
        (tmp_path / f"groundTruth/{name}.txt").write_text("\n".join(names) + "\n")
    lines = [f"{index} {name}\n" for index, name in enumerate(dataset.vocabulary.names)]
    (tmp_path / "mapping.txt").write_text("".join(lines))
    raw = FeatureTransform((), None, None, dataset.input_dim)
    for name, (features, labels) in zip(dataset.train, plain.read_videos(tmp_path, dataset.train, None), strict=True):
        assert torch.equal(features, torch.as_tensor(np.array(dataset.transformed(name, raw))))
        assert labels.tolist() == dataset.labels(name).tolist()


def test_masking_drops_whole_channels_and_spans():
    torch.manual_seed(0)
    augment = AugmentConfig(channels=0.3, time_length=30, time_share=0.05, time_spans=5)
    found = plain.masked(torch.ones(400, 500), augment)
    zero_rows = (found == 0).all(1)
    rows = found[~zero_rows]
    assert 0 < int(zero_rows.sum()) <= 5 * 20
    assert all(column.unique().numel() == 1 for column in rows.T)
    assert sorted(rows.unique().tolist()) == pytest.approx([0.0, 1 / 0.7])
    assert float((rows == 0).float().mean()) == pytest.approx(0.3, abs=0.06)
