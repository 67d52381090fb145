"""What --help, --version and `import fact_clip` load: no library that takes longer than they do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from fact_clip.cli import COMMANDS

from ..refusals import refused_line

HEAVY = ("torch", "numpy", "scipy", "yaml", "rich", "matplotlib", "transformers")
ROOT = Path(__file__).resolve().parents[2]


def loaded_by(*words: str) -> set[str]:
    """The modules that a command line has imported when it ends."""
    code = f"import sys; from fact_clip.cli import main; code = main({list(words)}); print(code, *sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    code, *modules = answer.stdout.splitlines()[-1].split()
    assert code == "0", answer.stdout + answer.stderr
    return set(modules)


@pytest.mark.parametrize("words", [(), ("--help",), ("--version",)])
def test_the_program_loads_no_heavy_library(words):
    assert not loaded_by(*words) & {*HEAVY, "pydantic"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_loads_no_heavy_library(command):
    assert not loaded_by(*command.split(), "--help") & {*HEAVY}  # typer reads options by pydantic


def test_help_loads_no_command():
    own = {name for name in loaded_by("--help") if name.split(".")[0] == "fact_clip"}
    light = ("", ".cli", ".cli.console", ".core", ".core.errors", ".core.messages")
    assert own == {f"fact_clip{name}" for name in light}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_has_the_first_line_of_each_docstring(command):
    module, line = COMMANDS[command]
    function = getattr(import_module(f"fact_clip.cli.{module}"), command.split()[-1])
    assert inspect.getdoc(function).splitlines()[0] == line


@pytest.mark.parametrize(("words", "close"), [(["trian"], "'train'"), (["data", "chek"], "'check'")])
def test_a_misspelt_command_is_answered_with_the_close_one(words, close, fact_clip):
    assert close in refused_line(fact_clip(*words))
