"""Results as pictures and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fact_clip.core.arguments import checked
from fact_clip.core.colours import class_colours
from fact_clip.report.embeddings import Space, class_scores, draw_frames, principal_components, space
from fact_clip.report.timeline import check_suffix, curve, save_curve, save_timeline, timeline

__all__ = [
    "Space",
    "check_suffix",
    "class_colours",
    "class_scores",
    "curve",
    "draw_frames",
    "principal_components",
    "save_curve",
    "save_timeline",
    "space",
    "timeline",
    "write",
]


@checked
def write(runs: str | Path | Sequence[str | Path], out: str | Path | None = None, *, split: str = "test") -> Path:
    """Write the report of a run, or of several side by side: one HTML page; give back its path.

    Args:
        runs: run folders that `fact_clip.evaluate` has scored on this split, or the folder of a sweep.
        out: the page; None: report.html in the run folder, or here for several runs.
        split: test, validation or train.

    Raises:
        InputError: no such run, or one that was not evaluated.
    """
    from fact_clip.report import summary  # it opens runs, and loads torch

    folders = [runs] if isinstance(runs, str | Path) else runs
    return summary.write([Path(folder) for folder in folders], out, split)
