"""The documentation site: pages from elsewhere, links that leave docs/, and the examples of the Python reference."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "given", "expected"),
    [
        ("method.md", "[speed](../benchmarks/results.md#step)", "[speed](benchmarks/results.md#step)"),
        ("method.md", "[a recipe](../fact_clip/configs/kscgr.yaml)", "a recipe (`fact_clip/configs/kscgr.yaml`)"),
        ("method.md", "[`README.md`](../README.md)", "`README.md`"),
        ("tutorials/own_data.md", "[keys](../configuration.md)", "[keys](../configuration.md)"),
        ("tutorials/own_data.md", "[changes](../../CHANGELOG.md)", "[changes](../changelog.md)"),
        ("benchmarks/results.md", "[method](../docs/method.md#speed)", "[method](../method.md#speed)"),
        ("contributing.md", "[tour\nof it](fact_clip/README.md)", "tour\nof it (`fact_clip/README.md`)"),
        ("changelog.md", "[method](docs/method.md)", "[method](method.md)"),
        ("method.md", "[paper](https://example.org/a.md) ![x](y.png) [here](#top)",
         "[paper](https://example.org/a.md) ![x](y.png) [here](#top)"),
    ],
)  # fmt: skip
def test_links_that_leave_docs(site, page, given, expected):
    address = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert site.on_page_markdown(given, address, None, None) == expected


def test_warnings_of_the_site_count_and_schemas_are_in_it():
    """With --quiet, --strict does not see them."""
    (command,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if "mkdocs build" in line)
    assert "--strict" in command
    assert "--quiet" not in command
    excluded = yaml.safe_load((ROOT / "mkdocs.yml").read_text().partition("plugins:")[0])["exclude_docs"].split()
    linked = set(re.findall(r"\]\((schema/\w+\.json)\)", (ROOT / "docs/formats.md").read_text()))
    assert len(linked) == 3
    assert "*.json" not in excluded
    assert all((ROOT / "docs" / path).is_file() for path in linked)


def test_pages_from_elsewhere_exist(site):
    assert [path for path in site.ELSEWHERE if not (ROOT / path).is_file()] == []


PUBLISHED = {
    "Bi": {"hid_dim": 16, "a": "sca", "a_dim": 8, "a_ffdim": 8, "a_layers": 1, "a_nhead": 1, "f_dim": 8, "f_layers": 2},
    "FACT": {"ntoken": 4, "block": "iu"},
}


@pytest.mark.parametrize("page", ["reference.md", "streaming.md"])
def test_the_examples_of_a_page_run(page, tiny, tiny_run, workbench, tmp_path, monkeypatch):
    """The blocks in order, in one namespace, on the small data set of the tests."""
    from safetensors.torch import save_file

    from fact_clip.models import FACT, Classes
    from fact_clip_compat import read_config

    (tmp_path / "runs").mkdir()
    (tmp_path / "mydata").mkdir()
    (tmp_path / "runs/mine").symlink_to(tiny_run)
    for path in workbench.iterdir():
        (tmp_path / "mydata" / path.name).symlink_to(path)
    (tmp_path / "mydata/recipe.yaml").write_text(tiny().to_yaml())
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(PUBLISHED))
    save_file(FACT(read_config(PUBLISHED)[0].model, 8, Classes(3)).state_dict(), tmp_path / "best.safetensors")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text.partition("## Exported models")[0], re.DOTALL):  # test_export
        exec(compile(block, f"docs/{page}", "exec"), names)


# --- the pages ----------------------------------------------------------------------------------------------

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "fact_clip/**/README.md")
    for path in ROOT.glob(pattern)
    if not {"site", "demo-out", "CHANGELOG.md"} & {*path.relative_to(ROOT).parts}
)


def cells(text: str) -> Iterator[tuple[int, str]]:
    """The line and text of each cell of the tables of a page."""
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            is_code = not is_code
        elif line.startswith("|") and not is_code:
            for cell in re.split(r"(?<!\\)\|", line.strip("|")):
                yield number, re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_cell_of_a_table_has_at_most_25_words(path):
    text = path.read_text(encoding="utf-8")
    assert [(number, cell) for number, cell in cells(text) if len(cell.split()) > 25] == []


def test_the_glossary_defines_each_term_once():
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [
        term.strip()
        for row in re.findall(r"^\| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
        for term in row.split(",")
        if term != "term" and not term.startswith("--")
    ]
    assert len(terms) > 60
    assert sorted({*terms}) == sorted(terms)


DEFINED = re.compile(r"`(?P<file>[\w/]+\.py)`,? `(?P<name>\w+)`")


def test_the_tour_names_what_is_there():
    """``file.py`` `name`: the file defines the name."""
    package = ROOT / "fact_clip"
    named = DEFINED.findall((ROOT / "docs/tour.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, name in named:
        path = ROOT / file if file.startswith("fact_clip_") else package / file
        lines = path.read_text(encoding="utf-8").splitlines()
        definition = re.compile(rf"\s*(?:def {name}\(|class {name}\b|{name}\b.*=)")
        assert any(definition.match(line) for line in lines), (file, name)


def slugs(page: Path) -> set[str]:
    """The anchors of a page: its headings as GitHub writes them, and those that it sets."""
    content = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", content, flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading)).lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain} | set(re.findall(r'(?:id|name)="([^"]+)"', content))


FOLDERS = ("", "fact_clip*/**/", "tests/", "benchmarks/", "experiments/", "container/", "examples/**/")
OUTSIDE = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}*.md"))


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_outside_of_the_site_exist(page):
    """`mkdocs --strict` checks those of docs/ (`validation` of mkdocs.yml)."""
    content = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", content) + re.findall(r'(?:href|src)="([^"]+)"', content)
    dead = []
    for link in links:
        if ":" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        is_there = target.exists()
        if is_there and anchor and target.suffix == ".md":
            is_there = anchor in slugs(target)
        if not is_there:
            dead.append(link)
    assert dead == []
