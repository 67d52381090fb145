"""docs/public.md names what is public, and the errors; importing the package costs nothing."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fact_clip
from fact_clip.core import InputError
from fact_clip.training import StopTraining

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/public.md").read_text("utf-8")
ROOMS = sorted(path.parent.name for path in (ROOT / "fact_clip").glob("*/__init__.py"))


@pytest.mark.parametrize("name", fact_clip.__all__)
def test_the_page_has_every_name(name):
    assert f"`{name}`" in PAGE


def test_there_are_few_and_the_page_has_them():
    """The root and its rooms; a row of the page for each room."""
    rooms = [name for name in fact_clip.__all__ if inspect.ismodule(getattr(fact_clip, name))]
    count = len(fact_clip.__all__)
    for room in rooms:
        names = getattr(fact_clip, room).__all__
        assert f"| `{room}` | {', '.join(f'`{name}`' for name in names)} |" in PAGE
        count += len(names)
    assert len(rooms) == 8
    assert count <= 45


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_says_what_is_public(room):
    module = importlib.import_module(f"fact_clip.{room}")
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def subclasses(kind: type) -> set[str]:
    names = {each.__name__ for each in kind.__subclasses__() if each.__module__.startswith("fact_clip")}
    return names.union(*(subclasses(each) for each in kind.__subclasses__()))


def test_the_page_has_every_error():
    for module in ("fact_clip.formats.base", "fact_clip.video.frames", "fact_clip_batch.isolated"):
        importlib.import_module(module)
    names = {InputError.__name__, StopTraining.__name__, *subclasses(InputError)}
    assert len(names) >= 9
    assert [name for name in sorted(names) if name not in PAGE] == []


def test_the_import_is_quick():
    code = "import time; start = time.process_time(); import fact_clip; print(time.process_time() - start)"
    times = []
    for _ in range(3):
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(float(answer.stdout))
    assert min(times) < 0.05
