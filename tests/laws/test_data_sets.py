"""Laws over generated data sets: files and memory agree, batch and single, and hidden labels stay hidden."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fact_clip
from fact_clip.config import AugmentConfig, DataConfig
from fact_clip.datasets import Dataset, from_arrays
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.loader import TrainingVideos, collate
from fact_clip.datasets.memory import MemoryStore, save, with_data
from fact_clip.training import train

NAMES = ("rest", "cut ham", "cut egg", "stir egg", "pour ham", "?")
PLAIN = AugmentConfig(channels=0.0, time_spans=0)


@st.composite
def data_sets(draw):
    """A data set in memory, with its settings: strides, backgrounds, holdouts, ignored frames, short videos."""
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    arrays, labels = {}, {}
    for number in range(draw(st.integers(3, 5))):
        n_frames = draw(st.sampled_from([1, 2, 5, 17, 40]))
        runs = rng.integers(0, len(NAMES), n_frames)
        frames = np.repeat(runs, rng.integers(1, 6, n_frames))[:n_frames]
        arrays[f"v{number}"] = rng.normal(size=(n_frames, 4)).astype(np.float32)
        labels[f"v{number}"] = [NAMES[label] for label in frames]
    labels["v0"] = ["cut ham"] * len(labels["v0"])  # something to train on
    source = from_arrays(
        arrays,
        labels,
        test=[f"v{len(arrays) - 1}"],
        class_names=NAMES[:-1],
        fps=draw(st.sampled_from([None, 1.0, 29.97])),
        background=draw(st.sampled_from([(), ("rest",), ("rest", "pour ham")])),
    )
    values = {
        "stride": draw(st.integers(1, 5)),
        "interleave": draw(st.booleans()),
        "context": draw(st.sampled_from([(), (3,)])),
        "holdout": draw(st.sampled_from([None, ("cut egg",), ("cut egg", "stir egg")])),
        "layout": "TD",
    }
    return source, values


def opened(source, values, root=None):
    config = with_data(fact_clip.Config(data=DataConfig(name="folder", **values)), source).data
    if root is None:
        return Dataset.open(config, MemoryStore(source))
    return Dataset.open(config.model_copy(update={"root": str(root)}))


def batch_of(dataset, values):
    transform = FeatureTransform(values["context"], None, None, 4)
    videos = TrainingVideos(dataset, transform, PLAIN, 0, values["stride"], values["interleave"])
    return collate([videos[0, name] for name in dataset.train])


@given(data_sets())
@settings(max_examples=60)
def test_files_and_memory_agree_and_hidden_labels_stay_hidden(case):
    source, values = case
    memory = opened(source, values)
    with tempfile.TemporaryDirectory() as folder:
        files = opened(source, values, save(source, Path(folder) / "data"))
        assert (files.train, files.test, files.vocabulary) == (memory.train, memory.test, memory.vocabulary)
        for name in memory.videos:
            np.testing.assert_array_equal(files.labels(name), memory.labels(name))
            np.testing.assert_array_equal(files.features(name), memory.features(name))
            times = files.times(name), memory.times(name)
            assert (times[0] is None) == (times[1] is None)
            if times[0] is not None:
                np.testing.assert_allclose(times[0], times[1])
        one, other = batch_of(files, values), batch_of(memory, values)
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(one.labels, other.labels)

    memory.check_leak(other.names, other.frames.numpy(), other.labels.numpy())
    for row, name in enumerate(other.names):
        frames, labels = other.frames[row].numpy(), other.labels[row].numpy()
        is_row = frames >= 0
        assert is_row.sum() == -(-memory.length(name) // values["stride"]) or values["interleave"]
        raw = memory.features(name)[frames[is_row]]
        np.testing.assert_array_equal(other.features[row, is_row, :4].numpy(), raw)
        if values["interleave"] or values["stride"] == 1:
            np.testing.assert_array_equal(labels[is_row], memory.labels(name)[frames[is_row]])
        assert not np.isin(labels, memory.hidden).any()


@pytest.fixture(scope="module", params=[(1, False), (3, False), (3, True)])
def segmenter(request, tiny, tmp_path_factory):
    stride, interleave = request.param
    folder = tmp_path_factory.mktemp("laws") / "run"
    data = {"stride": stride, "interleave": interleave, "context": [5], "standardize": True}
    train(tiny(data=data, decode={"durations": 1.0, "order": 1.0}, train={"epochs": 1}), folder)
    return fact_clip.load(folder)


@given(st.lists(st.sampled_from([1, 2, 3, 7, 31, 64]), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=15)
def test_array_file_and_batch_give_the_same_segments(segmenter, n_frames, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(count, segmenter.scorer.width)).astype(np.float32) for count in n_frames]
    single = [segmenter.segment(rows) for rows in arrays]
    assert [found.n_frames for found in single] == n_frames
    assert [found.fps for found in single] == [segmenter.scorer.fps] * len(arrays)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, rows in enumerate(arrays):
            paths.append(Path(folder) / f"v{number}.npy")
            np.save(paths[-1], rows if segmenter.scorer.needs.layout == "TD" else rows.T)
        from_files = [segmenter.segment(path) for path in paths]
    candidates = segmenter.choose()
    clocks = [fact_clip.core.Clock(fps=segmenter.scorer.fps)] * len(arrays)
    together = segmenter.scorer.score_together(arrays, candidates, clocks)
    for alone, of_file, scores, rows in zip(single, from_files, together, arrays, strict=True):
        assert of_file.segments == alone.segments
        own = segmenter.scorer.score(rows, candidates)
        for voter, same in zip(scores.voters, own.voters, strict=True):
            np.testing.assert_allclose(voter.frames.numpy(), same.frames.numpy(), atol=1e-5)
