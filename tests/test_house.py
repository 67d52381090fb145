"""The rules of the house: arrows point down, imports are light, and code reads (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Hashable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

import fact_clip

from . import readability

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fact_clip"
PACKAGES = (PACKAGE, *(ROOT / f"fact_clip_{name}" for name in ("app", "batch", "compat")))
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
ROOMS = sorted({path.parent for path in SOURCES})
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


@pytest.mark.parametrize("folder", ROOMS, ids=lambda path: path.name)
def test_room_has_a_readme(folder):
    assert (folder / "README.md").is_file()


# --- arrows -----------------------------------------------------------------------------------------------------

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}

COMMANDS_TABLE = "fact_clip.cli.commands"
"""The one file that names modules above it: the commands of the other packages."""

FREE_TO_NAME = (COMMANDS_TABLE, *(package.name for package in PACKAGES))
"""The packages themselves name the homes of their public names."""


def floors_of(container: str) -> dict[str, int]:
    """The floor of each room of a package, or of each package (""), from the contracts. Neighbours share a number."""
    for contract in CONTRACTS:
        if contract["type"] == "layers" and contract.get("containers", [""]) == [container]:
            layers = enumerate(reversed(contract["layers"]))
            return {room: number for number, layer in layers for room in re.findall(r"[\w.]+", layer)}
    raise AssertionError(f"no layers of {container!r}")


FLOORS = {name: floors_of(name) for name in ("", *(package.name for package in PACKAGES))}


def module_called(text: str) -> str | None:
    """The module that a text names, as "fact_clip.models.heads:HEADS" or "models.heads"."""
    match = re.fullmatch(r"(\w+(?:\.\w+)+)(?::\w+)?", text)
    if match is None:
        return None
    for name in (match[1], f"{PACKAGE.name}.{match[1]}"):
        if name in MODULES:
            return name
    return None


def named(tree: ast.AST) -> Iterator[str]:
    """The modules that a file names without an import statement: in strings, and as homes of public names."""
    homes = fact_clip._HOME_OF
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module = module_called(node.value)
            if module is not None:
                yield module
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            beginning, dot, _ = str(node.values[0].value).rpartition(".")
            if dot and beginning in FLOORS[""]:  # any room may be inserted
                yield f"{beginning}.*"
            elif dot and beginning in MODULES:
                yield beginning
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE.name:
            if node.attr in homes:
                yield homes[node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            yield from (homes[alias.name] for alias in node.names if alias.name in homes)


def is_upward(source: str, target: str) -> bool:
    """Whether an arrow points to a higher floor of the house."""
    here, there = source.split("."), target.split(".")
    if "*" in target:
        return True
    if here[0] != there[0]:
        return FLOORS[""][here[0]] <= FLOORS[""][there[0]]
    if min(len(here), len(there)) < 2 or here[1] == there[1]:
        return False
    floors = FLOORS[here[0]]
    return floors.get(here[1], len(floors)) < floors.get(there[1], len(floors))


def upward(source: str, code: str) -> list[str]:
    """The modules above a module that its code names."""
    return sorted({target for target in named(ast.parse(code)) if is_upward(source, target)})


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {*FREE_TO_NAME}))
def test_no_file_names_a_module_above_it(module):
    assert upward(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_data_file_names_a_module(package):
    """Tables of modules are code, in which a search by symbol finds them."""
    for path in sorted(path for kind in ("json", "yaml") for path in package.rglob(f"*.{kind}")):
        words = re.findall(r"[\w.]+(?::\w+)?", path.read_text(encoding="utf-8"))
        assert [word for word in words if module_called(word)] == [], path


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("fact_clip.core.plugins", "'fact_clip.models.heads'"),
        ("fact_clip.core.plugins", "TABLES = {'head': ['models.heads:HEADS']}"),
        ("fact_clip.config.schema", "import_module(f'fact_clip.{room}')"),
        ("fact_clip.inference.segmenter", "import fact_clip\n\nfact_clip.evaluate()"),
        ("fact_clip.runs.run", "from fact_clip import load"),
        ("fact_clip.metrics.frame", "'fact_clip.runs.run'"),
        ("fact_clip.cli.train", "'fact_clip_batch.commands.batch:status'"),
        ("fact_clip_batch.engine", "'fact_clip_app.workspace.workspace'"),
        ("fact_clip_batch.engine", "'fact_clip_compat.weights'"),
        ("fact_clip_app.store.project", "'fact_clip_app.web.server'"),
    ],
)  # fmt: skip
def test_a_module_above_is_found_in_a_string(source, code):
    assert source in MODULES
    assert len(upward(source, code)) == 1


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("fact_clip.cli.train", "'fact_clip.models.heads'"),
        ("fact_clip_app.workspace.workspace", "'fact_clip_batch.stores'"),
        ("fact_clip.training.runs", "'fact_clip.training.member'"),
        ("fact_clip.core.io", "'data.root', 'text.encoder', 'fact_clip', 'see fact_clip.models.heads'"),
    ],
)
def test_other_strings_are_free(source, code):
    assert upward(source, code) == []


def started(tree: ast.AST) -> Iterator[str]:
    """The modules that run in a process of their own, "-m" "MODULE". They may import the file that starts them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List):
            words = [getattr(element, "value", None) for element in node.elts]
            yield from (str(module) for option, module in pairwise(words) if option == "-m")


