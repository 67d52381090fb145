"""A real headless Chromium for the tests of pages; tests with it are marked slow.

Pages are opened through playwright in Debian's chromium, or in its chromium-headless-shell, which computes less. Where
playwright or both browsers are missing the tests are skipped with the reason; with CI set they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

IMAGES = os.environ.get("FACT_CLIP_SCREENSHOTS")
"""Where screenshots go (`FACT_CLIP_SCREENSHOTS=docs/images pytest -m slow tests/report`); unset: nowhere."""

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@dataclass
class Browser:
    """Opens pages, and fails at their end where a script failed or where a page asked for the network."""

    chromium: Any
    allowed: tuple[str, ...] = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "ws://127.0.0.1")
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def page(self, width: int = 1100, height: int = 800, *, scheme: str = "light", **more: Any) -> Iterator[Any]:
        """A page of playwright in a fresh context, `scheme` light or dark."""
        self.faults.clear()
        size = {"width": width, "height": height}
        with self.chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **more) as context:
            page = context.new_page()
            page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
            page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("request", lambda request: self._look(request.url))
            yield page
        assert self.faults == []

    def _look(self, address: str) -> None:
        if not address.startswith(self.allowed):
            self.faults.append(f"network: {address}")


def shoot(page: Any, name: str, **how: Any) -> Path | None:
    """Write a screenshot `name`.png, of few colours so that it stays small, into `IMAGES`, where that is set."""
    if IMAGES is None:
        return None
    path = Path(IMAGES) / f"{name}.png"
    page.screenshot(path=path, animations="disabled", **how)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=5, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path


def missing(reason: str) -> None:
    """Skip the test; with CI set it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def started() -> Iterator[Browser]:
    """A running browser."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        missing("chromium is not on PATH: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=_FLAGS)
        yield Browser(chromium)
        chromium.close()
