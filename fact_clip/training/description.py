"""The description of a run that is trained, and its model and loss.

begin               the description of a new or resumed run, with its model and loss
check_free          a check that a folder can hold a new run
build               model, criterion and transform for your own training loop
scored_classes      the classes that have an output and enter the loss
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

# Settings that the plan of an ensemble decides. Runs of other versions may not record them.
_DECIDED = ("data.validation_videos", "data.objects.names", "data.objects.columns")

# Settings that may change when a run is resumed. `_resumed` compares all others, except
# data.drafts of a student, which is decided again.
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
        plan: Plan of the run.
        out: Run folder.
        processes: Processes that train the run.
        resume: Whether to continue the run in the folder.

    Returns:
        The run, and its model and loss.

    Raises:
        InputError: Sizes do not match, or the run was started with different settings.
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
        # Before anything is written, this reports too few model.tokens. `_parts` has already
        # reported sizes that do not match.
        model = plan.config.model
        parts.criterion.null_weight(model.tokens, model.transcript)
        run.write()
    return run, parts


def _parts(plan: Plan, run: Run) -> Parts:
    """Build the model and the loss of a new or resumed run."""
    texts = {**plan.texts, **start_texts(plan.start), **_joint_space(run, plan.dataset)}
    model = run.new_model(**texts)
    return Parts(model, make_criterion(run, plan.dataset), run.transform)


def check_free(out: Path) -> None:
    """Raise an InputError for a folder with files, unless nothing in it has saved weights yet.

    Training of a teacher, or of further members of an ensemble, may have started before.
    """
    if not out.exists():
        return
    made_before = {"members", TEACHER, DRAFTS}
    if out.parent.name == "members":
        # A member that was killed before its description was complete leaves these files.
        made_before |= {"config.yaml", "vocabulary.json", "features.safetensors"}
    if out.is_dir() and {path.name for path in out.iterdir()} <= made_before:
        return
    has_weights = any(
        path.name in ("last.safetensors", "model.safetensors")
        for path in out.rglob("*.safetensors")
    )
    if has_weights or not (out / "run.json").is_file():
        raise InputError(
            out, "the folder is not empty", "name a different out=, or set resume=True"
        )


def _new_run(plan: Plan, out: Path, world: int) -> Run:
    """Return the description of a new run, with the statistics of its training videos."""
    config = plan.config
    dataset = plan.dataset
    transform = _feature_transform(plan)
    classes = _classes(plan)
    # Object columns come from the plan, or else from the run that training starts from.
    spec = None if plan.start is None else plan.start.objects
    objects = plan.objects
    if objects is not None:
        # Each feature column is followed by a mean and a deviation for each window of context.
        copies = transform.width // transform.input_dim
        # If the texts of a class begin with its sentence, the slots of its factors move by one.
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
        # The initial weights were trained with these statistics.
        return plan.start.transform
    kinds = None
    if plan.objects is not None:
        # `check` also raises errors for objects that do not fit, so it precedes the next return.
        kinds = plan.objects.check(dataset.input_dim).kinds()
    if not data.standardize:
        return FeatureTransform(data.context, None, None, dataset.input_dim)
    names = dataset.train
    if plan.config.train.member_parts:
        # Members are trained on different videos, but the run has one transform for all of them.
        # It therefore uses the statistics of all training videos of the split.
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
    """Return the mean and deviation of the log length for each class, or () without lengths.

    Lengths, in frames, are from whole segments. A segment next to unlabelled frames is not whole,
    because it may continue there, but frames of a hidden class end a segment. For clicked videos,
    they are the lengths that the clicks suggest.
    """
    if not any(lengths):
        return ()
    durations = Durations.learned(lengths)
    return tuple(zip(durations.mean.tolist(), durations.deviation.tolist(), strict=True))


def _seen(plan: Plan) -> Seen:
    """Return what training sees, including what the run that it starts from has seen."""
    seen = Seen.of(plan.dataset)
    # Classes whose only training frames come from drafts: a model named these frames.
    learned = plan.dataset.names_of(np.flatnonzero(plan.dataset.learned_counts).tolist())
    seen = replace(seen, named=tuple(name for name in learned if name not in seen.classes))
    return seen if plan.start is None else seen.joined(plan.start.seen_by_all())


def _resumed(plan: Plan, out: Path, world: int) -> Run:
    """Return the run in the folder, with the settings of the plan that may change.

    An InputError reports differences in other settings or in the data. The number of videos per
    step must stay the same, so a new batch size must give this number over all processes.
    """
    config = plan.config
    dataset = plan.dataset
    run = Run.read(out).without_choice()  # decoding is chosen again after training
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
        problem = f"the run {out} was started with different videos, features, labels or factors"
        raise InputError(dataset.location, problem, "train a new run in a new folder")
    videos_a_step = run.videos_a_step or run.config.train.batch_size
    batch_size = config.train.batch_size
    if batch_size != run.config.train.batch_size and batch_size * world != videos_a_step:
        problem = (
            f"{batch_size} in {world} processes, but the run was started with "
            f"{videos_a_step} videos per step"
        )
        raise InputError("train.batch_size", problem)
    return replace(run, config=config, videos_a_step=videos_a_step, finished=False)


def _joint_space(run: Run, dataset: Dataset) -> dict[str, Tensor]:
    """Return "space" (2, W) for the head "similarity", or else an empty dictionary.

    The model multiplies its columns by the first row and subtracts the second. The result is the
    raw features minus their mean, the space in which features and texts are compared.
    """
    if run.config.model.head != "similarity":
        return {}
    width = run.classes.text_width
    if dataset.input_dim != width:
        problem = f"similarity, features of {dataset.input_dim} columns and text vectors of {width}"
        fix = (
            "extract the features with a model of images and texts, "
            "and set text.encoder to its text side"
        )
        raise InputError("model.head", problem, fix)
    if run.transform.std is not None:
        # The columns are already centred and divided by the deviation.
        scale = run.transform.std[:width]
        rows = (scale, np.zeros_like(scale))  # (W,) each
    else:
        features = (dataset.features(name) for name in dataset.train)
        mean = FeatureTransform.fit(features, ()).mean
        assert mean is not None
        rows = (np.ones_like(mean), mean)  # (W,) each
    return {"space": torch.from_numpy(np.stack(rows))}


def build(plan: Plan) -> Parts:
    """Build the model and the loss of a run, for your own training loop.

    Args:
        plan: Plan of the run.

    Returns:
        Model, criterion and feature transform.

    Raises:
        InputError: The argument is not a plan, sizes do not match, or classes are held out from a
            head that reads text.
    """
    if not isinstance(plan, Plan):
        raise InputError("plan", f"a {type(plan).__name__}", "give fact_clip.training.resolve")
    if plan.dataset.hidden and is_open(plan.config.model.head):
        problem = "your own training loop would train the held-out classes as wrong answers"
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
    # A head that reads text has no scores for hidden classes. For any other head, which has an
    # output for each class, the criterion needs their indices.
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

    The candidates of a head that reads text are the classes that training may see. Any other head
    has an output for each class of the vocabulary.
    """
    if is_open(run.config.model.head):
        return dataset.learned
    return tuple(range(len(run.vocabulary)))
