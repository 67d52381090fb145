"""Archives of others: their sizes are looked at first."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fact_clip.core import arrays
from fact_clip.core.arrays import check_archive, read_npz

from ..refusals import refused


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def stored(values: object, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(values), version)
    return file.getvalue()


def test_arrays_of_both_versions_come_back(tmp_path):
    members = {"a.npy": stored([[1.5, 2]]), "b.npy": stored(["x"], (2, 0))}
    found = read_npz(zipped(tmp_path / "a.npz", members), "arrays")
    assert {name: values.tolist() for name, values in found.items()} == {"a": [[1.5, 2.0]], "b": ["x"]}


def test_an_array_that_claims_to_be_larger_than_its_part(tmp_path):
    lie = stored(np.zeros(3)).replace(b"(3,)", b"(99,)")
    path = zipped(tmp_path / "a.npz", {"x.npy": lie})
    with refused("a.npz"):
        read_npz(path, "arrays", "write it again")


def test_what_is_damaged_or_no_archive(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"no archive")
    check_archive(path, "arrays")  # left to its reader
    with refused("a.npz"):
        read_npz(path, "arrays")
    zipped(path, {"x.npy": stored([1.0])})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02")] = 0  # the list of members
    path.write_bytes(content)
    with refused("a.npz"):
        check_archive(path, "arrays")


@pytest.mark.parametrize(("largest", "size"), [(1000, 1001), (arrays.LARGEST_UNPACKED, (1 << 26) + 1)])
def test_an_archive_that_unpacks_to_much_more(largest, size, tmp_path, monkeypatch):
    """More than the most, or more than 64 MB and 50 times the file."""
    monkeypatch.setattr(arrays, "LARGEST_UNPACKED", largest)
    path = zipped(tmp_path / "a.npz", {"x.npy": bytes(size)})
    with refused("a.npz"):
        check_archive(path, "arrays")
    check_archive(zipped(path, {"x.npy": bytes(min(largest, 1 << 26))}), "arrays")
