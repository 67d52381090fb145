"""The report: one HTML file that needs neither the network nor anything beside it, and its data as compact JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.core import InputError, Vocabulary, library_errors, runs
from fact_clip.core.colours import class_colours
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import whole_file
from fact_clip.report import record
from fact_clip.report.record import FIX, ROWS, Record, Video
from fact_clip.run import Run, run_folder

FOLDER = Path(__file__).parent
_FIGURES = ("frame_accuracy", "edit", "f1@50")  # of each video
_TOP = 3  # wrong names of an unseen class that are listed


@dataclass(frozen=True)
class Evaluated:
    """A run and what `fact-clip evaluate` wrote of it."""

    run: Run
    title: str
    written: str  # when it was evaluated, in UTC
    result: Mapping[str, Any]
    record: Record


def evaluations(folders: Sequence[str | Path]) -> tuple[list[Path], list[dict[str, Any]]]:
    """Return the run folders of some folders, and the results of sweeps, whose folders stand for their runs."""
    run_folders, sweeps = list[Path](), list[dict[str, Any]]()
    for folder in map(run_folder, folders):
        path = folder / "evaluation.json"
        if (folder / "run.json").is_file() or not path.is_file():
            run_folders.append(folder)
            continue
        sweeps.append(read_mapping(path, "the result of a sweep"))
        if not isinstance(sweeps[-1].get("runs"), dict):
            raise InputError(path, "no runs")
        run_folders += [folder / name for name in sweeps[-1]["runs"]]
    twice = next(
        (folder for index, folder in enumerate(run_folders) if folder in run_folders[:index]), None
    )
    if twice is not None:
        raise InputError(twice, "given twice")
    return run_folders, sweeps


def read(folders: Sequence[Path], stem: str = "evaluation") -> list[Evaluated]:
    """Evaluated runs, each with a title that tells it from the others; an InputError where something is missing."""
    titles = _titles([str(folder) for folder in folders])
    evaluated = []
    for folder, title in zip(folders, titles, strict=True):
        run, path = Run.read(folder), folder / f"{stem}.json"
        stored = Record.load(path.with_suffix(".npz"))
        result = read_mapping(path, "the result of fact-clip evaluate")
        names = [video.name for video in stored.videos]
        if (
            len(result.get("per_class", ())) != len(stored.vocabulary)
            or result.get("videos") != names
        ):
            raise InputError(
                path, f"other classes or videos than {path.with_suffix('.npz').name} has", FIX
            )
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
        evaluated.append(Evaluated(run, title, written, result, stored))
    return evaluated


def _titles(paths: Sequence[str]) -> list[str]:
    """The paths without what all of them begin with; equal ones are numbered."""
    if len(paths) == 1:
        return [paths[0]]
    shared = os.path.commonpath([os.path.abspath(path) for path in paths])  # noqa: PTH100
    names = [os.path.relpath(path, shared) for path in paths]
    return [
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in enumerate(names, 1)
    ]


def page_path(folders: Sequence[Path], stem: str, out: str | Path | None = None) -> Path:
    """Return where a report is written: `out`, else report.html in the run folder, or here for several runs."""
    name = stem.replace("evaluation", "report") + ".html"
    return Path(out or (folders[0] / name if len(folders) == 1 else name))


def save_report(
    runs_: Sequence[Evaluated], path: Path, sweeps: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write the report of one or more evaluated runs (of `read`), side by side, and give back its path."""
    titles = [f"{evaluated.title} ({evaluated.written[:10]})" for evaluated in runs_]
    title = f"Report of {', '.join(titles)}"
    with whole_file(path) as unfinished:
        unfinished.write_text(page(summary(runs_, sweeps), title), encoding="utf-8")
    return path


def page(data: Mapping[str, Any], title: str) -> str:
    """The HTML of a report from the data of `summary`."""
    # "<" is escaped, so that no name ends the script element or opens a comment in it.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace(
        "<", "\\u003c"
    )
    style, script = (
        "\n".join(
            (FOLDER / f"{name}.{kind}").read_text(encoding="utf-8") for name in ("timeline", "page")
        )
        for kind in ("css", "js")
    )
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), style=style, data=text, script=script)


