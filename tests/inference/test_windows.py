"""Long videos in windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fact_clip
from fact_clip import metrics
from fact_clip.config import ModelConfig
from fact_clip.datasets import features as features_module
from fact_clip.datasets.dataset import Dataset
from fact_clip.devices.processes import Processes
from fact_clip.evaluation.validation import validate
from fact_clip.inference import scorer as scorer_module
from fact_clip.inference.scorer import Window, cut_windows
from fact_clip.inference.segmenter import Segmenter
from fact_clip.models import FACT
from fact_clip.models.blocks import convolution_reach
from fact_clip.training import evaluate, train

from ..refusals import refused
from ..small import ZERO_SHOT, model_config, segmenter_of


def test_windows_by_hand():
    assert cut_windows(10, 0, 0) == cut_windows(10, 10, 4) == cut_windows(10, 99, 98) == [Window(0, 10, 0, 10)]
    # starts 0, 4, 8, and 9 so that the last ends with the video; parted in the middle of what two share
    assert cut_windows(15, 6, 2) == [
        Window(0, 6, 0, 5),
        Window(4, 10, 5, 9),
        Window(8, 14, 9, 11),
        Window(9, 15, 11, 15),
    ]
    assert cut_windows(5, 2, 0) == [Window(0, 2, 0, 2), Window(2, 4, 2, 3), Window(3, 5, 3, 5)]


@given(n_rows=st.integers(1, 200), window=st.integers(1, 60), data=st.data())
def test_every_row_is_kept_once_and_deep_enough(n_rows, window, data):
    overlap = data.draw(st.integers(0, window - 1))
    found = cut_windows(n_rows, window, overlap)
    assert [row for each in found for row in range(each.first, each.last)] == list(range(n_rows))
    for each in found:
        assert each.stop - each.start == min(window, n_rows)
        assert 0 <= each.start <= each.first < each.last <= each.stop <= n_rows
        assert each.start == 0 or each.first - each.start >= overlap // 2
        assert each.stop == n_rows or each.stop - each.last >= overlap // 2


def small_config(blocks: str, **block: object) -> ModelConfig:
    small = {"hidden": 24, "frame_dim": 8, "action_dim": 8, "action_layers": 1, "heads": 2, "feedforward": 8, **block}
    return model_config(blocks=blocks, tokens=4, input=small)


@pytest.mark.parametrize(("frame", "layers", "far"), [("m", 3, 7), ("m2", 3, 10), ("m", 1, 1), ("m2", 4, 24)])
def test_the_reach_is_where_gradients_end(frame, layers, far):
    """m, 3 layers: 1 + 2 + 4; m2: 4 + 2 + 4; m2, 4 layers: 8 + 4 + 4 + 8."""
    config = small_config("i", frame=frame, frame_layers=layers)
    assert convolution_reach(config) == far
    torch.manual_seed(0)
    from fact_clip.models.heads import Classes

    model = FACT(config, 5, Classes(3)).double().eval()
    features = torch.randn(1, 101, 5, dtype=torch.float64, requires_grad=True)
    model(features).blocks[-1].frame_logits[0, 50].sum().backward()
    seen = features.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    assert (min(seen), max(seen)) == (50 - far, 50 + far)


def test_update_blocks_see_the_whole_video():
    config = small_config("iu", frame="m", frame_layers=2)
    assert convolution_reach(config) == 3 + 31  # u has five layers of m where nothing is said


def test_similarities_are_compared_with_the_whole_video():
    config = small_config("i", frame="m", frame_layers=2).model_copy(update={"head": "similarity"})
    assert convolution_reach(config) == 3 + 15 + 12  # four dilated layers, windows of 25 rows


def windowed(segmenter: Segmenter, window: int, overlap: int | None = None) -> Segmenter:
    config = segmenter.run.config
    decode = config.decode.model_copy(update={"window": window})
    run = dataclasses.replace(segmenter.run, config=config.model_copy(update={"decode": decode}))
    result = segmenter_of(run, segmenter.scorer.model, calibration=segmenter.scorer.calibration)
    if overlap is not None:  # in frames
        result.scorer._overlap = lambda window: -(-overlap // config.data.stride)
    return result


@pytest.fixture(
    scope="module", params=[(1, False), (3, False), (3, True)], ids=["every frame", "stride", "interleaved"]
)
def convolutions(request, tiny, tmp_path_factory) -> Segmenter:
    """Input block alone, reach 3 rows; standardised, with context columns that reach 4 frames further."""
    folder = tmp_path_factory.mktemp("windows") / "run"
    stride, interleave = request.param
    data = {"stride": stride, "interleave": interleave, "standardize": True, "context": [5, 8]}
    model = {"blocks": "i"}
    train(
        tiny(data=data, model=model, decode={"frame_weight": 1.0, "switch_penalty": 0.02}, train={"epochs": 2}), folder
    )
    return fact_clip.load(folder)


@pytest.mark.parametrize("window", [12, 13, 29, 150])
@pytest.mark.parametrize("n_frames", [1, 12, 13, 40, 301])
def test_windows_give_what_one_pass_gives(convolutions, workbench, window, n_frames):
    stride = convolutions.run.config.data.stride
    rng = np.random.default_rng(n_frames)
    features = rng.normal(size=(n_frames, 8)).astype(np.float32).cumsum(0) / 4
    labels, confidence = convolutions.scorer.predict(features)
    for overlap in (None, 6 * stride, 7 * stride):
        in_windows = windowed(convolutions, window * stride, overlap)
        found, sure = in_windows.scorer.predict(features)
        np.testing.assert_allclose(sure, confidence, atol=1e-5)
        np.testing.assert_array_equal(found, labels)
        assert in_windows.segment(features).to_frames() == convolutions.segment(features).to_frames()


def test_too_little_overlap_is_noticed_by_the_test_above(convolutions):
    features = np.random.default_rng(0).normal(size=(301, 8)).astype(np.float32)
    _, confidence = convolutions.scorer.predict(features)
    _, sure = windowed(convolutions, 12 * convolutions.run.config.data.stride, 0).scorer.predict(features)
    assert np.abs(sure - confidence).max() > 1e-4


@pytest.mark.parametrize("length", [0, 1])
def test_a_window_as_long_as_the_video_is_one_pass_for_any_model(tiny_run, workbench, length):
    segmenter = fact_clip.load(tiny_run)
    video = workbench / "features" / "person1_video1.npy"
    n_frames = len(np.load(video))
    assert segmenter.scorer.window == 0
    assert windowed(segmenter, n_frames + length).segment(video) == segmenter.segment(video)


class Counting(torch.nn.Module):
    """Notes the length of each window that a model reads, and how many it reads at once."""

    def __init__(self, model: FACT) -> None:
        super().__init__()
        self.model, self.lengths, self.at_once = model, [], []

    def embed(self, features):
        return self.model.embed(features)

    def forward(self, features, **how):
        self.lengths += [features.shape[1]] * len(features)
        self.at_once.append(len(features))
        return self.model(features, **how)


def test_a_long_file_is_never_held_at_once(tiny_run, tmp_path, monkeypatch):
    """What the transform is given and what the model reads stay as long as a window (and its context)."""
    segmenter = fact_clip.load(tiny_run)  # stride 4, context 5
    path = tmp_path / "long.npy"
    np.save(path, np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float16))
    long = windowed(segmenter, 400, 80)
    long.scorer.models = [Counting(segmenter.scorer.model)]
    with_context, given = features_module._with_context, []
    monkeypatch.setattr(
        features_module, "_with_context", lambda x, context: given.append(len(x)) or with_context(x, context)
    )
    assert long.segment(path).n_frames == 20_000
    assert set(long.scorer.model.lengths) == {100}
    assert len(long.scorer.model.lengths) == 63  # (5000 - 100) / 80 = 61.25, and the first and the last
    assert max(given) == 266  # a block, and a window of context on each side
    assert long.scorer.model.at_once == [10] * 6 + [3]  # 1,024 rows


@pytest.mark.parametrize("interleave", [False, True])
@pytest.mark.parametrize("blocks", ["last", "all"])
def test_windows_read_together_are_each_alone(tiny, tmp_path, monkeypatch, interleave, blocks):
    """Interleaved, the last window has 13 rows from its first starts and 12 from the others: it is padded."""
    settings = {"data": {"interleave": interleave}, "decode": {"window": 50, "blocks": blocks}}
    train(tiny(**settings, train={"epochs": 2}), tmp_path / "run")
    features = np.random.default_rng(5).normal(size=(997, 8)).astype(np.float32).cumsum(0) / 4
    together, alone = fact_clip.load(tmp_path / "run"), fact_clip.load(tmp_path / "run")
    together.scorer.models, alone.scorer.models = [Counting(together.scorer.model)], [Counting(alone.scorer.model)]
    labels, confidence = together.scorer.predict(features)
    monkeypatch.setattr(scorer_module, "ROWS_AT_ONCE", 1)
    one_by_one, sure = alone.scorer.predict(features)
    assert set(alone.scorer.model.at_once) == {1}
    assert max(together.scorer.model.at_once) > 20
    assert len(together.scorer.model.lengths) == len(alone.scorer.model.lengths)
    assert set(alone.scorer.model.lengths) == ({12, 13} if interleave else {13})
    np.testing.assert_array_equal(labels, one_by_one)
    np.testing.assert_allclose(confidence, sure, atol=1e-5)


def test_a_transcript_is_aligned_in_one_pass(tiny, tmp_path):
    train(tiny(model={"transcript": True}, loss={"match": "seq"}, train={"epochs": 1}), tmp_path / "run")
    aligning = windowed(fact_clip.load(tmp_path / "run"), 40)
    order = ["no action", "grasp gear", "place gear"]
    assert aligning.segment(np.zeros((40, 8), np.float32), transcript=order).n_frames == 40
    with refused("decode.window"):
        aligning.segment(np.zeros((41, 8), np.float32), transcript=order)


def test_evaluate_validate_and_segment_read_the_same_windows(tiny, workbench, tmp_path, monkeypatch):
    """The three name each frame alike, none reads more than a window at once, and the windows matter."""
    folder = tmp_path / "run"
    train(tiny(decode={"window": 64}, train={"epochs": 3, "validate_every": 3}), folder)
    lengths, real = [], FACT.forward
    monkeypatch.setattr(
        FACT, "forward", lambda self, x, *rest, **how: lengths.append(x.shape[1]) or real(self, x, *rest, **how)
    )
    segmenter, result = fact_clip.load(folder), evaluate(folder).details
    dataset = Dataset.open(segmenter.run.config.data)
    truth, found, whole = [], [], windowed(segmenter, 0)
    for name in result["videos"]:
        labels = segmenter.segment(workbench / "features" / f"{name}.npy").to_frames()
        assert labels == (folder / "predictions/test" / f"{name}.txt").read_text().splitlines()
        truth.append(dataset.labels(name))
        found.append(dataset.vocabulary.encode(labels))
    background = dataset.vocabulary.background_indices
    figures = metrics.evaluate(truth, found, background=background, count_background=True)
    assert result["metrics"] == {"profile": "fact", **figures}
    validated = validate(segmenter.scorer, dataset, dataset.test, Processes("cpu"))
    assert validated["frame_accuracy"] == result["metrics"]["frame_accuracy"]
    assert validated["edit"] == result["metrics"]["edit"]
    assert set(lengths) == {16}
    features = dataset.features(result["videos"][0])
    assert np.abs(whole.scorer.predict(features)[1] - segmenter.scorer.predict(features)[1]).max() > 1e-6


def test_calibration_reads_the_same_windows(tiny, tmp_path, monkeypatch):
    """With classes held out, gamma and every way of the report come from windows too."""
    lengths, real = [], FACT.forward
    decode = {"window": 64, "prior_weight": 0.3}
    train(tiny(**ZERO_SHOT, decode=decode), tmp_path / "run")
    monkeypatch.setattr(
        FACT, "forward", lambda self, x, *rest, **how: lengths.append(x.shape[1]) or real(self, x, *rest, **how)
    )
    used = evaluate(tmp_path / "run").details
    again = evaluate(tmp_path / "run", overrides=["decode.gamma_cost=0.3"]).details  # chooses gamma again
    assert set(lengths) == {16}
    assert used["zero_shot"]["ways"]["in use"]["frame_accuracy"] == used["metrics"]["frame_accuracy"]
    assert again["zero_shot"]["gamma"] >= used["zero_shot"]["gamma"]
