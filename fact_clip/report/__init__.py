"""Results as pictures and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fact_clip.core.arguments import validated


@validated()
def write(
    runs: str | Path | Sequence[str | Path], out: str | Path | None = None, *, split: str = "test"
) -> Path:
    """Write the report of a run, or of several side by side: one HTML page; give back its path.

    Args:
        runs: run folders that `fact_clip.evaluate` has scored on this split, or the folder of a sweep.
        out: the page; None: report.html in the run folder, or here for several runs.
        split: test, validation or train.

    Raises:
        InputError: no such run, or one that was not evaluated.
    """
    from fact_clip.report import summary  # it opens runs, and loads torch
    from fact_clip.run import evaluation_stem

    folders, sweeps = summary.evaluations([runs] if isinstance(runs, str | Path) else runs)
    stem = evaluation_stem(split)
    return summary.save_report(
        summary.read(folders, stem), summary.page_path(folders, stem, out), sweeps
    )
