"""Feature files of others to (T, D)."""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from fact_clip.datasets.convert import Target, convert_annotations, convert_features, read_array, read_lmdb

from ..refusals import refused

TD = np.arange(12, dtype=np.float16).reshape(4, 3)


def saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "v.npy", array)
    return folder / "v.npy"


def test_arrays_are_turned(tmp_path):
    for axes, array in (("TD", TD), ("dt", TD.T)):
        read = read_array(saved(tmp_path, array), axes)
        assert read.dtype == np.float16
        np.testing.assert_array_equal(read, TD)


@pytest.mark.parametrize(("axes", "place"), [("CTD", 0), ("TCD", 1), ("TDC", 2), ("DCT", 1)])
def test_crops_are_averaged(axes, place, tmp_path):
    base = TD.T if axes.index("D") < axes.index("T") else TD
    crops = np.stack([base, base + 1, base + 5], axis=place)
    read = read_array(saved(tmp_path, crops), axes)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, TD.astype(np.float32) + 2)


@pytest.mark.parametrize(
    ("array", "axes", "place"),
    [
        (TD, "CTD", "v.npy"),
        (TD, "TT", "--axes"),
        (np.array(["a"]), "TD", "v.npy"),
        (np.zeros((0, 3)), "TD", "v.npy"),
        (np.array([{}], dtype=object), "TD", "v.npy"),
    ],
)
def test_arrays_that_do_not_fit(array, axes, place, tmp_path):
    with refused(place):
        read_array(saved(tmp_path, array), axes)


def test_no_array_at_all(tmp_path):
    (tmp_path / "v.npy").write_text("text")
    with refused("v.npy"):
        read_array(tmp_path / "v.npy", "TD")
    with refused("none.npy"):
        read_array(tmp_path / "none.npy", "TD")


def database(folder: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(folder / "db"), map_size=1 << 20) as store, store.begin(write=True) as writing:
        for key, value in entries.items():
            writing.put(key.encode(), value)
    return folder / "db"


def test_frames_of_an_lmdb(tmp_path):
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    entries = {f"P01_01/frame_{number + 1:010d}.jpg": rows[number].tobytes() for number in range(12)}
    entries |= {f"P02_1_frame_{number:010d}.jpg": rows[number].tobytes() for number in (5, 6)}
    found = dict(read_lmdb(database(tmp_path, entries)))
    assert list(found) == ["P01_01", "P02_1"]
    np.testing.assert_array_equal(found["P01_01"], rows)
    np.testing.assert_array_equal(found["P02_1"], rows[5:7])
    assert convert_features([tmp_path / "db"], "lmdb", tmp_path / "out") == {"P01_01": (12, 2), "P02_1": (2, 2)}
    np.testing.assert_array_equal(np.load(tmp_path / "out/features/P01_01.npy"), rows)


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ({"a_frame_1": b"1234", "a_frame_3": b"1234"}, "db"),
        (
            {"a_frame_1": b"1234", "a_frame_2": b"12345678"},
            "db, 'a'",
        ),
        ({"a_frame_1": b"123"}, "db, 'a'"),
        ({"readme": b"1234"}, "db"),
        ({}, "db"),
    ],
)
def test_databases_that_are_not_frames(entries, place, tmp_path):
    with refused(place):
        list(read_lmdb(database(tmp_path, entries)))


def test_no_database_and_no_library(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("text")
    for name, place in (("f", "f"), ("none", "none")):
        with refused(place):
            list(read_lmdb(tmp_path / name))
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with refused("f"):
        list(read_lmdb(tmp_path / "f"))


@pytest.mark.parametrize("fault", ["pages", "end"])
def test_a_damaged_database_is_read_by_another_process_first(fault, tmp_path):
    """LMDB maps its file: a page beyond the end is a SIGBUS."""
    rows = {f"a_frame_{number}": bytes(2000) for number in range(1, 40)}
    path = database(tmp_path, rows) / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[:8192] if fault == "end" else content[:8192] + bytes(len(content) - 8192))
    with refused("data.mdb"):
        list(read_lmdb(tmp_path / "db"))


def test_files_without_videos(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    convert = lambda: convert_annotations([tmp_path / "a.json"], "runs", tmp_path / "out", Target())  # noqa: E731
    with refused("a.json"):
        convert()
    assert not (tmp_path / "out").exists()


def test_a_video_comes_once(tmp_path):
    (tmp_path / "b").mkdir()
    files = [saved(tmp_path, TD), saved(tmp_path / "b", TD)]
    with refused("v.npy"):
        convert_features(files, "npy", tmp_path / "out")
