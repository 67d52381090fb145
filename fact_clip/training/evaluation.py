"""Scoring a run on a split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import __version__, metrics
from fact_clip.config import Config
from fact_clip.core import CommandOption, ConfigKey, InputError, Vocabulary, runs
from fact_clip.core.arguments import validated
from fact_clip.core.distributed import Precision, Processes, pick_device
from fact_clip.core.io import write_value
from fact_clip.core.paths import check_place, inside, write_lines
from fact_clip.core.progress import paced
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import find_split, read_lines
from fact_clip.datasets.memory import DataSource, MemoryStore, with_data
from fact_clip.decoding import Calibration, CandidateSet, decode_scores, reliability, voter_labels
from fact_clip.inference.scorer import Scorer
from fact_clip.run import LoadedRun, Run, check_classes, commit, evaluation_stem
from fact_clip.training import zero_shot
from fact_clip.training.plan import warn_of_unused
from fact_clip.training.zero_shot import calibrate, judges, learn_confidence
from fact_clip.video.extract import Progress

logger = logging.getLogger(__name__)

Rows = dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
"""Row of `report.record.ROWS` -> class index and confidence of each frame, (T,) and (T,)."""


@validated("data")
def evaluate(
    run_dir: str | Path,
    split: str = "test",
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    actions: Sequence[str] | None = None,
    device: str = "auto",
    trust_encoder: bool = False,
    precision: Precision = "auto",
    data: DataSource | None = None,
) -> dict[str, Any]:
    """Score a run and write ``RUN/evaluation.json`` (of the test split) or ``RUN/evaluation_SPLIT.json``.

    With `actions` the name ends with ``_actions``, and the result says which names were candidates. Processes share the
    videos, and the first one writes.

    Args:
        run_dir: the run folder, or its RUN/ckpts/best.net.
        split: test, validation or train.
        overrides: ``data.root=...`` where the data has moved, ``decode.switch_penalty=...``; a setting of the model or
            of its training is an InputError. Gamma (with classes held out) and confidences are learned anew where the
            decoding, or the number of members, differs from that of the training.
        progress: called with (done, total, video name).
        actions: candidates, see `Segmenter.segment`; another label is an error, and so is a name that the data lacks.
        device: auto, cpu, cuda, cuda:N or mps.
        trust_encoder: load a text encoder that the run names by a path; one that `overrides` name is trusted.
        precision: of the model's products: float32, bf16, or auto, which is float32.
        data: data in memory in place of ``data.root``, with the classes of the run; see `train`.

    Returns:
        ``{"split", "videos", "metrics": {...}, "per_class": [...], ...}``, see docs/json.md.
    """

    scorer, dataset = open_run(run_dir, overrides, device, precision, data)
    names_encoder = any(override.startswith("text.encoder=") for override in overrides)
    scorer.reader.trust_encoder = trust_encoder or names_encoder
    if actions is None and scorer.run.config.model.is_open and names_encoder:
        logger.warning(
            "text.encoder has no effect without new names: trained classes keep the vectors of the training"
        )
    run, config = scorer.run, scorer.run.config
    names, choice = split_names(dataset, split), scorer.choose(actions)
    vocabulary, column_of = choice.extend(dataset.vocabulary)
    processes, kind = Processes(scorer.device), split if actions is None else f"{split}_actions"
    stem = evaluation_stem(split, actions is not None)
    record, written = (inside(run.path, f"{stem}{ending}") for ending in (".npz", ".json"))
    for path in (record, written):
        check_place(path)
    results, local_videos = [], processes.share(names)
    dataset.check_sidecars(names)
    for name in paced(local_videos, "evaluating", logger, progress):
        features = dataset.features(name)
        transcript = given_transcript(dataset, name) if config.model.transcript else None
        scores = scorer.score(features, choice, transcript=transcript)
        frame_rows = {
            "prediction": decode_scores(scores, choice, scorer.settings),
            **voter_labels(scores, choice),
        }
        # To be decoded in other ways below; on the CPU, for another process has another GPU.
        results.append((frame_rows, scores.to("cpu") if dataset.holdout is not None else None))
    results = processes.gather(results, len(names))
    rows = [
        {row: (column_of[labels], part) for row, (labels, part) in by_row.items()}
        for by_row, _ in results
    ]
    prediction = [frame_rows["prediction"][0] for frame_rows in rows]
    scored = [scores.to(scorer.device) for _, scores in results if scores is not None]
    if processes.is_main:
        for name, labels in zip(names, prediction, strict=True):
            write_lines(
                inside(run.path, "predictions", kind, f"{name}.txt"), vocabulary.decode(labels)
            )
    truth = [dataset.labels(name) for name in names]
    if not any((labels >= 0).any() for labels in truth):
        logger.warning("no frame of the %s videos has a label, so all figures are 0 or 100", split)
    figures = score(config, vocabulary, truth, prediction)
    result = {"run": str(run.path), "split": split, "videos": list(names), **figures}
    shares = [frame_rows["prediction"][1] for frame_rows in rows]
    result["reliability"] = _reliability(scorer, truth, prediction, shares)
    if actions is not None:
        result["candidates"] = _candidates(choice, dataset.vocabulary, truth)
    if dataset.holdout is not None:
        result["zero_shot"] = zero_shot.report(scorer, dataset, names, actions, scored)
    if processes.is_main:
        _save_record(record, scorer, dataset, vocabulary, dict(zip(names, rows, strict=True)))
        write_value(written, result)
    return result


def _save_record(
    path: Path, scorer: Scorer, dataset: Dataset, vocabulary: Vocabulary, rows: Mapping[str, Rows]
) -> None:
    """Write what the report needs of each video; predictions have the confidences that `segment` gives them."""
    from fact_clip.report.record import Record, Video

    counts = np.zeros(len(vocabulary), dtype=np.int64)
    counts[: len(dataset.vocabulary)] = (
        dataset.class_counts()
    )  # further candidates come after the known classes
    videos = [
        Video(
            name,
            {"truth": dataset.labels(name)}
            | {row: labels for row, (labels, _) in frame_rows.items()},
            {row: shares.astype(np.float16) for row, (_, shares) in frame_rows.items()}
            | {"prediction": scorer.calibrated(frame_rows["prediction"][1]).astype(np.float16)},
            dataset.times(name),
        )
        for name, frame_rows in rows.items()
    ]
    versions = {
        "fact-clip": __version__,
        "torch": torch.__version__,
        "commit": commit() or "unknown",
    }
    Record(vocabulary, counts, versions, videos).save(path)


def open_run(
    run_dir: str | Path,
    overrides: Sequence[str],
    device: str,
    precision: Precision = "auto",
    data: DataSource | None = None,
) -> tuple[Scorer, Dataset]:
    """Open a run with overrides, and its data; gamma is chosen anew where decoding differs from the training's."""
    for override in overrides:
        if "=" not in override:
            raise InputError(
                CommandOption(override),
                "no '=' in the override",
                "write key=value, as data.root=FOLDER",
            )
        if not override.startswith(_CHANGEABLE) or override.startswith(_TRAINED):
            fix = f"train a run with it; settings that begin with {', '.join(_CHANGEABLE)} can be changed"
            raise InputError(CommandOption(override), "this setting belongs to the training", fix)
    loaded, torch_device = Run.open(run_dir, overrides), pick_device(device, "device")
    run, calibration, confidence = loaded.run, loaded.calibration, loaded.confidence
    run = run if data is None else replace(run, config=with_data(run.config, data))
    trained = Run.read(run_dir) if overrides else run
    metrics.figure_keys(run.config.evaluation.profile)
    dataset = Dataset.open(run.config.data, None if data is None else MemoryStore(data))
    _check_data(trained, run, dataset, calibration)
    if (run.config.decode, run.config.train.members) != (
        trained.config.decode,
        trained.config.train.members,
    ):
        if calibration is not None and dataset.holdout is not None:
            calibration = calibrate(judges(run, dataset, torch_device))
        if confidence is not None:
            confidence = learn_confidence(run, dataset, torch_device, calibration)
    warn_of_unused([run.config], overrides)
    loaded = LoadedRun(run, loaded.models, calibration, confidence)
    return Scorer(loaded, torch_device, precision=precision), dataset


