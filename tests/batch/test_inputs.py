"""Inputs of a batch: ids, roots, manifests and shards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fact_clip_batch import Inputs, Item, Shard
from fact_clip_batch.inputs import read_manifest

from ..refusals import refused
from .conftest import write_manifest

SUFFIXES = (".mp4", ".npy")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def ids(*sources: object) -> list[str]:
    return [item.id for item in Inputs(sources, SUFFIXES)]


def test_an_id_is_the_path_relative_to_its_root(tmp_path):
    root = touch(tmp_path / "in", "b/take.mp4", "a/take.mp4", "top.mp4", "a/.part.mp4", ".x/y.mp4", "a/notes.txt")
    assert ids(root) == ["top", "a/take", "b/take"]
    assert ids(str(root / "*" / "take.mp4")) == ["a/take", "b/take"]
    assert ids(root / "**" / "*.mp4") == ["a/take", "b/take", "top"]
    assert ids([root / "a/take.mp4", root / "b/take.mp4"]) == ["a/take", "b/take"]
    assert ids(root / "a" / "take.mp4") == ["take"]
    assert ids([root / "a" / "take.mp4"]) == ["take"]


def test_two_inputs_of_one_id_are_refused(tmp_path):
    root = touch(tmp_path / "in", "a/take.mp4", "b/take.mp4", "c/take.mp4", "c/take.npy")
    for sources in ([root / "a", root / "b"], [root / "a/take.mp4"] * 2):
        with refused("take.mp4"):
            Inputs(sources, SUFFIXES)
    with refused("take.npy"):
        Inputs([root / "c"], SUFFIXES)
    with refused("empty"):
        (tmp_path / "empty").mkdir()
        Inputs([tmp_path / "empty"], SUFFIXES)
    with refused("*.mp4"):
        Inputs([tmp_path / "*.mp4"], SUFFIXES)


def test_a_manifest_states_ids(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,uri,start,stop\nday 1/x,clips/x.mp4,2.5,4\ny,/far/y.mp4,,\n")
    items = [Item("day 1/x", tmp_path / "clips/x.mp4", 2.5, 4.0), Item("y", Path("/far/y.mp4"))]
    assert list(read_manifest(path)) == items
    assert list(Inputs([path], SUFFIXES)) == items
    write_manifest(tmp_path / "again.csv", items)
    assert list(read_manifest(tmp_path / "again.csv")) == items


@pytest.mark.parametrize(
    "content",
    ["id,uri\na,\n", "id,uri,start\na,b,soon\n", "id,uri,start\na,b,-1\n", "id,uri,start,stop\na,b,5,4\n"],
)
def test_a_manifest_with_faults(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_text(content)
    with refused("list.csv:2"):
        Inputs([path], SUFFIXES)


def test_an_id_leads_out_of_no_folder(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,uri\n../../up,x.mp4\n/root,y.mp4\n")
    assert [item.id for item in read_manifest(path)] == ["__/__/up", "_/root"]


def test_shards_are_disjoint_and_cover_all():
    names = [f"folder/{number}" for number in range(2000)]
    counts = Counter(
        index for index in range(4) for _ in Shard(index, 4).items(Item(name, Path(name)) for name in names)
    )
    assert sum(counts.values()) == 2000
    assert all(400 < counts[index] < 600 for index in range(4))
    assert Shard.parse("3/4") == Shard(3, 4)
    for value in ("4/4", "1", "a/b", "-1/4", "0/0"):
        with refused("--shard"):
            Shard.parse(value)


def test_linked_folders_are_listed_once(tmp_path):
    """As a glob lists them; a link to a folder above has no end."""
    for name in ("films/a.mp4", "disk/b.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "films/day2").symlink_to(tmp_path / "disk")
    (tmp_path / "films/loop").symlink_to(tmp_path / "films")
    for source in (str(tmp_path / "films"), [tmp_path / "films"]):
        assert [item.id for item in Inputs(source, SUFFIXES)] == ["a", "day2/b"]
