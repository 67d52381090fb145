"""A file is written whole or not at all, with the permissions of any new file."""

from __future__ import annotations

import os
import stat

import pytest

from fact_clip.core import InputError
from fact_clip.core.files import whole_file


@pytest.fixture
def umask():
    """Set the umask for a test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read(umask, mask, mode, tmp_path):
    umask(mask)
    path = tmp_path / "a.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        unfinished.chmod(0o600 if mode != 0o600 else 0o644)  # as a library that renames a file of its own
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as unfinished:
            assert not unfinished.exists()  # pympi keeps a copy of a file that it finds
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="cannot be written"), whole_file(tmp_path / "a" / "b.txt") as unfinished:
        unfinished.write_text("")