def imported(path: Path) -> set[str]:
    """The modules that a file imports (at its top, in a function, for type checkers alone) or names in a string."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set(named(tree)) - set(started(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


T = TypeVar("T", bound=Hashable)


def in_circles(below: dict[T, set[T]]) -> list[T]:
    """The files that use each other in a circle, or use a file of a circle, by what each file uses."""
    below = dict(below)
    while free := [name for name, needed in below.items() if not needed & below.keys()]:
        for name in free:
            del below[name]
    return sorted(below)


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_files_of_a_room_do_not_import_in_a_circle(room):
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in room.glob("*.py")
        if not path.name.startswith("__")
    }
    below = {name: (imported(path) & files.keys()) - {name} for name, path in files.items()}
    assert not in_circles(below)


# --- scripts ----------------------------------------------------------------------------------------------------

REPORT = PACKAGE / "report"
STATIC = ROOT / "fact_clip_app" / "static"
SCRIPTS = sorted(path for path in (*REPORT.rglob("*.js"), *STATIC.rglob("*.js")) if path.parent.name != "vendor")
MOST_LINES_OF_A_SCRIPT = 250
BELOW_A_PANEL = {"common", "vendor"}
"""The folders of static/ from which every panel may import."""


def without_comments(code: str) -> str:
    """A script without its comments."""
    return re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", code, flags=re.DOTALL)


def imported_files(path: Path, code: str) -> set[Path]:
    """The files that a script imports as modules."""
    names = re.findall(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']*)["']""", without_comments(code))
    return {Path(os.path.normpath(path.parent / name)) for name in names}


def global_names(code: str) -> set[str]:
    """The capitalised names that a plain script defines for other scripts."""
    return set(re.findall(r"^(?:const|class)\s+([A-Z][a-z]\w*)\b", without_comments(code), flags=re.MULTILINE))


def scripts_below(codes: dict[Path, str]) -> dict[Path, set[Path]]:
    """What each script uses of the others: modules by imports, plain scripts of the report by global names."""
    home = {name: path for path, code in codes.items() if REPORT in path.parents for name in global_names(code)}
    below = {}
    for path, code in codes.items():
        files = imported_files(path, code)
        if REPORT in path.parents:
            files |= {home[word] for word in re.findall(r"\w+", without_comments(code)) if word in home}
        below[path] = (files & codes.keys()) - {path}
    return below


def test_scripts_do_not_use_each_other_in_a_circle():
    below = scripts_below({path: path.read_text(encoding="utf-8") for path in SCRIPTS})
    assert STATIC / "common" / "sync.js" in below[STATIC / "common" / "edits.js"]
    assert REPORT / "timeline" / "painter.js" in below[REPORT / "timeline" / "timeline.js"]
    assert not in_circles(below)


