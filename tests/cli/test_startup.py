"""What --help, --version and `import fact_clip` load: no library that takes longer than they do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

from fact_clip.cli import COMMANDS

from ..refusals import refused_line

HEAVY = ("torch", "numpy", "scipy", "yaml", "rich", "matplotlib", "transformers")
ROOT = Path(__file__).resolve().parents[2]


def loaded_by(*lines: str) -> set[str]:
    """The modules that a process has imported after some command lines."""
    code = f"import sys; from fact_clip.cli import main; print([main(line.split()) for line in {lines}], *sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    codes, _, modules = answer.stdout.splitlines()[-1].partition("]")
    assert not codes.strip("[0, "), answer.stdout + answer.stderr
    return set(modules.split())


def test_the_program_loads_no_heavy_library():
    assert not loaded_by("", "--help", "--version") & {*HEAVY, "pydantic"}


def test_the_help_of_commands_loads_no_heavy_library():
    assert not loaded_by(*(f"{command} --help" for command in COMMANDS)) & {*HEAVY}  # typer reads options by pydantic


def test_help_loads_no_command():
    own = {name for name in loaded_by("--help") if name.split(".")[0] == "fact_clip"}
    light = (
        "",
        ".cli",
        ".cli.commands",
        ".cli.console",
        ".cli.errors",
        ".cli.signals",
        ".core",
        ".core.errors",
        ".core.launch",
        ".core.messages",
        ".core.types",
        ".core.version",
    )
    assert own == {f"fact_clip{name}" for name in light}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_has_the_first_line_of_each_docstring(command):
    path, line = COMMANDS[command]
    function = resolve_name(path)
    assert inspect.getdoc(function).splitlines()[0] == line


@pytest.mark.parametrize(("words", "close"), [(["trian"], "'train'"), (["data", "chek"], "'check'")])
def test_a_misspelt_command_is_answered_with_the_close_one(words, close, fact_clip):
    assert close in refused_line(fact_clip(*words))
