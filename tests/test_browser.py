"""Where there is no browser its tests are skipped with the reason, and fail in CI."""

from __future__ import annotations

import shutil

import pytest

from .browser import started


def test_a_missing_browser_skips_and_fails_in_ci(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="chromium is not on PATH: apt-get install chromium"), started():
        pass
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="chromium is not on PATH"), started():
        pass
