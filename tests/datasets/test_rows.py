"""Labels of the rows that training reads: what is hidden leaves them before anything else."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.config import AugmentConfig, DataConfig
from fact_clip.datasets import from_arrays
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.loader import TrainingVideos
from fact_clip.datasets.memory import MemoryStore

NAMES = ["a", "b", "h", "i", "j"]
NONE = AugmentConfig(channels=0.0, time_spans=0)


def opened(labels, **data):
    rows = np.arange(len(labels), dtype=np.float32)[:, None].repeat(3, 1)
    source = from_arrays(
        {"v": rows, "w": rows + 1}, {"v": labels, "w": labels}, train=["v"], test=["w"], class_names=NAMES
    )
    config = DataConfig(layout="TD", fps=1.0, background=(), **data)
    return Dataset.open(config, MemoryStore(source))


def trained(dataset, stride, interleave=False, epoch=0):
    from fact_clip.datasets.features import FeatureTransform

    videos = TrainingVideos(dataset, FeatureTransform((), None, None, 3), NONE, 0, stride, interleave)
    item = videos[epoch, "v"]
    return item.features[:, 0].numpy().astype(int), item.labels


@pytest.mark.parametrize(
    ("labels", "stride", "expected"),
    [
        ("hhhaaabb", 4, [-1, 0]),  # the row shows h, its only visible frame is a
        ("ahhhbbbb", 4, [-1, 1]),  # most of the stride is h
        ("aahihiab", 4, [0, -1]),
        ("ahi", 3, [-1]),  # two hidden classes have two votes together, not one each
        ("ahh", 3, [-1]),
        ("?aahhh", 3, [0, -1]),
        ("haaa", 4, [-1]),
        ("ahb", 1, [0, -1, 1]),
    ],
)
def test_rows_of_hidden_classes_are_ignored(labels, stride, expected):
    dataset = opened(list(labels), holdout=("h", "i"))
    assert dataset.training_labels("v", stride).tolist() == expected
    frames, read = trained(dataset, stride)
    assert read.tolist() == expected
    shown = np.array(list(labels))[frames]
    assert not np.isin(shown[read >= 0], ["h", "i"]).any()


def test_without_a_holdout_the_majority_counts():
    assert opened(list("hhhaaabb")).training_labels("v", 4).tolist() == [2, 0]


@pytest.mark.parametrize("stride", [2, 4, 9])
def test_interleaved_rows_have_the_label_of_their_own_frame(stride):
    labels = list("aaaabbbbbbbbaaaajjjj?bb")
    dataset = opened(labels, holdout=("j",))
    starts = set()
    for epoch in range(40):
        frames, read = trained(dataset, stride, interleave=True, epoch=epoch)
        starts.add(frames[0])
        assert read.tolist() == dataset.labels("v")[frames].tolist()
    assert starts == set(range(stride))
