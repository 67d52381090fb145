"""Batches: padding, masking, strides, and that a run depends only on (seed, epoch)."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from fact_clip.config import AugmentConfig
from fact_clip.core import InputError
from fact_clip.datasets import dataset as dataset_module
from fact_clip.datasets.features import LIMIT, FeatureTransform
from fact_clip.datasets.loader import change_speed, collate, drop_channels, mask_time, training_batches

PLAIN = AugmentConfig(channels=0.0, time_spans=0)
TRAIN = ("a", "b", "c")
IDENTITY = FeatureTransform((), None, None, 5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def epoch_of(dataset, names=TRAIN, augment=PLAIN, size=2, seed=3, epoch=0, stride=1, interleave=False):
    return list(training_batches(dataset, names, IDENTITY, augment, size, seed, epoch, stride, interleave))


def by_name(batches):
    return {
        name: (batch.features[row, batch.mask[row]], batch.labels[row, batch.mask[row]])
        for batch in batches
        for row, name in enumerate(batch.names)
    }


def test_collate_pads_with_zeros_and_ignored_labels():
    batch = collate(
        [
            ("long", torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([0, 1, -1])),
            ("short", torch.tensor([[7.0, 8.0]]), np.array([2])),
        ]
    )
    assert batch.features.tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.labels.tolist() == [[0, 1, -1], [2, -1, -1]]
    assert (batch.features.dtype, batch.mask.dtype, batch.labels.dtype) == (torch.float32, torch.bool, torch.int64)
    assert batch.names == ("long", "short")


def test_collate_refuses():
    with pytest.raises(InputError, match="no videos"):
        collate([])
    with pytest.raises(InputError, match=r"video 'b': features \(3, 4\)"):
        collate([("a", torch.ones(3, 5), torch.zeros(3)), ("b", torch.ones(3, 4), torch.zeros(3))])
    with pytest.raises(InputError, match=r"features \(3, 5\), labels \(4,\)"):
        collate([("a", torch.ones(3, 5), torch.zeros(4))])


def test_batch_moves():
    batch = collate([("a", torch.ones(3, 5), torch.zeros(3, dtype=torch.int64))]).to("meta")
    assert {batch.features.device.type, batch.mask.device.type, batch.labels.device.type} == {"meta"}
    assert batch.names == ("a",)


def test_channels_are_dropped_whole():
    features = torch.randn(9, 4000, generator=generator(1))
    dropped = drop_channels(features, 0.3, generator())
    gone = (dropped == 0).all(dim=0)
    torch.testing.assert_close(dropped[:, ~gone], features[:, ~gone] / 0.7)
    assert 0.27 < gone.double().mean() < 0.33  # 4 standard deviations of 4,000 draws
    torch.testing.assert_close(drop_channels(features, 0.0, generator()), features)


def test_one_span():
    features = torch.ones(40, 2)
    lengths = set()
    for seed in range(200):
        masked = mask_time(features, 1, 6, 1.0, generator(seed))
        gone = torch.nonzero((masked == 0).all(dim=1))[:, 0].tolist()
        assert gone == list(range(gone[0], gone[0] + len(gone))) if gone else True
        assert int((masked == 0).sum()) == 2 * len(gone)
        lengths.add(len(gone))
    assert lengths == {0, 1, 2, 3, 4, 5}


def test_spans_are_capped_and_reach_both_ends():
    features = torch.ones(10, 1)
    touched = torch.zeros(10, dtype=torch.bool)
    longest = 0
    for seed in range(200):
        gone = mask_time(features, 1, 1000, 0.39, generator(seed))[:, 0] == 0
        touched |= gone
        longest = max(longest, int(gone.sum()))
    assert longest == 3  # floor(0.39 * 10)
    assert touched.all()


def test_a_span_of_length_zero_ends_it():
    features = torch.ones(200, 1)
    torch.testing.assert_close(mask_time(features, 5, 1, 1.0, generator()), features)  # lengths in [0, 1)
    torch.testing.assert_close(mask_time(features, 5, 30, 0.004, generator()), features)  # floor(0.8)
    torch.testing.assert_close(mask_time(features, 0, 30, 0.5, generator()), features)
    # with lengths 0 or 1, span n is reached only after n lengths of 1: a geometric count
    counts = [int((mask_time(features, 9, 2, 1.0, generator(seed)) == 0).sum()) for seed in range(400)]
    assert 0.42 < np.mean([count == 0 for count in counts]) < 0.58
    assert 0.18 < np.mean([count == 1 for count in counts]) < 0.32


def test_masking_returns_new_tensors():
    features = torch.randn(50, 8, generator=generator())
    before = features.clone()
    for masked in (drop_channels(features, 0.5, generator()), mask_time(features, 5, 30, 0.5, generator())):
        masked.fill_(7.0)
        assert torch.equal(features, before)
    assert mask_time(features, 0, 30, 0.5, generator()).data_ptr() != features.data_ptr()


def test_training_never_writes_into_cached_features(open_set):
    dataset = open_set()
    before = {name: dataset.transformed(name, IDENTITY).copy() for name in TRAIN}
    for epoch in range(3):
        for batch in epoch_of(dataset, augment=AugmentConfig(channels=0.5), epoch=epoch):
            batch.features.zero_()
            batch.labels.zero_()
    for name in TRAIN:
        np.testing.assert_array_equal(dataset.transformed(name, IDENTITY), before[name])
        np.testing.assert_array_equal(before[name], np.load(dataset.root / "features" / f"{name}.npy"))
    with pytest.raises(ValueError, match="read-only"):
        dataset.transformed("a", IDENTITY)[0] = 1


def test_an_epoch_has_every_video_once(open_set):
    dataset = open_set()
    batches = epoch_of(dataset)
    assert [len(batch.names) for batch in batches] == [2, 1]
    videos = by_name(batches)
    assert sorted(videos) == list(TRAIN)
    for name, (features, labels) in videos.items():
        np.testing.assert_array_equal(features, dataset.features(name))
        np.testing.assert_array_equal(labels, dataset.labels(name))


def test_determined_by_seed_and_epoch(open_set):
    augment = AugmentConfig(channels=0.5, time_share=0.5)
    first, again = (epoch_of(open_set(), augment=augment, epoch=4) for _ in range(2))
    torch.manual_seed(99)
    np.random.default_rng(99)
    for one, other in zip(first, again, strict=True):
        assert one.names == other.names
        assert torch.equal(one.features, other.features)
    for changed in ({"epoch": 5}, {"seed": 4}):
        video = by_name(epoch_of(open_set(), augment=augment, **{"epoch": 4, **changed}))["a"][0]
        assert not torch.equal(video, by_name(first)["a"][0])
    # neither the other videos, nor their order, nor the batch size change what a video looks like
    alone = by_name(epoch_of(open_set(), ("c", "a"), augment, size=1, epoch=4))
    for name in ("a", "c"):
        assert torch.equal(alone[name][0], by_name(first)[name][0])
    turned = epoch_of(open_set(), TRAIN[::-1], augment, epoch=4)
    assert [batch.names for batch in turned] == [batch.names for batch in first]


def test_orders_differ_between_epochs(open_set):
    dataset = open_set()
    orders = {tuple(name for batch in epoch_of(dataset, epoch=epoch) for name in batch.names) for epoch in range(40)}
    assert len(orders) == 6  # all orders of three videos


def test_stride(open_set, root):
    (root / "groundTruth" / "a.txt").write_text("\n".join(["idle"] * 5 + ["stir"] * 35))
    dataset = open_set()
    features, labels = by_name(epoch_of(dataset, ("a",), stride=3))["a"]
    np.testing.assert_array_equal(features, dataset.features("a")[::3])
    # strides of 3: frames 0-2 idle, 3-5 idle idle stir, then stir; the last has one frame
    assert labels.tolist() == [0, 0] + [2] * 12


def test_interleaved_strides_begin_at_any_row_with_its_labels(open_set, root):
    (root / "groundTruth" / "a.txt").write_text("\n".join(["idle"] * 5 + ["stir"] * 35))
    dataset, starts = open_set(), set()
    # rows 0-2 idle, 3-5 idle idle stir; or 1-3 idle, 4-6 stir by majority; or 2-4 idle, 5-7 stir
    idle = {0: 2, 1: 1, 2: 1}
    for epoch in range(40):
        features, labels = by_name(epoch_of(dataset, ("a",), epoch=epoch, stride=3, interleave=True))["a"]
        (start,) = [row for row in range(3) if np.array_equal(features[0], dataset.features("a")[row])]
        np.testing.assert_array_equal(features, dataset.features("a")[start::3])
        assert labels.tolist() == [0] * idle[start] + [2] * (len(features) - idle[start])
        starts.add(start)
    assert starts == {0, 1, 2}


def test_context_is_taken_before_the_stride(open_set):
    dataset = open_set()
    transform = FeatureTransform.fit([dataset.features("a")], (5,), standardize=True)
    (batch,) = training_batches(dataset, ("b",), transform, PLAIN, 1, 3, 0, 4)
    np.testing.assert_array_equal(batch.features[0], transform(dataset.features("b"))[::4])


def test_ignored_labels_pass(open_set):
    class Masked:
        """A data set with one class masked, as hold-out does it."""

        def __init__(self, inner):
            self.transformed = inner.transformed
            self.labels = lambda name: np.where(inner.labels(name) == 1, -1, inner.labels(name))

    labels = by_name(epoch_of(Masked(open_set()), ("a",)))["a"][1]
    assert labels.tolist() == [0] * 14 + [-1] * 13 + [2] * 13


def test_cache_follows_the_transform(open_set):
    dataset = open_set()
    first = dataset.transformed("a", IDENTITY)
    assert dataset.transformed("a", IDENTITY) is first
    double = FeatureTransform((), np.zeros(5, np.float32), np.full(5, 0.5, np.float32), 5)
    np.testing.assert_array_equal(dataset.transformed("a", double), np.clip(2 * first, -LIMIT, LIMIT))
    np.testing.assert_array_equal(dataset.transformed("a", IDENTITY), first)


def test_a_large_set_stays_on_disk(open_set, root, monkeypatch):
    # each video is 8 MB as float32, and the cache holds one of them
    for name in TRAIN:
        features = np.lib.format.open_memmap(
            root / "features" / f"{name}.npy", mode="w+", dtype=np.float16, shape=(10_000, 200)
        )
        features[:] = ord(name)
        (root / "groundTruth" / f"{name}.txt").write_text("stir\n" * 10_000)
    monkeypatch.setattr(dataset_module, "CACHE_BYTES", 12_000_000)
    dataset = open_set(layout="TD")
    transform = FeatureTransform((), None, None, 200)
    for name in TRAIN:
        assert isinstance(dataset.features(name).base, np.memmap)
        dataset.labels(name)
    tracemalloc.start()
    for epoch in range(2):
        for batch in training_batches(dataset, TRAIN, transform, PLAIN, 1, 0, epoch):
            assert (batch.features == ord(batch.names[0])).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = [dataset.transformed(name, transform) is dataset.transformed(name, transform) for name in TRAIN]
    assert sum(kept) == 1
    # one kept, one at work in float64 (16 MB) and float32, one in a batch; all three kept would be 56 MB
    assert peak < 45e6


def test_speed_takes_the_nearest_frames():
    """The labels go with the frames; the length follows the factor and stays inside the bounds."""
    features = torch.arange(12.0).unsqueeze(1)
    labels = np.arange(12)
    lengths = set()
    for seed in range(30):
        found, its_labels = change_speed(features, labels, 1.0, torch.Generator().manual_seed(seed))
        assert found[:, 0].tolist() == its_labels.tolist()
        assert its_labels.tolist() == [int((t + 0.5) * 12 / len(found)) for t in range(len(found))]
        lengths.add(len(found))
    assert min(lengths) in (6, 7)
    assert max(lengths) in (22, 23, 24)
    one, _ = change_speed(features[:1], labels[:1], 1.0, torch.Generator().manual_seed(0))
    assert len(one) == 1
