"""Tables of numbers, arrays and databases, for `data convert`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..row import Content, Row, array, cut, fifo, flipped, folder, link, sparse
from .datasets import ARRAYS

DIGITS = "9" * 5000
GOOD = "time,x,y\n0,1,2\n0.1,3,4\n0.2,5,6\n"

TABLES: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("no rows",)),
    "a header alone": ("time,x\n", ("no rows",)),
    "comments alone": ("# a\n# b\n", ("no rows",)),
    "another count of cells": (GOOD + "1,2\n", (":5", "cells")),
    "text": (GOOD + "0.3,a,b\n", (":5", "'a'")),
    "an empty cell": (GOOD + "0.3,,6\n", (":5",)),
    "NaN": (GOOD + "0.3,nan,6\n", (":5", "'nan'")),
    "infinity": (GOOD + "0.3,inf,6\n", (":5", "'inf'")),
    "1e400": (GOOD + "0.3,1e400,6\n", (":5", "1e400")),
    "beyond float32": (GOOD + "0.3,1e300,6\n", ("1e+300",)),
    "a time that goes back": (GOOD + "0.1,5,6\n", (":5", "go back")),
    "a time of NaN": (GOOD + "nan,5,6\n", (":5",)),
    "a time of 10^12": (GOOD + "1000000000000,5,6\n", ("--time",)),
    "a time of 1e300": (GOOD + "1e300,5,6\n", ("--time",)),
    "no column of time": ("a,b\n1,2\n", ("--time", "'time'")),
    "times alone": ("time\n1\n2\n", ("no column of values",)),
    "an index": ("time,index,x\n0,1,2\n", ("index",)),
    "decimal commas": ("time;x\n0;1,5\n", (":2", "decimal point")),
    "a huge cell": (GOOD + "0.3," + "1" * 200_000 + ",6\n", (":5",)),
    "an open quote": (GOOD + '0.3,"5,6\n', (":5",)),
    "NUL": (GOOD + "0.3,\0,6\n", (":5",)),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ()),
    "utf-16": (GOOD.encode("utf-16"), ()),
    "a folder": (folder, ("folder",)),
    "a pipe": (fifo, ("pipe",)),
    "an endless device": (link("/dev/zero"), ("device",)),
    "10 GB": (sparse(10 << 30, b"time,x\n0,1\n"), ("bytes",)),
}


def _tables() -> Iterator[Row]:
    for what, (content, words) in TABLES.items():
        own = ("--time",) if words[:1] == ("--time",) else ("a.csv",)
        yield Row(
            f"table/{what}",
            "data convert --from table a.csv --time time --fps 10 --out out",
            (*own, *words),
            {"a.csv": content},
        )
    for name, text in {
        "no such column": "--columns z",
        "a column of 0": "--columns 0",
        "a column of 10^12": "--columns 1000000000000",
        "a column of digits": f"--columns {DIGITS}",
        "a wide digit": "--columns ²",
    }.items():
        yield Row(
            f"table option/{name}",
            f"data convert --from table a.csv --time time --fps 10 --out out {text}",
            ("--columns",),
            {"a.csv": GOOD},
        )
    for name, text in {
        "frames": "--unit frames --fps 5",
        "a rate and a time": "--time time --source-fps 5 --fps 5",
        "a time without a rate": "--time time",
        "a rate without one": "--source-fps 5",
        "a rate of 10^-6": "--fps 1e-300 --time time",
        "no rate": "--fps 0 --time time",
    }.items():
        yield Row(f"table option/{name}", f"data convert --from table a.csv --out out {text}", ("-",), {"a.csv": GOOD})
    yield Row(
        "table option/float16 that is too small",
        "data convert --from table a.csv --time time --fps 10 --dtype float16 --out out",
        ("65504", "--dtype"),
        {"a.csv": GOOD + "0.3,1e6,6\n"},
    )
    yield Row(
        "table option/a file twice",
        "data convert --from table a.csv b/a.csv --time time --fps 10 --out out",
        ("again",),
        {"a.csv": GOOD, "b/a.csv": GOOD},
    )
    yield Row(
        "table option/other columns",
        "data convert --from table a.csv b.csv --time time --fps 10 --out out",
        ("b.csv", "columns"),
        {"a.csv": GOOD, "b.csv": GOOD.replace("x", "z")},
    )
    yield Row(
        "table option/a full disk",
        "data convert --from table a.csv --time time --fps 10000 --out out",
        ("cannot be written",),
        {"a.csv": GOOD},
        disk=4096,
        leaves=("out", "out/features"),
    )
    yield Row(
        "table option/out is a file",
        "data convert --from table a.csv --time time --fps 10 --out out",
        ("out",),
        {"a.csv": GOOD, "out": ""},
    )


def _arrays() -> Iterator[Row]:
    skip = (
        "NaN",
        "infinity",
        "beyond float32",
        "beyond float32, below zero",
        "at the end of float32",
        "another width",
        "a link to itself",
    )
    for what, (content, words) in ARRAYS.items():
        if what not in skip:
            yield Row(f"npy/{what}", "data convert --from npy a.npy --out out", ("a.npy", *words), {"a.npy": content})
    for axes in ("T", "TT", "TDX9", "", "T D", "DTC", "x" * 100_000):
        yield Row(
            f"npy --axes/{axes[:20]}",
            ["data", "convert", "--from", "npy", "a.npy", "--axes", axes, "--out", "out"],
            ("--axes",),
            {"a.npy": array(np.zeros((40, 8)))},
        )
    yield Row(
        "npy/float16 that is too small",
        "data convert --from npy a.npy --dtype float16 --out out",
        ("a.npy", "65504"),
        {"a.npy": array(np.full((4, 2), 1e6))},
    )
    yield Row(
        "npy/a full disk",
        "data convert --from npy a.npy --out out",
        ("cannot be written",),
        {"a.npy": array(np.zeros((4000, 8)))},
        disk=4096,
        leaves=("out", "out/features"),
    )


def lmdb(entries: dict[bytes, bytes], path: Path) -> None:
    """A database of one file."""
    import lmdb as library

    with (
        library.open(str(path), subdir=False, lock=False, map_size=1 << 22) as store,
        store.begin(write=True) as writing,
    ):
        for key, value in entries.items():
            writing.put(key, value)


_FRAMES = {f"P01_01/frame_{number:010d}.jpg".encode(): np.ones(256, np.float32).tobytes() for number in range(1, 60)}


def _damaged(change: Content) -> Content:
    def make(path: Path) -> None:
        lmdb(_FRAMES, path)
        assert callable(change)
        change(path)

    return make


DATABASES: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ("LMDB",)),
    "text": ("no such thing" * 1000, ("LMDB",)),
    "a folder": (folder, ("data.mdb",)),
    "a pipe": (fifo, ("pipe",)),
    "an endless device": (link("/dev/zero"), ("device",)),
    "no frames": (lambda path: lmdb({}, path), ("no frames",)),
    "another key": (lambda path: lmdb({b"a": b"b"}, path), ("key",)),
    "a key that is no text": (lambda path: lmdb({b"\xff/frame_x": b"b"}, path), ("key",)),
    "a number of 30 digits": (lambda path: lmdb({b"a/frame_" + b"9" * 30: b"abcd"}, path), ("key",)),
    "a missing frame": (lambda path: lmdb({b"a/frame_1": b"abcd", b"a/frame_3": b"abcd"}, path), ("without frame 2",)),
    "a frame of 10^11": (lambda path: lmdb({b"a/frame_1": b"abcd", b"a/frame_100000000000": b"abcd"}, path), ("without frame 2",)),
    "vectors of 3 bytes": (lambda path: lmdb({b"a/frame_1": b"abc"}, path), ("bytes",)),
    "vectors of no bytes": (lambda path: lmdb({b"a/frame_1": b""}, path), ("bytes",)),
    "vectors of two lengths": (lambda path: lmdb({b"a/frame_1": b"abcd", b"a/frame_2": b"abcdabcd"}, path), ("bytes",)),
    "cut off": (_damaged(cut(12_000)), ("damaged",)),
    "cut off in a page": (_damaged(cut(9_000)), ("damaged",)),
    "cut off in its head": (_damaged(cut(5_000)), ("damaged",)),
    "cut to its head": (_damaged(cut(200)), ("damaged",)),
    "a damaged root": (_damaged(flipped(4096 + 40, 200)), ()),
    "damaged pages": (_damaged(lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * (path.stat().st_size - 8192)) and None), ("damaged",)),
    "NUL pages": (_damaged(lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\0" * (path.stat().st_size - 8192)) and None), ()),
}  # fmt: skip


def _databases() -> Iterator[Row]:
    for what, (content, words) in DATABASES.items():
        yield Row(f"lmdb/{what}", "data convert --from lmdb a.mdb --out out", ("a.mdb", *words), {"a.mdb": content})
    yield Row("lmdb/missing", "data convert --from lmdb none.mdb --out out", ("none.mdb", "no such file"))


ROWS = (*_tables(), *_arrays(), *_databases())
