"""Reading a data set: splits, labels, lengths; each fault of a file is one error that names it."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.inspect import Inspection
from fact_clip.datasets.statistics import mean_transcript_length, segment_lengths, transitions

from ..refusals import refused


def test_reads_what_was_written(open_set, root):
    dataset = open_set()
    dataset.check()
    assert (dataset.train, dataset.validation, dataset.test) == (("a", "b", "c"), (), ("d",))
    assert (dataset.root, dataset.layout, dataset.fps, dataset.input_dim) == (root, "TD", None, 5)
    assert dataset.vocabulary.names == ("idle", "pour milk", "stir")
    assert dataset.vocabulary.slots == ("phrase",)
    assert Dataset.splits(dataset.config) == ["1"]
    # 40 frames: frame * 3 // 40 is 0 up to frame 13, 1 up to frame 26
    assert dataset.labels("a").tolist() == [0] * 14 + [1] * 13 + [2] * 13
    np.testing.assert_array_equal(dataset.features("a"), np.load(root / "features" / "a.npy"))


def test_summaries(open_set, root):
    (root / "groundTruth" / "b.txt").write_text("\n".join(["stir"] * 20 + ["idle"] * 15 + ["stir"] * 20))
    dataset = open_set()
    assert mean_transcript_length(map(dataset.labels, ("a", "b"))) == 3.0
    assert mean_transcript_length(map(dataset.labels, ("a",))) == 3.0
    assert dataset.class_counts(("a", "b")).tolist() == [14 + 15, 13, 13 + 40]
    # a is idle, pour milk, stir; b stir, idle, stir
    assert transitions(map(dataset.labels, ("a", "b")), (), 3) == ((0, 1, 1), (0, 2, 1), (1, 2, 1), (2, 0, 1))


def test_fps_and_background_of_the_config_win(open_set):
    dataset = open_set(fps=12.5, background=["idle"])
    assert dataset.fps == 12.5
    assert dataset.vocabulary.background == ("idle",)
    with refused("mapping.txt"):
        open_set(background=["nothing"])


@pytest.mark.parametrize(
    ("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8"), ("\n", "latin-1"), ("\r\n", "utf-8-sig")]
)
@pytest.mark.parametrize("last", ["", "\n", "\n\n  \n"])
def test_line_ends_and_encodings(open_set, root, end, encoding, last):
    last = last.replace("\n", end)
    names = ["crème brûlée", "idle", "stir"]
    (root / "mapping.txt").write_bytes(end.join(f"{i} {n}" for i, n in enumerate(names)).encode("utf-8"))
    for name, length in {"a": 40, "b": 55, "c": 61, "d": 38}.items():
        text = end.join(["idle"] * (length - 1) + ["crème brûlée"]) + last
        (root / "groundTruth" / f"{name}.txt").write_bytes(text.encode(encoding))
    (root / "splits" / "train.split1.bundle").write_bytes((end.join(["a.txt", "", "b", "c.txt"]) + last).encode())
    dataset = open_set()
    dataset.check()
    assert dataset.train == ("a", "b", "c")
    assert dataset.labels("a").tolist() == [1] * 39 + [0]
    assert {finding.kind for finding in Inspection(dataset.config)} == {"never trained"}  # "stir"


def test_labels_cut_neither_at_next_line_nor_at_form_feed(open_set, root):
    # latin-1 0x85 ends a line for str.splitlines, and so does a form feed
    odd = "wait\x85here\x0cnow"
    (root / "mapping.txt").write_bytes(f"0 {odd}\n".encode("latin-1"))
    for name, length in {"a": 40, "b": 55, "c": 61, "d": 38}.items():
        (root / "groundTruth" / f"{name}.txt").write_bytes("\n".join([odd] * length).encode("latin-1"))
    assert open_set().labels("d").tolist() == [0] * 38


@pytest.mark.parametrize(("rows", "labels", "kept"), [(40, 44, 40), (44, 40, 40)])
def test_lengths_within_the_tolerance_are_cut_with_one_warning(open_set, root, rows, labels, kept):
    np.save(root / "features" / "a.npy", np.ones((rows, 5), np.float32))
    (root / "groundTruth" / "a.txt").write_text("\n".join(["stir"] * labels))
    dataset = open_set(layout="TD")
    with pytest.warns(
        UserWarning, match=rf"a\.npy: {rows} feature rows for {labels} labels; cut to {kept}.*two frame rates"
    ):
        features = dataset.features("a")
    assert features.shape == (kept, 5)
    with pytest.warns(UserWarning, match=f"cut to {kept}"):
        assert open_set(layout="TD").labels("a").shape == (kept,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset.labels("a").shape == (kept,)
        assert dataset.features("a").shape == (kept, 5)


def test_turned_files_are_read_by_their_shapes(open_set, root):
    for path in (root / "features").glob("*.npy"):
        np.save(path, np.load(path).T)
    dataset = open_set()
    assert (dataset.layout, dataset.input_dim) == ("DT", 5)
    assert dataset.features("b").shape == (55, 5)


def test_one_video_that_tells_the_layout_is_enough(open_set, root):
    # 40 labels and 40 x 41 values: either side could be time; b of 55 x 41 settles it... 55 - 41 > 10
    for name, length in {"a": 40, "b": 55, "c": 61, "d": 38}.items():
        np.save(root / "features" / f"{name}.npy", np.eye(41, length, dtype=np.float32))
    dataset = open_set()
    dataset.check()
    assert dataset.layout == "DT"
    assert dataset.features("a").shape == (40, 41)


def test_splits_in_the_other_place_and_by_name(open_set, root):
    for split in ("10", "2", "cooks"):
        (root / "splits" / f"train.split{split}.bundle").write_text("a\n")
        (root / "splits" / f"test.split{split}.bundle").write_text("d\n")
    (root / "wide.train").write_text("b\nc")
    (root / "wide.test").write_text("a")
    dataset = open_set(split="wide")
    assert (dataset.train, dataset.test) == (("b", "c"), ("a",))
    assert Dataset.splits(dataset.config) == ["1", "2", "10", "cooks", "wide"]
    assert open_set(split="cooks").train == ("a",)
    assert open_set(split=10).train == ("a",)


def test_a_numbered_split_at_the_root(open_set, root):
    """As FACT's own lists are named: "split3.train" is split 3."""
    (root / "split3.train").write_text("b")
    (root / "split3.test").write_text("a")
    dataset = open_set(split=3)
    assert (dataset.train, dataset.test) == (("b",), ("a",))
    assert open_set(split="split3").train == ("b",)
    assert Dataset.splits(dataset.config) == ["1", "3"]


