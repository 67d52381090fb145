"""The rules of the house: arrows point down, imports are light, each room says what it is for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import fact_clip

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fact_clip"
PAGE = ROOT / "fact_clip_app"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *PAGE.rglob("*.py")])
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


def test_long_functions_are_warned_of():
    """80 lines are where to ask whether a function does two jobs; the options of a command may well take more."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 80:
                lines = node.end_lineno - node.lineno + 1
                warnings.warn(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines", stacklevel=1)


# --- files of a room, and names ------------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """The modules that a file imports, at its top or inside a function, but for those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", sorted({path.parent for path in SOURCES} - {PACKAGE}), ids=lambda path: path.name)
def test_files_of_a_room_do_not_import_in_a_circle(room):
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in room.glob("*.py")
        if not path.name.startswith("__")
    }
    below = {name: imported(path) & files.keys() for name, path in files.items()}
    while free := [name for name, needed in below.items() if not needed & below.keys()]:
        for name in free:
            del below[name]
    assert not below, f"these files import each other: {sorted(below)}"


NOT_NAMES = frozenset(
    ["found", "told", "each", "own", "known", "mine", "of", "one", "place", "given", "asked", "whole", "kept", "made"]
)
"""Pronouns and participles: a name is a noun that says what the value is. "seen" may be said of seen classes alone."""

SAVED = {("fact_clip/models/objects.py", "own")}  # in the names of saved weights


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and name of each variable, parameter and attribute that a file binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def test_names_are_nouns():
    wrong = []
    for path in SOURCES:
        text, file = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        refused = NOT_NAMES if "unseen" in text else NOT_NAMES | {"seen"}
        wrong += [
            f"{file}:{line}: {name}"
            for line, name in names_of(ast.parse(text))
            if name in refused and (file, name) not in SAVED
        ]
    assert not wrong, "\n".join(wrong)


# --- what is cited is here ----------------------------------------------------------------------------------


def tracked() -> list[Path]:
    """The files of the repository, from its root."""
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in answer.stdout.splitlines() if (ROOT / name).is_file()]


def is_here(name: str, page: Path, files: list[Path]) -> bool:
    """Whether a file that a page names lies beside it, at the root, in the package, or anywhere by its bare name."""
    places = (ROOT / page.parent, ROOT, PACKAGE)
    return any((place / name).exists() for place in places) or any(file.name == name for file in files)


FREE = ("CHANGELOG.md", "site.py", "test_site.py")
"""Of the past, and of the documentation site, whose pages have addresses of their own."""


def test_every_page_that_is_cited_is_here():
    files = tracked()
    cited = [
        f"{file}:{number}: {name}"
        for file in files
        if file.suffix in (".py", ".md", ".yaml", ".toml", ".cff", "") and file.name not in FREE
        for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), start=1)
        for name in re.findall(r"(?<![\w/.\\-])[\w./-]+\.md\b", line)
        if not is_here(name, file, files)
    ]
    assert not cited, "cited and not in the repository:\n" + "\n".join(cited)


def test_files_that_a_readme_names_are_here():
    files = tracked()
    named = [
        f"{page}: {name}"
        for page in files
        if page.suffix == ".md" and page.name != "CHANGELOG.md"
        for name in re.findall(r"`([\w./-]+\.py)(?::\w+)?`", (ROOT / page).read_text(encoding="utf-8"))
        if not is_here(name, page, files)
    ]
    assert not named, "named and not in the repository:\n" + "\n".join(named)
