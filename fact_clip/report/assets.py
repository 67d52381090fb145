"""Scripts and styles beside this file, which the report and the labelling page contain."""

from pathlib import Path

FOLDER = Path(__file__).parent
TIMELINE = ("timeline_tools.js", "timeline_painter.js", "timeline.js")
"""The scripts of the timeline in the order in which they are loaded."""


def read_assets(*names: str) -> str:
    """Return some files as one."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)
