"""Hooks of `mkdocs build`: pages from elsewhere in the repository, and links that leave docs/.

The pages of docs/ link to files of the checkout (``../benchmarks/results.md``). In the site a link to a
page of ELSEWHERE leads to that page, and a link to any other file outside docs/ becomes its path.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/results.md": "benchmarks/results.md",
    "benchmarks/results_gpu.md": "benchmarks/results_gpu.md",
    "benchmarks/results_parts.md": "benchmarks/results_parts.md",
    "experiments/clicks.md": "experiments/clicks.md",
    "experiments/joint_space.md": "experiments/joint_space.md",
    "experiments/kscgr.md": "experiments/kscgr.md",
    "experiments/other_models.md": "experiments/other_models.md",
    "experiments/own_data.md": "experiments/own_data.md",
    "experiments/zero_shot.md": "experiments/zero_shot.md",
    "docs/tutorials/notebook.ipynb": "tutorials/notebook.md",
}
"""Files of the repository and their pages in the site."""

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of ELSEWHERE."""
    for source, page in ELSEWHERE.items():
        path = ROOT / source
        content: dict[str, str] = {"abs_src_path": str(path)}
        if source.endswith(".ipynb"):
            content = {"content": notebook_page(path)}
        files.append(File.generated(config, page, **content))
    return files


def notebook_page(path: Path) -> str:
    """Return a notebook as a page: texts, code, and what it printed or showed."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            parts.append(_output(output))
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """Return what a cell printed or showed, as HTML if it has any."""
    data = output.get("data", {})
    if "text/html" in data:
        return "".join(data["text/html"])
    text = "".join(output.get("text", data.get("text/plain", []))).rstrip()
    return f"```text\n{text}\n```"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links that leave docs/ to a page of the site, or replace them by the path."""
    source_of = {page_path: source for source, page_path in ELSEWHERE.items()}
    address = page.file.src_uri
    folder = posixpath.dirname(source_of.get(address, f"docs/{address}"))

    def replace(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        anchor = match[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in ELSEWHERE:
            destination = ELSEWHERE[path]
        elif path.startswith("docs/"):
            destination = path.removeprefix("docs/")
        elif text.strip("`") == path:
            return f"`{path}`"
        else:
            return f"{text} (`{path}`)"
        link = posixpath.relpath(destination, posixpath.dirname(address) or ".")
        return f"[{text}]({link}{anchor})"

    return LINK.sub(replace, markdown)
