"""Self-training: a teacher names the unlabelled frames, and a student learns these names.

See docs/protocol.md, "Names and unlabelled frames known".
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch

from fact_clip.config import Config, flattened, with_values
from fact_clip.core import InputError, Json, Names
from fact_clip.core.frames import IGNORED
from fact_clip.core.io import read_text
from fact_clip.core.paths import inside, write_lines
from fact_clip.core.progress import paced
from fact_clip.datasets.benchmarks import IN_MEMORY
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import UNLABELLED, Labels
from fact_clip.evaluation.calibration import uncalibrated
from fact_clip.evaluation.scored_videos import ScoredVideos
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import is_open
from fact_clip.runs.run import Run, check_classes
from fact_clip.runs.seen import Seen
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.stretches import (
    OpenVideo,
    Trial,
    count_divided,
    do_neighbours_help,
    name_stretches,
)

logger = logging.getLogger(__name__)

TEACHER = "teacher"
DRAFTS = "drafts"
"""Folders in a run: the model that names frames, and the names that it gives."""

_KEY = "train.self_training"
_RECIPE = "zero_shot"
_DIGEST = "digest"  # a file next to the drafts, written last

_DATA = (
    "name",
    "root",
    "split",
    "layout",
    "fps",
    "background",
    "unlabelled",
    "grammar",
    "groups",
    "holdout",
    "holdout_mode",
)
"""Settings that the data of a teacher and of its student share."""

_MEASURED = (
    "data.stride",
    "data.interleave",
    "data.standardize",
    "data.context",
    "model.tokens",
    "model.input.hidden",
    "decode.switch_penalty",
    "train.epochs",
)
"""Settings that `fact-clip data init` measures and that the `zero_shot` teacher copies."""


def teacher_folder(dataset: Dataset, self_training: bool | str) -> Path | None:
    """Return the run folder of ``train.self_training``, or None if a teacher must be trained.

    Raises:
        InputError: There are no frames to name.
    """
    for name in filter(dataset.folder.is_clicked, dataset.learning):
        where = dataset.folder.label_location(name)
        raise InputError(
            where, "clicks, which already imply the labels between them", f"omit {_KEY}"
        )
    if not any((dataset.labels(name) == IGNORED).any() for name in dataset.learning):
        raise InputError(_KEY, "all frames of the training videos have a label", "leave it out")
    folder = Path(str(self_training))
    return folder if (folder / "run.json").is_file() else None


def teacher_config(plan: Plan) -> Config:
    """Return the configuration of the teacher of a plan."""
    config = plan.config
    recipe = config.train.self_training
    data = {f"data.{key}": getattr(plan.config.data, key) for key in _DATA}
    if config.data.root == IN_MEMORY:
        del data["data.root"]
    if config.data.validation_unseen:
        data["data.validation_unseen"] = config.data.validation_unseen
    shared = {f"train.{key}": getattr(config.train, key) for key in ("seed", "device", "precision")}
    new_names = names_without_examples(plan.dataset)
    if isinstance(recipe, str):
        teacher = Config.load(recipe)
    elif new_names:
        settings = flattened(config.model_dump())
        teacher = with_values(Config.load(_RECIPE), {key: settings[key] for key in _MEASURED})
    else:
        # Take as many steps as if all videos had labels.
        n_labelled = max(len(plan.dataset.labelled(plan.dataset.train)), 1)
        values: Json = {"train.self_training": False}
        for key in ("epochs", "lr_decay"):
            epochs = getattr(config.train, key) * len(plan.dataset.train) / n_labelled
            values[f"train.{key}"] = round(epochs)
        return with_values(config, values)
    if config.data.holdout is None and new_names:
        data["data.holdout"] = new_names
    return with_values(teacher, {**data, **shared})


def with_drafts(plan: Plan, drafts: str | None) -> Plan:
    """Return the plan for training on a folder of drafts, or on none."""
    config = with_values(plan.config, {"data.drafts": drafts})
    return resolve(config, plan.dataset.folder, is_checked=True)


def teachers_seen(drafts: str | None, self_training: bool | str) -> tuple[Seen | None, ...]:
    """Return what the teacher of the drafts has seen, None if unknown, or () without drafts."""
    if drafts is None:
        return ()
    for folder in (Path(str(self_training)), Path(drafts).with_name(TEACHER)):
        if (folder / "run.json").is_file():
            return (Run.read(folder).seen_by_all(),)
    return (None,)


def has_drafts(dataset: Dataset, teacher: Path, folder: Path) -> bool:
    """Return whether a folder has drafts by this teacher for the labels of a data set."""
    digest = folder / _DIGEST
    if not digest.is_file() or not (teacher / "run.json").is_file():
        return False
    return read_text(digest, "a digest").strip() == _digest(dataset, Run.read(teacher))


def _digest(dataset: Dataset, teacher: Run) -> str:
    """Hash everything that determines drafts: the teacher, the names and the labelled videos."""
    facts = (teacher.digest(), dataset.vocabulary.names, Seen.of(dataset).videos)
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def write_drafts(teacher: Path, dataset: Dataset, device: torch.device, folder: Path) -> None:
    """Write a teacher's names for the unlabelled frames of each learning video.

    In a video with some labels, the names come from the classes without examples, because whoever
    labels some actions leaves out the others. Between two or more such names, the teacher's scores
    and the neighbours of each stretch decide (stretches.py). If all classes have examples, or a
    video has no label, the names are the teacher's segmentation.

    Args:
        teacher: Run folder of the teacher.
        dataset: Data set that the student is trained on.
        device: Device of the teacher.
        folder: Folder of the files NAME.txt, with one name per frame, which are replaced.

    Raises:
        InputError: The teacher has seen hidden classes or test videos, or reads other features.
    """
    new_names = names_without_examples(dataset)
    new_classes = dataset.vocabulary.encode(new_names)
    loaded = Run.open(teacher)
    run = loaded.run
    fix = "train the teacher on these data"
    check_classes(run, dataset.vocabulary.names, dataset.location, fix)
    run.check_start(dataset, _KEY)
    unknown = {*new_names} - {*loaded.trained_classes()}
    if is_open(run.config.model.head):
        unknown = set()
    scorer = Scorer(loaded, device)
    namer = _Namer(scorer, dataset, new_classes)
    # Members of the student learn from videos that its first model uses for validation.
    for name in paced(dataset.all_learning, "naming frames without a label", logger):
        is_labelled = dataset.labels(name) != IGNORED
        if unknown and is_labelled.any() and not is_labelled.all():
            problem = f"{teacher} has never learned {min(unknown)!r}, which has no labelled frame"
            raise InputError(_KEY, problem, "choose a teacher with model.head=text")
        namer.read(name)
    for name, labels in namer.drafts().items():
        names = np.array([*dataset.vocabulary.names, UNLABELLED])[labels]
        write_lines(inside(folder, f"{name}.txt"), names.tolist())
    write_lines(inside(folder, _DIGEST), [_digest(dataset, run)])


def names_without_examples(dataset: Dataset) -> Names:
    """Return the actions without labelled frames in the training and validation videos."""
    counts = dataset.class_counts(dataset.learning)
    counts[[*dataset.hidden]] = 0
    background = dataset.vocabulary.background_indices
    return dataset.names_of(
        index for index in np.flatnonzero(counts == 0).tolist() if index not in background
    )


class _Namer:
    """Names the unlabelled frames of all learning videos.

    Args:
        scorer: The teacher.
        dataset: Data set of the student.
        names: Classes without examples.
    """

    def __init__(self, scorer: Scorer, dataset: Dataset, names: Labels) -> None:
        self._scorer = scorer
        self._dataset = dataset
        self._names = names
        self._labels: dict[str, Labels] = {}  # by video, -1 for frames that are not named
        self._open: dict[str, OpenVideo] = {}
        counts = dataset.class_counts(dataset.learning)
        self._hidden: list[Labels] = []  # by model, labelled classes that it never learned
        for member in scorer.run.members() or [scorer.run]:
            hidden = [] if member.seen is None else [*member.seen.tuned]
            classes = dataset.vocabulary.encode(
                [name for name in hidden if name in dataset.vocabulary]
            )
            self._hidden.append(np.setdiff1d(classes[counts[classes] > 0], names))
        self._trials: list[list[OpenVideo]] = [[] for _ in self._hidden]
        self._truth: list[Labels] = []

    def read(self, name: str) -> None:
        """Score a video."""
        scored = ScoredVideos(self._scorer, self._dataset, [name])
        (truth,) = scored.truth
        is_open = truth == IGNORED
        self._labels[name] = np.full_like(truth, IGNORED)
        if not is_open.any():
            return
        if not self._names.size or is_open.all():
            (labels,) = scored.decode(scored.candidates)
            self._labels[name] = np.where(is_open, labels, IGNORED)
            return
        penalty = (scored.settings.switch_penalty or 0.0) * scored.scores[0].stride
        calibration = scored.scorer.calibration or uncalibrated([self._dataset])
        (table,) = scored.log_score_tables(calibration)  # (T, C)
        self._open[name] = OpenVideo.scored(truth, table, self._names, penalty)
        if self._names.size < 2:
            return
        self._truth.append(truth)
        for model, (classes, trial) in enumerate(zip(self._hidden, self._trials, strict=True)):
            if classes.size > 1:
                labels = np.where(np.isin(truth, classes), IGNORED, truth)
                (table,) = scored.of_model(model).log_score_tables(uncalibrated([self._dataset]))
                trial.append(OpenVideo.scored(labels, table, classes, penalty))

    def drafts(self) -> dict[str, Labels]:
        """Return the classes (T,) of unlabelled frames by video, -1 elsewhere."""
        videos = [*self._open.values()]
        background = self._dataset.vocabulary.background_indices
        named = [video.decoded for video in videos]
        if self._names.size > 1:
            trials = [
                Trial(trial, classes, self._truth)
                for trial, classes in zip(self._trials, self._hidden, strict=True)
                if classes.size > 1
            ]
            n_divided, n_stretches = count_divided(videos)
            # Both views give a stretch one name, so most stretches must contain a single action.
            helps = 2 * n_divided < n_stretches and do_neighbours_help(trials, background)
            logger.info(
                "labelled actions around unlabelled stretches are %s, after %d trials with known "
                "names; %d of %d stretches have several names by the scores only",
                *("used" if helps else "not used", len(trials), n_divided, n_stretches),
            )
            if helps:
                named = name_stretches(videos, self._names, background)
        for name, video, labels in zip(self._open, videos, named, strict=True):
            self._labels[name] = np.where(video.labels == IGNORED, labels, IGNORED)
        return self._labels
