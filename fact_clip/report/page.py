"""The report as one HTML file that needs no other files and no network."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from fact_clip.core import Json
from fact_clip.core.paths import write_lines
from fact_clip.report.evaluated import Evaluated, Sweep
from fact_clip.report.summary import summary

FOLDER = Path(__file__).parent
TIMELINE = ("timeline/tools.js", "timeline/painter.js", "timeline/timeline.js")
"""The scripts of the timeline in the order in which they are loaded."""

TIMELINE_STYLE = "timeline/timeline.css"
_PAGE = ("page_parts.js", "page_charts.js", "page_timelines.js", "page.js")


def read_assets(*names: str) -> str:
    """Return several scripts or styles of this folder as one string."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


def page_path(folders: Sequence[Path], stem: str, out: str | Path | None = None) -> Path:
    """Return `out`, or else report.html in the folder of a single run or in the current folder."""
    if out:
        return Path(out)
    name = stem.replace("evaluation", "report") + ".html"
    return folders[0] / name if len(folders) == 1 else Path(name)


def save_report(
    evaluated_runs: Sequence[Evaluated], path: Path, sweeps: Sequence[Sweep] = ()
) -> Path:
    """Write the report of one or more evaluated runs, and return its path."""
    titles = [f"{evaluated.title} ({evaluated.written[:10]})" for evaluated in evaluated_runs]
    html = page(summary(evaluated_runs, sweeps), f"Report of {', '.join(titles)}")
    write_lines(path, [html])
    return path


def page(data: Json, title: str) -> str:
    """Return the HTML of a report from the data of `summary`."""
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        style=read_assets(TIMELINE_STYLE, "page.css"),
        # "<" is escaped, so that a name cannot end the script element or open a comment.
        data=content.replace("<", "\\u003c"),
        script=read_assets(*TIMELINE, *_PAGE),
    )
