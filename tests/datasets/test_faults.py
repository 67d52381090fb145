"""Planted faults: each is one error at the place of the fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform

from ..refusals import refused


def labels(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / "groundTruth" / f"{name}.txt").write_text(text)


def features(name: str, rows: np.ndarray) -> Callable[[Path], object]:
    return lambda root: np.save(root / "features" / f"{name}.npy", rows, allow_pickle=True)


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        path = root / "features" / f"{name}.npy"
        path.write_bytes(change(path.read_bytes()))

    return write


def header(old: bytes, new: bytes) -> Callable[[Path], object]:
    return rewritten("a", lambda content: content.replace(old, new))


def archived(root: Path) -> None:
    np.savez(root / "archive.npz", a=np.ones((40, 5)), b=np.ones(3))
    (root / "archive.npz").rename(root / "features" / "a.npy")


def turned(root: Path) -> None:
    path = root / "features" / "c.npy"
    np.save(path, np.load(path).T)


def both_sides_fit(root: Path) -> None:
    for name, length in {"a": 40, "b": 55, "c": 61, "d": 38}.items():  # within 10 frames of the labels
        np.save(root / "features" / f"{name}.npy", np.ones((length, length - 4), np.float32))


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (labels("b", "idle\n" * 20 + "pour mlik\n" + "idle\n" * 34), "b.txt:21"),
        (labels("d", "idle\n\n" + "stir\n" * 36), "d.txt:2"),
        (labels("c", ""), "c.txt"),
        (labels("c", "\n \n"), "c.txt"),
        (features("b", ones(70, 5)), "b.npy"),
        (features("b", ones(0, 5)), "b.npy"),
        (features("b", ones(55, 0)), "b.npy"),
        (features("a", np.ones(40)), "a.npy"),
        (features("a", ones(1, 40, 5)), "a.npy"),
        (features("a", np.full((40, 5), "x")), "a.npy"),
        (features("a", np.ones((40, 5), np.complex64)), "a.npy"),
        (features("a", np.array([{"a": 1}])), "a.npy"),
        (features("a", ones(100, 5)), "a.npy"),
        (features("c", ones(61, 6)), "c.npy"),
        (rewritten("a", lambda content: b""), "a.npy"),
        (rewritten("a", lambda content: b"not\nan array"), "a.npy"),
        (rewritten("a", lambda content: b"PK\x03\x04broken"), "a.npy"),
        (rewritten("b", lambda content: content[:-40]), "b.npy"),
        (header(b"(40, 5)", b"(40, 5 "), "a.npy"),
        (header(b"(40, 5)", b"(4-, 5)"), "a.npy"),
        (header(b"(40, 5), }     ", b"(999999999999, 5"), "a.npy"),
        (header(b"<f4", b"<q9"), "a.npy"),
        (archived, "a.npy"),
        (turned, "c.npy"),
        (both_sides_fit, "features"),
    ],
)
def test_a_planted_fault(open_set, root, plant, place):
    plant(root)
    with refused(place):
        open_set().check()


def test_nearest_label(open_set, root):
    labels("b", "idle\n" * 54 + "pour mlik\n")(root)
    with refused("b.txt:55") as caught:
        open_set().check()
    assert "'pour milk'" in caught.message


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


@pytest.mark.parametrize("missing", ["groundTruth/ghost.txt", "features/ghost.npy"])
def test_split_names_a_missing_video(open_set, root, missing):
    (root / "splits" / "train.split1.bundle").write_text("a\nb\nghost.txt\n")
    for folder, end in (("groundTruth", "txt"), ("features", "npy")):
        if folder not in missing:
            (root / folder / f"ghost.{end}").write_bytes((root / folder / f"a.{end}").read_bytes())
    with refused("train.split1.bundle:3") as caught:
        open_set().check()
    assert "'ghost'" in caught.message


def test_missing_files_without_check(open_set, root):
    dataset = open_set(layout="TD")
    (root / "features" / "a.npy").unlink()
    with refused("a.npy"):
        dataset.features("a")
    (root / "groundTruth" / "b.txt").unlink()
    with refused("b.txt"):
        dataset.labels("b")


def test_another_orientation_than_the_files_have(open_set):
    with refused("a.npy"):
        open_set(layout="DT").check()


def test_missing_folders(open_set, root, tmp_path, monkeypatch):
    with refused("nowhere"):
        open_set(root=str(tmp_path / "nowhere"))
    monkeypatch.setenv("FACT_CLIP_DATA", str(tmp_path))
    with refused("kscgr"):
        Dataset.open(DataConfig(name="kscgr"))
    (root / "groundTruth").rename(root / "labels")
    with refused("groundTruth"):
        open_set()


def test_missing_mapping(open_set, root):
    (root / "mapping.txt").unlink()
    with refused("mapping.txt"):
        open_set()


def test_unknown_benchmark():
    with refused("data.name"):
        Dataset.open(DataConfig(name="kscg"))


def test_unknown_split(open_set, root):
    (root / "splits" / "train.split2.bundle").write_text("a\n")
    with refused("train.split7.bundle"):
        open_set(split=7)
    with refused("test.split2.bundle"):
        open_set(split=2)
    with refused("data.split"):
        open_set(split="all")


def test_faulty_splits(open_set, root):
    train, test = (root / "splits" / f"{part}.split1.bundle" for part in ("train", "test"))
    test.write_text("d\nb\n")
    with refused("test.split1.bundle:2"):
        open_set()
    test.write_text("\n\n")
    with refused("test.split1.bundle"):
        open_set()
    test.write_text("d\n")
    train.write_text("a\nb\na.txt\n")
    with refused("train.split1.bundle:3"):
        open_set()
