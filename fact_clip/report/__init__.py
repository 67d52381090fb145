"""Results as plots and as a page."""

from collections.abc import Sequence
from pathlib import Path

from fact_clip.core.arguments import validated

__all__ = ["write"]


@validated()
def write(
    runs: str | Path | Sequence[str | Path], out: str | Path | None = None, *, split: str = "test"
) -> Path:
    """Write the report of one run, or of several runs next to each other, as one HTML page.

    Args:
        runs: Run folders that `fact_clip.evaluate` has scored on this split, or the folder of a
            sweep.
        out: Path of the page. The default is report.html in the run folder, or in the current
            folder for several runs.
        split: Split of the evaluation: test, validation or train.

    Returns:
        The path of the page.

    Raises:
        InputError: A run does not exist or was not evaluated.
    """
    from fact_clip.report import evaluated, page  # they open runs, and load torch
    from fact_clip.runs.files import evaluation_stem

    run_folders, sweeps = evaluated.evaluations([runs] if isinstance(runs, str | Path) else runs)
    stem = evaluation_stem(split)
    path = page.page_path(run_folders, stem, out)
    return page.save_report(evaluated.read(run_folders, stem), path, sweeps)