def summary(runs_: Sequence[Evaluated], sweeps: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What page.js reads, see there. Classes and videos of several runs are united by name."""
    names = list(
        dict.fromkeys(name for evaluated in runs_ for name in evaluated.record.vocabulary.names)
    )
    index = {name: number for number, name in enumerate(names)}
    videos = list(
        dict.fromkeys(video.name for evaluated in runs_ for video in evaluated.record.videos)
    )
    pages = list[dict[str, Any]]()
    for evaluated in runs_:
        with _intact(evaluated):
            pages.append(_run(evaluated, index, videos))
    entries = [_video(name, runs_, index) for name in videos]
    return {
        "classes": _classes(names, runs_),
        "runs": pages,
        "videos": entries,
        "sweeps": list(sweeps),
    }


def _intact(evaluated: Evaluated) -> AbstractContextManager[None]:
    """Raise an InputError in place of what is raised where evaluation.json is not as it was written."""
    kinds = KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError
    return library_errors(evaluated.run.path / "evaluation.json", "damaged", *kinds, fix=FIX)


def _classes(names: Sequence[str], evaluations_: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Of each class: name, colour, number, group and factors; groups are those of the first run that has some."""
    vocabularies = [evaluated.record.vocabulary for evaluated in evaluations_]
    background = {name for vocabulary in vocabularies for name in vocabulary.background}
    groups, factors = dict.fromkeys(background, "background"), dict[str, tuple[str | None, ...]]()
    for evaluated in evaluations_:
        for key in ("unseen", "validation_unseen", "seen"):
            for name in evaluated.result.get("zero_shot", {}).get(key, ()):
                groups.setdefault(name, key.replace("_", "-"))
    for vocabulary in vocabularies:
        if len(vocabulary.slots) > 1:
            factors |= dict(zip(vocabulary.names, vocabulary.factors, strict=True))
    looks = class_colours(names, background)
    return [
        {
            "name": name,
            "colour": looks[name]["colour"],
            "number": looks[name]["number"],
            "group": groups.get(name, ""),
        }
        | {"factors": [factor for factor in factors.get(name, ()) if factor]}
        for name in names
    ]


def _run(evaluated: Evaluated, index: Mapping[str, int], videos: Sequence[str]) -> dict[str, Any]:
    """What the page shows of a run, apart from the timelines; classes and videos are places in its lists."""
    vocabulary, recorded = evaluated.record.vocabulary, evaluated.record.videos
    config, result = evaluated.run.config, evaluated.result
    index_of = _index_of(vocabulary, index)
    truth, prediction = (
        [video.labels[row] for video in recorded] for row in ("truth", "prediction")
    )
    cells = [
        [int(index_of[true]), int(index_of[guess]), n]
        for true, guess, n in record.confusion(truth, prediction)
    ]
    of_video = [videos.index(video.name) for video in recorded]
    uncertain = record.least_certain(recorded)
    for row in uncertain:
        times = recorded[row["video"]].times
        if times is not None:
            row |= {edge: round(float(times[row[edge]]), 3) for edge in ("start", "stop")}
        row |= {key: int(index_of[row[key]]) for key in ("label", "true")}
        row["video"] = of_video[row["video"]]
    edges = record.boundaries(recorded)
    edges["histogram"] = record.histogram(edges.pop("offsets"), edges["unit"])
    facts = read_mapping(evaluated.run.path / "run.json", "a run folder")
    keys = (("fact-clip", "fact_clip"), ("torch", "torch"), ("commit", "commit"))
    versions = {f"trained by {name}": str(facts[key]) for name, key in keys if facts.get(key)}
    training = dict(zip(vocabulary.names, evaluated.record.training_frames.tolist(), strict=True))
    rows = [
        {**row, "class": index[row["name"]], "training": training[row["name"]]}
        for row in result["per_class"]
    ]
    return {
        "title": evaluated.title,
        "path": str(evaluated.run.path),
        "written": evaluated.written,
        "seed": config.train.seed,
        "members": config.train.members,
        "data": config.data.name,
        "versions": versions
        | {f"evaluated by {name}": text for name, text in evaluated.record.versions.items()},
        "config": config.to_yaml(),
        "numbers": numbers(result),
        "result": {key: result[key] for key in result if key not in ("per_class", "run", "videos")},
        "classes": rows,
        "confusion": cells,
        "factors": record.factor_confusions(vocabulary, truth, prediction),
        "boundaries": edges,
        "cuts": record.cuts(truth, prediction),
        "uncertain": uncertain,
        "unseen": unseen_errors(result, vocabulary, truth, prediction),
    }


_ZERO_SHOT = (
    (
        "S",
        "S, seen classes",
        "mean accuracy of the seen classes; gamma is chosen on validation videos",
    ),
    ("U", "U, unseen classes", "mean accuracy of the unseen classes; the same gamma"),
    ("H", "H", "harmonic mean of S and U"),
    (
        "best_harmonic_mean",
        "H* (oracle)",
        "the best H on the curve: its gamma is chosen with the test labels",
    ),
    ("ausuc", "AUSUC", "area under the curve of S over U"),
    (
        "auroc",
        "AUROC",
        "frames of unseen against frames of seen classes, by best unseen minus best seen score",
    ),
    ("unseen_labels_only", "unseen labels only", "U where only unseen classes are candidates"),
    ("chance", "chance", "100 / number of candidates"),
    (
        "called_seen",
        "called seen",
        "of the wrongly named frames of unseen classes: named as a seen class",
    ),
    (
        "collapsed",
        "collapsed",
        "of the same frames: named as a frequent seen class that shares a factor",
    ),
    (
        "compositional_gap",
        "compositional gap, unseen",
        "mean of class accuracy minus the product of its factors'",
    ),
    ("compositional_gap_seen", "compositional gap, seen", "the same over seen classes"),
    ("gamma", "gamma", "subtracted from the scores of seen classes, in nats"),
    ("prior_weight", "prior weight", "share of log p(class) that is subtracted"),
)


def numbers(result: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """(name, value, note) of the figures of an evaluation, those of seen and unseen classes first."""
    zero = result.get("zero_shot", {})
    figures = {**zero.get("ways", {}).get("in use", {}), **zero, **zero.get("diagnostics", {})}
    rows = [(name, figures.get(key), note) for key, name, note in _ZERO_SHOT]
    rows += [(metrics.figure_name(key), value, "") for key, value in result["metrics"].items()]
    for key, note in (
        ("before", "of the scores as they are"),
        ("after", "of the confidences made of them"),
    ):
        reliability = (result.get("reliability") or {}).get(key) or {}
        rows.append((f"calibration error, {key}", reliability.get("ece"), note))
    return [
        (name, float(value), note) for name, value, note in rows if isinstance(value, int | float)
    ]


def unseen_errors(
    result: Mapping[str, Any],
    vocabulary: Vocabulary,
    truth: Sequence[NDArray[np.int64]],
    prediction: Sequence[NDArray[np.int64]],
) -> list[dict[str, Any]]:
    """Of each unseen class: accuracy, the product of the accuracies of its factors, and what it is taken for.

    The accuracy of a factor is the share of all frames whose true class has it that are named as a class with it.
    """
    zero = result.get("zero_shot")
    if zero is None:
        return []
    seen, rows = set(zero["seen"]), []
    wrong: dict[int, list[tuple[int, int]]] = {}
    for true, guess, count in record.confusion(truth, prediction):
        if true != guess:
            wrong.setdefault(true, []).append((count, guess))
    for name, facts in zero["unseen"].items():
        label = vocabulary.index(name)
        factors = vocabulary.factors[label]
        shares = [
            zero["by_factor"].get(slot, {}).get(factor, {}).get("accuracy")
            for slot, factor in zip(vocabulary.slots, factors, strict=True)
            if factor is not None
        ]
        product = None if None in shares else 100 * math.prod(share / 100 for share in shares)
        taken = [
            {
                "name": vocabulary.names[guess],
                "share": 100 * count / facts["frames"],
                "seen": vocabulary.names[guess] in seen,
                "shares": any(
                    a == b
                    for a, b in zip(factors, vocabulary.factors[guess], strict=True)
                    if a is not None
                ),
            }
            for count, guess in wrong.get(label, [])[:_TOP]
        ]
        rows.append({"name": name, **facts, "product": product, "taken": taken})
    return rows


def _video(
    name: str, evaluations_: Sequence[Evaluated], index: Mapping[str, int]
) -> dict[str, Any]:
    """Times, truth, and for each run the rows and figures of a video; null for a run that lacks it."""
    entry: dict[str, Any] = {"name": name, "runs": []}
    for evaluated in evaluations_:
        video = next(
            (candidate for candidate in evaluated.record.videos if candidate.name == name), None
        )
        if video is None:
            entry["runs"].append(None)
            continue
        index_of = _index_of(evaluated.record.vocabulary, index)
        entry.setdefault("frames", len(video))
        entry.setdefault("times", _times(video.times))
        entry.setdefault("truth", run_numbers(index_of[video.labels["truth"]]))
        if len(video) != entry["frames"]:
            problem = f"{len(video)} frames of {name}, not {entry['frames']}, as in {evaluations_[0].run.path}"
            raise InputError(evaluated.run.path, problem)
        rows = {
            row[0]: run_numbers(index_of[video.labels[row]], video.confidence[row])
            for row in ROWS[1:]
            if row in video.labels
        }
        with _intact(evaluated):
            figures = video_figures(video, evaluated)
        entry["runs"].append({**rows, "figures": [round(figures[key], 1) for key in _FIGURES]})
    return entry


def _index_of(vocabulary: Vocabulary, index: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the place of each class of a run among those of all runs; the last one is for label -1."""
    return np.array([*(index[name] for name in vocabulary.names), -1])


def video_figures(video: Video, evaluated: Evaluated) -> dict[str, Any]:
    """The figures of one video, by the rules of the evaluation."""
    background = (
        ()
        if evaluated.result["background_counted"]
        else evaluated.record.vocabulary.background_indices
    )
    rows = [video.labels["truth"]], [video.labels["prediction"]]
    return metrics.evaluate(
        *rows, background=background, profile=evaluated.result["metrics"]["profile"]
    )


def _times(times: NDArray[np.float64] | None) -> dict[str, Any]:
    """{"step": seconds} for even frames, {"starts": seconds of each} for others, {"step": 1} for none."""
    if times is None:
        return {"step": 1, "unit": "frames"}
    step = record.step_of(times)
    return {"starts": times.round(3).tolist()} if step is None else {"step": step}


def run_numbers(
    labels: NDArray[np.int64], confidence: NDArray[np.floating] | None = None
) -> list[int]:
    """Labels (T,) as runs in a row: class + 1 (0: none), frames and, where given, the mean confidence in percent."""
    numbers: list[int] = []
    for start, stop, label in runs(labels):
        numbers += [label + 1, stop - start]
        if confidence is not None:
            numbers.append(round(100 * float(confidence[start:stop].astype(np.float64).mean())))
    return numbers
