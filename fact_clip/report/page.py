"""The report: one HTML file that needs neither the network nor anything beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from fact_clip.core.paths import whole_file
from fact_clip.report.summary import Evaluated, summary

FOLDER = Path(__file__).parent


def save_report(runs: Sequence[Evaluated], path: str | Path, *, sweeps: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write the report of one or more evaluated runs (`summary.read`), side by side, and give back its path."""
    title = f"Report of {', '.join(run.title for run in runs)}"
    with whole_file(Path(path)) as unfinished:
        unfinished.write_text(page(summary(runs, sweeps), title), encoding="utf-8")
    return Path(path)


def page(data: Mapping[str, Any], title: str) -> str:
    """The HTML of a report from the data of `summary.summary`."""
    # "<" is escaped, so that no name ends the script element or opens a comment in it.
    packed = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    style, script = (
        "\n".join((FOLDER / f"{name}.{kind}").read_text(encoding="utf-8") for name in ("timeline", "page"))
        for kind in ("css", "js")
    )
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), style=style, data=packed, script=script)