def _check_data(trained: Run, run: Run, dataset: Dataset, calibration: Calibration | None) -> None:
    """Raise an InputError where a run cannot be judged by these data; `trained` is the run without overrides."""
    _check_split(trained, run, dataset)
    check_classes(
        run, dataset.vocabulary.names, dataset.location, "use the data that it was trained on"
    )
    dataset.labels(
        dataset.learning[0]
    )  # which are as long as its features, unless these lie the other way
    if dataset.input_dim != run.transform.input_dim:
        problem = f"{dataset.input_dim} columns, but {run.path} was trained with {run.transform.input_dim}"
        raise InputError(dataset.folder.features_location, problem)
    run.check_rate(dataset.fps, "data.fps")
    seen = {dataset.vocabulary.names[label] for label in dataset.seen}
    # by one member of an ensemble, so that others may have learned it
    hidden_once = (
        {*(trained.config.data.validation_unseen or ())}
        if trained.config.train.member_parts
        else set()
    )
    is_same = run.config.data == trained.config.data
    if (
        calibration is not None
        and is_same
        and not seen <= {*calibration.seen} <= seen | hidden_once
    ):
        problem = f"other seen classes than data.holdout of {run.path / 'config.yaml'} leaves"
        raise InputError(run.path / "calibration.json", problem, "train the run anew")
    trained_on = () if calibration is None else calibration.seen
    if trained.config.data.holdout is None and run.config.data.holdout_mode != "oracle":
        trained_on = trained.vocabulary.names
    names = (
        dataset.vocabulary.names[label] for label in (*dataset.unseen, *dataset.validation_unseen)
    )
    leaked = next((name for name in names if name in trained_on and name not in hidden_once), None)
    if leaked is not None:
        problem = f"{leaked!r} cannot be unseen: the run was trained on it"
        raise InputError(ConfigKey("data.holdout"), problem, "train a run with this hold-out")


