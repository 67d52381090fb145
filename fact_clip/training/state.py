"""What a training writes and reads back: the description of its run, and its state for ``--resume``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.core import ConfigKey, InputError, Vocabulary
from fact_clip.core.distributed import Processes
from fact_clip.core.io import parse_value
from fact_clip.core.paths import inside
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.statistics import mean_transcript_length, median_frames, transitions
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.kernels import products, use_products
from fact_clip.run import Run, check_classes, classes_of, load_strictly, read_weights, save_weights
from fact_clip.training.plan import Plan


def begin(
    plan: Plan, out: Path, processes: Processes, resume: bool = False
) -> tuple[Run, dict[str, Tensor]]:
    """Write the description of a new run, or check that it is that of the run to be resumed.

    The first process alone writes, before the others come here. Returns the run, and what its model is made from
    besides sizes: ``{"text", "object_text", "space"}`` where its head reads them.
    """
    if resume or not processes.is_main:
        run = _resumed(plan, out, processes.world)
        use_products(run.products or {})
        return run, {**plan.texts, **_joint_space(run, plan.dataset)}
    check_free(out)
    run = _new_run(plan, out, processes.world)
    texts = {**plan.texts, **_joint_space(run, plan.dataset)}
    run.new_model(**texts)  # sizes that do not go together are reported here
    make_criterion(run, plan.dataset).null_weight(
        plan.config.model.tokens, plan.config.model.transcript
    )
    run.write()
    return run, texts


def check_free(out: Path) -> None:
    """Raise an InputError for a folder that has something in it, but for a run that was killed in its first epoch."""
    began = ("last.safetensors", "model.safetensors")
    killed = (out / "run.json").is_file() and not any(
        path.name in began for path in out.rglob("*.safetensors")
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not killed:
        raise InputError(out, "the folder is not empty", "name another --out, or give --resume")


def _resumed(plan: Plan, out: Path, world: int) -> Run:
    """The run in the folder, with settings that may change; a step keeps the number of videos that it began with."""
    config, dataset = plan.config, plan.dataset
    run, may_grow = (
        Run.read(out),
        {"train": {"epochs", "members", "workers", "device", "batch_size"}},
    )
    before, now = (
        dict(_settings(settings.model_dump(exclude=may_grow))) for settings in (run.config, config)
    )
    fix = "resume with the settings of the run, or use a new --out"
    if key := next((key for key in before if before[key] != now.get(key)), None):
        raise InputError(ConfigKey(key), f"{now.get(key)!r}, but the run has {before[key]!r}", fix)
    check_classes(
        run, dataset.vocabulary.names, dataset.location, "use the data that it was trained on"
    )
    if run.videos not in (None, dataset.digest):
        raise InputError(
            dataset.location, f"the run {out} began with other training or validation videos", fix
        )
    began, size = run.videos_a_step or run.config.train.batch_size, config.train.batch_size
    if size != run.config.train.batch_size and size * world != began:
        problem = f"{size} in {world} processes, but the run began with {began} videos a step"
        raise InputError(ConfigKey("train.batch_size"), problem)
    return replace(run, config=config, videos_a_step=began)


def _settings(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a configuration, ("train.lr", 0.001), ..."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _new_run(plan: Plan, out: Path, world: int) -> Run:
    config, dataset, objects, start = plan.config, plan.dataset, plan.objects, plan.start
    kinds = None if objects is None else objects.check(dataset.input_dim).kinds()
    transform = FeatureTransform(config.data.context, None, None, dataset.input_dim)
    if start is not None:  # its weights belong to its statistics
        transform = start.transform
    elif config.data.standardize:  # one pass over the training videos
        # Members share the statistics of the first one, so they are those of all learning videos.
        learning = sorted((*dataset.train, *dataset.validation))
        names = learning if config.train.member_parts else dataset.train
        raw = (dataset.features(name) for name in names)
        transform = FeatureTransform.fit(raw, config.data.context, kinds)
    classes, spec = classes_of(dataset.vocabulary, config.model.head), None
    if config.model.is_open:
        _, n_slots, width = plan.texts["text"].shape
        evidence = config.model.similarity.channels if config.model.head == "similarity" else 0
        classes = Classes(
            len(dataset.vocabulary), n_slots=n_slots, text_width=width, evidence_width=evidence
        )
    if objects is not None:
        copies = transform.width // transform.input_dim
        slot = objects.slot + int("sentence" in config.text.parts)
        spec = ObjectSpec(objects.with_context(copies), objects.fixed, slot)
        classes = replace(classes, evidence_slot=slot, evidence_width=config.model.objects.width)
    if start is not None and config.model.head == "closed":
        classes = replace(classes, channels=_grown_channels(start, dataset.vocabulary))
    if start is not None and start.objects is not None:
        of_start = start.classes.evidence_slot, start.classes.evidence_width
        spec, classes = (
            start.objects,
            replace(classes, evidence_slot=of_start[0], evidence_width=of_start[1]),
        )
    return Run(
        classes=classes,
        layout=dataset.layout,
        fps=dataset.fps,
        mean_transcript_length=mean_transcript_length(map(dataset.labels, dataset.train)),
        transitions=transitions(map(dataset.labels, dataset.train)),
        objects=spec,
        encoder=dataset.encoder,
        path=out,
        config=config,
        vocabulary=dataset.vocabulary,
        transform=transform,
        videos_a_step=config.train.batch_size * world,
        videos=dataset.digest,
        products=products() if plan.device.type == "cpu" else None,
        n_frames=round(median_frames(map(dataset.labels, dataset.train))),
    )


def _grown_channels(start: Run, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The score channel of each class: new ones come first, so that those of the starting run stay where they were."""
    if start.vocabulary.names == vocabulary.names:
        return start.classes.channels
    more, of_start = (
        len(vocabulary) - len(start.vocabulary),
        start.classes.channels or range(len(start.vocabulary)),
    )
    channel = {
        name: more + number for name, number in zip(start.vocabulary.names, of_start, strict=True)
    }
    free = iter(range(more))
    return tuple(channel[name] if name in channel else next(free) for name in vocabulary.names)


