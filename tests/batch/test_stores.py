"""Inputs and outputs in other stores: memory:// and a local S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fsspec")

import fsspec

import fact_clip
from fact_clip.encoders import frame_encoder
from fact_clip_batch import (
    BatchOptions,
    Inputs,
    Limits,
    batch_status,
    extract_batch,
    gather,
)

from ..refusals import refused
from .conftest import segment_files

GRID = frame_encoder("grid")


@pytest.fixture
def memory() -> Iterator[str]:
    """An address in memory."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield "memory://lab"
    store.store.clear()


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def address(request) -> str:
    return request.getfixturevalue(request.param)


def put(root: Path, address: str) -> None:
    store, path = fsspec.core.url_to_fs(address)
    for file in sorted(root.rglob("*.*")):
        target = f"{path}/{file.relative_to(root).as_posix()}"
        store.makedirs(target.rpartition("/")[0], exist_ok=True)
        store.put_file(str(file), target)


def names(address: str) -> list[str]:
    store, path = fsspec.core.url_to_fs(address)
    store.invalidate_cache()
    return sorted(name.removeprefix(path).lstrip("/") for name in store.find(path))


def run(source: str, out: str) -> dict[str, str]:
    options = BatchOptions(limits=Limits(60, 2))
    states = {}
    for outcome in extract_batch(GRID, Inputs([source]), out, None, options):
        states[outcome.item.id] = {"done": "current", "computed": "extracted"}.get(outcome.state, outcome.state)
    return states


def test_videos_and_features_in_another_store(address, library, tmp_path):
    root = library("a/take.mp4", "b/take.mp4")
    (root / "text.mp4").write_text("no video" * 99)
    put(root, f"{address}/in")
    done = {"a/take": "extracted", "b/take": "extracted"}
    assert run(f"{address}/in", f"{address}/out") == done | {"text": "failed"}
    outputs = ["a/take.json", "a/take.npy", "b/take.json", "b/take.npy"]
    *results, failures = names(f"{address}/out")
    assert results == [".batch", *outputs]
    assert failures.startswith("failures-")
    list(extract_batch(GRID, Inputs([root / "a"]), tmp_path / "local"))
    store, path = fsspec.core.url_to_fs(f"{address}/out/a/take.npy")
    assert store.cat_file(path) == (tmp_path / "local" / "take.npy").read_bytes()
    facts = fsspec.open(f"{address}/out/a/take.json").open().read()
    assert f"{address}/in/a/take.mp4".encode() in facts.replace(b"memory:///", b"memory://")

    current = dict.fromkeys(done, "current")
    assert run(f"{address}/in", f"{address}/out") == current | {"text": "failed"}
    put(root, f"{address}/moved")  # another place, the same content
    assert run(f"{address}/moved", f"{address}/out")["a/take"] == "current"
    assert run(str(root), f"{address}/out")["b/take"] == "current"  # from this machine
    status = batch_status(f"{address}/out")
    assert (status.inputs, status.done, status.set_aside + status.failed) == (3, 2, 1)


def test_segments_in_another_store(address, workbench, tiny_run, tmp_path):
    name = "person1_video1"
    put_one = tmp_path / "one"
    put_one.mkdir()
    (put_one / f"{name}.npy").write_bytes((workbench / "features" / f"{name}.npy").read_bytes())
    put(put_one, f"{address}/features")
    segmenter = fact_clip.load(tiny_run, "cpu")
    first = segment_files(segmenter, [f"{address}/features"], f"{address}/out", formats=["csv"])
    again = segment_files(segmenter, [f"{address}/features/*.npy"], f"{address}/out", formats=["csv"])
    assert [result.state for result in first + again] == ["computed", "done"]
    assert names(f"{address}/out") == [".batch", f".results/{name}.json", f"{name}.csv"]
    assert first[0].segmentation == segmenter.segment(put_one / f"{name}.npy")
    n_rows = gather(f"{address}/out", tmp_path / "all.csv")
    assert n_rows == len(first[0].segmentation)


def test_a_missing_remote_file_is_a_failure(memory, tmp_path):
    outcomes = list(extract_batch(GRID, Inputs([f"{memory}/none.mp4"]), tmp_path / "out"))
    assert outcomes[0].error is not None
    with refused("nosuch://x"):
        Inputs(["nosuch://x"])


def test_numpy_reads_what_was_written(memory, library, tmp_path):
    list(extract_batch(GRID, Inputs([library("v.mp4")]), f"{memory}/out"))
    store, path = fsspec.core.url_to_fs(f"{memory}/out/v.npy")
    target = tmp_path / "v.npy"
    store.get_file(path, str(target))
    assert np.load(target).shape == (5, 384)


def test_the_commands_take_addresses(memory, library, fact_clip_command):
    put(library("a/take.mp4"), f"{memory}/in")
    answer = fact_clip_command("extract", f"{memory}/in", "--encoder", "grid", "--out", f"{memory}/out")
    assert (answer.code, answer.out) == (0, f"1 videos: 1 extracted, 0 current, 0 failed; {memory}/out\n")
    assert names(f"{memory}/out") == [".batch", "a/take.json", "a/take.npy"]
    assert "1 of 1 done" in fact_clip_command("batch", "status", f"{memory}/out").out


def test_features_of_another_program_in_another_store_stay(memory, library):
    store, path = fsspec.core.url_to_fs(f"{memory}/out")
    store.pipe_file(f"{path}/take.npy", b"foreign")
    (outcome,) = extract_batch(GRID, Inputs([library("take.mp4")]), f"{memory}/out")
    assert "did not write this file" in str(outcome.error)
    assert store.cat_file(f"{path}/take.npy") == b"foreign"
    assert names(f"{memory}/out") == ["take.npy"]


def test_a_changed_input_replaces_its_result_in_another_store(memory, workbench, tiny_run, tmp_path):
    rows = np.load(workbench / "features" / "person1_video1.npy")
    segmenter = fact_clip.load(tiny_run, "cpu")
    path = tmp_path / "c.npy"
    for n_rows in (80, 50):
        np.save(path, rows[:n_rows])
        (result,) = segment_files(segmenter, [path], f"{memory}/out", formats=["json", "csv"])
        assert (result.item.id, result.state) == ("c", "computed")
        assert [str(file) for file in result.written] == [f"{memory}/out/c.json", f"{memory}/out/c.csv"]
    assert names(f"{memory}/out") == [".batch", ".results/c.json", "c.csv", "c.json"]
    store, root = fsspec.core.url_to_fs(f"{memory}/out")
    local = tmp_path / "local"
    segment_files(segmenter, [path], local, formats=["json", "csv"])
    for name in ("c.csv", "c.json", ".results/c.json"):
        assert store.cat_file(f"{root}/{name}") == (local / name).read_bytes()

    store.pipe_file(f"{root}/c.csv", b"edited")
    np.save(path, rows[:60])
    (result,) = segment_files(segmenter, [path], f"{memory}/out", formats=["json", "csv"])
    assert "c.csv: edited" in str(result.error)
    assert store.cat_file(f"{root}/c.csv") == b"edited"
    np.save(path, rows[:50])
    store.rm_file(f"{root}/c.csv")  # a missing file is written from the record
    (result,) = segment_files(segmenter, [path], f"{memory}/out", formats=["json", "csv"])
    assert result.state == "done"
    assert store.cat_file(f"{root}/c.csv") == (local / "c.csv").read_bytes()
    assert batch_status(f"{memory}/out").done == 1
