"""The run of a training and its parts: description, model, criterion, and files.

begin               the description of a new or resumed run, and the texts of its model
check_free, has_progress
                    whether a run folder can be begun, or continued
build               model, criterion and transform for a training loop of one's own
scored_classes      the classes with an output, which the loss is over
make_criterion      the loss
RunFiles            weights, `TrainingState` and logs in the run folder
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.config import TrainConfig, flattened
from fact_clip.core import FileLocation, InputError, Json
from fact_clip.core.distributed import Processes
from fact_clip.core.io import parse_value, read_text
from fact_clip.core.paths import inside
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.statistics import (
    mean_transcript_length,
    median_frames,
    transitions,
    visit_shares,
)
from fact_clip.decoding.durations import Durations
from fact_clip.inference.scorer import Scorer
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.heads import is_open
from fact_clip.models.similarity import CHANNELS
from fact_clip.run import (
    LoadedRun,
    Run,
    check_classes,
    classes_of,
    load_strictly,
    read_weights,
    save_weights,
)
from fact_clip.seen import Seen
from fact_clip.training.callbacks import LOGGERS, Callback, FileLog
from fact_clip.training.plan import Plan
from fact_clip.training.start import grown_channels, start_texts
from fact_clip.training.teacher import DRAFTS, TEACHER, teachers_seen

_TRAIN_AGAIN = "train the run again"

# Tensors that the optimiser of torch stores for each parameter.
_MOMENTS = {
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
}

# Settings that may change when a training is resumed. `_resumed` compares all others, but for
# data.drafts of a student, which are decided again.
_MAY_CHANGE = {"train": {"epochs", "members", "workers", "device", "batch_size"}}


def begin(plan: Plan, out: Path, resume: bool = False) -> tuple[Run, dict[str, Tensor]]:
    """Write the description of a new run, or check that it is that of the run to be resumed.

    The main process of a launch is here before the others (`main_first`) and alone writes. The
    others then read the description as if they resumed it.

    Args:
        plan: the plan of the training.
        out: the run folder.
        resume: continue the run in the folder.

    Returns:
        The run, and what its model is made from beside it: "text" and "space", if its head reads
        them, and "object_text", if there are object columns.

    Raises:
        InputError: sizes do not fit together, or the run was begun with other settings.
    """
    processes = Processes(plan.device)
    is_new = processes.is_main and not resume
    if is_new:
        check_free(out)
    run = (_new_run if is_new else _resumed)(plan, out, processes.world)
    texts = _model_texts(plan, run)
    if is_new:
        # Both calls are for their errors: sizes that do not fit together, and fewer model.tokens
        # than the mean transcript has segments, are reported before anything is written.
        run.new_model(**texts)
        model = plan.config.model
        make_criterion(run, plan.dataset).null_weight(model.tokens, model.transcript)
        run.write()
    return run, texts


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


def has_progress(folder: Path) -> bool:
    """Return whether a run has what a resume must continue: a state, even a lost one, or weights.

    A run that was interrupted before anything was saved starts again.
    """
    if os.path.lexists(folder / "last.safetensors"):
        return True
    log = folder / "log.jsonl"
    if not log.is_file():
        # Converted weights have no log, and must not be trained over.
        return (folder / "model.safetensors").is_file()
    # A second row of the log is written after the first state. If that is missing now, it was lost,
    # and the training must not start again without a word.
    return len(read_text(log, "a log of training").splitlines()) > 1


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
        # Members validate on different videos, and the run has one transform for all. So the
        # statistics are of all learning videos, and equal for each member.
        names = tuple(sorted((*dataset.train, *dataset.validation)))
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
        if new_settings.get(key) != value and not has_moved:
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


def _model_texts(plan: Plan, run: Run) -> dict[str, Tensor]:
    """Return the text vectors that the model of a run, new or resumed, is made from."""
    return {**plan.texts, **start_texts(plan.start), **_joint_space(run, plan.dataset)}


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


@dataclass(frozen=True)
class Parts:
    """What a training loop of one's own needs in addition to the data set of the plan.

    Attributes:
        model: with random weights.
        criterion: the loss.
        transform: turns raw features (T, D) into rows that the model reads.
    """

    model: FACT
    criterion: Criterion
    transform: FeatureTransform


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
    model = run.new_model(**_model_texts(plan, run))
    return Parts(model, make_criterion(run, plan.dataset), run.transform)


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


@dataclass
class TrainingState:
    """Progress of a training, as stored in its last.safetensors.

    Attributes:
        epoch: epochs done.
        best: best score on the validation videos; minus infinity before the first validation.
        step: steps done of the current epoch.
        terms: sums of the loss terms of the current epoch.
        is_stopped: whether a callback has ended the training.
    """

    epoch: Annotated[int, Field(ge=0)] = 0
    best: Annotated[float, Field(lt=math.inf)] = -math.inf
    step: Annotated[int, Field(ge=0)] = 0
    terms: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = field(default_factory=dict)
    is_stopped: bool = False


class RunFiles:
    """The folder of a run that is trained: weights, state and logs.

    Args:
        run: the run that `begin` returned.

    Attributes:
        path: the run folder.
        config: the configuration of the run, for callbacks.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.path = run.path
        self.config = run.config

    def rewrite(self) -> None:
        """Write the description of a resumed run, and delete what was learned from old weights."""
        for name in ("decoding.json", "calibration.json", "confidence.json"):
            (self.path / name).unlink(missing_ok=True)
        self._run.write()

    def scorer(self, model: FACT) -> Scorer:
        """Return a scorer with the weights of a model, on its device."""
        device = next(model.parameters()).device
        return Scorer(LoadedRun(self._run, [model]), device)

    def logs(self, last_epoch: int) -> list[Callback]:
        """Return the loggers of the configuration; `FileLog` drops rows after an epoch."""
        settings = self.config.model_dump(mode="json")
        logs: list[Callback] = [FileLog(self.path, last_epoch)]
        for name in self.config.train.loggers:
            logs.append(LOGGERS[name](self.path, settings))
        return logs

    def save_model(self, model: FACT, facts: Json) -> Path:
        """Write weights with facts about them, and return the path."""
        path = inside(self.path, "model.safetensors")
        save_weights(path, model.state_dict(), {**facts, "classes": self._run.vocabulary.names})
        return path

    def save(
        self,
        state: TrainingState,
        models: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
    ) -> Path:
        """Write the state of a training; a run resumed from it continues exactly.

        Args:
            state: the progress.
            models: by prefix, "model." and "average.".
            optimizer: the optimiser of the training.

        Returns:
            The path of the file.
        """
        tensors: dict[str, Tensor] = {}
        for prefix, model in models.items():
            tensors |= model.state_dict(prefix=prefix)
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
        facts = {**asdict(state), "classes": self._run.vocabulary.names}
        path = inside(self.path, "last.safetensors")
        save_weights(path, tensors, facts)
        return path

    def restore(
        self, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
    ) -> TrainingState:
        """Load what `save` wrote into the models and the optimiser.

        Returns:
            The progress.

        Raises:
            InputError: the file is damaged or belongs to another training.
        """
        path = self.path / "last.safetensors"
        tensors, facts = read_weights(path)
        check_classes(self._run, facts.get("classes"), path)
        for prefix, model in models.items():
            weights = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            load_strictly(model, weights, path)
        state = parse_value(TrainingState, facts, path, _TRAIN_AGAIN)
        if "epoch" not in facts or (state.step and "total" not in state.terms):
            raise InputError(path, "no facts about the training", _TRAIN_AGAIN)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            match = re.fullmatch(r"optimizer\.([0-9]+)\.(\w+)", name)
            if match:
                moments.setdefault(int(match[1]), {})[match[2]] = tensor
        _check_state(path, self.config.train, state, moments, optimizer)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return state


def _check_state(
    path: Path,
    settings: TrainConfig,
    state: TrainingState,
    moments: Mapping[int, Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raise an InputError if a state does not fit the settings and the optimiser."""
    if state.epoch and not moments:
        raise InputError(path, f"no state of {settings.optimizer}", _TRAIN_AGAIN)
    parameters = dict(enumerate(optimizer.param_groups[0]["params"]))
    for index, values in moments.items():
        shapes = {name: value.shape for name, value in values.items()}
        expected = {}
        if index in parameters:
            expected = dict.fromkeys(_MOMENTS[settings.optimizer], parameters[index].shape)
        if "step" in expected:
            expected["step"] = torch.Size()
        if shapes != expected:
            problem = f"not a state of {settings.optimizer}: {', '.join(shapes)}"
            raise InputError(FileLocation(path, part=f"optimizer.{index}"), problem, _TRAIN_AGAIN)
    if state.epoch > settings.epochs:
        problem = f"{settings.epochs}, but {state.epoch} are done"
        raise InputError("train.epochs", problem, "give more")
    weights = path.with_name("model.safetensors")
    if state.epoch and not weights.is_file():
        raise InputError(weights, "no such file; it holds the best weights so far")
