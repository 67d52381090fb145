"""Scoring a run on a split of its data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fact_clip import metrics
from fact_clip.config import EvaluationConfig, warn_of_unused, with_values
from fact_clip.core import (
    InputError,
    Integers,
    Json,
    Names,
    Progress,
    Vocabulary,
    runs,
)
from fact_clip.core.arguments import validated
from fact_clip.core.distributed import Precision, Processes, pick_device
from fact_clip.core.io import read_lines, read_mapping, write_value
from fact_clip.core.paths import check_place, inside, write_lines
from fact_clip.core.progress import paced
from fact_clip.core.version import __version__
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataStore
from fact_clip.datasets.memory import DataSource, MemoryStore, with_data
from fact_clip.decoding import (
    decode_scores,
    reliability,
    voter_labels,
)
from fact_clip.decoding.scores import Labels
from fact_clip.hub import run_folder
from fact_clip.inference.scored_videos import ScoredVideos, VideoLabels, validation_videos
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import is_open
from fact_clip.run import Run, check_classes, commit, evaluation_stem
from fact_clip.seen import NO_RECORD, data_digest, is_learned_from, marks_of_test
from fact_clip.training.choice import learn_confidence
from fact_clip.training.results import Evaluation
from fact_clip.unseen import figures as zero_shot
from fact_clip.unseen.calibration import calibrate, training_frames

logger = logging.getLogger(__name__)

PREDICTION = "prediction"

CHANGEABLE = ("data.", "decode.", "evaluation.", "text.encoder=", "train.members=")
"""Settings that an evaluation may change."""

TRAINED = (
    "data.objects",
    "data.stride=",
    "data.interleave=",
    "data.context=",
    "data.standardize=",
)
"""Exceptions from these, since the weights depend on them; `Run.read` checks the columns."""

VALIDATED = (
    "data.validation=",
    "data.validation_part=",
    "data.validation_videos=",
    "data.groups=",
)
"""Further ones for the data of the training, whose trained videos would validate."""


@dataclass(frozen=True)
class _ScoredSplit:
    """The videos of a split with their labels by a run.

    Attributes:
        videos: with their true labels and, where classes are held out, their scores.
        rows: by video, the labels and scores of each row of a timeline: "prediction", "frames" and
            "tokens".
        members: by video, the labels by each of several models alone.
    """

    videos: ScoredVideos
    rows: list[dict[str, Labels]]
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

    With `actions` the name ends with ``_actions``, and the result names the candidates. With
    overrides other than ``data.root``, in bf16 or with other data, it ends with ``_changed``, so
    that the figures of the run stay. Processes share the videos, and the first one writes.

    Args:
        run_dir: the run folder, or its RUN/ckpts/best.net.
        split: test, validation or train.
        overrides: ``data.root=...`` where the data has moved, ``decode.switch_penalty=...``. Gamma
            (with classes held out) and confidences are learned again where the decoding, or the
            number of members, differs from that of the training.
        progress: called with (done, total, video name).
        actions: candidates, see `Segmenter.segment`. Frames of any other class are errors, and so
            is a predicted name that the data lacks.
        device: auto, cpu, cuda, cuda:N or mps.
        trust_encoder: load a text encoder that the run names by a path; one that `overrides` name
            is trusted.
        precision: of the model's products: float32, bf16, or auto, which is float32.
        data: data in memory instead of ``data.root``, with the classes of the run; see `train`.

    Returns:
        The figures; `details` has all keys of the file (docs/json.md).

    Raises:
        InputError: the run or the data cannot be read or do not fit each other, or a setting of the
            model or its training is overridden.
    """
    scorer, dataset = open_run(run_dir, overrides, device, precision, data)
    names_encoder = any(override.startswith("text.encoder=") for override in overrides)
    scorer.reader.trust_encoder = trust_encoder or names_encoder
    if names_encoder and actions is None and is_open(scorer.run.config.model.head):
        logger.warning(
            "text.encoder has no effect without new names: "
            "trained classes keep the vectors of the training"
        )
    trained = Run.read(scorer.run.path)
    cautions = check_seen(trained, dataset, split)
    changes = [*overrides]
    if precision == "bf16":
        changes.append("precision=bf16")
    digest = data_digest(dataset, split_names(dataset, split))
    has_background = dataset.vocabulary.background == trained.vocabulary.background
    is_own = has_background and is_learned_from(dataset, trained.seen)
    if is_own and (overrides or data is not None):
        # Figures of other test videos, or of other labels, are not those of the run.
        stored = scorer.run.path / f"{evaluation_stem(split, actions is not None)}.json"
        if stored.is_file():
            is_own = read_mapping(stored, "figures").get("data") == digest
        elif split == "test" and trained.seen is not None:
            is_own = {*marks_of_test(dataset)} == {*trained.seen.test}
    is_changed = not all(change.startswith("data.root=") for change in changes)
    if not is_changed and not is_own:
        is_changed = True
        cautions.append("not the videos, labels or background of the run, so evaluation.json stays")
    stem = evaluation_stem(split, actions is not None, is_changed)
    suffix = stem.removeprefix(evaluation_stem(split))
    record_path = inside(scorer.run.path, f"{stem}.npz")
    figures_path = inside(scorer.run.path, f"{stem}.json")
    predictions = inside(scorer.run.path, "predictions", f"{split}{suffix}")
    check_place(record_path)
    check_place(figures_path)
    for caution in cautions:
        logger.warning("%s", caution)
    processes = Processes(scorer.device)

    videos = ScoredVideos(scorer, dataset, split_names(dataset, split), actions)
    scored = _score(videos, split, processes, progress)
    if processes.is_main:
        _write_predictions(scored, predictions)
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
        result["zero_shot"] = zero_shot.report(videos)
    if processes.is_main:
        _save_record(record_path, scored)
        write_value(figures_path, result)
    return Evaluation(
        run=result["run"],
        split=split,
        videos=videos.video_names,
        metrics=metrics_only(result["metrics"]),
        per_class=result["per_class"],
        details=result,
    )


