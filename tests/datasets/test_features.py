"""Feature files and the transform, against slow loops and values worked out by hand."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fact_clip.core.errors import OrientationError
from fact_clip.datasets.features import (
    LIMIT,
    FeatureTransform,
    check_finite,
    check_length,
    lengths_agree,
    load_features,
    read_clock,
    read_layout,
    sidecar_faults,
)

from ..refusals import refused


def slow_context(features: np.ndarray, context: tuple[int, ...]) -> np.ndarray:
    """Frame by frame: the columns, then mean and deviation of the frames in each window."""
    rows = []
    for frame in range(len(features)):
        row = [features[frame]]
        for window in context:
            start = frame - window // 2
            inside = [features[t] for t in range(start, start + window) if 0 <= t < len(features)]
            row += [np.mean(inside, axis=0), np.std(inside, axis=0)]
        rows.append(np.concatenate(row))
    return np.stack(rows)


VIDEOS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 4)),
    elements=st.integers(-40, 40).map(lambda value: value / 8),
)


@given(VIDEOS, st.lists(st.integers(1, 40), max_size=3).map(tuple))
def test_context_is_the_slow_loop(features, context):
    transform = FeatureTransform(context, None, None, features.shape[1])
    out = transform(features)
    assert out.dtype == np.float32
    assert out.shape == (len(features), transform.width)
    # a windowed variance is a difference of sums: below 1e-5 of the scale a deviation counts as none
    np.testing.assert_allclose(out, slow_context(features.astype(np.float64), context), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("step", [1, 3, 7])
def test_blocks_are_the_rows_of_the_whole(step):
    features = np.random.default_rng(1).normal(5, 2, (1500, 4)).astype(np.float32)
    transform = FeatureTransform.fit([features], (5, 200))
    blocks = list(transform.blocks(features, 100, 1401, step))
    assert max(map(len, blocks)) <= 402
    plain = replace(transform, mean=None, std=None)
    out = (plain(features) - transform.mean) / transform.std
    np.testing.assert_allclose(np.concatenate(blocks), out[100:1401:step].clip(-LIMIT, LIMIT), atol=1e-5)
    np.testing.assert_allclose(plain(features), slow_context(features.astype(np.float64), (5, 200)), atol=1e-5)


def test_context_by_hand():
    features = np.array([[1.0], [3.0], [8.0], [0.0]], np.float16)
    out = FeatureTransform((3, 2), None, None, 1)(features)
    # windows of 3: frames 0-1, 0-2, 1-3, 2-3; windows of 2: frame 0, 0-1, 1-2, 2-3
    np.testing.assert_allclose(out[:, 1], [2, 4, 11 / 3, 4], rtol=1e-6)
    np.testing.assert_allclose(out[:, 2], [1, np.sqrt(26 / 3), np.sqrt(98 / 9), 4], rtol=1e-6)
    np.testing.assert_allclose(out[:, 3], [1, 2, 5.5, 4], rtol=1e-6)
    np.testing.assert_allclose(out[:, 4], [0, 1, 2.5, 4], rtol=1e-6)


def test_context_far_from_zero_and_many_columns():
    # the deviation of values near 10,000 must not drown in their squares; more columns than one block
    rng = np.random.default_rng(0)
    features = 10_000 + rng.standard_normal((200, 300))
    out = FeatureTransform((5,), None, None, 300)(features)
    np.testing.assert_allclose(out[:, 600:], slow_context(features, (5,))[:, 600:], rtol=1e-4)


def test_a_column_that_never_changes_has_no_deviation():
    features = np.full((100, 2), 0.1)
    features[:, 1] = np.arange(100)
    out = FeatureTransform((7,), None, None, 2)(features)
    assert (out[:, 4] == 0).all()


@given(st.lists(VIDEOS.filter(lambda v: v.shape[1] == 2), min_size=1, max_size=4), st.sampled_from([(), (3,)]))
def test_standardised_training_frames(videos, context):
    transform = FeatureTransform.fit(videos, context)
    plain = FeatureTransform(context, None, None, 2)
    everything = np.concatenate([plain(video) for video in videos]).astype(np.float64)
    deviation = everything.std(axis=0)
    constant = deviation <= 1e-6 * np.abs(everything.mean(axis=0))
    np.testing.assert_allclose(transform.mean, everything.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(transform.std, np.where(constant, 1.0, deviation), rtol=1e-4, atol=1e-6)
    out = np.concatenate([transform(video) for video in videos])
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-3)


def test_without_standardising_columns_stay_as_they_are():
    features = np.array([[1.5, -2.0]], np.float16)
    transform = FeatureTransform((), None, None, 2)
    out = transform(features)
    assert out.tolist() == [[1.5, -2.0]]
    out[:] = 9
    assert features.tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("standardize", [False, True])
def test_arrays_there_and_back(standardize):
    features = np.random.default_rng(0).standard_normal((30, 4))
    transform = FeatureTransform.fit([features], (5, 9)) if standardize else FeatureTransform((5, 9), None, None, 4)
    arrays = transform.to_arrays()
    assert set(arrays) == {"context", "input_dim"} | ({"mean", "std"} if standardize else set())
    again = FeatureTransform.from_arrays(arrays)
    assert (again.context, again.input_dim, again.width) == ((5, 9), 4, 20)
    np.testing.assert_array_equal(again(features), transform(features))


@pytest.mark.parametrize(
    ("rows", "labels", "agree"),
    [
        (990, 1000, True),
        (989, 1000, False),
        (2020, 2000, True),
        (2021, 2000, False),
        (110, 100, True),
        (111, 100, False),
        (20, 30, False),
        (28, 30, True),
        (4, 6, True),
        (3, 6, False),
    ],
)
def test_lengths_agree(rows, labels, agree):
    assert lengths_agree(rows, labels) is agree


def test_layouts(tmp_path):
    stored = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "td.npy", stored)
    np.save(tmp_path / "dt.npy", stored.T)
    for name, layout in (("td", "TD"), ("dt", "DT")):
        loaded = load_features(tmp_path / f"{name}.npy", layout)
        np.testing.assert_array_equal(loaded, stored)
        assert not loaded.flags.writeable
        assert read_layout("v", np.load(tmp_path / f"{name}.npy").shape, 20) == layout
        check_length(Path("v"), loaded, layout, 20)
    assert read_layout("v", (20, 17), 18) is None
    with refused("v"):
        read_layout("v", (20, 3), 60)
    with refused("td.npy"):
        load_features(tmp_path / "td.npy", None)
    with refused("v", OrientationError):
        check_length(Path("v"), load_features(tmp_path / "td.npy", "DT"), "DT", 20)
    with refused("v"):
        check_length(Path("v"), stored, "TD", 60)


def test_large_files_stay_on_disk(tmp_path):
    # 400 MB that take no room on disk: the file has holes where nothing was written
    path = tmp_path / "large.npy"
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(2000, 50_000))
    mapped[7, 49_000] = np.nan
    del mapped
    tracemalloc.start()
    features = load_features(path, "DT")
    assert features.shape == (50_000, 2000)
    assert features[49_000, 7] != features[49_000, 7]
    opened = tracemalloc.get_traced_memory()[1]
    with refused("large.npy"):
        check_finite(path, features)
    checked = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened < 1e6
    assert checked < 40e6  # booleans of one chunk of frames


def test_far_off_values_are_cut():
    """A column that is 0 but once in training has a deviation of .1; a value of 9 elsewhere is cut at the limit."""
    training = np.zeros((100, 1), np.float32)
    training[3] = 1
    transform = FeatureTransform.fit([training], ())
    found = transform(np.array([[0.0], [9.0], [-9.0]], np.float32))[:, 0]
    assert found.tolist() == pytest.approx([-0.01 / np.sqrt(0.0099), LIMIT, -LIMIT], rel=1e-5)


def test_a_column_of_no_object_shares_with_no_other_block():
    """Two objects of two values and a last column of no object, whose kind is 2 + 4."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)).astype(np.float32)
    rows[:, 4] = 500 + 50 * rows[:, 4]
    kinds = np.array([0, 1, 0, 1, 6])
    transform = FeatureTransform.fit([rows], context=(5,), kinds=kinds)
    alone = FeatureTransform.fit([rows], context=(5,))
    for block in range(3):  # the columns, their window means and their window deviations
        own = 5 * block + 4
        assert transform.mean[own] == pytest.approx(alone.mean[own])
        assert transform.std[own] == pytest.approx(alone.std[own])
        for kind in (0, 1):
            pair = [5 * block + kind, 5 * block + 2 + kind]
            middle = alone.mean[pair].mean()
            variance = (alone.std[pair] ** 2 + (alone.mean[pair] - middle) ** 2).mean()
            assert transform.mean[pair] == pytest.approx([middle, middle], rel=1e-4, abs=1e-5)
            assert transform.std[pair] == pytest.approx([variance**0.5] * 2, rel=1e-4)


