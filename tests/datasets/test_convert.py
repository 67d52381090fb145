"""Feature files, databases and tables of others to (T, D), and every bad cell with its place."""

from __future__ import annotations

import json
from pathlib import Path

import lmdb
import numpy as np
import pytest

from fact_clip.datasets.convert import Sampling, convert_features, convert_tables
from fact_clip.datasets.convert.features import read_lmdb
from fact_clip.datasets.convert.tables import NumberTable, read_numbers, resample

from ..refusals import refused

TD = np.arange(12, dtype=np.float16).reshape(4, 3)


def parts_of(table: NumberTable) -> tuple:
    return table.names, table.seconds, table.values


def database(folder: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(folder / "db"), map_size=1 << 20) as store, store.begin(write=True) as writing:
        for key, value in entries.items():
            writing.put(key.encode(), value)
    return folder / "db"


def test_frames_of_an_lmdb(tmp_path):
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    entries = {f"P01_01/frame_{number + 1:010d}.jpg": rows[number].tobytes() for number in range(12)}
    entries |= {f"P02_1_frame_{number:010d}.jpg": rows[number].tobytes() for number in (0, 1)}
    found = dict(read_lmdb(database(tmp_path, entries)))
    assert list(found) == ["P01_01", "P02_1"]
    np.testing.assert_array_equal(found["P01_01"], rows)
    np.testing.assert_array_equal(found["P02_1"], rows[:2])
    assert convert_features([tmp_path / "db"], tmp_path / "out") == {
        "P01_01": {"frames": 12, "columns": 2},
        "P02_1": {"frames": 2, "columns": 2},
    }
    np.testing.assert_array_equal(np.load(tmp_path / "out/features/P01_01.npy"), rows)


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ({"a_frame_1": b"1234", "a_frame_3": b"1234"}, "db, 'a'"),
        ({"a_frame_1": b"1234", "a_frame_2": b"12345678"}, "db, 'a'"),
        ({"a_frame_1": b"123"}, "db, 'a'"),
        ({"a_frame_31": b"1234", "a_frame_32": b"1234"}, "db, 'a'"),
        ({"a_frame_1": np.random.default_rng(0).normal(size=2048).astype(np.float16).tobytes()}, "db, 'a'"),
        (
            {"a_frame_1": np.random.default_rng(0).normal(size=256).astype(np.float32).astype(float).tobytes()},
            "db, 'a'",
        ),
        ({"a_frame_1": np.arange(256.0).tobytes()}, "db, 'a'"),
        ({"readme": b"1234"}, "db"),
        ({}, "db"),
    ],
)
def test_databases_that_are_not_frames(entries, place, tmp_path):
    with refused(place):
        list(read_lmdb(database(tmp_path, entries)))


def test_float32_vectors_are_not_taken_for_another_type(tmp_path):
    """Random values, those with zeros as after a ReLU, columns that are always zero, and values of half precision."""
    values = np.random.default_rng(0).normal(size=512).astype(np.float32)
    for rows in (
        values,
        np.maximum(values, 0),
        values * (np.arange(512) % 4 > 1).astype(np.float32),
        values.astype(np.float16).astype(np.float32),
        np.zeros_like(values),
    ):
        ((_, found),) = read_lmdb(database(tmp_path, {"a_frame_1": rows.tobytes()}))
        np.testing.assert_array_equal(found[0], rows)


def test_a_database_that_is_cut_off(tmp_path):
    entries = {f"a_frame_{number}": bytes(4000) for number in range(1, 20)}
    path = database(tmp_path, entries) / "data.mdb"
    path.write_bytes(path.read_bytes()[:12_000])
    with refused("db"):
        list(read_lmdb(path.parent))


def test_a_video_comes_once(tmp_path):
    (tmp_path / "b").mkdir()
    files = [written(tmp_path, "1 2"), written(tmp_path / "b", "1 2")]
    with refused("a.csv"):
        convert_tables(files, tmp_path / "out", Sampling())


def written(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y\n1,2.5\n-3,4e1\n"),
        ("a.csv", "x;y\r\n1;2.5\r\n-3;4e1\r\n"),
        ("a.tsv", "x\ty\n1\t2.5\n-3\t4e1"),
        ("a.txt", "x y\n1 2.5\n\n-3   4e1\n"),
        ("a.txt", "# by a tracker\nx, y\n1, 2.5\n-3, 4e1\n"),
        ("a.csv", b'\xef\xbb\xbf"x","y"\n"1","2.5"\n-3,4e1\n'),
    ],
)
def test_all_kinds_of_tables(name, text, tmp_path):
    names, times, values = parts_of(read_numbers(written(tmp_path, text, name), Sampling()))
    assert (names, times) == (("x", "y"), None)
    assert values.tolist() == [[1.0, 2.5], [-3.0, 40.0]]


def test_columns_without_names_have_numbers(tmp_path):
    path = written(tmp_path, "0.5,7,8\n0.7,9,10\n")
    assert read_numbers(path, Sampling()).names == ("1", "2", "3")
    names, times, values = parts_of(read_numbers(path, Sampling(columns=("3", "2"), time="1")))
    assert names == ("3", "2")
    np.testing.assert_allclose(times, [0.0, 0.2])
    assert values.tolist() == [[8.0, 7.0], [10.0, 9.0]]


def test_times_begin_with_the_first_row(tmp_path, caplog):
    caplog.set_level("INFO")
    path = written(tmp_path, "x,timestamp\n1,1628500000250\n2,1628500000750\n")
    names, times, values = parts_of(read_numbers(path, Sampling(time="timestamp", milliseconds=True)))
    assert (names, times.tolist(), values.tolist()) == (("x",), [0.0, 0.5], [[1.0], [2.0]])
    assert len(caplog.records) == 1


