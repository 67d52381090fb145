"""The notebook of the tutorials: its cells run, its stored outputs are those of a run, and the site shows it."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs/tutorials/notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def outputs_of(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run a cell as Jupyter does: what it prints, and the value of its last line if that is an expression."""
    body, printed, value = ast.parse(source).body, io.StringIO(), None
    last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), NOTEBOOK.name, "exec"), names)
        if last is not None:
            value = eval(compile(last, NOTEBOOK.name, "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        data = {"text/plain": [f"{type(value).__name__}()" if hasattr(value, "_repr_html_") else repr(value)]}
        data |= {"text/html": [value._repr_html_()]} if hasattr(value, "_repr_html_") else {}
        outputs.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return outputs


def shape_and_numbers(outputs: list[dict[str, Any]]) -> tuple[str, list[float]]:
    """The text of outputs without numbers and names, which another version of torch may change, and the numbers."""
    plain = "".join("".join(output.get("text", output.get("data", {}).get("text/plain", []))) for output in outputs)
    number = re.compile(r"(?<![\w.])\d[\d,]*\.?\d*")
    return number.sub("#", plain), [float(text.replace(",", "").rstrip(".") or 0) for text in number.findall(plain)]


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows(tmp_path, monkeypatch):
    """FACT_CLIP_UPDATE=1 writes its outputs again. Figures may differ by 15 points from those of another machine."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for count, cell in enumerate(CODE, start=1):
        if "pandas" in cell["metadata"].get("tags", ()) and importlib.util.find_spec("pandas") is None:
            continue
        outputs = outputs_of("".join(cell["source"]), names, count)
        if os.environ.get("FACT_CLIP_UPDATE"):
            cell["outputs"], cell["execution_count"] = outputs, count
        if "pandas" in cell["metadata"].get("tags", ()):
            continue  # the number of rows is that of the segments
        (text, numbers), (stored, stored_numbers) = map(shape_and_numbers, (outputs, cell["outputs"]))
        assert text == stored, count
        assert numbers == pytest.approx(stored_numbers, abs=15), count
    assert names["metrics"]["frame_accuracy"] > 80
    if os.environ.get("FACT_CLIP_UPDATE"):
        tree = json.loads(NOTEBOOK.read_text(encoding="utf-8")) | {"cells": CELLS}
        NOTEBOOK.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def test_the_notebook_is_small_and_was_executed():
    assert len(CODE) <= 12
    assert NOTEBOOK.stat().st_size < 30_000
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert sum("text/html" in output.get("data", ()) for cell in CODE for output in cell["outputs"]) == 2


def test_the_site_shows_the_notebook():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/site.py")
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    page = site.notebook_page(NOTEBOOK)
    assert page.startswith("# Train on arrays")
    assert page.count("```python\n") == len(CODE)
    assert page.count('<div style="font') == 2
    assert site.ELSEWHERE[str(NOTEBOOK.relative_to(ROOT))].startswith("tutorials/")


@pytest.mark.slow
def test_the_blocks_of_the_page_run_in_one_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    steps = page.partition("## Cookbook")[0]  # test_cookbook.py runs the other programs
    blocks = re.findall(r"```python\n(.*?)```", steps, re.DOTALL)
    for block in blocks:
        assert len([line for line in block.splitlines() if line.strip()]) <= 12
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "runs/arrays/report.html").is_file()
    assert (tmp_path / "runs/watched/model.safetensors").is_file()
