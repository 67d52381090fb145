"""The program as a function, and a recipe to run it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fact_clip.cli import main
from fact_clip.config import Config

from ..refusals import Answer


@pytest.fixture
def fact_clip(capsys) -> Callable[..., Answer]:
    """Run the program in this process."""

    def run(*argv: object) -> Answer:
        capsys.readouterr()
        code = main([str(part) for part in argv])
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def recipe(tiny: Callable[..., Config], tmp_path_factory) -> Path:
    """A YAML file that trains on the workbench in a second."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(tiny(train={"epochs": 1}).to_yaml())
    return path
