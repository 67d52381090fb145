"""fact-clip report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fact_clip.cli.console import progress
from fact_clip.cli.options import Device, Split, argument, option
from fact_clip.core import InputError, MissingDataError


def report(
    runs: Annotated[list[Path], argument("RUN...", "Run folders, or the folder of a sweep.")],
    out: Annotated[
        Path | None,
        option("Page to write. Default: report.html in RUN, or here for several runs."),
    ] = None,
    split: Split = "test",
    plots: Annotated[
        Path | None, option("Folder for PNG and SVG plots; no page is written.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write a report page or plots of one or more runs.

    The page is one HTML file that loads nothing from the network. It shows figures, timelines,
    confusions, boundaries, classes and uncertain segments, and places several runs next to each
    other. If a run has no current evaluation, it is evaluated first.

    \b
    Example:
      fact-clip report runs/k5
      fact-clip report runs/a runs/b --out compared.html
      fact-clip report runs/k5 --plots plots
    """
    from fact_clip.devices.device import pick_device

    if out is not None:
        where = "--out"
        if plots is not None:
            raise InputError(
                where, "no page is written with --plots", "give one of --out and --plots"
            )
        if out.suffix.lower() not in (".html", ".htm"):
            raise InputError(where, f"{out} is not an HTML file", "name it NAME.html")
    pick_device(device, "--device")
    if plots is None:
        page = write_report(runs, split, out, device=device)
        print(f"written: {page} ({page.resolve().as_uri()})")
        return
    from fact_clip.report.evaluated import evaluations, read
    from fact_clip.report.plots import save_plots
    from fact_clip.runs.files import evaluation_stem

    folders, _ = evaluations(runs)
    _evaluate_missing(folders, split, device)
    for evaluated in read(folders, evaluation_stem(split)):
        target = plots if len(folders) == 1 else plots / evaluated.title
        for path in save_plots(evaluated, target):
            print(path)


def write_report(
    runs: Sequence[Path],
    split: str = "test",
    out: Path | None = None,
    *,
    device: str = "auto",
) -> Path:
    """Write the page of some runs, after evaluating the runs that have no current evaluation.

    Args:
        runs: Run folders, or the folder of a sweep.
        split: Split to report.
        out: Path of the page, or None for report.html.
        device: Device on which models are evaluated.

    Returns:
        The path of the page.
    """
    from fact_clip.core.paths import check_place
    from fact_clip.report import write
    from fact_clip.report.evaluated import evaluations
    from fact_clip.report.page import page_path
    from fact_clip.runs.files import evaluation_stem

    folders, _ = evaluations(runs)
    check_place(page_path(folders, evaluation_stem(split), out))
    _evaluate_missing(folders, split, device)
    return write(runs, out, split=split)


def _evaluate_missing(folders: Sequence[Path], split: str, device: str) -> None:
    """Evaluate the runs that have no current evaluation, which may take minutes."""
    from fact_clip import training
    from fact_clip.report.evaluated import is_current
    from fact_clip.runs.files import evaluation_stem
    from fact_clip.runs.run import Run

    for folder in folders:
        path = folder / f"{evaluation_stem(split)}.json"
        run = Run.read(folder)
        if is_current(run, path):
            continue
        try:
            with progress(f"evaluating {folder.name}") as bar:
                training.evaluate(folder, split, progress=bar, device=device)
        except MissingDataError as error:
            fix = f"evaluate it where its data are: fact-clip evaluate {folder} data.root=FOLDER"
            raise InputError(error.where, error.problem, fix) from None
        if not is_current(run, path):
            fix = f"evaluate it where these are: fact-clip evaluate {folder} data.root=FOLDER"
            raise InputError(folder, "the data differ from the data of its training run", fix)
