"""Feature files of others to (T, D)."""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip.datasets.convert import Target, convert_annotations, convert_features, read_array, read_lmdb

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
    ("array", "axes", "message"),
    [
        (TD, "CTD", r"v.npy: an array of shape \(4, 3\); expected 3 axes, CTD; set --axes"),
        (TD, "TT", "--axes: TT; expected one letter per axis, T and D once each"),
        (np.array(["a"]), "TD", "values of type <U1; expected numbers"),
        (np.zeros((0, 3)), "TD", r"shape \(0, 3\)"),
        (np.array([{}], dtype=object), "TD", "not readable as .npy"),
    ],
)
def test_arrays_that_do_not_fit(array, axes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_array(saved(tmp_path, array), axes)


def test_no_array_at_all(tmp_path):
    (tmp_path / "v.npy").write_text("text")
    with pytest.raises(InputError, match=r"not readable as \.npy"):
        read_array(tmp_path / "v.npy", "TD")
    with pytest.raises(InputError, match="no such file"):
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
    ("entries", "message"),
    [
        ({"a_frame_1": b"1234", "a_frame_3": b"1234"}, "'a' without frame 2; expected frames 1 to 3"),
        (
            {"a_frame_1": b"1234", "a_frame_2": b"12345678"},
            "'a': vectors of 4, 8 bytes; expected float32 of one length",
        ),
        ({"a_frame_1": b"123"}, "vectors of 3 bytes"),
        ({"readme": b"1234"}, r"key b'readme'; expected VIDEO/frame_0000000001.jpg"),
        ({}, "no frames"),
    ],
)
def test_databases_that_are_not_frames(entries, message, tmp_path):
    with pytest.raises(InputError, match=message):
        list(read_lmdb(database(tmp_path, entries)))


def test_no_database_and_no_library(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("text")
    for name, found in (("f", "not an LMDB"), ("none", "no such file")):
        with pytest.raises(InputError, match=found):
            list(read_lmdb(tmp_path / name))
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match=r"lmdb is not installed; pip install 'fact-clip\[lmdb\]'"):
        list(read_lmdb(tmp_path / "f"))


@pytest.mark.parametrize("fault", ["pages", "end"])
def test_a_damaged_database_is_read_by_another_process_first(fault, tmp_path, refused):
    """LMDB maps its file: a page beyond the end is a SIGBUS."""
    rows = {f"a_frame_{number}": bytes(2000) for number in range(1, 40)}
    path = database(tmp_path, rows) / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[:8192] if fault == "end" else content[:8192] + bytes(len(content) - 8192))
    refused(lambda: list(read_lmdb(tmp_path / "db")), f"{path}: a damaged LMDB (", "copy it again")


def test_files_without_videos(tmp_path, refused):
    (tmp_path / "a.json").write_text("{}")
    convert = lambda: convert_annotations([tmp_path / "a.json"], "runs", tmp_path / "out", Target())  # noqa: E731
    refused(convert, "a.json: no annotated videos; expected at least one")
    assert not (tmp_path / "out").exists()


def test_a_video_comes_once(tmp_path):
    (tmp_path / "b").mkdir()
    files = [saved(tmp_path, TD), saved(tmp_path / "b", TD)]
    with pytest.raises(InputError, match="video 'v' again, as a file 'v'; expected each once"):
        convert_features(files, "npy", tmp_path / "out")
