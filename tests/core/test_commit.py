"""The commit is that of git, with a plus where files differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fact_clip.core import commit as place
from fact_clip.core.commit import commit


def test_the_commit_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "__file__", str(tmp_path / "fact_clip" / "core" / "commit.py"))
    assert commit() is None  # no checkout

    def git(*arguments: str) -> str:
        told = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(told, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert commit() is None  # nothing is committed
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "first")
    expected = git("rev-parse", "--short", "HEAD")
    assert commit() == expected
    (tmp_path / "file").write_text("b")
    assert commit() == f"{expected}+"
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    assert commit() is None  # no git
