"""Self-training: a teacher names the frames without a label, and a student learns these names.

docs/protocol.md, "Names and unlabelled frames known".
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
"""Folders of a run: of the model that names frames, and of the names that it gave."""

_KEY = "train.self_training"
_RECIPE = "zero_shot"
_DIGEST = "digest"  # a file beside the drafts, written last

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
"""What a teacher's data have in common with those of its student."""

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
"""What `fact-clip data init` measures, and a teacher of the recipe `zero_shot` takes over."""


def teacher_folder(dataset: Dataset, self_training: bool | str) -> Path | None:
    """Return the run folder of ``train.self_training``, or None if a teacher is to be trained.

    Raises:
        InputError: there is nothing to name.
    """
    for name in filter(dataset.folder.is_clicked, dataset.learning):
        where = dataset.folder.label_location(name)
        raise InputError(where, "clicks, which say what is between them", f"leave {_KEY} out")
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
        # as many steps as if all videos had labels
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
    """Return the plan of a training that learns the names in a folder of drafts, or none."""
    config = with_values(plan.config, {"data.drafts": drafts})
    return resolve(config, plan.dataset.folder, is_checked=True)


def teachers_seen(drafts: str | None, self_training: bool | str) -> tuple[Seen | None, ...]:
    """Return what the teacher of the drafts has seen: None if unknown, nothing without drafts."""
    if drafts is None:
        return ()
    for folder in (Path(str(self_training)), Path(drafts).with_name(TEACHER)):
        if (folder / "run.json").is_file():
            return (Run.read(folder).seen_by_all(),)
    return (None,)


def has_drafts(dataset: Dataset, teacher: Path, folder: Path) -> bool:
    """Return whether a folder has the drafts of this teacher for the labels of a data set."""
    digest = folder / _DIGEST
    if not digest.is_file() or not (teacher / "run.json").is_file():
        return False
    return read_text(digest, "a digest").strip() == _digest(dataset, Run.read(teacher))


def _digest(dataset: Dataset, teacher: Run) -> str:
    """Hash what drafts follow from: the teacher, the names, and the videos with their labels."""
    facts = (teacher.digest(), dataset.vocabulary.names, Seen.of(dataset).videos)
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def write_drafts(teacher: Path, dataset: Dataset, device: torch.device, folder: Path) -> None:
    """Write the names that a teacher gives to the frames without a label of each learning video.

    In a video with labels these are names of the classes without examples: whoever labels some of
    the actions leaves the others. Two or more such names are told apart by the teacher's scores and
    by the neighbours of each stretch (stretches.py). If all classes have examples, or a video has
    no label, the teacher names frames as it segments.

    Args:
        teacher: its run folder.
        dataset: of the student.
        device: where the teacher computes.
        folder: of NAME.txt, one name a frame, which are replaced.

    Raises:
        InputError: the teacher has seen what is hidden or tested, or reads other features.
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
    # Members of the student train on videos that its first model leaves out.
    for name in paced(dataset.all_learning, "naming frames without a label", logger):
        is_labelled = dataset.labels(name) != IGNORED
        if unknown and is_labelled.any() and not is_labelled.all():
            problem = f"{teacher} has never learned {min(unknown)!r}, which no frame shows"
            raise InputError(_KEY, problem, "choose a teacher with model.head=text")
        namer.read(name)
    for name, labels in namer.drafts().items():
        names = np.array([*dataset.vocabulary.names, UNLABELLED])[labels]
        write_lines(inside(folder, f"{name}.txt"), names.tolist())
    write_lines(inside(folder, _DIGEST), [_digest(dataset, run)])


def names_without_examples(dataset: Dataset) -> Names:
    """Return the actions that no label shows, of the training and validation videos."""
    counts = dataset.class_counts(dataset.learning)
    counts[[*dataset.hidden]] = 0
    background = dataset.vocabulary.background_indices
    return dataset.names_of(
        index for index in np.flatnonzero(counts == 0).tolist() if index not in background
    )


class _Namer:
    """Names the frames without a label of all learning videos.

    Args:
        scorer: The teacher.
        dataset: Data set of the student.
        names: Classes without examples.
    """

    def __init__(self, scorer: Scorer, dataset: Dataset, names: Labels) -> None:
        self._scorer = scorer
        self._dataset = dataset
        self._names = names
        self._labels: dict[str, Labels] = {}  # of each video, -1 where a frame is not named
        self._open: dict[str, OpenVideo] = {}
        counts = dataset.class_counts(dataset.learning)
        self._hidden: list[Labels] = []  # labelled classes that each model never learned
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
        """Return the classes (T,) of the frames without a label of each video, -1 elsewhere."""
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
            # Both views give a stretch one name, so most stretches must hold a single action.
            helps = 2 * n_divided < n_stretches and do_neighbours_help(trials, background)
            logger.info(
                "labelled actions around unlabelled stretches are %s, by %d trials with known "
                "names; %d of %d stretches have several names by the scores alone",
                *("used" if helps else "not used", len(trials), n_divided, n_stretches),
            )
            if helps:
                named = name_stretches(videos, self._names, background)
        for name, video, labels in zip(self._open, videos, named, strict=True):
            self._labels[name] = np.where(video.labels == IGNORED, labels, IGNORED)
        return self._labels
