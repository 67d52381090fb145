"""Self-training: a teacher names the frames without a label, and a student learns these names.

docs/protocol.md, "Names and unlabelled frames known".
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax

from fact_clip.config import Config, flattened, with_values
from fact_clip.core import InputError, Json, Names
from fact_clip.core.frames import IGNORED
from fact_clip.core.io import read_text
from fact_clip.core.paths import inside, write_lines
from fact_clip.core.progress import paced
from fact_clip.datasets.benchmarks import IN_MEMORY
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import UNLABELLED, Labels
from fact_clip.decoding.switching import decode_switching
from fact_clip.evaluation.calibration import uncalibrated
from fact_clip.evaluation.scored_videos import ScoredVideos
from fact_clip.inference.scorer import Scorer
from fact_clip.models.heads import is_open
from fact_clip.runs.run import Run, check_classes
from fact_clip.runs.seen import Seen
from fact_clip.training.plan import Plan, resolve

logger = logging.getLogger(__name__)

TEACHER = "teacher"
DRAFTS = "drafts"
"""Folders of a run: of the model that names frames, and of the names that it gave."""

_EXCLUDED = -1e4  # nats a frame

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
    the actions leaves the others. Where all classes have examples, or a video has no label, the
    teacher names frames as it segments.

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
    # Members of the student train on videos that its first model leaves out.
    for name in paced(dataset.all_learning, "naming frames without a label", logger):
        is_labelled = dataset.labels(name) != IGNORED
        if unknown and is_labelled.any() and not is_labelled.all():
            problem = f"{teacher} has never learned {min(unknown)!r}, which no frame shows"
            raise InputError(_KEY, problem, "choose a teacher with model.head=text")
        labels = _named(ScoredVideos(scorer, dataset, [name]), new_classes)
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


def _named(scored: ScoredVideos, new_classes: Labels) -> Labels:
    """Return the names of the frames of a video that have no label, (T,), -1 elsewhere."""
    (truth,) = scored.truth
    is_open = truth == IGNORED
    if not is_open.any():
        return np.full_like(truth, IGNORED)
    if new_classes.size and not is_open.all():
        labels = _decoded_beside(scored, truth, new_classes)
    else:
        (labels,) = scored.decode(scored.candidates)
    return np.where(is_open, labels, IGNORED)


def _decoded_beside(scored: ScoredVideos, truth: Labels, new_classes: Labels) -> Labels:
    """Decode a video whose labelled frames are known, and whose others have new names alone.

    Args:
        scored: the video.
        truth: (T,), -1 where a frame has no label.
        new_classes: the new names.

    Returns:
        (T,) class indices.
    """
    calibration = scored.scorer.calibration or uncalibrated([scored.dataset])
    (table,) = scored.log_score_tables(calibration)  # (T, C)
    rows = np.full(table.shape, _EXCLUDED)
    rows[:, new_classes] = log_softmax(table[:, new_classes], axis=1)
    is_known = truth != IGNORED
    rows[is_known] = _EXCLUDED
    rows[is_known, truth[is_known]] = 0.0
    penalty_of_frames = (scored.settings.switch_penalty or 0.0) * scored.scores[0].stride
    return decode_switching(rows, penalty_of_frames)
