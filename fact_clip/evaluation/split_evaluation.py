"""Evaluation of a run on a split of its data set.

evaluate
  open_run (opening.py): the run with its overrides, and its data.
  check_seen (cautions.py): compares what the run has seen with what it is scored on.
  _score: scores and decodes the videos once.
  _figures, zero_shot_figures: the figures, for evaluation.json.
  _save_record: the data for a report, in evaluation.npz.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fact_clip import metrics
from fact_clip.config import EvaluationConfig
from fact_clip.core import InputError, Json, Progress, Vocabulary
from fact_clip.core.arguments import validated
from fact_clip.core.io import read_lines, read_mapping, write_value
from fact_clip.core.paths import check_place, inside, write_lines
from fact_clip.core.progress import paced
from fact_clip.core.version import __version__
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.memory import DataSource
from fact_clip.decoding import ModelScores, decode_scores, reliability, voter_labels
from fact_clip.decoding.scores import DecodedFrames
from fact_clip.devices.device import Precision
from fact_clip.devices.processes import Processes
from fact_clip.evaluation.calibration import training_frames
from fact_clip.evaluation.cautions import check_seen, split_names
from fact_clip.evaluation.opening import OpenedRun, open_run
from fact_clip.evaluation.record import Record, Video
from fact_clip.evaluation.results import Evaluation
from fact_clip.evaluation.scored_videos import ScoredVideos, VideoLabels
from fact_clip.evaluation.zero_shot import zero_shot_figures
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import is_open
from fact_clip.runs.files import commit, evaluation_stem
from fact_clip.runs.seen import data_digest, is_learned_from, marks_of_test

logger = logging.getLogger(__name__)

PREDICTION = "prediction"


@dataclass(frozen=True)
class _ScoredVideo:
    """One video of a split with its labels by a run.

    Attributes:
        rows: Labels and probabilities of each row of a timeline: "prediction", "frames" and, if the
            model has tokens, "tokens".
        members: Labels that each model of an ensemble predicts by itself.
        scores: Scores that the zero-shot figures decode again, or None without held-out classes.
    """

    rows: dict[str, DecodedFrames]
    members: VideoLabels
    scores: ModelScores | None


@dataclass(frozen=True)
class _ScoredSplit:
    """The videos of a split with the labels that a run gives them.

    Attributes:
        videos: Videos with their true labels and, if classes are held out, their scores.
        rows: For each video, labels and scores of the timeline rows "prediction", "frames" and
            "tokens".
        members: For each video, the labels by each single model, if there are several.
    """

    videos: ScoredVideos
    rows: list[dict[str, DecodedFrames]]
    members: list[VideoLabels]

    @property
    def prediction(self) -> VideoLabels:
        """Return the predicted labels of each video."""
        return [rows[PREDICTION][0] for rows in self.rows]


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
) -> Evaluation:
    """Score a run and write ``RUN/evaluation.json``, or ``RUN/evaluation_SPLIT.json``.

    With `actions`, the file name ends with ``_actions``, and the result lists the candidates. In
    bf16, with other data, or with overrides except ``data.root``, it ends with ``_changed``, so
    that the run's own figures remain. Processes share the videos, and the main process writes.

    Args:
        run_dir: Run folder, or its RUN/ckpts/best.net.
        split: Split to score: test, validation or train.
        overrides: Settings such as ``decode.switch_penalty=...``, or ``data.root=...`` if the data
            has moved. If the decoding or the number of members differs from training, confidences
            and, with held-out classes, gamma are learned again.
        progress: Function called with (completed, total, video name).
        actions: Candidates; see `Segmenter.segment`. Frames of any other class count as errors, as
            does a predicted name that the data lack.
        device: Device: auto, cpu, cuda, cuda:N or mps.
        trust_encoder: Whether to load a text encoder that the run names by a path. An encoder in
            `overrides` is always trusted.
        precision: Precision of matrix products in the model: float32, bf16 or auto (float32).
        data: Data in memory instead of ``data.root``, with the classes of the run; see `train`.

    Returns:
        The figures. `details` has all keys of the file (docs/formats.md).

    Raises:
        InputError: The run or the data cannot be read or do not fit each other, or an override
            changes the model or its training.
    """
    opened = open_run(run_dir, overrides, device, precision, data)
    scorer = opened.scorer
    dataset = opened.dataset
    trained = opened.trained
    _trust_encoder(scorer, overrides, actions, trust_encoder)
    cautions = check_seen(trained, dataset, split)
    changes = [*overrides]
    if precision == "bf16":
        changes.append("precision=bf16")
    digest = data_digest(dataset, split_names(dataset, split))
    stored = scorer.run.path / f"{evaluation_stem(split, actions is not None)}.json"
    is_data_named = bool(overrides) or data is not None
    is_of_run, caution = _is_of_run(opened, split, changes, digest, stored, is_data_named)
    if caution:
        cautions.append(caution)
    files = _EvaluationFiles.of(scorer.run.path, split, actions is not None, not is_of_run)
    for caution in cautions:
        logger.warning("%s", caution)
    processes = Processes(scorer.device)

    videos = ScoredVideos(scorer, dataset, split_names(dataset, split), actions)
    scored = _score(videos, split, processes, progress)
    if processes.is_main:
        _write_predictions(scored, files.predictions)
    result: Json = {
        "run": str(scorer.run.path),
        "split": split,
        "videos": list(videos.video_names),
        "weights": trained.digest(),
        "data": digest,
        "cautions": cautions,
    }
    if changes:
        result["overrides"] = changes
    result |= _figures(scored, split)
    if actions is not None:
        result["candidates"] = _candidates(videos)
    if dataset.holdout is not None:
        result["zero_shot"] = zero_shot_figures(videos)
    if processes.is_main:
        _save_record(files.record, scored)
        write_value(files.figures, result)
    return Evaluation(
        run=result["run"],
        split=split,
        videos=videos.video_names,
        metrics=metrics_only(result["metrics"]),
        per_class=result["per_class"],
        details=result,
    )


def _trust_encoder(
    scorer: Scorer, overrides: Sequence[str], actions: Sequence[str] | None, trust_encoder: bool
) -> None:
    """Trust a text encoder in the overrides, and warn if it has no effect."""
    names_encoder = any(override.startswith("text.encoder=") for override in overrides)
    scorer.reader.trust_encoder = trust_encoder or names_encoder
    if names_encoder and actions is None and is_open(scorer.run.config.model.head):
        logger.warning(
            "text.encoder has no effect without new names: "
            "trained classes keep their vectors from training"
        )


def _is_of_run(
    opened: OpenedRun,
    split: str,
    changes: Sequence[str],
    digest: str,
    stored: Path,
    is_data_named: bool,
) -> tuple[bool, str]:
    """Return whether the figures replace the stored figures of the run.

    Args:
        opened: The run and the data.
        split: Split that is scored.
        changes: Settings that differ from the settings of the run. ``data.root`` may be one of
            them, because the data of the run may have moved.
        digest: Digest of the split's videos.
        stored: File with the figures of the run.
        is_data_named: Whether the caller named the data, so that they may not be the run's data.

    Returns:
        The answer, and a caution if they do not replace them because the data differ.
    """
    if not all(change.startswith("data.root=") for change in changes):
        return False, ""
    if _has_data_of_run(opened, split, digest, stored, is_data_named):
        return True, ""
    return False, "not the run's videos, labels or background, so evaluation.json is unchanged"


def _has_data_of_run(
    opened: OpenedRun, split: str, digest: str, stored: Path, is_data_named: bool
) -> bool:
    """Return whether the background, videos and labels belong to the run (see `_is_of_run`)."""
    dataset = opened.dataset
    trained = opened.trained
    if dataset.vocabulary.background != trained.vocabulary.background:
        return False
    if not is_learned_from(dataset, trained.seen):
        return False
    if not is_data_named:
        return True
    # The learning videos match the run, but the scored videos may differ.
    if stored.is_file():
        return read_mapping(stored, "figures").get("data") == digest
    if split == "test" and trained.seen is not None:
        return {*marks_of_test(dataset)} == {*trained.seen.test}
    return True


@dataclass(frozen=True)
class _EvaluationFiles:
    """Output paths of an evaluation.

    Attributes:
        figures: File of the figures.
        record: File of the record for the report.
        predictions: Folder of the predicted labels.
    """

    figures: Path
    record: Path
    predictions: Path

    @classmethod
    def of(cls, run_dir: Path, split: str, has_actions: bool, is_changed: bool) -> _EvaluationFiles:
        """Return the paths in a run folder; see `evaluation_stem`.

        Raises:
            InputError: A file cannot be written there.
        """
        stem = evaluation_stem(split, has_actions, is_changed)
        suffix = stem.removeprefix(evaluation_stem(split))
        files = cls(
            figures=inside(run_dir, f"{stem}.json"),
            record=inside(run_dir, f"{stem}.npz"),
            predictions=inside(run_dir, "predictions", f"{split}{suffix}"),
        )
        check_place(files.record)
        check_place(files.figures)
        return files


def _score(
    videos: ScoredVideos, split: str, processes: Processes, progress: Progress | None
) -> _ScoredSplit:
    """Score and decode the videos of a split. Processes share the work and the results."""
    dataset = videos.dataset
    needs_scores = dataset.holdout is not None
    dataset.check_sidecars(videos.video_names)
    if split != "validation":
        for name in dataset.clicks(videos.video_names):
            problem = "clicks, which do not show where segments begin and end"
            raise InputError(dataset.folder.label_location(name), problem, "label all frames")

    own_videos = []
    for name in paced(processes.share(videos.video_names), "evaluating", logger, progress):
        own_videos.append(_score_video(videos, name, needs_scores))
    scored_videos = processes.gather(own_videos, len(videos.video_names))
    if needs_scores:
        videos.scores = [
            video.scores.to(videos.scorer.device) for video in scored_videos if video.scores
        ]
    return _ScoredSplit(
        videos=videos,
        rows=[video.rows for video in scored_videos],
        members=[video.members for video in scored_videos],
    )


def _score_video(videos: ScoredVideos, name: str, needs_scores: bool) -> _ScoredVideo:
    """Score and decode one of the videos."""
    scorer = videos.scorer
    dataset = videos.dataset
    candidates = videos.candidates
    transcript = None
    if scorer.run.config.model.transcript:
        transcript = given_transcript(dataset, name)
    scores = scorer.score(dataset.features(name), candidates, transcript=transcript)
    decoded = {PREDICTION: decode_scores(scores, candidates, videos.settings)}
    decoded |= voter_labels(scores, candidates)
    rows = {}
    for row, (indices, probabilities) in decoded.items():
        rows[row] = (videos.classes.labels(indices), probabilities)

    members = []
    if len(scores.voters) > 1:
        for model in range(len(scores.voters)):
            indices, _ = decode_scores(scores.of_model(model), candidates, videos.settings)
            members.append(videos.classes.labels(indices))
    # Scores move to the CPU, because other processes use other GPUs.
    return _ScoredVideo(rows, members, scores.to("cpu") if needs_scores else None)


def _write_predictions(scored: _ScoredSplit, folder: Path) -> None:
    """Write the predicted names of each video, one per line, after removing previous files."""
    for path in [*folder.glob("*.txt")]:
        path.unlink()
    videos = scored.videos
    for name, labels in zip(videos.video_names, scored.prediction, strict=True):
        path = inside(folder, f"{name}.txt")
        write_lines(path, videos.classes.vocabulary.decode(labels))


def _figures(scored: _ScoredSplit, split: str) -> Json:
    """Return the metrics, the figures of each class and the reliability of confidences."""
    videos = scored.videos
    if not any((labels >= 0).any() for labels in videos.truth):
        logger.warning("no frame of the %s videos is labelled, so all figures are 0 or 100", split)
    config = videos.scorer.run.config.evaluation
    vocabulary = videos.classes.vocabulary
    figures = score(config, vocabulary, videos.truth, scored.prediction)
    figures["reliability"] = _reliability(scored)
    if len(videos.scorer.models) > 1:
        figures["members"] = []
        for member in zip(*scored.members, strict=True):
            alone = score(config, vocabulary, videos.truth, [*member])
            figures["members"].append(alone["metrics"])
    return figures


def score(
    config: EvaluationConfig, vocabulary: Vocabulary, truth: VideoLabels, prediction: VideoLabels
) -> Json:
    """Compute metrics and the figures of each class.

    Args:
        config: Rules of the metrics.
        vocabulary: The classes.
        truth: True labels (T,) of each video, -1 for unlabelled frames.
        prediction: Predicted labels (T,) of each video.

    Returns:
        A dictionary with the keys "metrics", "per_class" and "background_counted".
    """
    per_class = metrics.per_class(truth, prediction, len(vocabulary))
    for name, row in zip(vocabulary.names, per_class, strict=True):
        row["name"] = name
    background = vocabulary.background_indices
    figures = metrics.evaluate(truth, prediction, background=background, **config.rules)
    return {
        "metrics": {"profile": config.profile} | figures,
        "per_class": per_class,
        "background_counted": config.count_background,
    }


def _reliability(scored: _ScoredSplit) -> Json:
    """Compare scores and the confidences derived from them with accuracy on labelled frames."""
    true = np.concatenate(scored.videos.truth)
    is_labelled = true >= 0
    is_right = (np.concatenate(scored.prediction) == true)[is_labelled]
    all_shares = np.concatenate([rows[PREDICTION][1] for rows in scored.rows])
    shares = all_shares[is_labelled].astype(np.float64)
    result = {"before": reliability(shares, is_right), "after": None}
    confidence = scored.videos.scorer.confidence
    if confidence is not None:
        result["after"] = reliability(confidence.calibrated(shares), is_right)
    return result


def _save_record(path: Path, scored: _ScoredSplit) -> None:
    """Write what a report needs. Predictions have the confidences that `segment` reports."""
    classes = scored.videos.classes
    dataset = scored.videos.dataset
    counts = classes.counts(training_frames(scored.videos.datasets))
    videos = []
    for name, rows in zip(scored.videos.video_names, scored.rows, strict=True):
        labels = {"truth": dataset.labels(name)}
        labels |= {row: values for row, (values, _) in rows.items()}
        confidence = {row: shares.astype(np.float16) for row, (_, shares) in rows.items()}
        calibrated = scored.videos.scorer.calibrated(rows[PREDICTION][1])
        confidence[PREDICTION] = calibrated.astype(np.float16)
        videos.append(Video(name, labels, confidence, dataset.times(name)))
    versions = {
        "fact-clip": __version__,
        "torch": torch.__version__,
        "commit": commit() or "unknown",
    }
    Record(classes.vocabulary, counts, versions, videos).save(path)


def _candidates(videos: ScoredVideos) -> Json:
    """Return the names of the candidates, and the number of frames with other labels."""
    vocabulary = videos.dataset.vocabulary
    candidates = videos.candidates
    names = [*compress(candidates.vocabulary.names, candidates.is_allowed)]
    excluded = [name for name in vocabulary if name not in names]
    labels = np.concatenate(videos.truth)
    return {
        "names": names,
        "new": [name for name in names if name not in vocabulary],
        "left_out": excluded,
        "frames_left_out": int(np.isin(labels, vocabulary.encode(excluded)).sum()),
        "frames": int((labels >= 0).sum()),
    }


def metrics_only(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric entries of an evaluation's metrics."""
    return {key: float(value) for key, value in figures.items() if isinstance(value, int | float)}


def given_transcript(dataset: Dataset, name: str) -> list[str]:
    """Read the transcript file of a video. It is never derived from labels that are scored.

    Raises:
        InputError: There is no transcript.
    """
    if dataset.root is None:
        problem = "a model that aligns a transcript needs a folder with transcripts"
        raise InputError(dataset.location, problem)
    path = dataset.root / "transcripts" / f"{name}.txt"
    content = "one action name per line, in order"
    if not path.is_file():
        fix = f"this model aligns a transcript: write {content}"
        raise InputError(path, "no such file", fix)
    return [line for line in read_lines(path, content) if line]
