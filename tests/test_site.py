"""docs/site.py: what the documentation site adds to docs/, and where links that leave docs/ lead."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

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
        ("changelog.md", "[method](docs/method.md)", "[method](method.md)"),
        ("method.md", "[paper](https://example.org/a.md) ![x](y.png) [here](#top)",
         "[paper](https://example.org/a.md) ![x](y.png) [here](#top)"),
    ],
)  # fmt: skip
def test_links_that_leave_docs(site, page, given, expected):
    address = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert site.on_page_markdown(given, address, None, None) == expected


def test_pages_from_elsewhere_exist(site):
    assert [path for path in site.ELSEWHERE if not (ROOT / path).is_file()] == []
