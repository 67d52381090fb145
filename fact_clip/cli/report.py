"""fact-clip report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fact_clip.cli.console import Device, progress
from fact_clip.core.errors import CommandOption, InputError, MissingDataError


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or the folder of a sweep for all of its runs.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page; unset: report.html in RUN, or here for several runs.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    plots: Annotated[
        Path | None, typer.Option(help="Write plots into this folder, as PNG and SVG, and no page.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write the report of one or more runs: a page to look at, or plots for a paper.

    The page is one HTML file that opens from disk and loads nothing: figures, timelines, confusions, boundaries,
    classes, uncertain segments. Several runs stand side by side. A run that was not evaluated by this version is
    evaluated first.

    \b
    Example:
      fact-clip report runs/k5
      fact-clip report runs/a runs/b --out compared.html
      fact-clip report runs/k5 --plots plots
    """
    from fact_clip.core.distributed import pick_device

    if plots is not None and out is not None:
        raise InputError(CommandOption("--out"), "--plots writes no page", "give one of --out and --plots")
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(CommandOption("--out"), f"{out} is not a page", "name it NAME.html")
    pick_device(device, "--device")
    if plots is not None:
        _plot(runs, split, plots, device)
        return
    path = write(runs, split, out, device=device)
    print(f"written: {path} ({path.resolve().as_uri()})")


def write(
    runs: Sequence[Path],
    split: str = "test",
    out: Path | None = None,
    *,
    device: str = "auto",
    has_actions: bool = False,
) -> Path:
    """Write the page of some runs, which are evaluated where that is still to be done, and give back its path."""
    from fact_clip.core.paths import check_place
    from fact_clip.report.page import save_report
    from fact_clip.report.summary import evaluations, read, sweep_of
    from fact_clip.training.evaluation import evaluation_stem

    folders, stem = evaluations(runs), evaluation_stem(split, has_actions)
    if out is None:
        name = stem.replace("evaluation", "report") + ".html"
        out = folders[0] / name if len(folders) == 1 else Path(name)
    check_place(out)  # before a run is evaluated, which may take minutes
    _evaluate_missing(folders, split, stem, device)
    sweeps = [sweep for sweep in map(sweep_of, runs) if sweep is not None]
    return save_report(read(folders, stem), out, sweeps=sweeps)


def _evaluate_missing(folders: Sequence[Path], split: str, stem: str, device: str) -> None:
    """Evaluate the runs that lack what the report is made from."""
    from fact_clip.run import Run

    for folder in folders:
        Run.read(folder)
        if all((folder / f"{stem}{suffix}").is_file() for suffix in (".json", ".npz")):
            continue
        from fact_clip import training

        try:
            with progress(f"evaluating {folder.name}") as bar:
                training.evaluate(folder, split, progress=bar, device=device)
        except MissingDataError as error:
            fix = f"evaluate it where its data are: fact-clip evaluate {folder} data.root=FOLDER"
            raise InputError(error.where, error.problem, fix) from None


def _plot(runs: Sequence[Path], split: str, out: Path, device: str) -> None:
    """Write the plots of each run, of several into a folder of its own, and print their paths."""
    from fact_clip.report.plots import save_plots
    from fact_clip.report.summary import evaluations, read
    from fact_clip.training.embeddings import embedding_spaces
    from fact_clip.training.evaluation import evaluation_stem

    folders, stem = evaluations(runs), evaluation_stem(split)
    _evaluate_missing(folders, split, stem, device)
    for evaluated, folder in zip(read(folders, stem), folders, strict=True):
        vocabulary, spaces = embedding_spaces(folder, split, device)
        for path in save_plots(evaluated, spaces, vocabulary, out if len(folders) == 1 else out / evaluated.title):
            print(path)
