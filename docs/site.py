"""What `mkdocs build` needs beside docs/: pages that lie elsewhere in the repository, and links that leave docs/.

The pages of docs/ link to files of the checkout (``../benchmarks/results.md``), as one reads them there. In the site a
link to a page of ELSEWHERE leads to that page, and one to any other file outside docs/ becomes its path.
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
    "docs/tutorials/notebook.ipynb": "tutorials/notebook.md",
}
"""A file of the repository and its page in the site."""

LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of ELSEWHERE."""
    for source, page in ELSEWHERE.items():
        content = {"content": notebook_page(ROOT / source)} if source.endswith(".ipynb") else {}
        files.append(
            File.generated(config, page, **(content or {"abs_src_path": str(ROOT / source)}))
        )
    return files


def notebook_page(path: Path) -> str:
    """Return a notebook as a page: texts, code, and what it printed or showed."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            plain = "".join(output.get("text", data.get("text/plain", []))).rstrip()
            parts.append(
                "".join(data["text/html"]) if "text/html" in data else f"```text\n{plain}\n```"
            )
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links that leave docs/ to a page of the site, or show what they name."""
    origins = {there: here for here, there in ELSEWHERE.items()}
    address = page.file.src_uri
    home = posixpath.dirname(origins.get(address, f"docs/{address}"))

    def lead(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(home, target))
        inside = ELSEWHERE.get(
            path, path.removeprefix("docs/") if path.startswith("docs/") else None
        )
        if inside is None:
            return f"{text} (`{path}`)" if text.strip("`") != path else f"`{path}`"
        return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(address) or '.')}{anchor})"

    return LINK.sub(lead, markdown)