def _check_split(trained: Run, run: Run, dataset: Dataset) -> None:
    """An InputError where another split tests what the run was trained on."""
    trained_split, split = str(trained.config.data.split), str(run.config.data.split)
    if trained_split == split or dataset.root is None:
        return
    if find_split(dataset.root, "train", trained_split) is None:
        return
    learned = dataset.folder.videos("train", trained_split)
    leaked = next((name for name in dataset.test if name in learned), None)
    if leaked is not None:
        problem = f"{split}, whose test video {leaked!r} the run was trained on"
        raise InputError(
            ConfigKey("data.split"),
            problem,
            f"evaluate split {trained_split}, or train a run on it",
        )


_CHANGEABLE = ("data.", "decode.", "evaluation.", "text.encoder=", "train.members=")
"""What an evaluation may set otherwise than the training did."""

_TRAINED = (
    "data.objects",
    "data.stride=",
    "data.interleave=",
    "data.context=",
    "data.standardize=",
)
"""What it may not, since the weights depend on it; `Run.read` looks at the columns of the model."""


def _reliability(
    scorer: Scorer,
    truth: list[NDArray[np.int64]],
    prediction: list[NDArray[np.int64]],
    scores: list[Any],
) -> dict[str, Any]:
    """How scores, and the confidences made of them, agree with the share of labelled frames that is right."""
    true, guess, score = map(np.concatenate, (truth, prediction, scores))
    score, right = score[true >= 0].astype(np.float64), (guess == true)[true >= 0]
    after = (
        None
        if scorer.confidence is None
        else reliability(scorer.confidence.calibrated(score), right)
    )
    return {"before": reliability(score, right), "after": after}


def _candidates(
    choice: CandidateSet, vocabulary: Vocabulary, truth: list[NDArray[np.int64]]
) -> dict[str, Any]:
    """Which names were candidates, and the labelled frames whose label was none of them."""
    names = [
        name for name, out in zip(choice.vocabulary.names, choice.ruled_out, strict=True) if not out
    ]
    left_out = [name for name in vocabulary if name not in names]
    labels = np.concatenate(truth)
    return {
        "names": names,
        "new": [name for name in names if name not in vocabulary],
        "left_out": left_out,
        "frames_left_out": int(np.isin(labels, vocabulary.encode(left_out)).sum()),
        "frames": int((labels >= 0).sum()),
    }


def split_names(dataset: Dataset, split: str) -> tuple[str, ...]:
    """Video names of a split; an InputError where there are none."""
    parts = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    if not isinstance(split, str) or split not in parts:
        raise InputError("split", f"{split!r}, not one of {', '.join(parts)}")
    if not parts[split]:
        raise InputError(dataset.location, f"the {split} split has no videos")
    return parts[split]


def score(
    config: Config,
    vocabulary: Vocabulary,
    truth: list[NDArray[np.int64]],
    prediction: list[NDArray[np.int64]],
) -> dict[str, Any]:
    """Metrics, per-class figures and what they rest on."""
    per_class = metrics.per_class(truth, prediction, len(vocabulary))
    for name, row in zip(vocabulary.names, per_class, strict=True):
        row["name"] = name
    background, rules = vocabulary.background_indices, config.evaluation.rules
    figures = metrics.evaluate(truth, prediction, background=background, **rules)
    return {
        "metrics": figures,
        "per_class": per_class,
        "background_counted": config.evaluation.count_background,
    }


def validate(scorer: Scorer, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
    """Metrics of a model in training, in all processes, and ``score``: the mean of accuracy, edit and F1@10."""
    config, vocabulary = scorer.run.config, dataset.vocabulary
    truth = [dataset.labels(name) for name in names]

    def predicted(name: str) -> NDArray[np.int64]:
        transcript = None
        if (
            config.model.transcript
        ):  # validation videos are training videos, so their labels may give it
            transcript = [
                vocabulary.names[label] for _, _, label in runs(dataset.labels(name)) if label >= 0
            ]
        return scorer.predict(dataset.features(name), transcript=transcript)[0]

    prediction = Processes(scorer.device).map(predicted, names)
    rules = config.evaluation.rules
    figures = metrics.evaluate(truth, prediction, background=vocabulary.background_indices, **rules)
    numbers = {
        key: float(value) for key, value in figures.items() if isinstance(value, int | float)
    }
    numbers["score"] = (numbers["frame_accuracy"] + numbers["edit"] + numbers["f1@10"]) / 3
    return numbers


def given_transcript(dataset: Dataset, name: str) -> list[str]:
    """A transcript that came with the data; it is never read off the labels that are scored."""
    if dataset.root is None:
        problem = "a model that aligns a transcript needs a folder with transcripts"
        raise InputError(dataset.location, problem)
    path = dataset.root / "transcripts" / f"{name}.txt"
    if not path.is_file():
        raise InputError(
            path,
            "no such file",
            "this model aligns a transcript: write one action name a line, in order",
        )
    return [line for line in read_lines(path, "one action name a line, in order") if line]
