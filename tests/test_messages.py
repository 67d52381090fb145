"""What a person reads of typical bad inputs of every room, in one file: `messages.txt`.

Tests assert the type and the place of an error, so that its sentence may change; this file is where it is read. After a
change on purpose it is written again: ``FACT_CLIP_UPDATE=1 pytest tests/test_messages.py``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fact_clip import load
from fact_clip.cli import main
from fact_clip.config import Config, DataConfig
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats import READERS
from fact_clip.formats.base import Options

from .attacks.row import Content
from .attacks.rows import data, runs, tools
from .laws.test_arguments import CALLS

MESSAGES = Path(__file__).with_name("messages.txt")
MOST = 80
COMMANDS = """
trian | train | train kscg --out o | train demo epochs=3 --out o | evaluate nowhere | segment none.npy --run RUN
segment --run RUN | segment a.npy --training-free | data check nowhere | data init DATA --fps 0
data split DATA --test 2 | data holdout DATA --unseen juggle | data convert --from csv none.csv --out o
extract none.mp4 --encoder grid --out o | report nowhere | app --run none
convert none.net --config a --mapping b --out o
"""


def put(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))


def check(config: DataConfig) -> None:
    Dataset.open(config).check()


def one(call: Callable[..., object], *arguments: object, **more: object) -> str:
    """The message of a call."""
    try:
        call(*arguments, **more)
    except InputError as error:
        return str(error)
    raise AssertionError(f"accepted: {arguments}")


def some(table: Mapping[str, object], most: int) -> list[str]:
    """Keys of a table, from its whole length; the first ones of a short one."""
    return list(table)[:: max(1, len(table) // most) if len(table) > 4 else 1][:most]


@pytest.fixture
def cases(workbench: Path, tiny, tiny_run: Path, tmp_path: Path, monkeypatch, capsys) -> Iterator[tuple[str, str]]:
    """The name and the message of each case."""
    monkeypatch.chdir(tmp_path)

    def made() -> Iterator[tuple[str, str]]:
        for room, rows in CALLS.items():
            for call, place in rows[:2]:
                yield f"{room}, {place}", one(call)
        for kind in tools.FILES:
            name, _, faults = tools.FILES[kind]
            for what in some(faults, 2):
                put(tmp_path / name, faults[what][0])
                options = Options(unit="seconds") if kind == "csv" else Options(fps=10.0)
                yield f"{kind}, {what}", one(READERS[kind.split()[0]], Path(name), options)
        for what in some(data.RECIPES, 6):
            put(tmp_path / "r.yaml", data.RECIPES[what][0])
            yield f"recipe, {what}", one(Config.load, "r.yaml")
        for what in some(data.FAULTS, 8):
            root = Path(shutil.copytree(workbench, tmp_path / "data"))
            for name, content in data.FAULTS[what][0].items():
                put(tmp_path / name, content)
            yield f"data, {what}", one(check, tiny(data={"root": "data"}).data)
            shutil.rmtree(root)
        for what in some(runs.RUN, 8):
            shutil.copytree(tiny_run, tmp_path / "run")
            put(tmp_path / "run" / runs.RUN[what][0], runs.RUN[what][1])
            yield f"run, {what}", one(load, "run", device="cpu")
            shutil.rmtree(tmp_path / "run")
        for line in re.split(r" \| |\n", COMMANDS.strip()):
            words = [{"RUN": str(tiny_run), "DATA": str(workbench)}.get(word, word) for word in line.split()]
            capsys.readouterr()
            assert main(words) == 2, line
            yield f"fact-clip {line}", capsys.readouterr().err.strip().removeprefix("fact-clip: ")

    return made()


def test_messages_are_those_that_a_person_has_read(cases, workbench: Path, tiny_run: Path, tmp_path: Path):
    lines = [f"{name}\n    {message}\n" for name, message in cases]
    assert len(lines) <= MOST
    text = "".join(lines)
    for folder, name in ((tiny_run.parent, ""), (workbench.parent, ""), (tmp_path, "")):
        text = text.replace(f"{folder}/", name)
    if os.environ.get("FACT_CLIP_UPDATE"):
        MESSAGES.write_text(text)
    assert text == MESSAGES.read_text(), "read what has changed, then write it with FACT_CLIP_UPDATE=1"