def test_columns_of_one_kind_share_their_statistics():
    """As if their values stood in one column; context columns have kinds of their own."""
    rng = np.random.default_rng(0)
    videos = [rng.normal(3, 2, (40, 4)), rng.normal(-1, 5, (25, 4))]
    kinds = np.array([0, 1, 0, 1])
    transform = FeatureTransform.fit(videos, (5,), kinds)
    plain = FeatureTransform((5,), None, None, 4)
    everything = np.concatenate([plain(video) for video in videos]).astype(np.float64)
    for copy in range(3):
        for kind in (0, 1):
            own = [4 * copy + column for column in np.flatnonzero(kinds == kind)]
            np.testing.assert_allclose(transform.mean[own], everything[:, own].mean(), rtol=1e-4)
            np.testing.assert_allclose(transform.std[own], everything[:, own].std(), rtol=1e-4)


def test_times_must_be_those_of_the_rate(tmp_path):
    path, beside = tmp_path / "v.npy", tmp_path / "v.json"
    np.save(path, np.zeros((20, 3), dtype=np.float32))
    grid = np.arange(21)
    for times in (grid / 5, grid / 5 + 0.05 * (grid % 2), grid / 5 + 60 * (grid > 9)):  # the last with a pause
        beside.write_text(json.dumps({"fps": 5, "times": times.tolist()}))
        assert read_clock(path).times is not None
    for facts, known in (({"fps": 5}, None), ({}, 5.0)):
        for rate in (4.0, 6.0, 50.0):
            beside.write_text(json.dumps({**facts, "times": (grid / rate).tolist()}))
            with refused("v.json"):
                read_clock(path, known)


def test_the_descriptions_of_a_data_set_agree(tmp_path):
    facts = {"a": {"encoder": "grid", "fps": 5}, "b": {"fps": 25}, "c": {"encoder": "x"}, "d": {"dim": 9}, "e": {}}
    for name, content in facts.items():
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 3), dtype=np.float32))
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    paths = [tmp_path / f"{name}.npy" for name in facts]
    a, b, c, d, _ = (path.with_suffix(".json") for path in paths)
    assert [error.path for error in sidecar_faults(paths, None, "TD")] == [b, c, d]
    assert [error.path for error in sidecar_faults(paths, 25.0, None)] == [a, c]


def test_features_of_two_encoders_do_not_go_together(tmp_path):
    for name, encoder in (("a", "grid"), ("b", None), ("c", "grid"), ("d", "clip:x")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"encoder": encoder}))
    paths = [tmp_path / f"{name}.npy" for name in "abcde"]  # e has no file beside it
    assert [error.path.name for error in sidecar_faults(paths, None, None)] == ["d.json"]