@pytest.mark.parametrize(
    "codes",
    [
        {
            STATIC / "clocks.js": 'import * as player from "./player.js";',
            STATIC / "player.js": 'import {Chip} from "./clocks.js"; // import {frame} from "./state.js";',
            STATIC / "state.js": "export const state = {};",
        },
        {
            STATIC / "a" / "labelling.js": 'import {begin,\n\tfinish} from "../b/recording.js";',
            STATIC / "b" / "recording.js": 'const {put} = await import("../a/labelling.js");',
        },
        {
            REPORT / "tools.js": "const TimelineTools = (() => ({painter: TimelinePainter}))();",
            REPORT / "painter.js": "class TimelinePainter {\n\tconstructor() { TimelineTools.clock(0); }\n}",
            REPORT / "page.js": "/* TimelinePainter */",
        },
    ],
)
def test_a_circle_of_scripts_is_found(codes):
    assert len(in_circles(scripts_below(codes))) == 2


def test_panels_import_only_themselves_and_what_is_shared():
    wrong = []
    for path in SCRIPTS:
        if path.parent.parent != STATIC:
            continue
        folder = path.parent.name
        allowed = {"vendor", folder} if folder == "common" else {*BELOW_A_PANEL, folder}
        for file in imported_files(path, path.read_text(encoding="utf-8")):
            assert file.is_file(), f"{path} imports {file}"
            if file.parent.parent != STATIC or file.parent.name not in allowed:
                wrong.append(f"{path.relative_to(STATIC)}: {file.relative_to(STATIC)}")
    assert not wrong, "\n".join(wrong)


def test_scripts_of_the_page_are_short():
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SCRIPTS if STATIC in path.parents}
    assert len(counts) > 30
    assert [path for path, count in counts.items() if count > MOST_LINES_OF_A_SCRIPT] == []


