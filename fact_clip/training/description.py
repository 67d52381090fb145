"""The description of a run that is trained, and its model and loss.

begin               the description of a new or resumed run, with its model and loss
check_free          whether a run folder can be begun
build               model, criterion and transform for a training loop of one's own
scored_classes      the classes with an output, which the loss is over
make_criterion      the loss
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fact_clip.config import flattened
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.statistics import (
    mean_transcript_length,
    median_frames,
    transitions,
    visit_shares,
)
from fact_clip.decoding.durations import Durations
from fact_clip.devices.processes import Processes
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.heads import is_open
from fact_clip.models.similarity import CHANNELS
from fact_clip.runs.facts import classes_of
from fact_clip.runs.run import Run, check_classes
from fact_clip.runs.seen import Seen
from fact_clip.training.plan import Plan
from fact_clip.training.start import grown_channels, start_texts
from fact_clip.training.teacher import DRAFTS, TEACHER, teachers_seen

# Settings that the plan of an ensemble decides. A run of another version may not record them.
_DECIDED = ("data.validation_videos", "data.objects.names", "data.objects.columns")

# Settings that may change when a training is resumed. `_resumed` compares all others, but for
# data.drafts of a student, which are decided again.
_MAY_CHANGE = {"train": {"epochs", "members", "workers", "device", "batch_size"}}


@dataclass(frozen=True)
class Parts:
    """What a training loop needs in addition to the data set of the plan.

    Attributes:
        model: Model with random weights.
        criterion: Loss of the model.
        transform: Transform from raw features (T, D) to rows that the model reads.
    """

    model: FACT
    criterion: Criterion
    transform: FeatureTransform


def begin(
    plan: Plan, out: Path, processes: Processes, *, resume: bool = False
) -> tuple[Run, Parts]:
    """Describe a run and build its parts. Write the description of a new run.

    The main process of a launch calls this function before the other processes (`main_first`), and
    only the main process writes. The other processes then read the description as if they resumed
    the run.

    Args:
        plan: Plan of the training.
        out: Run folder.
        processes: Processes that train the run.
        resume: Whether the run in the folder is continued.

    Returns:
        The run, and its model and loss.

    Raises:
        InputError: Sizes do not fit together, or the run was begun with different settings.
    """
    is_new = processes.is_main and not resume
    if is_new:
        check_free(out)
        run = _new_run(plan, out, processes.world)
    else:
        run = _resumed(plan, out, processes.world)
    # The initial weights follow from the seed.
    torch.manual_seed(plan.config.train.seed)
    parts = _parts(plan, run)
    if is_new:
        # Too few model.tokens are reported before anything is written, as are sizes that do not
        # fit together, which `_parts` reports.
        model = plan.config.model
        parts.criterion.null_weight(model.tokens, model.transcript)
        run.write()
    return run, parts


def _parts(plan: Plan, run: Run) -> Parts:
    """Build the model of a run, new or resumed, and its loss."""
    texts = {**plan.texts, **start_texts(plan.start), **_joint_space(run, plan.dataset)}
    model = run.new_model(**texts)
    return Parts(model, make_criterion(run, plan.dataset), run.transform)


def check_free(out: Path) -> None:
    """Raise an InputError for a folder with files, unless nothing in it has saved weights yet.

    Members beside the first model, and a teacher, may have begun before.
    """
    if not out.exists():
        return
    made_before = {"members", TEACHER, DRAFTS}
    if out.parent.name == "members":
        # These are files of a member that was killed before its description was complete.
        made_before |= {"config.yaml", "vocabulary.json", "features.safetensors"}
    if out.is_dir() and {path.name for path in out.iterdir()} <= made_before:
        return
    has_weights = any(
        path.name in ("last.safetensors", "model.safetensors")
        for path in out.rglob("*.safetensors")
    )
    if has_weights or not (out / "run.json").is_file():
        raise InputError(out, "the folder is not empty", "name another out=, or set resume=True")


def _new_run(plan: Plan, out: Path, world: int) -> Run:
    """Return the description of a new run, with the statistics of its training videos."""
    config = plan.config
    dataset = plan.dataset
    transform = _feature_transform(plan)
    classes = _classes(plan)
    # The object columns of the features: those of the plan, else those of the run it starts from.
    spec = None if plan.start is None else plan.start.objects
    objects = plan.objects
    if objects is not None:
        # of each column of the features: itself, and mean and deviation of each window of context
        copies = transform.width // transform.input_dim
        # Texts of a class begin with its sentence, if there is one, so its factors move by one.
        text_slot = objects.slot + int("sentence" in config.text.parts)
        spec = ObjectSpec(objects.with_context(copies), objects.fixed, text_slot)
    if spec is not None:
        classes = replace(classes, evidence_slot=spec.slot, evidence_width=spec.width)
    labelled = dataset.labelled(dataset.train)
    train_labels = [dataset.training_labels(name) for name in labelled]
    cut_labels = {name: dataset.cut_labels(name) for name in labelled}
    return Run(
        path=out,
        config=config,
        vocabulary=dataset.vocabulary,
        transform=transform,
        classes=classes,
        layout=dataset.layout,
        fps=dataset.fps,
        mean_transcript_length=mean_transcript_length(train_labels),
        transitions=transitions(
            train_labels, dataset.vocabulary.background_indices, len(dataset.vocabulary)
        ),
        lengths=_lengths(dataset.segment_lengths(cut_labels, whole_only=True)),
        visits=visit_shares(cut_labels.values(), len(dataset.vocabulary)),
        objects=spec,
        encoder=dataset.encoder,
        videos_a_step=config.train.batch_size * world,
        seen=_seen(plan),
        teachers=teachers_seen(config.data.drafts, config.train.self_training),
        finished=False,
        n_frames=round(median_frames(train_labels)),
        notes=tuple(note.message for note in plan.notes),
    )


def _feature_transform(plan: Plan) -> FeatureTransform:
    """Return the transform of the features. Its statistics need one pass over the videos."""
    data = plan.config.data
    dataset = plan.dataset
    if plan.start is not None:
        # The weights that the training starts from were learned with these statistics.
        return plan.start.transform
    kinds = None
    if plan.objects is not None:
        # `check` also raises for objects that do not fit, so it comes before the next return.
        kinds = plan.objects.check(dataset.input_dim).kinds()
    if not data.standardize:
        return FeatureTransform(data.context, None, None, dataset.input_dim)
    names = dataset.train
    if plan.config.train.member_parts:
        # Each member trains on different videos, and the run has one transform for all members. So
        # the statistics are those of all training videos of the split.
        names = tuple(sorted(dataset.all_learning))
    features = (dataset.features(name) for name in names)
    return FeatureTransform.fit(features, data.context, kinds)


def _classes(plan: Plan) -> Classes:
    """Return the facts about the vocabulary that the heads need."""
    model = plan.config.model
    vocabulary = plan.dataset.vocabulary
    if is_open(model.head):
        _, n_slots, width = plan.texts["text"].shape  # (C, S, W)
        return Classes(
            len(vocabulary),
            n_slots=n_slots,
            text_width=width,
            evidence_width=CHANNELS if model.head == "similarity" else 0,
        )
    classes = classes_of(vocabulary, model.head)
    if plan.start is not None and model.head == "closed":
        classes = replace(classes, channels=grown_channels(plan.start, vocabulary))
    return classes


def _lengths(lengths: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """Return, for each class, mean and deviation of the log of lengths; () if there are none.

    The lengths, in frames, are of whole segments. A segment is whole if it is not beside frames
    without a label, where it may go on; frames of a hidden class end it. Of videos with clicks they
    are the lengths that the clicks let expect.
    """
    if not any(lengths):
        return ()
    durations = Durations.learned(lengths)
    return tuple(zip(durations.mean.tolist(), durations.deviation.tolist(), strict=True))


def _seen(plan: Plan) -> Seen:
    """Return the record of what the training of a plan sees, with the run that it starts from."""
    seen = Seen.of(plan.dataset)
    # Classes that have training frames by drafts alone: a model gave these frames their names.
    learned = plan.dataset.names_of(np.flatnonzero(plan.dataset.learned_counts).tolist())
    seen = replace(seen, named=tuple(name for name in learned if name not in seen.classes))
    return seen if plan.start is None else seen.joined(plan.start.seen_by_all())


def _resumed(plan: Plan, out: Path, world: int) -> Run:
    """Return the run in the folder, with those settings of the plan that may change.

    An InputError reports other settings, and data that differ. A step keeps the number of videos
    that the training began with, so a new batch size must give it in all processes together.
    """
    config = plan.config
    dataset = plan.dataset
    run = Run.read(out).without_choice()  # decoding is chosen again after the training
    command = f"fact-clip train {out / 'config.yaml'} --out {out} --resume"
    other_settings = f"resume with the settings of the run ({command}), or use a new --out"
    old_settings = flattened(run.config.model_dump(exclude=_MAY_CHANGE))
    new_settings = flattened(config.model_dump(exclude=_MAY_CHANGE))
    for key, value in old_settings.items():
        # The folder of the drafts is an absolute path, which changes when a run is moved.
        has_moved = key == "data.drafts" and config.train.self_training
        is_unrecorded = key in _DECIDED and not value
        if new_settings.get(key) != value and not has_moved and not is_unrecorded:
            problem = f"{new_settings.get(key)!r}, but the run has {value!r}"
            raise InputError(key, problem, other_settings)
    fix = "use the data that it was trained on"
    check_classes(run, dataset.vocabulary.names, dataset.location, fix)
    if run.seen not in (None, _seen(plan)) or run.vocabulary != dataset.vocabulary:
        problem = f"the run {out} began with other learning videos, features, labels or factors"
        raise InputError(dataset.location, problem, "train again, into a new folder")
    videos_a_step = run.videos_a_step or run.config.train.batch_size
    batch_size = config.train.batch_size
    if batch_size != run.config.train.batch_size and batch_size * world != videos_a_step:
        problem = (
            f"{batch_size} in {world} processes, but the run began with {videos_a_step} "
            "videos a step"
        )
        raise InputError("train.batch_size", problem)
    return replace(run, config=config, videos_a_step=videos_a_step, finished=False)


def _joint_space(run: Run, dataset: Dataset) -> dict[str, Tensor]:
    """Return "space" (2, W) for head "similarity", otherwise nothing.

    The model multiplies its columns by the first row and subtracts the second. It then has the raw
    features minus their mean, in which features and texts are compared.
    """
    if run.config.model.head != "similarity":
        return {}
    width = run.classes.text_width
    if dataset.input_dim != width:
        problem = f"similarity, features of {dataset.input_dim} columns and text vectors of {width}"
        fix = (
            "extract the features with a model of images and texts, "
            "and name its text side in text.encoder"
        )
        raise InputError("model.head", problem, fix)
    if run.transform.std is not None:
        # The columns are centred already, and divided by the deviation.
        scale = run.transform.std[:width]
        rows = (scale, np.zeros_like(scale))  # (W,) each
    else:
        features = (dataset.features(name) for name in dataset.train)
        mean = FeatureTransform.fit(features, ()).mean
        assert mean is not None
        rows = (np.ones_like(mean), mean)  # (W,) each
    return {"space": torch.from_numpy(np.stack(rows))}


def build(plan: Plan) -> Parts:
    """Build the model and the loss of a training.

    Args:
        plan: the plan of the training.

    Returns:
        The parts of the training.

    Raises:
        InputError: it is no plan, sizes do not fit together, or classes are held out of a head that
            reads text.
    """
    if not isinstance(plan, Plan):
        raise InputError("plan", f"a {type(plan).__name__}", "give fact_clip.training.resolve")
    if plan.dataset.hidden and is_open(plan.config.model.head):
        problem = "a loop of one's own would train the held-out classes as wrong answers"
        raise InputError("data.holdout", problem, "use fact_clip.train")
    run = _new_run(plan, Path(), world=1)
    return _parts(plan, run)


def make_criterion(run: Run, dataset: Dataset) -> Criterion:
    """Return the criterion over the `scored_classes`."""
    labels = scored_classes(run, dataset)
    # Both are positions in `labels`, which are the class indices of the criterion.
    background = [
        index for index, label in enumerate(labels) if label in run.vocabulary.background_indices
    ]
    hidden: tuple[int, ...] = ()
    # Hidden classes have no score with a head that reads text. With an output for each class the
    # criterion has to know them.
    if len(labels) == len(run.vocabulary):
        hidden = tuple(index for index in dataset.hidden if index not in dataset.learned)
    return Criterion(
        run.config.loss,
        replace(run.classes, count=len(labels)),
        background,
        run.mean_transcript_length,
        hidden,
        dataset.learned_counts[list(labels)].tolist(),
    )


def scored_classes(run: Run, dataset: Dataset) -> tuple[int, ...]:
    """Return the classes that training scores, in the order of the scores.

    A head that reads text gets the classes that training may see as candidates. Any other head has
    an output for each class of the vocabulary.
    """
    if is_open(run.config.model.head):
        return dataset.learned
    return tuple(range(len(run.vocabulary)))
