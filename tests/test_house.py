"""The rules of the house: arrows point down, imports are light, each room says what it is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fact_clip

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fact_clip"
SOURCES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "transformers")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_import_contract_holds():
    lint = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    result = run_python(lint)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "module", ["fact_clip", "fact_clip.core", "fact_clip.metrics", "fact_clip.formats", "fact_clip.cli"]
)
def test_import_is_light(module):
    result = run_python(f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_help_is_light():
    code = (
        "import sys; from fact_clip.cli import main; code = main(['--help'])\n"
        f"print([name for name in {(*HEAVY, 'matplotlib')} if name in sys.modules], code)"
    )
    result = run_python(code)
    assert result.stdout.splitlines()[-1] == "[] 0", result.stdout + result.stderr


@pytest.mark.parametrize("name", fact_clip.__all__)
def test_public_name_exists(name):
    assert getattr(fact_clip, name) is not None
    assert name in dir(fact_clip)


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fact_clip.nothing


@pytest.mark.parametrize("folder", sorted({path.parent for path in SOURCES}), ids=lambda path: path.name)
def test_room_has_a_readme(folder):
    assert (folder / "README.md").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno - node.lineno >= 50}
    assert not long