def test_frames_are_means_of_their_rows():
    """At two frames a second: rows at 0, 0.2 and 0.4 s are frame 0, 0.5 and 0.6 s frame 1, 1.5 s frame 3."""
    times = np.array([0.0, 0.2, 0.4, 0.5, 0.6, 1.5])
    values = np.array([[0.0, 1.0], [3.0, 1.0], [6.0, 1.0], [4.0, 2.0], [6.0, 4.0], [11.0, 9.0]])
    frames, between = resample(times, values, 2.0)
    # frame 2 has no row: half way from frame 1 to frame 3
    assert frames.tolist() == [[3.0, 1.0], [5.0, 3.0], [8.0, 6.0], [11.0, 9.0]]
    assert between == 1


def test_a_rate_that_is_that_of_the_frames_changes_nothing():
    values = np.arange(30.0).reshape(-1, 1)
    for rate in (15.0, 29.97, 100.0):
        frames, between = resample(np.arange(30) / rate, values, rate)
        assert (frames.tolist(), between) == (values.tolist(), 0)


def test_more_frames_than_rows_lie_between_them():
    frames, between = resample(np.array([0.0, 0.2, 0.4]), np.array([[0.0], [2.0], [6.0]]), 10.0)
    assert frames[:, 0].tolist() == [0.0, 1.0, 2.0, 4.0, 6.0, 6.0]  # the last row lasts 0.2 s too
    assert between == 3


def test_features_of_the_common_layout(tmp_path):
    a = written(tmp_path, "t,x,y\n0,1,1\n0.05,3,1\n0.1,5,2\n", "a.csv")
    b = written(tmp_path, "t,x,y\n9,1,1\n9.1,3,1\n", "b.csv")
    found = convert_tables([a, b], tmp_path / "data", Sampling(time="t", fps=10.0))
    assert found["a"] == {"rows": 3, "frames": 2, "columns": 2, "interpolated": 0}
    assert found["b"] == {**found["a"], "rows": 2}
    features = np.load(tmp_path / "data/features/a.npy")
    assert (features.dtype, features.tolist()) == (np.float32, [[2.0, 1.0], [5.0, 2.0]])
    assert json.loads((tmp_path / "data/features/a.json").read_text()) == {
        "fps": 10.0, "n_frames": 2, "columns": ["x", "y"],
    }  # fmt: skip
    # 4 rows per second at two frames per second
    c = written(tmp_path, "1\n3\n5\n9\n11\n", "c.txt")
    found = convert_tables([c], tmp_path / "rate", Sampling(rate=4.0, fps=2.0), "float16")
    assert found == {"c": {"rows": 5, "frames": 3, "columns": 1, "interpolated": 0}}
    features = np.load(tmp_path / "rate/features/c.npy")
    assert (features.dtype, features.tolist()) == (np.float16, [[2.0], [7.0], [11.0]])
    # rows as they are
    convert_tables([c], tmp_path / "plain", Sampling())
    assert np.load(tmp_path / "plain/features/c.npy").tolist() == [[1.0], [3.0], [5.0], [9.0], [11.0]]
    assert not (tmp_path / "plain/features/c.json").exists()


BAD: list[tuple[str, Sampling, str]] = [
    ("x,y\n1,2\n\n3,oops\n,nan\n", Sampling(), "a.csv:4, column 2 (y)"),
    ("x;y\n1,5;2\n", Sampling(), "a.csv:2, column 1 (x)"),
    ("x,1\n1,2\n", Sampling(), "a.csv:1, column 1"),
    ("x,y\n1,2\n3\n", Sampling(), "a.csv:3"),
    ("time,y\n0,2\n", Sampling(), "a.csv"),
    ("time,y\n0,2\n", Sampling(columns=("z",)), "--columns"),
    ("s,y\n0,2\n0.1,2\n0.05,3\n", Sampling(time="s", fps=1.0), "a.csv:4"),
    ("s,y\n0,2\n", Sampling(time="s"), "--time"),
    ("0,1,2\n0.5,0.25,7\n0.3,1.5,8\n", Sampling(), "a.csv:1"),
    ("".join(f"{row / 50:.2f},{row % 3}\n" for row in range(40)), Sampling(), "a.csv"),
    ("s,y\n0,2\n", Sampling(rate=5.0), "--source-fps"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "how", "place"), BAD)
def test_faults_are_told_with_their_place(text, how, place, tmp_path):
    path = written(tmp_path, text)
    with refused(place):
        convert_tables([path], tmp_path / "data", how)
    assert not (tmp_path / "data").exists()


def test_tables_go_together(tmp_path):
    a = written(tmp_path, "x,y\n1,2\n", "a.csv")
    b = written(tmp_path, "x,z\n1,2\n", "b.csv")
    with refused("b.csv"):
        convert_tables([a, b], tmp_path / "data", Sampling())
    assert list(convert_tables([a, b], tmp_path / "data", Sampling(columns=("x",)))) == ["a", "b"]
    (tmp_path / "more").mkdir()
    with refused("a.csv"):
        convert_tables([a, written(tmp_path / "more", "x,y\n1,2\n")], tmp_path / "data", Sampling())


@pytest.mark.parametrize(
    "content",
    ["1,5\n2,5\n", "x\n1,5\n2,5\n", "1,5 0\n2,5 0\n", "1,5;0\n2,5;0\n", 'x,y\n"1,5",0\n"2,5",0\n'],
)
def test_a_decimal_comma_separates_no_cells(content, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    values = read_numbers(tmp_path / "a.csv", Sampling(decimal=",")).values
    assert values[:, 0].tolist() == [1.5, 2.5]
    assert not values[:, 1:].any()
