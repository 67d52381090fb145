"""`summary`: the data of a report, with classes and videos of all runs merged by name.

    _classes: name, colour and group of each class.
    _run: the figures, confusions and least certain segments of a run.
    _video: the timeline of a video, with a row for each run.
    _sweep: means over the runs of a sweep.

The comment at the top of page.js describes the result.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip import metrics
from fact_clip.core import (
    Floats,
    InputError,
    Integers,
    Json,
    Reals,
    Vocabulary,
    library_errors,
    runs,
)
from fact_clip.core.colours import class_colours
from fact_clip.core.io import read_mapping
from fact_clip.evaluation.record import FIX, ROWS, Labels, Video
from fact_clip.report import analysis
from fact_clip.report.evaluated import Evaluated, Sweep

_FIGURES = ("frame_accuracy", "edit", "f1@50")  # of each video
_TOP = 3  # number of most frequent wrong names that the page lists per unseen class

_ZERO_SHOT: dict[str, list[str]] = read_mapping(Path(__file__).with_name("figures.yaml"), "figures")
"""Name and note of each zero-shot figure, by its key."""

_RELIABILITY = (
    ("before", "of the scores as they are"),
    ("after", "of the confidences derived from them"),
)


def summary(evaluated_runs: Sequence[Evaluated], sweeps: Sequence[Sweep] = ()) -> Json:
    """Return the data for page.js, which the comment at the top of page.js describes.

    Classes and videos are merged by name.
    """
    class_names: dict[str, None] = {}
    video_names: dict[str, None] = {}
    for evaluated in evaluated_runs:
        class_names |= dict.fromkeys(evaluated.record.vocabulary)
        video_names |= {video.name: None for video in evaluated.record.videos}
    class_index = _positions(class_names)
    video_index = _positions(video_names)

    run_data = []
    indices = []
    for evaluated in evaluated_runs:
        # The index of each class of the run (C + 1,), with label -1 at the end.
        index_of = np.array([*(class_index[name] for name in evaluated.record.vocabulary), -1])
        indices.append(index_of)
        with _intact(evaluated):
            run_data.append(_run(evaluated, index_of, video_index))
    return {
        "classes": _classes(class_names, evaluated_runs),
        "runs": run_data,
        "videos": [_video(name, evaluated_runs, indices) for name in video_names],
        "sweeps": [_sweep(sweep, evaluated_runs) for sweep in sweeps],
    }


def _sweep(sweep: Sweep, evaluated_runs: Iterable[Evaluated]) -> Json:
    """Return the mean of each figure over the runs of a sweep, and its standard deviation.

    The deviation is computed from the means of the seeds if seeds vary, and otherwise from the
    runs.
    """
    groups: dict[int | str, list[dict[str, float]]] = {}
    for evaluated in evaluated_runs:
        if evaluated.run.path in sweep.runs:
            seed = evaluated.run.config.train.seed
            group = seed if "train.seed" in sweep.axes else evaluated.title
            figures = {name: value for name, value, _ in numbers(evaluated.result)}
            groups.setdefault(group, []).append(figures)
    rows = [figures for group in groups.values() for figures in group]
    names = [name for name in rows[0] if all(name in figures for figures in rows)]
    table = []
    for name in names:
        means = [statistics.fmean(row[name] for row in group) for group in groups.values()]
        deviation = statistics.stdev(means) if len(means) > 1 else 0.0
        table.append([name, statistics.fmean(figures[name] for figures in rows), deviation])
    return {"axes": sweep.axes, "runs": len(rows), "figures": table}


def _positions(names: Iterable[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _intact(evaluated: Evaluated) -> AbstractContextManager[None]:
    """Raise an InputError if an evaluation.json was changed so that it cannot be read."""
    kinds = (KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError)
    return library_errors(evaluated.run.path / "evaluation.json", "damaged", *kinds, fix=FIX)


def _classes(names: Iterable[str], evaluated_runs: Sequence[Evaluated]) -> list[Json]:
    """Return name, colour, number, group and factors of each class.

    The group of a class is its group in all runs that have the class, or "" if they differ.
    """
    background: set[str] = set()
    factors: dict[str, tuple[str | None, ...]] = {}
    groups: dict[str, set[str]] = {}
    for evaluated in evaluated_runs:
        vocabulary = evaluated.record.vocabulary
        background.update(vocabulary.background)
        if len(vocabulary.slots) > 1:
            factors |= dict(zip(vocabulary.names, vocabulary.factors, strict=True))
        for name, group in _groups(evaluated).items():
            groups.setdefault(name, set()).add(group)

    rows = []
    for name, look in class_colours(names, background).items():
        rows.append(
            {
                "name": name,
                "colour": look["colour"],
                "number": look["number"],
                "group": min(groups[name]) if len(groups[name]) == 1 else "",
                "factors": [factor for factor in factors.get(name, ()) if factor],
            }
        )
    return rows


def _groups(evaluated: Evaluated) -> dict[str, str]:
    """Return the group of each class of a run, "" if it is unknown."""
    vocabulary = evaluated.record.vocabulary
    groups = dict.fromkeys(vocabulary.names, "no examples")
    trained = np.flatnonzero(evaluated.record.training_frames)
    groups |= dict.fromkeys(vocabulary.decode(trained), "")
    zero_shot = evaluated.result.get("zero_shot", {})
    for key in ("seen", "validation_unseen", "unseen"):
        groups |= dict.fromkeys(zero_shot.get(key, ()), key.replace("_", "-"))
    return groups | dict.fromkeys(vocabulary.background, "background")


def _run(evaluated: Evaluated, index_of: Integers, video_index: Mapping[str, int]) -> Json:
    """Return the data of a run, except for timelines. Classes and videos are indices."""
    vocabulary = evaluated.record.vocabulary
    videos = evaluated.record.videos
    config = evaluated.run.config
    result = evaluated.result
    truth, prediction = analysis.labellings(videos)

    confusion = []
    cells = analysis.confusion(truth, prediction)
    for cell in cells[: analysis.MOST_CELLS]:
        true = int(index_of[cell.true])
        predicted = int(index_of[cell.predicted])
        confusion.append([true, predicted, cell.frames, cell.total])
    uncertain = analysis.least_certain(videos)
    for row in uncertain:
        for key in ("label", "true"):
            row[key] = int(index_of[row[key]])
        row["video"] = video_index[videos[row["video"]].name]
    classes = []
    groups = _groups(evaluated)
    for row in result["per_class"]:
        label = vocabulary.index(row["name"])
        training = int(evaluated.record.training_frames[label])
        facts = {"class": int(index_of[label]), "training": training, "group": groups[row["name"]]}
        classes.append({**row, **facts})

    return {
        "title": evaluated.title,
        "path": str(evaluated.run.path),
        "written": evaluated.written,
        "seed": config.train.seed,
        "members": config.train.members,
        "data": config.data.name,
        "choice": str(evaluated.run.choice or ""),
        "versions": _versions(evaluated),
        "config": config.to_yaml(),
        "numbers": numbers(result),
        "result": {key: result[key] for key in result if key not in ("per_class", "run", "videos")},
        "classes": classes,
        "confusion": confusion,
        "factors": analysis.factor_confusions(vocabulary, truth, prediction),
        "boundaries": analysis.boundaries(videos),
        "uncertain": uncertain,
        "unseen": unseen_errors(result, vocabulary, cells),
    }


def _versions(evaluated: Evaluated) -> dict[str, str]:
    facts = read_mapping(evaluated.run.path / "run.json", "a run folder")
    versions = {}
    for name, key in (("fact-clip", "fact_clip"), ("torch", "torch"), ("commit", "commit")):
        if facts.get(key):
            versions[f"trained by {name}"] = str(facts[key])
    for name, version in evaluated.record.versions.items():
        versions[f"evaluated by {name}"] = version
    return versions


def numbers(result: Json) -> list[tuple[str, float, str]]:
    """Return (name, value, note) of the figures of an evaluation, zero-shot figures first."""
    zero_shot = result.get("zero_shot", {})
    in_use = zero_shot.get("ways", {}).get("in use", {})
    figures = {**in_use, **zero_shot, **zero_shot.get("diagnostics", {})}
    rows: list[tuple[str, Any, str]] = [
        (name, figures.get(key), note) for key, (name, note) in _ZERO_SHOT.items()
    ]
    for key, value in result["metrics"].items():
        rows.append((metrics.figure_name(key), value, ""))
    reliability = result.get("reliability") or {}
    for key, note in _RELIABILITY:
        error = (reliability.get(key) or {}).get("ece")
        rows.append((f"calibration error, {key}", error, note))
    return [
        (name, float(value), note) for name, value, note in rows if isinstance(value, int | float)
    ]


def unseen_errors(
    result: Json, vocabulary: Vocabulary, cells: Sequence[analysis.Cell]
) -> list[Json]:
    """Return the facts of each unseen class and the most frequent wrong names."""
    zero_shot = result.get("zero_shot")
    if zero_shot is None:
        return []
    rows = []
    for name, facts in zero_shot["unseen"].items():
        label = vocabulary.index(name)
        wrong = [cell for cell in cells if cell.true == label != cell.predicted]
        taken = []
        for cell in wrong[:_TOP]:
            guess = vocabulary.names[cell.predicted]
            pairs = zip(vocabulary.factors[label], vocabulary.factors[cell.predicted], strict=True)
            taken.append(
                {
                    "name": guess,
                    "share": 100 * cell.frames / facts["frames"],
                    "seen": guess in zero_shot["seen"],
                    "shares": any(first is not None and first == other for first, other in pairs),
                }
            )
        rows.append({"name": name, **facts, "taken": taken})
    return rows


@dataclass(frozen=True)
class _View:
    """A video as one of the runs has evaluated it.

    Attributes:
        evaluated: The run.
        video: The video in the record of the run.
        index_of: Index in the report of each class of the run, (C + 1,). The last one is -1.
    """

    evaluated: Evaluated
    video: Video
    index_of: Integers

    @property
    def truth(self) -> Integers:
        """Return the true labels, (T,), as indices in the report."""
        labels: Integers = self.index_of[self.video.labels["truth"]]
        return labels


def _video(
    name: str,
    evaluated_runs: Sequence[Evaluated],
    indices: Sequence[Integers],
) -> Json:
    """Return the times, the truth, and the rows and figures of each run for a video.

    A run that lacks the video has None instead of rows.
    """
    views: list[_View | None] = []
    for evaluated, index_of in zip(evaluated_runs, indices, strict=True):
        videos = {video.name: video for video in evaluated.record.videos}
        video = videos.get(name)
        views.append(None if video is None else _View(evaluated, video, index_of))
    views_of_video = [view for view in views if view is not None]
    truth = _common_truth(name, views_of_video)
    known_times = [view.video.times for view in views_of_video if view.video.times is not None]
    return {
        "name": name,
        "times": _times(known_times[0] if known_times else None),
        "runs": [None if view is None else _rows(view) for view in views],
        "frames": len(truth),
        "truth": flat_runs(truth),
    }


def _common_truth(name: str, views: Sequence[_View]) -> Integers:
    """Return the true labels (T,) of a video, each from the first run that labels the frame.

    A hold-out may hide labels in some runs.

    Raises:
        InputError: The runs differ in the number of frames or in the label of a frame.
    """
    truth = views[0].truth
    for view in views:
        path = view.evaluated.run.path
        labels = view.truth
        if len(labels) != len(truth):
            first = views[0].evaluated.run.path
            problem = f"{len(labels)} frames of {name}, not {len(truth)}, as in {first}"
            raise InputError(path, problem)
        is_different = (labels != truth) & (labels >= 0) & (truth >= 0)
        if is_different.any():
            frame = int(is_different.argmax())
            labelled_paths = [
                other.evaluated.run.path for other in views if other.truth[frame] >= 0
            ]
            problem = f"other true labels of {name} than in {labelled_paths[0]}"
            raise InputError(path, problem, "evaluate both on the same labels")
        truth = np.where(truth >= 0, truth, labels)
    return truth


def _rows(view: _View) -> Json:
    """Return the rows of a timeline, and the figures of one run for a video."""
    video = view.video
    rows: Json = {}
    for row in ROWS[1:]:
        if row in video.labels:
            labels = view.index_of[video.labels[row]]
            rows[row[0]] = flat_runs(labels, video.confidence[row])
    rows["figures"] = [None] * len(_FIGURES)
    if video.is_labelled:
        with _intact(view.evaluated):
            figures = video_figures(video, view.evaluated)
        rows["figures"] = [round(figures[key], 1) for key in _FIGURES]
    return rows


def video_figures(video: Video, evaluated: Evaluated) -> Json:
    """Return the figures of one video by the rules of the evaluation."""
    return metrics.evaluate(
        [video.labels["truth"]],
        [video.labels["prediction"]],
        background=evaluated.record.vocabulary.background_indices,
        profile=evaluated.result["metrics"]["profile"],
        count_background=evaluated.result["background_counted"],
    )


def _times(times: Floats | None) -> Json:
    """Return {"step": seconds} for evenly spaced frames, and {"starts": ...} for others."""
    if times is None:
        return {"step": 1, "unit": "frames"}
    step = analysis.step_of(times)
    return {"starts": times.round(3).tolist()} if step is None else {"step": step}


def flat_runs(labels: Labels, confidence: Reals | None = None) -> list[int]:
    """Return the runs of labels (T,) as one flat list.

    A run consists of its class + 1 (0 for none), its number of frames and, with `confidence`, its
    mean confidence in percent.
    """
    numbers: list[int] = []
    for start, stop, label in runs(labels):
        numbers += [label + 1, stop - start]
        if confidence is not None:
            mean = confidence[start:stop].astype(np.float64).mean()
            numbers.append(round(100 * float(mean)))
    return numbers
