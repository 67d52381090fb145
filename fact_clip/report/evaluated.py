"""The evaluated runs that a report shows, and the sweeps among them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fact_clip.core import InputError, Json
from fact_clip.core.io import read_mapping
from fact_clip.evaluation.record import FIX, Record
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep."""

    axes: list[str]  # settings that the sweep varies
    runs: list[Path]


@dataclass(frozen=True)
class Evaluated:
    """A run and the output of its evaluation."""

    run: Run
    title: str
    written: str  # time of the evaluation, in UTC
    result: Json
    record: Record


def evaluations(folders: Sequence[str | Path]) -> tuple[list[Path], list[Sweep]]:
    """Return the run folders of some folders, and the sweeps among them.

    The folder of a sweep is replaced by the folders of its runs.
    """
    run_folders: list[Path] = []
    sweeps = []
    for folder in map(run_folder, folders):
        path = folder / "evaluation.json"
        if (folder / "run.json").is_file() or not path.is_file():
            run_folders.append(folder)
            continue
        sweep = read_mapping(path, "the result of a sweep")
        names = sweep.get("runs")
        if not isinstance(names, dict):
            raise InputError(path, "no runs")
        runs_of_sweep = [folder / name for name in names]
        sweeps.append(Sweep(list(sweep.get("axes", ())), runs_of_sweep))
        run_folders += runs_of_sweep
    resolved = [folder.resolve() for folder in run_folders]
    for folder, path in zip(run_folders, resolved, strict=True):
        if resolved.count(path) > 1:
            raise InputError(folder, "this run is listed twice")
    return run_folders, sweeps


def read(folders: Sequence[Path], stem: str = "evaluation") -> list[Evaluated]:
    """Read evaluated runs, each with a title that distinguishes it from the others."""
    titles = _titles([str(folder) for folder in folders])
    return [_read(folder, title, stem) for folder, title in zip(folders, titles, strict=True)]


def is_current(run: Run, path: Path) -> bool:
    """Return whether an evaluation is complete and belongs to the current weights of the run."""
    if not (path.is_file() and path.with_suffix(".npz").is_file()):
        return False
    weights = read_mapping(path, "the result of fact-clip evaluate").get("weights")
    return weights == run.digest()


def _read(folder: Path, title: str, stem: str) -> Evaluated:
    run = Run.read(folder)
    path = folder / f"{stem}.json"
    record_path = path.with_suffix(".npz")
    record = Record.load(record_path)
    if not is_current(run, path):
        raise InputError(path, "belongs to other weights than the run has now", FIX)
    result = read_mapping(path, "the result of fact-clip evaluate")
    has_classes = len(result.get("per_class", ())) == len(record.vocabulary)
    if not has_classes or result.get("videos") != [video.name for video in record.videos]:
        raise InputError(path, f"classes or videos differ from {record_path.name}", FIX)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Evaluated(run, title, written.strftime("%Y-%m-%d %H:%M UTC"), result, record)


def _titles(paths: Sequence[str]) -> list[str]:
    """Return the paths without their common beginning."""
    if len(paths) == 1:
        return [*paths]
    parts = [Path(os.path.abspath(path)).parts for path in paths]  # noqa: PTH100
    n_common = len(os.path.commonprefix(parts))  # noqa: RUF071, of folders; 0 on two drives
    return [str(Path(*names[n_common:])) for names in parts]
