"""A small data set, a recipe that trains on it in a second, and a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fact_clip.cli import main
from fact_clip.data.synthetic import write_workbench

TINY = """\
data: {name: workbench, root: %s, stride: 4}
model:
  blocks: iu
  tokens: 40
  input:
    {hidden: 32, frame: m, frame_dim: 16, frame_layers: 2, action_dim: 16, action_layers: 1, heads: 2, feedforward: 16}
  update: {frame_layers: 1}
train: {epochs: 1, batch_size: 2, device: cpu}
"""


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def fact_clip(capsys) -> Callable[..., Answer]:
    """Run the program in this process."""

    def run(*argv: object) -> Answer:
        capsys.readouterr()
        code = main([str(part) for part in argv])
        return Answer(code, *capsys.readouterr())

    return run


def make_recipe(folder: Path, data: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY % data)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_workbench(tmp_path_factory.mktemp("workbench"), videos=6, persons=3, dim=16)


@pytest.fixture(scope="session")
def recipe(data, tmp_path_factory) -> Path:
    return make_recipe(tmp_path_factory.mktemp("recipe"), data)


@pytest.fixture(scope="session")
def run(recipe, tmp_path_factory) -> Path:
    """A trained run; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", str(recipe), "--out", str(folder)]) == 0
    return folder
