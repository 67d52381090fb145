"""Clicks instead of labels: files, first labels and borders."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.clicks import (
    MISSED,
    SURE,
    Click,
    border_gains,
    border_gaps,
    expected_lengths,
    first_gaps,
    gap_labels,
    label_frames,
    likely_lengths,
    middle_borders,
    missed_stretches,
    read_clicks,
    widen_gaps,
)
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.inspect import Inspection
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.summary import summarize

from ..refusals import refused
from ..small import write_dataset


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_frames_and_times_are_read_in_order(tmp_path):
    frames = write(tmp_path / "a.csv", 'frame,label\n7,stir\n2,"pour, slowly"\n')
    assert read_clicks(frames, None, 10) == [Click(2, "pour, slowly"), Click(7, "stir")]
    times = write(tmp_path / "b.csv", "label,time\nstir,0.5\npour,2.39\n")
    assert read_clicks(times, np.arange(13) / 5, 12) == [Click(2, "stir"), Click(11, "pour")]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("frame,label\n3,stir\n12,pour\n", "a.csv:3"),  # beyond the end
        ("time,label\n1,stir\n", "a.csv:2"),  # no rate
        ("frame,label\nsoon,stir\n", "a.csv:2"),
        ("frame,label\n3,stir\n3,pour\n", "a.csv"),
        ("frame,name\n3,stir\n", "a.csv"),
        ("frame,time,label\n3,1,stir\n", "a.csv"),
        ("frame,label\n", "a.csv"),
        ("frame,label\n-1,stir\n", "a.csv:2"),
        ("frame,label\n7.9,stir\n", "a.csv:2"),
    ],
)
def test_faults_are_named_by_line(text, place, tmp_path):
    path = write(tmp_path / "a.csv", text)
    with refused(place):
        read_clicks(path, None, 12)


def test_no_click_is_moved(tmp_path):
    path = write(tmp_path / "a.csv", "time,label\n-0.05,stir\n")
    with refused("a.csv:2"):
        read_clicks(path, np.arange(13) / 15, 12)
    write(path, "frame,label\n7.0,stir\n")
    assert read_clicks(path, None, 12) == [Click(7, "stir")]


def test_first_labels_by_hand():
    assert middle_borders([2, 7, 8]) == [5, 8]
    assert label_frames(["a", "b"], [3], 5) == ["a", "a", "a", "b", "b"]
    gaps = first_gaps([2, 9], 14, share=0.6)
    assert gaps == [(0, 2), (5, 7), (10, 14)]  # two frames beside a click are 0.6 of half of the way
    assert gap_labels([4, 5], gaps, 14).tolist() == [-1, -1, 4, 4, 4, -1, -1, 5, 5, 5, -1, -1, -1, -1]
    assert gap_labels([4, 5], [(0, 0), (6, 6), (14, 14)], 14).tolist() == [4] * 6 + [5] * 8
    assert (gap_labels([4, 5], first_gaps([2, 3], 14, share=0.1), 14) >= 0).sum() == 2


@pytest.mark.parametrize("seed", range(5))
def test_frames_beside_gaps_are_sure(seed):
    """The probability that a frame has the label of the click before it, over all places of the borders."""
    rng = np.random.default_rng(seed)
    scores = 9 * rng.normal(size=(20, 3))
    frames, labels, offsets = [1, 9, 18], np.array([0, 2, 1]), rng.normal(size=4)
    gaps = border_gaps(border_gains(scores, frames, labels), frames, labels, offsets, 20, alike=4.0)
    assert (gaps[0], gaps[-1]) == ((0, 0), (20, 20))
    for pair, (first, second) in enumerate(itertools.pairwise(frames)):
        weights = {}
        for border in range(first + 1, second + 1):
            classes = np.where(np.arange(first + 1, second) < border, labels[pair], labels[pair + 1])
            value = (scores[np.arange(first + 1, second), classes] + offsets[classes]).sum()
            weights[border] = np.exp(value / 4)
        start, stop = gaps[pair + 1]
        for frame in range(first + 1, second):
            before = sum(weight for border, weight in weights.items() if border > frame) / sum(weights.values())
            side = "first" if frame < start else "second" if frame >= stop else "unsure"
            assert side == ("first" if before >= SURE else "second" if 1 - before >= SURE else "unsure")


def test_a_gap_beside_no_label_is_in_the_middle():
    labels, frames = np.array([0, -1, 1]), [1, 4, 8]
    gains = border_gains(np.zeros((9, 3)), frames, labels)
    assert border_gaps(gains, frames, labels, np.zeros(4), 9)[1:-1] == [
        (3, 3),
        (6, 7),
    ]  # the frame between is as likely on both sides


def test_between_clicks_of_one_class_all_frames_are_labelled():
    labels, frames = np.array([2, 2]), [3, 40]
    gains = border_gains(np.random.default_rng(0).normal(size=(50, 3)), frames, labels)
    gaps = border_gaps(gains, frames, labels, np.zeros(4), 50)
    assert (gap_labels([2, 2], gaps, 50) == 2).all()


def test_segments_without_a_right_click_by_hand():
    """Class 2 has no click in frames 5 to 7, and the click in frame 12 should be of class 1."""
    names = np.array([0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 1, 1, 1, 1, 0, 0])
    scores = np.where(names[:, None] == np.arange(4), -0.1, -3.1)
    clicks, labels = [2, 12, 15], np.array([0, 3, 0])
    stretches = missed_stretches(scores, clicks, labels)
    # 3 frames of 3 nats are more than 5; 2 frames of class 1 before its click are 6, 1 after it is 3
    assert stretches == [None, (5, 8), None, None]
    assert missed_stretches(scores, clicks, labels, alike=2.0) == [None, None, None, None]
    assert missed_stretches(scores[:12], [2], labels[:1]) == [None, (5, 8)]
    assert missed_stretches(scores[5:], [4], labels[:1]) == [(0, 3), (5, 9)]
    assert missed_stretches(scores, clicks, np.array([0, -1, 0])) == [None, None, None, None]
    assert widen_gaps([(0, 0), (6, 9), (13, 14), (16, 16)], [(3, 5), (5, 8), None, (14, 15)]) == [
        (0, 5),
        (5, 9),
        (13, 14),
        (14, 16),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_missed_stretch_is_that_of_the_largest_sum(seed):
    rng = np.random.default_rng(seed)
    scores = 3 * rng.normal(size=(16, 4)) - 3
    clicks, labels = [3, 11], rng.integers(0, 4, 2)
    stretches = missed_stretches(scores, clicks, labels, alike=2.0)
    parts = [(0, 3, labels[[0, 0]]), (4, 11, labels), (12, 16, labels[[1, 1]])]
    for stretch, (first, last, around) in zip(stretches, parts, strict=True):
        sums = {}
        for start, stop in itertools.combinations(range(first, last + 1), 2):
            for label in range(4):
                rows = np.maximum(scores[start:stop], -10)
                sums[start, stop, label] = (rows[:, label] - np.maximum(*rows[:, around].T)).sum()
        best = max(sums, key=sums.__getitem__)
        assert stretch == (best[:2] if sums[best] >= 2 * MISSED else None)


def test_lengths_follow_from_gaps_between_clicks():
    rng = np.random.default_rng(0)
    frames = []
    labels = []
    for _ in range(20):
        of_video = rng.permutation([0, 1, 2] * 10)
        edges = np.cumsum([0, *np.array([4, 20, 60])[of_video]])
        frames.append(rng.integers(edges[:-1], edges[1:]))
        labels.append(of_video)
    found = expected_lengths(frames, labels, 4)
    np.testing.assert_allclose(found[:3], [4, 20, 60], rtol=0.2)
    assert found[3:].tolist() == [0, 0]  # a class without clicks, and label -1


@pytest.mark.parametrize("deviation", [0.0, 0.6, 1.0])
def test_the_spread_of_lengths_follows_from_the_spread_of_gaps(deviation):
    """Means of 20 and 80 frames, in random order; borders in the middle would have a third of the variance."""
    rng = np.random.default_rng(0)
    frames, labels, lengths = [], [], [[], []]
    for _ in range(40):
        of_video = rng.integers(2, size=50)
        logs = np.log(np.array([20, 80])[of_video]) - deviation**2 / 2 + deviation * rng.normal(size=50)
        drawn = np.maximum(np.exp(logs).round(), 1).astype(int)
        edges = np.cumsum([0, *drawn])
        frames.append(rng.integers(edges[:-1], edges[1:]))
        labels.append(of_video)
        for label in (0, 1):
            lengths[label] += drawn[of_video == label].tolist()
    likely = likely_lengths(frames, labels, 3)
    assert [len(values) for values in likely] == [len(lengths[0]), len(lengths[1]), 0]
    for expected, true in zip(likely[:2], lengths, strict=True):
        np.testing.assert_allclose(np.mean(expected), np.mean(true), rtol=0.1)
        np.testing.assert_allclose(np.quantile(expected, [0.2, 0.5]), np.quantile(true, [0.2, 0.5]), rtol=0.2)


@pytest.fixture
def clicked(tmp_path):
    """Video a has clicks alone, b has labels and clicks, which are not read."""
    labels = {"a": ["idle"] * 4 + ["stir"] * 8, "b": ["stir"] * 8}
    rows = np.random.default_rng(0).normal(size=(12, 3))
    features = {"a": rows, "b": rows[:8]}
    root = write_dataset(tmp_path, ("idle", "stir"), labels, features, train="a", test="b")
    (root / "groundTruth" / "a.txt").unlink()
    write(root / "clicks/a.csv", "frame,label\n1,idle\n9,stir\n")
    write(root / "clicks/b.csv", "nonsense")
    return DataConfig(root=str(root), background=("idle",), layout="TD")


def test_a_data_set_takes_clicks_in_place_of_labels(clicked):
    dataset = Dataset.open(clicked)
    dataset.check()
    same_folder = Dataset.open(clicked, dataset.folder)
    assert dataset.labels("a").tolist() == [0] * 5 + [1] * 7
    assert dataset.clicks(["a", "b"]) == {"a": [1, 9]}
    dataset.set_labels("a", np.array([0] * 4 + [-1] * 8))
    assert dataset.labels("a").tolist() == [0] * 4 + [-1] * 8
    assert dataset.with_videos(("a",), ()).labels("a").tolist() == [0] * 4 + [-1] * 8
    assert same_folder.labels("a").tolist() == [0] * 5 + [1] * 7
    assert not [finding for finding in Inspection(clicked) if finding.severity == "error"]


def test_lengths_of_labels_and_of_clicks_are_joined(clicked):
    dataset = Dataset.open(clicked)
    videos = {name: dataset.labels(name) for name in ("a", "b")}
    # Gaps of 8 frames say 8 frames of each class; the spread that one gap shows is none.
    assert dataset.segment_lengths(videos) == [[8], [8, 8]]


def test_one_click_labels_its_video(clicked):
    path = Path(clicked.root) / "clicks/a.csv"
    path.write_text("frame,label\n9,stir\n")
    dataset = Dataset.open(clicked)
    assert dataset.segment_lengths({"a": dataset.labels("a")}) == [[], [12]]


def test_one_click_among_others_has_a_mean_length():
    frames = [[2, 8, 14], [40]]
    labels = [np.array([0, 1, 0]), np.array([2])]
    assert likely_lengths(frames, labels, 3) == [[6, 6], [6], [6]]


@pytest.mark.parametrize("has_end", [False, True])
def test_clicks_in_seconds_lie_on_the_times_of_the_frames(clicked, has_end):
    times = [*np.arange(6) / 10, *(60 + np.arange(7) / 10)]  # a pause, after which the recorder went on
    root = Path(clicked.root)
    write(root / "features/a.json", json.dumps({"fps": 10, "times": times[: 13 if has_end else 12]}))
    write(root / "clicks/a.csv", "time,label\n0.2,idle\n60.25,stir\n")
    assert Dataset.open(clicked).clicks(["a"]) == {"a": [2, 8]}


def test_the_rate_of_a_benchmark_holds_for_its_clicks(clicked):
    benchmark = BENCHMARKS["workbench"]
    write(Path(clicked.root) / "clicks/a.csv", "time,label\n0.2,idle\n")
    assert benchmark.fps == 15
    folder = DataFolder(clicked.model_copy(update={"name": "workbench", "background": None}))
    assert [click.frame for click in folder.clicks("a")] == [3]


def test_a_summary_counts_videos_with_clicks_apart(clicked):
    counts = summarize(clicked)
    assert (counts["videos"], counts["clicked_videos"], counts["frames"], counts["segments"]) == (1, 1, 8, 1)


def test_a_summary_of_clicks_alone_is_refused(clicked):
    root = Path(clicked.root)
    (root / "groundTruth" / "b.txt").unlink()
    with refused(root / "groundTruth"):
        summarize(clicked)


def test_clicks_after_the_last_row_are_refused(clicked):
    root = Path(clicked.root)
    write(root / "features/a.json", json.dumps({"fps": 10, "times": [*np.arange(12) / 10]}))
    for time, is_inside in ((1.15, True), (1.25, False), (350, False)):
        write(root / "clicks/a.csv", f"time,label\n0.2,idle\n{time},stir\n")
        if is_inside:
            assert Dataset.open(clicked).clicks(["a"]) == {"a": [2, 11]}
            continue
        with refused("a.csv:3"):
            Dataset.open(clicked).clicks(["a"])


def test_a_click_of_no_class_is_named_by_its_file(clicked):
    folder = Dataset.open(clicked).folder
    write(folder.root / "clicks/a.csv", "frame,label\n1,idle\n9,stri\n")
    with refused("a.csv") as refusal:
        Dataset.open(clicked).check()
    assert "'stir'" in refusal.message


def test_clicks_need_the_orientation_of_features(clicked):
    config = clicked.model_copy(update={"layout": None})
    with refused("a.npy"):
        Dataset.open(config).check()
    (Path(clicked.root) / "features" / "a.json").write_text('{"n_frames": 12}')  # as extract writes it
    assert Dataset.open(config).folder.label_lines("a") == ["idle"] * 5 + ["stir"] * 7


def test_videos_with_one_click_have_no_lengths(recwarn):
    """Without a gap between two clicks nothing is known, and nothing is warned about."""
    assert expected_lengths([[5], [7]], [np.array([0]), np.array([1])], 2).tolist() == [1, 1, 1]
    assert not recwarn.list
