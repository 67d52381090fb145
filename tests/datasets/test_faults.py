"""Planted faults: each is one error that names the file, what was found, what was expected."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform


def fault(open_set, **keys: object) -> InputError:
    with pytest.raises(InputError) as caught:
        open_set(**keys).check()
    assert "\n" not in str(caught.value)
    return caught.value


def test_unknown_label(open_set, root):
    path = root / "groundTruth" / "b.txt"
    lines = path.read_text().splitlines()
    lines[20] = "pour mlik"
    path.write_text("\n".join(lines))
    error = fault(open_set)
    assert error.where == f"{path}:21"
    assert (error.found, error.todo) == ("label 'pour mlik'", "did you mean 'pour milk'?")


def test_blank_line_between_labels(open_set, root):
    path = root / "groundTruth" / "d.txt"
    path.write_text("idle\n\n" + "stir\n" * 36)
    assert fault(open_set).where == f"{path}:2"


def test_lengths_too_far_apart(open_set, root):
    np.save(root / "features" / "b.npy", np.ones((70, 5), np.float32))
    error = fault(open_set)
    assert error.where == str(root / "features" / "b.npy")
    assert error.found == "70 feature rows for 55 labels"
    assert "at most 1% or 10 frames" in error.expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(open_set, root, bad):
    path = root / "features" / "c.npy"
    features = np.load(path)
    features[[17, 30], [3, 0]] = bad
    np.save(path, features)
    dataset = open_set()
    dataset.check()  # which reads headers alone
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            dataset.features("c")
        assert (caught.value.where, caught.value.found) == (str(path), f"{bad} in frame 17, column 3")
    with pytest.raises(InputError, match=r"c\.npy: .* in frame 17, column 3"):
        dataset.transformed("c", FeatureTransform((), None, None, 5))


@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_video_without_labels(open_set, root, content):
    (root / "groundTruth" / "c.txt").write_bytes(content)
    error = fault(open_set)
    assert (error.where, error.found) == (str(root / "groundTruth" / "c.txt"), "no labels")


@pytest.mark.parametrize("shape", [(0, 5), (55, 0)])
def test_video_without_features(open_set, root, shape):
    np.save(root / "features" / "b.npy", np.ones(shape, np.float32))
    error = fault(open_set)
    assert (error.where, error.found) == (str(root / "features" / "b.npy"), f"an empty array of shape {shape}")


@pytest.mark.parametrize(
    ("folder", "kind", "suffix"), [("groundTruth", "labels", "txt"), ("features", "features", "npy")]
)
def test_split_names_a_missing_video(open_set, root, folder, kind, suffix):
    bundle = root / "splits" / "train.split1.bundle"
    bundle.write_text("a\nb\nghost.txt\n")
    for other, end in (("groundTruth", "txt"), ("features", "npy")):
        if other != folder:
            (root / other / f"ghost.{end}").write_bytes((root / other / f"a.{end}").read_bytes())
    error = fault(open_set)
    assert error.where == f"{bundle}:3"
    assert error.found == f"video 'ghost' without {kind}"
    assert error.expected == str(root / folder / f"ghost.{suffix}")


def test_missing_files_without_check(open_set, root):
    dataset = open_set(layout="TD")
    (root / "features" / "a.npy").unlink()
    with pytest.raises(InputError, match=r"a\.npy: no such file"):
        dataset.features("a")
    (root / "groundTruth" / "b.txt").unlink()
    with pytest.raises(InputError, match=r"b\.txt: no such file"):
        dataset.labels("b")


@pytest.mark.parametrize("content", [b"", b"not\nan array", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken"])
def test_unreadable_features(open_set, root, content):
    (root / "features" / "a.npy").write_bytes(content)
    error = fault(open_set)
    assert error.where == str(root / "features" / "a.npy")
    assert error.found.startswith("not readable as .npy")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"(40, 5)", b"(40, 5 "), (b"(40, 5)", b"(4-, 5)"), (b"(40, 5), }     ", b"(999999999999, 5"), (b"<f4", b"<q9")],
)
def test_broken_header(open_set, root, old, new):
    path = root / "features" / "a.npy"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert fault(open_set).found.startswith("not readable as .npy")


def test_cut_off_features(open_set, root):
    path = root / "features" / "b.npy"
    path.write_bytes(path.read_bytes()[:-40])
    assert fault(open_set).found.startswith("not readable as .npy")


def test_pickled_and_archived_features(open_set, root):
    path = root / "features" / "a.npy"
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    assert fault(open_set).found.startswith("not readable as .npy")
    np.savez(root / "archive.npz", a=np.ones((40, 5)), b=np.ones(3))
    (root / "archive.npz").rename(path)
    assert fault(open_set).found.startswith("not readable as .npy")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.ones(40), "an array of shape (40,)"),
        (np.ones((1, 40, 5)), "an array of shape (1, 40, 5)"),
        (np.full((40, 5), "x"), "values of type <U1"),
        (np.ones((40, 5), np.complex64), "values of type complex64"),
    ],
)
def test_features_of_another_kind(open_set, root, array, found):
    np.save(root / "features" / "a.npy", array)
    assert fault(open_set).found == found


def test_another_width(open_set, root):
    np.save(root / "features" / "c.npy", np.ones((61, 6), np.float32))
    error = fault(open_set)
    assert error.where == str(root / "features" / "c.npy")
    assert (error.found, error.expected) == ("6 columns (shape (61, 6))", "5, as in a")


def test_ambiguous_orientation(open_set, root):
    # both sides of every file are within 10 frames of its labels
    for name, length in {"a": 40, "b": 55, "c": 61, "d": 38}.items():
        np.save(root / "features" / f"{name}.npy", np.ones((length, length - 4), np.float32))
    error = fault(open_set)
    assert error.found == "feature files of which both sides fit the labels"
    assert error.todo == "set data.layout to TD or DT"


def test_contradicting_orientation(open_set, root):
    error = fault(open_set, layout="DT")
    assert error.where == str(root / "features" / "a.npy")
    assert error.found == "shape (40, 5) read as DT: 5 frames for 40 labels"
    assert error.todo == "the other layout fits: set data.layout"


def test_orientation_that_changes_within_a_set(open_set, root):
    path = root / "features" / "c.npy"
    np.save(path, np.load(path).T)
    error = fault(open_set)
    assert (error.where, error.found) == (str(path), "shape (5, 61) read as TD: 5 frames for 61 labels")


def test_neither_side_fits(open_set, root):
    np.save(root / "features" / "a.npy", np.ones((100, 5), np.float32))
    error = fault(open_set)
    assert (error.found, error.expected) == ("features of shape (100, 5)", "one side near the 40 labels of the video")


def test_missing_folders(open_set, root, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"nowhere: no such folder.*set data\.root"):
        open_set(root=str(tmp_path / "nowhere"))
    monkeypatch.setenv("FACT_CLIP_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"kscgr: no such folder.*FACT_CLIP_DATA"):
        Dataset.open(DataConfig(name="kscgr"))
    (root / "groundTruth").rename(root / "labels")
    with pytest.raises(InputError, match="groundTruth: no such folder"):
        open_set()


def test_missing_mapping(open_set, root):
    (root / "mapping.txt").unlink()
    with pytest.raises(InputError, match=r"mapping\.txt"):
        open_set()


def test_unknown_benchmark():
    with pytest.raises(InputError, match=r"data\.name: 'kscg'; expected one of folder, breakfast, .*, workbench"):
        Dataset.open(DataConfig(name="kscg"))


def test_unknown_split(open_set, root):
    (root / "splits" / "train.split2.bundle").write_text("a\n")
    with pytest.raises(InputError, match=r"train\.split7\.bundle: no such split; expected one of the splits 1, 2"):
        open_set(split=7)
    with pytest.raises(InputError, match=r"test\.split2\.bundle: no such file; expected the test videos of split 2"):
        open_set(split=2)
    with pytest.raises(InputError, match=r"data\.split: all; expected one of 1, 2"):
        open_set(split="all")


def test_faulty_splits(open_set, root):
    train, test = (root / "splits" / f"{part}.split1.bundle" for part in ("train", "test"))
    test.write_text("d\nb\n")
    with pytest.raises(InputError) as caught:
        open_set()
    assert caught.value.where == f"{test}:2"
    assert caught.value.found == f"video 'b', also in {train}:2"
    test.write_text("\n\n")
    with pytest.raises(InputError, match="no videos"):
        open_set()
    test.write_text("d\n")
    train.write_text("a\nb\na.txt\n")
    with pytest.raises(InputError, match=r"train\.split1\.bundle:3: video 'a' again"):
        open_set()