def _joint_space(run: Run, dataset: Dataset) -> dict[str, Tensor]:
    """``{"space": (2, W)}`` for head "similarity": what makes centred vectors of the columns that its model reads."""
    if run.config.model.head != "similarity":
        return {}
    width, transform = run.classes.text_width, run.transform
    if dataset.input_dim != width:
        problem = f"similarity, features of {dataset.input_dim} columns and text vectors of {width}"
        fix = "extract the features with a model of images and texts, and name its text side in text.encoder"
        raise InputError(ConfigKey("model.head"), problem, fix)
    if transform.std is not None:  # the columns are centred already
        rows = (transform.std[:width], np.zeros_like(transform.std[:width]))
    else:
        mean = FeatureTransform.fit((dataset.features(name) for name in dataset.train), ()).mean
        assert mean is not None
        rows = (np.ones_like(mean), mean)
    return {"space": torch.from_numpy(np.stack(rows))}


def candidates(run: Run, dataset: Dataset) -> tuple[int, ...]:
    """The classes that training scores: with a text head those that it may see, else all, one output each."""
    return dataset.learned if run.config.model.is_open else tuple(range(len(run.vocabulary)))


def make_criterion(run: Run, dataset: Dataset) -> Criterion:
    """The criterion over the classes that training scores."""
    chosen = candidates(run, dataset)
    background = [
        index for index, label in enumerate(chosen) if label in run.vocabulary.background_indices
    ]
    unseen = () if len(chosen) < len(run.vocabulary) else dataset.hidden
    frames = dataset.class_counts(dataset.train)[list(chosen)].tolist()
    classes = replace(run.classes, count=len(chosen))
    return Criterion(
        run.config.loss, classes, background, run.mean_transcript_length, unseen, frames
    )


def load_start(model: FACT, run: Run) -> None:
    """Give a new model the weights of ``train.init``, but for text vectors and outputs of new classes."""
    start = Run.read(str(run.config.train.init))
    path = start.path / "model.safetensors"
    weights, _ = read_weights(path)
    if model.text is not None:
        weights["text_embeddings"] = model.text
    count, more = run.classes.count, run.classes.count - start.classes.count
    if run.config.model.head == "closed" and more:
        fresh = model.state_dict()
        for name, weight in weights.items():
            layer = name.rpartition(".")[0]
            if layer.endswith(("frame_branch.conv_out", "seg_combine")):
                weight[-count : more - count] = fresh[name][-count : more - count]
            elif layer.endswith(
                ("action_branch.out_linear", "action_branch.out_map")
            ):  # null is the last channel
                weight[-count - 1 : more - count - 1] = fresh[name][-count - 1 : more - count - 1]
    load_strictly(model, weights, str(path))


@dataclass
class TrainingState:
    """How far a training has come, as its last.safetensors says."""

    epoch: Annotated[int, Field(ge=0)] = 0
    best: Annotated[
        float, Field(lt=math.inf)
    ] = -math.inf  # minus infinity before the first validation
    since_best: Annotated[int, Field(ge=0)] = 0
    # runs of earlier versions were saved after whole epochs alone
    step: Annotated[int, Field(ge=0)] = 0  # of this epoch
    terms: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = field(
        default_factory=dict
    )  # sums of this epoch


def save_state(
    run: Run,
    state: TrainingState,
    models: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write models (by prefix, "model." and "average.") and the optimiser; a run resumed from it continues exactly."""
    tensors = {
        f"{prefix}{name}": tensor
        for prefix, model in models.items()
        for name, tensor in model.state_dict().items()
    }
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{key}": torch.as_tensor(v)
            for key, v in values.items()
            if v is not None
        }
    facts = {**asdict(state), "classes": run.vocabulary.names}
    save_weights(inside(run.path, "last.safetensors"), tensors, facts)


def restore_state(
    run: Run, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> TrainingState:
    """Load what `save_state` wrote; strict."""
    path, settings = run.path / "last.safetensors", run.config.train
    tensors, facts = read_weights(path)
    check_classes(run, facts.get("classes"), path)
    for prefix, model in models.items():
        weights = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        load_strictly(model, weights, path)
    state = parse_value(TrainingState, facts, path, "train the run anew")
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"optimizer\.([0-9]+)\.(\w+)", name):
            moments.setdefault(int(match[1]), {})[match[2]] = tensor
    if state.epoch and not moments:
        raise InputError(path, f"no state of {settings.optimizer}", "train the run anew")
    if state.epoch > settings.epochs:
        raise InputError(
            ConfigKey("train.epochs"), f"{settings.epochs}, but {state.epoch} are done", "give more"
        )
    if state.epoch and not (run.path / "model.safetensors").is_file():
        raise InputError(
            run.path / "model.safetensors", "no such file; it holds the best weights so far"
        )
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return state