def _score(
    videos: ScoredVideos, split: str, processes: Processes, progress: Progress | None
) -> _ScoredSplit:
    """Score and decode the videos of a split, which the processes share; each gets all of them."""
    scorer = videos.scorer
    dataset = videos.dataset
    candidates = videos.candidates
    needs_scores = dataset.holdout is not None
    has_transcript = scorer.run.config.model.transcript
    dataset.check_sidecars(videos.video_names)
    if split != "validation":
        for name in dataset.clicks(videos.video_names):
            problem = "clicks, which say nothing of where segments begin and end"
            raise InputError(dataset.folder.label_location(name), problem, "label all frames")

    results = []
    for name in paced(processes.share(videos.video_names), "evaluating", logger, progress):
        transcript = given_transcript(dataset, name) if has_transcript else None
        scores = scorer.score(dataset.features(name), candidates, transcript=transcript)
        decoded = {PREDICTION: decode_scores(scores, candidates, videos.settings)}
        decoded |= voter_labels(scores, candidates)
        rows = {
            row: (videos.classes.labels(indices), shares)
            for row, (indices, shares) in decoded.items()
        }
        members = []
        if len(scores.voters) > 1:
            for voter in scores.voters:
                alone = replace(scores, voters=(voter,))
                indices, _ = decode_scores(alone, candidates, videos.settings)
                members.append(videos.classes.labels(indices))
        # On the CPU, because another process has another GPU.
        results.append((rows, members, scores.to("cpu") if needs_scores else None))
    results = processes.gather(results, len(videos.video_names))
    if needs_scores:
        videos.scores = [scores.to(scorer.device) for *_, scores in results if scores is not None]
    return _ScoredSplit(
        videos=videos,
        rows=[rows for rows, *_ in results],
        members=[members for _, members, _ in results],
    )


def _write_predictions(scored: _ScoredSplit, folder: Path) -> None:
    """Write the predicted names of each video, one a line, in place of those of earlier videos."""
    for path in [*folder.glob("*.txt")]:
        path.unlink()
    videos = scored.videos
    for name, labels in zip(videos.video_names, scored.prediction, strict=True):
        path = inside(folder, f"{name}.txt")
        write_lines(path, videos.classes.vocabulary.decode(labels))


def _figures(scored: _ScoredSplit, split: str) -> Json:
    """Return the metrics, the figures of each class, and the reliability of confidences."""
    videos = scored.videos
    if not any((labels >= 0).any() for labels in videos.truth):
        logger.warning("no frame of the %s videos has a label, so all figures are 0 or 100", split)
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


def _save_record(path: Path, scored: _ScoredSplit) -> None:
    """Write what a report needs; predictions have the confidences that `segment` reports."""
    from fact_clip.report.record import Record, Video

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