def test_seconds_come_from_the_file_beside_the_features_or_the_rate(open_set, root):
    dataset = open_set(fps=4.0, layout="TD")
    assert dataset.times("a").tolist() == [frame / 4 for frame in range(41)]
    assert open_set(layout="TD").times("a") is None
    times = [frame / 4 + 0.1 * (frame % 3 == 1) for frame in range(41)]
    (root / "features/a.json").write_text(json.dumps({"times": times}))
    assert dataset.times("a").tolist() == times


def test_the_rate_is_that_of_the_json_files(open_set, root):
    for name in "bc":
        (root / f"features/{name}.json").write_text('{"fps": 15}')
    dataset = open_set()
    assert dataset.fps == 15
    assert dataset.times("a")[1] == 1 / 15  # a has no JSON file
    assert open_set(fps=5).fps == 5


def test_labels_cannot_be_written_to(open_set):
    dataset = open_set()
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels("a")[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        dataset.features("a")[0, 0] = 1


def test_kscgr(kscgr):
    dataset = Dataset.open(DataConfig(name="kscgr", root=str(kscgr), split=5, validation=0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.check()
    assert (len(dataset.vocabulary), dataset.input_dim, dataset.fps) == (67, 180, 6.0)
    assert dataset.test == ("subj5_boiledegg", "subj5_kinshiegg", "subj5_omelette", "subj5_scrambledegg")
    everything = dataset.train + dataset.test
    # the figures of the data set's README: 30 recordings, 35,795 frames, 1,851 segments, 23 % "no action"
    assert len(everything) == 30
    counts = dataset.class_counts(everything)
    assert counts.sum() == 35795
    assert round(mean_transcript_length(map(dataset.labels, everything)) * 30) == 1851
    assert round(100 * counts[66] / counts.sum()) == 23
    assert dataset.vocabulary.factors[29] == ("move", "boiled egg", "chopstick")
    assert dataset.vocabulary.factors[12] == ("hold", "hard-boiled egg", None)
    # nothing in the data set's own shapes contradicts them
    folder = Dataset.open(DataConfig(root=str(kscgr)))
    assert folder.layout == "TD"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(open_set, root, bad):
    path = root / "features" / "c.npy"
    rows = np.load(path)
    rows[[17, 30], [3, 0]] = bad
    np.save(path, rows)
    dataset = open_set()
    dataset.check()  # which reads headers alone
    for _ in range(2):
        with refused("c.npy") as caught:
            dataset.features("c")
        assert "frame 17, column 3" in caught.message
    with refused("c.npy"):
        dataset.transformed("c", FeatureTransform((), None, None, 5))


def test_whole_segments_have_no_unlabelled_frame_beside_them():
    labels = [np.array([0, 0, 1, 1, 1, -1, 1, 2, 2, -1, 0]), np.array([-1, 2, 1, 0])]
    assert segment_lengths(labels, 3) == [[2, 1, 1], [3, 1, 1], [2, 1]]
    assert segment_lengths(labels, 3, whole_only=True) == [[2, 1], [1], []]
