"""A file is read if it is one, and written whole or not at all, with the permissions of any new file."""

from __future__ import annotations

import os
import pickle
import stat

import pytest

from fact_clip.core import InputError
from fact_clip.core.io import parse_json, read_lines, read_mapping, read_text
from fact_clip.core.paths import check_place, same_place, whole_file

from ..refusals import refused


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


def test_a_name_that_no_text_takes(tmp_path):
    def write() -> None:
        with whole_file(tmp_path / "a.txt") as unfinished:
            unfinished.write_text("a\udc80b", encoding="utf-8")

    with refused("a.txt"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_nothing_takes_the_place_of_a_folder(tmp_path):
    with refused(tmp_path):
        whole_file(tmp_path).__enter__()


def test_text_is_utf8_and_where_it_may_be_latin1(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffé\r\n".encode())
    assert read_text(path) == "é\r\n"
    path.write_bytes("aé".encode("latin-1"))
    assert read_text(path, latin=True) == "aé"
    with refused("a.txt"):
        read_text(path, "a list")

    def fail(path: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", fail)
    with refused("a.txt"):
        read_text(path, "a list")


def test_an_error_of_another_process_is_the_same_here():
    error = InputError("a.txt", "a\nb")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), str(again.where)) == (InputError, str(error), "a.txt")
    assert "\n" not in str(again)


def test_mappings_of_both_kinds(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "a.yaml"]
    for path in paths:
        path.write_text('{"a": [1]}')
        assert read_mapping(path, "settings") == {"a": [1]}
        path.write_text("null")
    assert read_mapping(paths[1], "settings") == {}
    with refused("a.json"):
        read_mapping(paths[0], "settings")
    paths[1].write_text("- 1")
    with refused("a.yaml"):
        read_mapping(paths[1], "settings")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "f:1"),
        ("[\n1\n2]", "f:3"),
        ("[NaN]", "f"),
        ("[-Infinity]", "f"),
        ("-" + "9" * 5000, "f"),
        ('["\\ud83d"]', "f"),
        ("[" * 100_000, "f"),
    ],
)
def test_what_is_no_json(text, place, tmp_path):
    with refused(place):
        parse_json(text, tmp_path / "f", "values")


def test_what_is_json(tmp_path):
    text = '[9223372036854775807, -9223372036854775807, "\\ud83e\\udd44"]'
    assert parse_json(text, "f", "values") == [2**63 - 1, 1 - 2**63, "🥄"]
    assert parse_json("[Infinity]", "f", "values", finite=False) == [float("inf")]


def test_places_are_looked_at_before_anything_is_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    check_place(tmp_path / "a" / "b" / "c.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]
    with refused("x"):
        check_place(tmp_path / "file" / "x")
    with refused("x"):
        check_place(tmp_path / "loop" / "x")
    with refused(tmp_path):
        check_place(tmp_path)
    assert same_place(tmp_path / "file", tmp_path / "." / "file")
    assert not same_place(tmp_path / "file", tmp_path / "loop")


def test_lines_end_as_on_any_system(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\r\nb\rc\x85d\n\ne".encode("latin-1"))
    assert read_lines(path, "names") == ["a", "b", "c\x85d", "", "e"]
    path.write_bytes(b"")
    assert read_lines(path, "names") == []