def open_run(
    run_dir: str | Path,
    overrides: Sequence[str],
    device: str,
    precision: Precision = "auto",
    data: DataSource | None = None,
) -> tuple[Scorer, Dataset]:
    """Open a run with overrides, and its data set.

    Gamma and confidences are learned again where the decoding differs from that of the training.

    Args:
        run_dir: the run folder.
        overrides: ``key=value`` settings.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the model's products.
        data: data in memory instead of ``data.root``.

    Raises:
        InputError: an override belongs to the training, or the run does not fit the data.
    """
    _check_overrides(overrides, has_other_data=data is not None)
    folder = run_folder(run_dir)
    loaded = Run.open(folder, overrides)
    torch_device = pick_device(device, "device")
    run = loaded.run
    if data is not None:
        config = run.config
        if config.data.background is None:
            config = with_values(config, {"data.background": run.vocabulary.background})
        run = replace(run, config=with_data(config, data))
    trained = Run.read(folder) if overrides else run
    metrics.figure_keys(run.config.evaluation.profile)
    store = None if data is None else MemoryStore(data)
    dataset = _open_dataset(run, store, overrides)
    # Without the list if the data are not those of the training.
    settings = {"data.validation_videos": dataset.config.validation_videos}
    run = replace(run, config=with_values(run.config, settings))
    _check_data(run, dataset)
    calibration = loaded.calibration
    confidence = loaded.confidence

    is_decoded_alike = (
        run.config.decode == trained.config.decode
        and run.config.train.members == trained.config.train.members
    )
    if not is_decoded_alike:
        if dataset.validation:
            check_seen(trained, dataset, "validation")
        elif confidence is not None:
            problem = "no validation videos, by which another decoding is calibrated"
            raise InputError("data.validation", problem, "leave it as in the training")
        if calibration is not None and dataset.holdout is not None:
            calibration = calibrate(validation_videos(run, dataset, torch_device))
        if confidence is not None:
            confidence = learn_confidence(run, dataset, torch_device, calibration)
    warn_of_unused([run.config], overrides)
    loaded = replace(loaded, run=run, calibration=calibration, confidence=confidence)
    return Scorer(loaded, torch_device, precision=precision), dataset


def _open_dataset(run: Run, store: DataStore | None, overrides: Sequence[str]) -> Dataset:
    """Open the data set of a run, with the validation videos of its training if it has them."""
    config = run.config.data.model_copy(update={"validation_videos": None})
    dataset = Dataset.open(config, store, run.vocabulary)
    if any(override.startswith(VALIDATED) for override in overrides):
        return dataset
    names: set[str] = set()
    for member in run.members():
        names.update(member.validation_videos or ())
    if run.validation_videos is None or not names <= dataset.roles.parts.groups.of_video.keys():
        return dataset
    config = config.model_copy(update={"validation_videos": run.validation_videos})
    return Dataset.open(config, dataset.folder, run.vocabulary)


def _check_overrides(overrides: Sequence[str], has_other_data: bool) -> None:
    """Raise an InputError for an override that is no setting, or belongs to the training."""
    trained: tuple[str, ...] = TRAINED
    if not has_other_data and not any(word.startswith("data.root=") for word in overrides):
        trained = (*TRAINED, *VALIDATED)
    for override in overrides:
        if not override.startswith(CHANGEABLE) or override.startswith(trained):
            prefixes = ", ".join(CHANGEABLE)
            fix = f"train a run with it; settings that begin with {prefixes} can be changed"
            raise InputError(override, "this setting belongs to the training", fix)


def _check_data(run: Run, dataset: Dataset) -> None:
    """Raise an InputError if these data cannot score a run."""
    fix = "use the data that it was trained on"
    check_classes(run, dataset.vocabulary.names, dataset.location, fix)
    # Labels have the length of features, unless these have the other orientation.
    dataset.labels(dataset.learning[0])
    if dataset.input_dim != run.transform.input_dim:
        n_trained = run.transform.input_dim
        problem = f"{dataset.input_dim} columns, but {run.path} was trained with {n_trained}"
        raise InputError(dataset.folder.features_location, problem)
    run.check_rate(dataset.fps, "data.fps")
    for names in (dataset.train, dataset.test):
        run.check_encoder(dataset.encoder_of(names), dataset.folder.features_location)


