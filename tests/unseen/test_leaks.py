"""A leak that is planted at any stage between the labels and the loss is seen in the first epoch."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import majority_stride
from fact_clip.datasets import loader
from fact_clip.datasets.dataset import Dataset
from fact_clip.training import train
from fact_clip.unseen.masking import check_leak, masked, masked_rows

from ..refusals import refused
from ..small import ZERO_SHOT

INTERLEAVED = {"data": {"interleave": True}}
FASTER = {"augment": {"speed": 0.5}}


def plant_plain_labels(patch):
    patch.setattr(Dataset, "training_labels", lambda self, name, stride=1: self.all_labels(name)[::stride])


def plant_majority_of_masked_labels(patch):
    """The majority must not be taken of what is left of a stride."""
    patch.setattr(Dataset, "training_labels", lambda self, name, stride=1: majority_stride(self.labels(name), stride))


def plant_labels_of_the_next_row(patch):
    read = loader.TrainingVideos._read

    def shifted(self, epoch, name):
        item = read(self, epoch, name)
        return loader.Item(item.name, item.features, np.roll(item.labels, 1), item.frames)

    patch.setattr(loader.TrainingVideos, "_read", shifted)


def plant_wrong_places(patch):
    """Ignored frames become the first class on the way to the loss."""
    collate = loader.collate

    def with_labels(items):
        changed = [loader.Item(i.name, i.features, np.maximum(i.labels, 0), i.frames) for i in items]
        return collate(changed)

    patch.setattr(loader, "collate", with_labels)


def plant_other_rows_of_a_faster_video(patch):
    change = loader.change_speed

    def changed(n_rows, speed, generator):
        rows = change(n_rows, speed, generator)
        return rows.flip(0) if n_rows else rows

    patch.setattr(loader, "change_speed", changed)
    read = loader.TrainingVideos._read

    def with_old_labels(self, epoch, name):
        item = read(self, epoch, name)
        return loader.Item(item.name, item.features, item.labels[::-1].copy(), item.frames)

    patch.setattr(loader.TrainingVideos, "_read", with_old_labels)


@pytest.mark.parametrize("head", ["closed", "text"])
@pytest.mark.parametrize(
    ("plant", "settings"),
    [
        (plant_plain_labels, INTERLEAVED),
        (plant_majority_of_masked_labels, {}),
        (plant_labels_of_the_next_row, {}),
        (plant_labels_of_the_next_row, INTERLEAVED),
        (plant_wrong_places, {}),
        (plant_other_rows_of_a_faster_video, FASTER),
    ],
)
def test_a_planted_leak_is_seen(plant, settings, head, tiny, tmp_path, monkeypatch):
    if plant is plant_plain_labels and head == "text":
        pytest.skip("a text head has no place for a hidden class")
    base = ZERO_SHOT | {"model": ZERO_SHOT["model"] | {"head": head}}
    groups = {key: {**base.get(key, {}), **settings.get(key, {})} for key in base.keys() | settings.keys()}
    train(tiny(**groups), tmp_path / "sound")
    plant(monkeypatch)
    with refused() as refusal:
        train(tiny(**groups), tmp_path / "leaky")
    assert "which is held out, and has a label" in refusal.message


def test_a_leak_names_video_and_frame():
    shown = {"u": np.array([0, 1, 2, 2]), "v": np.array([2, 0])}
    frames = np.array([[0, 1, 2, 3], [0, 1, -1, -1]])

    def check(labels):
        check_leak(("u", "v"), frames, np.array(labels), shown.get, (2,), ("cut", "stir", "pour"))

    check([[0, 1, -1, -1], [-1, 0, -1, -1]])
    with refused("training video 'u'") as refusal:
        check([[0, 1, -1, 1], [-1, 0, -1, -1]])
    assert "frame 3 shows 'pour'" in refusal.message
    with refused("training video 'v'"):
        check([[0, 1, -1, -1], [0, 0, -1, -1]])


def test_masks_by_hand():
    labels = np.array([0, 1, 2, 3, 3, -1, 1, 0, 0])
    assert masked(labels, (2, 3)).tolist() == [0, 1, -1, -1, -1, -1, 1, 0, 0]
    assert masked(labels, ()) is labels
    assert masked_rows(labels, (2, 3), 3).tolist() == [0, -1, 0]  # 0 1 2: first of three; 3 3 ?; 1 0 0
    assert masked_rows(labels, (), 3).tolist() == [0, 3, 0]


def test_a_row_does_not_depend_on_which_hidden_class_it_shows():
    rng = np.random.default_rng(0)
    for _ in range(300):
        labels = rng.integers(-1, 6, rng.integers(1, 40))
        hidden = (3, 4, 5)
        other = np.where(labels >= 3, rng.integers(3, 6, len(labels)), labels)
        stride = int(rng.integers(1, 8))
        rows = masked_rows(labels, hidden, stride)
        np.testing.assert_array_equal(rows, masked_rows(other, hidden, stride))
        assert not np.isin(rows, hidden).any()
        assert (rows[np.isin(labels[::stride], hidden)] == -1).all()