def test_long_functions_are_warned_of():
    """80 lines are where to ask whether a function does two jobs; the options of a command may well take more."""
    for path in SOURCES:
        for node in readability.functions(ast.parse(path.read_text(encoding="utf-8"))):
            lines = node.end_lineno - node.lineno + 1
            if lines > 80:
                warnings.warn(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines", stacklevel=1)


# --- what is installed ------------------------------------------------------------------------------------------


def test_wheels_have_the_data_files_of_packages():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    installed = {path for package, globs in table.items() for glob in globs for path in (ROOT / package).glob(glob)}
    files = [ROOT / file for file in tracked() if file.parts[0] in table and file.suffix != ".py"]
    assert STATIC / "common" / "state.js" in files
    assert [file for file in files if file.name != "README.md" and file not in installed] == []


# --- density ----------------------------------------------------------------------------------------------------

MOST = {
    "tokens a line": 10.0,
    "nested comprehensions": 2.0,
    "conditional expressions": 20.0,
    "tuple assignments": 4.0,
    "walruses": 1.5,
}
"""Of a package; all but the first per 1,000 lines of code."""

MOST_TOKENS_IN_A_ROOM = 10.5


def densest(paths: list[Path], key: str) -> str:
    """The five files with the highest rate."""
    rows = sorted(((readability.rates(readability.counts(path))[key], path) for path in paths), reverse=True)
    return ", ".join(f"{path.relative_to(ROOT)} ({rate:.1f})" for rate, path in rows[:5])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
@pytest.mark.parametrize("key", MOST)
def test_code_is_sparse(package, key):
    paths = sorted(package.rglob("*.py"))
    rate = readability.rates(readability.total(paths))[key]
    assert rate <= MOST[key], f"{rate:.1f} {key}; the densest: {densest(paths, key)}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_each_room_is_sparse(room):
    paths = sorted(room.glob("*.py"))
    key = "tokens a line"
    rate = readability.rates(readability.total(paths))[key]
    assert rate <= MOST_TOKENS_IN_A_ROOM, f"{rate:.1f} {key}; the densest: {densest(paths, key)}"


def test_measures_by_hand(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        '"""Words."""\n\n# a comment\na, b = 1, 2\na, b = b, a\nc = [x for y in a for x in y]\nd = 1 if a else 2\n'
    )
    count = readability.counts(path)
    assert count["lines"] == 4
    assert count["tokens"] == 7 + 7 + 13 + 7
    assert count["tuple assignments"] == count["nested comprehensions"] == count["conditional expressions"] == 1
    assert count["walruses"] == 0


# --- names ------------------------------------------------------------------------------------------------------

NOT_NAMES = frozenset(
    [
        "found", "told", "each", "own", "known", "mine", "of", "one", "place", "given", "asked", "whole",
        "kept", "made", "text", "entry", "before", "chosen", "others", "left_out", "shown", "rest", "listed",
        "more", "wanted", "ours",
    ]
)  # fmt: skip
"""Pronouns, participles and vague words: a name is a noun that says what the value is.

"seen" is for classes and for `Seen`.
"""

SAVED = {("fact_clip/models/objects.py", "own")}  # in the names of saved weights

PUBLIC = {"text"}
"""Names that other programs use: ``model(features, text=...)``, ``config.text``."""


def names_of(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """The line and name of each variable, parameter and attribute that a file binds, and whether it is a parameter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr, False
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg, True


def test_names_are_nouns():
    wrong = []
    for path in SOURCES:
        content, file = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        refused = NOT_NAMES if "unseen" in content or "Seen" in content else NOT_NAMES | {"seen"}
        for line, name, is_parameter in names_of(ast.parse(content)):
            is_public = name in PUBLIC and (is_parameter or file == "fact_clip/config/schema.py")
            if name in refused and (file, name) not in SAVED and not is_public:
                wrong.append(f"{file}:{line}: {name}")
    assert not wrong, "\n".join(wrong)


# --- docstrings -------------------------------------------------------------------------------------------------

NOT_VERBS = frozenset(
    [
        "the", "a", "an", "what", "which", "who", "whether", "that", "those", "this", "these", "how", "where",
        "when", "all", "each", "every", "some", "one", "two", "of", "for", "in", "as", "if", "with", "without",
        "from", "to", "no", "none", "its", "it", "they", "several", "more", "at", "by", "share", "number",
        "name", "names",
    ]
)  # fmt: skip


def test_docstrings_of_functions_begin_with_a_verb():
    wrong = []
    for path in SOURCES:
        for node in readability.functions(ast.parse(path.read_text(encoding="utf-8"))):
            docstring = ast.get_docstring(node) or "Return"
            first = docstring.split()[0].strip("`:,.").lower()
            if first in NOT_VERBS or docstring[0] in '(`"' or docstring[0].isdigit():
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {docstring.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)


def public_functions() -> dict[str, Any]:
    """The functions that a package or a module of the library exports, by their full names."""
    modules = ["fact_clip"]
    modules += [f"fact_clip.{room.name}" for room in ROOMS if room.parent == PACKAGE and room.name != "cli"]
    functions = {}
    for name in modules:
        module = importlib.import_module(name)
        content = Path(str(module.__file__)).read_text(encoding="utf-8")
        exported = re.findall(r"\b(\w+) as \1\b", content)
        for public in (*getattr(module, "__all__", []), *exported):
            value = getattr(module, public)
            if inspect.isfunction(value):
                functions[f"{value.__module__}.{value.__qualname__}"] = value
    return functions


def test_public_functions_describe_arguments_and_results():
    functions = public_functions()
    assert len(functions) > 60
    wrong = []
    for name, function in functions.items():
        signature, docstring = inspect.signature(function), inspect.getdoc(function) or ""
        if signature.parameters and "Args:" not in docstring:
            wrong.append(f"{name}: no Args")
        returns = signature.return_annotation not in (None, "None", "Iterator[None]", inspect.Signature.empty)
        if returns and not re.search("(Returns|Yields):", docstring):
            wrong.append(f"{name}: no Returns")
    assert not wrong, "\n".join(wrong)


# --- what is cited is here --------------------------------------------------------------------------------------


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


LOANED = re.compile(rb"\.\./shared\b|/shared/(data|parity|labels)\b")
"""The folder of data and notes that some developers have next to their checkout."""


def test_no_file_names_the_loaned_folder():
    lines = [
        f"{file}:{number}"
        for file in tracked()
        for number, line in enumerate((ROOT / file).read_bytes().splitlines(), start=1)
        if LOANED.search(line)
    ]
    assert not lines, "the repository must be complete without this folder:\n" + "\n".join(lines)