def check_seen(run: Run, dataset: Dataset, split: str) -> list[str]:
    """Check what a run has seen against what it is scored on.

    Args:
        run: as it was trained.
        dataset: the data.
        split: test, validation or train.

    Returns:
        Sentences that a reader of the figures must know.

    Raises:
        InputError: the run has learned a test video or an unseen class, or a seen class was hidden
            from it.
    """
    seen = run.seen_by_all()
    if run.seen is None or seen is None:
        return [NO_RECORD]
    cautions = []
    if not seen.is_complete:
        cautions.append(f"of a run that it started from, {NO_RECORD}")
    if run.is_unfinished():
        cautions.append("the training has not come to its end")
    if dataset.holdout is not None and (seen.named or run.config.data.drafts is not None):
        cautions.append("not zero-shot alone: the training knew the names and unlabelled frames")
    names = split_names(dataset, split)
    if dataset.holdout is not None and dataset.holdout.mode == "oracle":
        learned = seen.learned_classes(dataset.unseen_names)
        if learned:
            cautions.append(f"not zero-shot: trained on {', '.join(map(repr, learned))}")
    else:
        seen.check_seen_classes(dataset, "data.holdout")
        seen.check_unseen_classes(dataset, "data.holdout")
        # Members of an ensemble may have learned what another tunes by.
        run.seen.check_unlearned(dataset.validation_unseen_names, "data.holdout")
    if split == "train":
        cautions.append(f"{len(seen.find_in(dataset, names))} of {len(names)} videos were learned")
    elif split == "validation":
        run.seen.check_videos(dataset, names, dataset.location, "trained")
        if run.config.train.member_parts and run.config.train.members > 1:
            cautions.append("the other members were trained on these videos: too good")
        if dataset.clicks(names):
            cautions.append("of clicked frames alone: what lies between them does not count")
    else:
        where = dataset.location
        if str(dataset.config.split) != str(run.config.data.split):
            where = "data.split"
        elif dataset.holdout is not None and dataset.holdout.test_videos:
            where = "data.holdout"
        seen.check_videos(dataset, names, where)
    if split != "train":
        same = seen.same_names(dataset, names)
        if same:
            cautions.append(f"{same[0]!r} has the name of a learned video, and other features")
    return cautions


def _reliability(scored: _ScoredSplit) -> Json:
    """Compare scores, and the confidences made of them, with the accuracy of labelled frames."""
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


def _candidates(videos: ScoredVideos) -> Json:
    """Return the names that were candidates, and how many frames have another label."""
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


def split_names(dataset: Dataset, split: str) -> Names:
    """Return the video names of a split; raise an InputError where there are none."""
    parts = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    if not isinstance(split, str) or split not in parts:
        raise InputError("split", f"{split!r}, not one of {', '.join(parts)}")
    if not parts[split]:
        raise InputError(dataset.location, f"the {split} split has no videos")
    return parts[split]


def score(
    config: EvaluationConfig, vocabulary: Vocabulary, truth: VideoLabels, prediction: VideoLabels
) -> Json:
    """Compute metrics and the figures of each class.

    Args:
        config: rules of the metrics.
        vocabulary: the classes.
        truth: true labels (T,) of each video, -1 where there is none.
        prediction: predicted labels (T,) of each video.

    Returns:
        ``{"metrics", "per_class", "background_counted"}``.
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


def validate(scorer: Scorer, dataset: Dataset, video_names: Sequence[str]) -> dict[str, float]:
    """Compute the metrics of a model in training, with the videos shared by all processes.

    Args:
        scorer: the model.
        dataset: of the videos.
        video_names: videos of the training set, so that their labels may give transcripts.

    Returns:
        The metrics and "score", the mean of accuracy, edit and F1@10.
    """
    config = scorer.run.config
    vocabulary = dataset.vocabulary

    def predict(name: str) -> Integers:
        transcript = None
        if config.model.transcript:
            segments = runs(dataset.labels(name))
            transcript = [vocabulary.names[label] for _, _, label in segments if label >= 0]
        return scorer.predict(dataset.features(name), transcript=transcript)[0]

    truth = [dataset.labels(name) for name in video_names]
    prediction = Processes(scorer.device).map(predict, video_names)
    background = vocabulary.background_indices
    figures = metrics.evaluate(truth, prediction, background=background, **config.evaluation.rules)
    figures["score"] = (figures["frame_accuracy"] + figures["edit"] + figures["f1@10"]) / 3
    return figures


def metrics_only(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries of an evaluation's metrics that are numbers."""
    return {key: float(value) for key, value in figures.items() if isinstance(value, int | float)}


def given_transcript(dataset: Dataset, name: str) -> list[str]:
    """Read the transcript that came with a video; it is never taken from labels that are scored.

    Raises:
        InputError: there is no transcript.
    """
    if dataset.root is None:
        problem = "a model that aligns a transcript needs a folder with transcripts"
        raise InputError(dataset.location, problem)
    path = dataset.root / "transcripts" / f"{name}.txt"
    content = "one action name a line, in order"
    if not path.is_file():
        fix = f"this model aligns a transcript: write {content}"
        raise InputError(path, "no such file", fix)
    return [line for line in read_lines(path, content) if line]
