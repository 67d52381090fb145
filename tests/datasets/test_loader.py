"""Batches, their true segments, augmentation and the order of videos."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fact_clip.config import AugmentConfig
from fact_clip.datasets.augmentation import change_speed, drop_channels, mask_time
from fact_clip.datasets.features import LIMIT, FeatureTransform
from fact_clip.datasets.loader import Item, TrainingLoader, TrainingVideos, collate
from fact_clip.losses.truth import Truth

from ..refusals import refused
from ..small import training_batches

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
            Item("long", torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([0, 1, -1]), np.arange(3)),
            Item("short", torch.tensor([[7.0, 8.0]]), np.array([2]), np.array([4])),
        ]
    )
    assert batch.features.tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.labels.tolist() == [[0, 1, -1], [2, -1, -1]]
    assert (batch.features.dtype, batch.mask.dtype, batch.labels.dtype) == (torch.float32, torch.bool, torch.int64)
    assert batch.names == ("long", "short")
    assert batch.frames.tolist() == [[0, 1, 2], [4, -1, -1]]


def test_a_longer_batch_is_padded():
    first = Item("a", torch.ones(2, 1), torch.tensor([0, 1]), np.arange(2))
    batch = collate([first, Item("b", torch.ones(1, 1), torch.tensor([2]), np.arange(1))])
    longer = batch.longer(4)
    assert longer.features.tolist() == [[[1], [1], [0], [0]], [[1], [0], [0], [0]]]
    assert longer.mask.tolist() == [[True, True, False, False], [True, False, False, False]]
    assert longer.labels.tolist() == [[0, 1, -1, -1], [2, -1, -1, -1]]
    truth = Truth.of(longer.labels)
    assert truth.segment.tolist() == [[0, 1, 2, 2], [0, 2, 2, 2]]
    assert truth.classes.tolist() == [[0, 1], [2, -1]]
    assert longer.frames.tolist() == [[0, 1, -1, -1], [0, -1, -1, -1]]
    alone = collate([first])
    assert (alone.padded, alone.longer(3).padded, alone.mask.shape) == (False, True, (1, 2))


def test_channels_are_dropped_whole():
    features = torch.randn(9, 4000, generator=generator(1))
    dropped = drop_channels(features, 0.3, generator())
    gone = (dropped == 0).all(dim=0)
    torch.testing.assert_close(dropped[:, ~gone], features[:, ~gone] / 0.7)
    assert 0.27 < gone.double().mean() < 0.33  # 4 standard deviations of 4,000 draws
    torch.testing.assert_close(drop_channels(features, 0.0, generator()), features)


def test_noise_has_its_deviation_and_each_epoch_its_own(open_set):
    dataset = open_set()
    transform, name = FeatureTransform((), None, None, dataset.input_dim), dataset.train[0]
    plain = TrainingVideos(dataset, transform, PLAIN, seed=0)[0, name].features
    noisy = TrainingVideos(dataset, transform, PLAIN.model_copy(update={"noise": 2.0}), seed=0)
    first, second = noisy[0, name].features - plain, noisy[1, name].features - plain
    assert first.std() == pytest.approx(2, rel=0.2)
    assert not torch.equal(first, second)
    assert torch.equal(noisy[0, name].features - plain, first)


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
    idle = {0: 2, 1: 2, 2: 1}  # frames 0 and 3; 1 and 4; 2
    for epoch in range(40):
        features, labels = by_name(epoch_of(dataset, ("a",), epoch=epoch, stride=3, interleave=True))["a"]
        (start,) = [row for row in range(3) if np.array_equal(features[0], dataset.features("a")[row])]
        np.testing.assert_array_equal(features, dataset.features("a")[start::3])
        assert labels.tolist() == [0] * idle[start] + [2] * (len(features) - idle[start])
        starts.add(start)
    assert starts == {0, 1, 2}


def test_context_is_taken_before_the_stride(open_set):
    dataset = open_set()
    transform = FeatureTransform.fit([dataset.features("a")], (5,))
    (batch,) = training_batches(dataset, ("b",), transform, PLAIN, 1, 3, 0, 4)
    np.testing.assert_array_equal(batch.features[0], transform(dataset.features("b"))[::4])


def test_the_encoder_follows_the_training_videos(open_set):
    """Features of two encoders, of which each selection of videos has one."""
    dataset = open_set()
    for name, encoder in (("a", "first"), ("b", "second")):
        path = next(iter(dataset.folder.feature_files((name,))))
        path.with_suffix(".json").write_text(json.dumps({"encoder": encoder}))
    assert dataset.with_videos(("a",), ()).encoder == "first"
    of_a = dataset.with_videos(("a",), ())
    assert of_a.encoder == "first"
    assert of_a.with_videos(("b",), ()).encoder == "second"


def test_cache_follows_the_transform(open_set):
    dataset = open_set()
    first = dataset.transformed("a", IDENTITY)
    assert dataset.transformed("a", IDENTITY) is first
    double = FeatureTransform((), np.zeros(5, np.float32), np.full(5, 0.5, np.float32), 5)
    np.testing.assert_array_equal(dataset.transformed("a", double), np.clip(2 * first, -LIMIT, LIMIT))
    np.testing.assert_array_equal(dataset.transformed("a", IDENTITY), first)
    # The inputs of another selection of videos are its own.
    np.testing.assert_array_equal(
        dataset.with_videos(("a",), ()).transformed("a", double), np.clip(2 * first, -LIMIT, LIMIT)
    )
    np.testing.assert_array_equal(dataset.transformed("a", IDENTITY), first)


def test_speed_takes_the_nearest_frames():
    """The labels go with the frames; the length follows the factor and stays inside the bounds."""
    lengths = set()
    for seed in range(30):
        found = change_speed(12, 1.0, torch.Generator().manual_seed(seed))
        assert found.tolist() == [int((t + 0.5) * 12 / len(found)) for t in range(len(found))]
        lengths.add(len(found))
    assert min(lengths) in (6, 7)
    assert max(lengths) in (22, 23, 24)
    assert len(change_speed(1, 1.0, torch.Generator().manual_seed(0))) == 1


# --- the order of an epoch, its readers, and batches of similar length -----------------------------------------------


class Rows:
    """Stands for a data set: video n has 10 (n % 7) + n + 1 rows, all of them n, and labels 0, 1, 2, ... modulo 5."""

    names = tuple(f"v{number}" for number in range(45))

    def labels(self, name):
        number = int(name[1:])
        return np.arange(10 * (number % 7) + number + 1) % 5

    def length(self, name):
        return len(self.labels(name))

    def training_labels(self, name, stride=1):
        return self.labels(name)[::stride]

    def transformed(self, name, transform, cache_bytes):
        return np.full((len(self.labels(name)), 3), int(name[1:]), np.float32)


def loader(names=Rows.names, size=2, seed=3, augment=PLAIN, label_map=None, **options):
    return TrainingLoader(TrainingVideos(Rows(), IDENTITY, augment, seed, label_map=label_map), names, size, **options)


def order_of(batches):
    return [name for batch in batches for name in batch.names]


def assert_same(one, other):
    assert one.names == other.names
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.mask, other.mask)
    assert torch.equal(one.labels, other.labels)
    assert (one.gain, one.share) == (other.gain, other.share)


@pytest.mark.parametrize(("seed", "epoch", "expected"), [(3, 0, "dbaefcg"), (3, 1, "fgbacde"), (4, 0, "debfagc")])
def test_the_order_is_the_recorded_one(seed, epoch, expected):
    """Recorded figures (docs/results.md) depend on it."""

    class Letters(Rows):
        def labels(self, name):
            return np.zeros(4, np.int64)

        def transformed(self, name, transform, cache_bytes):
            return np.zeros((4, 3), np.float32)

    videos = TrainingVideos(Letters(), IDENTITY, PLAIN, seed)
    assert "".join(order_of(TrainingLoader(videos, "abcdefg", 2).epoch(epoch))) == expected


def test_readers_change_nothing():
    """Batches of two processes over two epochs, the second taken up in the middle, are those of this process."""
    augment = AugmentConfig(channels=0.5, time_share=0.5, speed=0.3)
    alone, two = loader(augment=augment), loader(augment=augment, workers=2)
    for epoch, first in ((0, 0), (1, 20)):
        batches = list(alone.epoch(epoch, first))
        assert len(batches) == alone.n_batches - first
        for one, other in zip(batches, two.epoch(epoch, first), strict=True):
            assert_same(one, other)


def test_torch_s_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(loader().epoch(0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_is_told_as_itself_by_another_process(open_set, root, workers):
    path = root / "features" / "b.npy"
    rows = np.load(path)
    rows[7, 2] = np.inf
    np.save(path, rows)
    videos = TrainingVideos(open_set(), IDENTITY, PLAIN, 3)
    with refused("b.npy"):
        list(TrainingLoader(videos, TRAIN, 1, workers=workers).epoch(0))


def test_processes_share_each_batch():
    """45 videos, 6 a step for 4 processes: the last step has 3 of them, so that the fourth process has none."""
    whole = list(loader(size=6).epoch(2))
    parts = [list(loader(size=6, rank=rank, world=4).epoch(2)) for rank in range(4)]
    for step, batch in enumerate(whole[:-1]):
        assert [part[step].names for part in parts] == [batch.names[rank::4] for rank in range(4)]
        assert [part[step].share for part in parts] == [2 / 6, 2 / 6, 1 / 6, 1 / 6]
    names = whole[-1].names
    assert [part[-1].names for part in parts] == [(names[0],), (names[1],), (names[2],), (names[0],)]
    assert [part[-1].share for part in parts] == [1 / 3, 1 / 3, 1 / 3, 0]


def test_labels_become_places_before_the_truth_is_cut():
    """Classes 1 and 3 are the candidates 0 and 1; all others are ignored, and so are frames without a label."""
    place = np.array([-1, 0, -1, 1, -1, -1])
    (batch,) = loader(names=("v7",), size=1, label_map=place).epoch(0)  # labels 0 1 2 3 4 0 1 2
    assert batch.labels.tolist() == [[-1, 0, -1, 1, -1, -1, 0, -1]]
    truth = Truth.of(batch.labels)
    assert truth.segment.tolist() == [[3, 0, 3, 1, 3, 3, 2, 3]]
    assert truth.classes.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("context", [(), (3,)])
def test_float16_files_are_read_as_such_and_train_as_their_values_do(open_set, root, context):
    """A float32 file of the same values gives the same input, to the bit."""
    augment, transform = (AugmentConfig(channels=0.3, time_share=0.3), FeatureTransform(context, None, None, 5))
    inputs, as_torch = {}, {np.float16: torch.float16, np.float32: torch.float32}
    for dtype in (np.float16, np.float32):
        for name in TRAIN:
            path = root / "features" / f"{name}.npy"
            np.save(path, np.load(path).astype(np.float16).astype(dtype))
        dataset = open_set()
        assert dataset.features("a").dtype == dtype
        assert dataset.transformed("a", transform).dtype == (np.float32 if context else dtype)
        batches = list(training_batches(dataset, TRAIN, transform, augment, 2, 3, 0))
        assert {batch.features.dtype for batch in batches} == {torch.float32 if context else as_torch[dtype]}
        inputs[dtype] = [batch.to("cpu") for batch in batches]
    for one, other in zip(inputs[np.float16], inputs[np.float32], strict=True):
        assert one.features.dtype == torch.float32
        assert torch.equal(one.features, other.features)


def test_segments_are_runs_of_one_label_within_a_video() -> None:
    truth = Truth.of(torch.tensor([[2, 2, -1, 2, 0, 0], [1, 1, 1, 3, -1, -1], [-1, -1, -1, -1, -1, -1]]))
    assert truth.segment.tolist() == [[0, 0, 3, 1, 2, 2], [0, 0, 0, 1, 3, 3], [3] * 6]
    assert truth.classes.tolist() == [[2, 2, 0], [1, 3, -1], [-1, -1, -1]]
    assert [each.tolist() for each in truth.transcripts] == [[2, 2, 0], [1, 3], []]


@pytest.mark.parametrize("half", [("a",), ("b", "c"), TRAIN[1:2]])
def test_files_of_two_types_train_as_their_values_do(half, open_set, root):
    augment = AugmentConfig(channels=0.3, time_spans=0)
    inputs = []
    for names in ((), half):
        for name in TRAIN:
            path = root / "features" / f"{name}.npy"
            dtype = np.float16 if name in names else np.float32
            np.save(path, np.load(path).astype(np.float16).astype(dtype))
        batches = list(training_batches(open_set(), TRAIN, IDENTITY, augment, 3, 3, 0))
        inputs.append([batch.to("cpu").features for batch in batches])
    for one, other in zip(*inputs, strict=True):
        assert torch.equal(one, other)
