"""The plan of a training: every ``auto`` decided, the data set opened once, texts and object columns read."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fact_clip import metrics
from fact_clip.config import Config, with_values
from fact_clip.core import WHOLE_NAME, ConfigKey, InputError, Vocabulary
from fact_clip.core.distributed import pick_device
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.layout import IN_MEMORY, DataFolder, DataStore
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.encoders.vectors import class_texts, class_vectors, embed_as
from fact_clip.inference.scorer import check_joint_space, cut_windows
from fact_clip.run import Run, read_weights
from fact_clip.training.callbacks import check_loggers
from fact_clip.training.zero_shot import check_rules

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """Something that was decided for the user, and why."""

    text: str
    level: int = logging.INFO


@dataclass(frozen=True)
class Plan:
    """A training that can start: nothing in it is ``auto`` any more."""

    config: Config  # the configuration with every decision, and with absolute paths
    dataset: Dataset  # its split, with the classes held out
    device: torch.device  # where it trains
    # the object columns, read or found; None: there are none, or those of `start` are taken
    objects: ObjectColumns | None = None
    # what the model is made from besides sizes, where it reads them: "text" (C, S, E), "object_text" (O, E)
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    start: Run | None = None  # the run of ``train.init``, whose weights the training starts from
    notes: tuple[Note, ...] = ()  # what was decided


def tell(notes: Iterable[Note]) -> None:
    """Log what was decided, by the logger whose notes the command line shows."""
    for note in notes:
        logger.log(note.level, "%s", note.text)


def resolve(config: Config, folder: DataStore | None = None) -> Plan:
    """Decide everything that the configuration leaves open, and open what it names; `folder` may be open already."""
    notes: list[Note] = []
    folder = folder or DataFolder(config.data)
    config = with_values(config, _from_class_names(config, folder, notes))
    dataset = Dataset.open(config.data, folder)
    device = pick_device(config.train.device, "train.device")
    _check(config, dataset)
    dataset.check()
    decisions = {**_absolute_paths(config, dataset), **_validation_unseen(config, dataset, notes)}
    config = with_values(
        config, {**decisions, "data.objects.find": _find_objects(config, dataset, notes)}
    )
    start = None if config.train.init is None else _starting_run(config, dataset)
    objects = None if start is not None else _object_columns(config, dataset)
    texts = model_texts(config, dataset.vocabulary, objects)
    if start is not None and start.objects is not None:
        texts["object_text"] = read_weights(start.path / "model.safetensors")[0]["objects.names"]
    check_joint_space(
        config, dataset.input_dim, texts["text"].shape[-1] if config.model.is_open else None
    )
    if config.model.is_open:
        notes += _indistinguishable_classes(texts["text"], dataset.vocabulary, config.text.encoder)
    return Plan(config, dataset, device, objects, texts, start, tuple(notes))


def _from_class_names(config: Config, folder: DataStore, notes: list[Note]) -> dict[str, Any]:
    """Decide what class names say: the background, how names are read, and which vectors a class has."""
    data, values, texts = config.data, dict[str, Any](), list[str]()
    if data.name == "folder" and data.background is None:
        guess, _ = guess_names(data, folder.class_names, folder.root)
        texts.append(f"background by its name: {', '.join(guess.background or ()) or 'no class'}")
        if guess.unlabelled != data.unlabelled:
            texts.append(f"ignored by their name: {', '.join(guess.unlabelled)}")
        if guess.grammar != data.grammar:
            texts.append(f"names are read as {guess.grammar}")
        values = {
            f"data.{key}": getattr(guess, key) for key in ("background", "unlabelled", "grammar")
        }
        data = guess
    if config.text.parts == "auto" and config.model.is_open:
        has_no_parts = folder.vocabulary(data).slots == WHOLE_NAME
        values["text.parts"] = ("sentence",) if has_no_parts else ("sentence", "factors")
        texts.append(
            "a class is named by its sentence" + ("" if has_no_parts else " and its factors")
        )
    if texts:
        notes.append(Note("; ".join(texts)))
    return values


def _absolute_paths(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Make the paths absolute that a run keeps, so that it can be evaluated from anywhere."""
    root = IN_MEMORY if dataset.root is None else dataset.root.resolve()
    values: dict[str, Any] = {"data.root": str(root)}
    holdout = config.data.holdout
    if (
        isinstance(holdout, str)
        and not (dataset.root is not None and (dataset.root / holdout).is_file())
        and Path(holdout).is_file()
    ):
        values["data.holdout"] = str(Path(holdout).resolve())
    if config.train.init is not None:
        values["train.init"] = str(Run.read(config.train.init).path.resolve())
    return values


def _validation_unseen(config: Config, dataset: Dataset, notes: list[Note]) -> dict[str, Any]:
    """Name the validation-unseen classes that the data set chose, for ``data.validation_unseen: auto``."""
    setting, holdout = config.data.validation_unseen, dataset.holdout
    if holdout is None or setting not in (None, "auto"):
        return {}
    names, rule = holdout.validation_unseen, "gamma is chosen by the accuracy of seen classes alone"
    if setting is None:
        if not names and config.model.is_open:
            fix = "data.validation_unseen=auto chooses some"
            notes.append(
                Note(
                    f"data.holdout names no validation-unseen classes, so {rule}; {fix}",
                    logging.WARNING,
                )
            )
        return {}
    if names:
        counts = dict(
            zip(
                dataset.vocabulary.names,
                dataset.class_counts(dataset.validation).tolist(),
                strict=True,
            )
        )
        listed = ", ".join(f"{name!r} ({counts[name]} frames there)" for name in names)
        use = "chosen as validation-unseen: not trained, and used on the validation videos to choose settings"
        notes.append(Note(f"{use}: {listed}"))
    else:
        why = "no class can be validation-unseen: none has all of its factors in other seen classes, and enough frames"
        why = why if config.data.validation else "there are no validation videos"
        notes.append(Note(f"{why}; {rule}", logging.WARNING))
    return {"data.validation_unseen": names}


def _find_objects(config: Config, dataset: Dataset, notes: list[Note]) -> bool:
    """Decide ``data.objects.find: auto`` by whether objects show in the features."""
    objects = config.data.objects
    if objects.find != "auto":
        return objects.find
    usable = config.model.head == "text" and "factors" in config.text.parts and objects.file is None
    if not usable or not ObjectColumns.show(objects, dataset):
        return False
    notes.append(
        Note(
            "the columns hold objects that come and go, and the labels say their names (data.objects.find)"
        )
    )
    return True


def _check(config: Config, dataset: Dataset) -> None:
    """Raise what would otherwise fail after minutes, with a folder half written."""
    check_loggers(config.train.loggers)
    figures, chosen = (
        ("score", *metrics.figure_keys(config.evaluation.profile)),
        config.train.select,
    )
    if chosen not in figures:
        raise InputError(
            ConfigKey("train.select"), f"no figure {chosen!r}", f"choose {', '.join(figures)}"
        )
    if config.loss.match == "seq" and not config.model.transcript:
        problem = "seq matches the tokens of a transcript, and the model has none"
        raise InputError(
            ConfigKey("loss.match"), problem, "choose o2o or o2m, or set model.transcript=true"
        )
    if config.train.member_parts and 1 < dataset.validation_parts < config.train.members:
        text = f"{config.train.members} members share {dataset.validation_parts} parts of validation videos"
        warnings.warn(text, stacklevel=2)
    if dataset.holdout is not None and config.model.is_open and not config.train.member_parts:
        check_rules(config.decode, [dataset])
    if config.decode.overlap is not None:
        window, overlap = (
            -(-rows // config.data.stride) for rows in (config.decode.window, config.decode.overlap)
        )
        cut_windows(window + 1, window, overlap)


def _starting_run(config: Config, dataset: Dataset) -> Run:
    """Read the run of ``train.init``; an InputError where model, texts, transform or classes do not fit."""
    key, run = "train.init", Run.read(str(config.train.init))
    for group in ("model", "text") if config.model.reads_text else ("model",):
        wanted = getattr(config, group).model_dump()
        for name, value in getattr(run.config, group).model_dump().items():
            if wanted[name] != value:
                fix = f"use its settings: fact-clip train {shlex.quote(str(run.path / 'config.yaml'))} ..."
                raise InputError(
                    ConfigKey(key), f"{run.path} was trained with another {group}.{name}", fix
                )
    if (columns := run.transform.input_dim) != dataset.input_dim:
        raise InputError(
            ConfigKey(key),
            f"features of {dataset.input_dim} columns, but {run.path} reads {columns}",
        )
    if (run.transform.context, run.transform.mean is not None) != (
        config.data.context,
        config.data.standardize,
    ):
        raise InputError(
            ConfigKey(key), f"{run.path} was trained with another data.context or data.standardize"
        )
    run.check_rate(dataset.fps, key)
    if config.model.is_open or run.vocabulary.names == dataset.vocabulary.names:
        return run
    if config.model.head != "closed" or config.model.transcript:
        problem = (
            f"{run.path} can only name its {len(run.vocabulary)} classes; the data set has others"
        )
        raise InputError(
            ConfigKey(key), problem, "train with model.head=text, which takes new classes"
        )
    if missing := [name for name in run.vocabulary if name not in dataset.vocabulary]:
        raise InputError(
            ConfigKey(key),
            f"the data set has no {missing[0]!r}, a class of {run.path}",
            "add it to mapping.txt",
        )
    return run


def _object_columns(config: Config, dataset: Dataset) -> ObjectColumns | None:
    """Return the object columns of the data, read or found; None where the recipe has none."""
    data = config.data.objects
    if data.find and data.file is not None:
        raise InputError(
            ConfigKey("data.objects.find"), f"true, beside the file {data.file}", "give one of them"
        )
    root, names = dataset.root, dataset.vocabulary
    objects = (
        ObjectColumns.find(data, dataset) if data.find else ObjectColumns.read(data, root, names)
    )
    if any(config.augment.swap) and objects is None:
        raise InputError(
            ConfigKey("augment.swap"), "no object columns to swap", "set it to 0, or data.objects"
        )
    return objects


def model_texts(
    config: Config, vocabulary: Vocabulary, objects: ObjectColumns | None = None
) -> dict[str, Tensor]:
    """Return ``{"text": (C, S, E), "object_text": (O, E)}`` for a head that reads text, else nothing."""
    if config.model.head == "fact-clip":
        return {
            "text": torch.from_numpy(class_vectors(config.text, vocabulary, config.train.device))
        }
    if not config.model.is_open:
        return {}
    parts = config.text.parts
    if "factors" in parts and vocabulary.slots == WHOLE_NAME:
        fix = "choose sentence, or say how names are read: data.grammar, ROOT/factors.csv"
        raise InputError(
            ConfigKey("text.parts"), f"{list(parts)}, but the names have no parts", fix
        )
    texts = {"text": torch.from_numpy(class_texts(config.text, vocabulary, config.train.device))}
    if objects is None:
        return texts
    if "factors" not in parts:
        raise InputError(
            ConfigKey("text.parts"), "object columns are tied to factors", "add factors"
        )
    slot = config.data.objects.slot
    names = [name for name in objects.names if name]
    words = Vocabulary.from_names(names, factors={name: (name,) for name in names}, slots=(slot,))
    vectors = torch.from_numpy(embed_as(config.text, words, config.train.device).slots[slot])
    named = torch.tensor([bool(name) for name in objects.names])
    texts["object_text"] = vectors.new_zeros(
        len(named), vectors.shape[1]
    )  # an object without a name has a zero row
    texts["object_text"][named] = vectors
    return texts


def _indistinguishable_classes(text: Tensor, vocabulary: Vocabulary, encoder: str) -> list[Note]:
    """Warn of two classes whose vectors, of `text` (C, ...), are equal: a model that reads them scores both alike."""
    first: dict[bytes, str] = {}
    for name, row in zip(vocabulary.names, text.flatten(1).numpy().round(5), strict=True):
        if row.any() and (other := first.setdefault(row.tobytes(), name)) != name:
            problem = f"{encoder} has the same vector for {other!r} and {name!r}, so no model can tell them apart"
            return [Note(problem, logging.WARNING)]
    return []


def _has_objects(config: Config) -> bool:
    return config.data.objects.file is not None or config.data.objects.find is not False


# A setting or a group of them; whether it has an effect; what it needs.
NEEDS: tuple[tuple[str, Callable[[Config], bool], str], ...] = (
    ("text", lambda config: config.model.reads_text, "a head that reads text, as model.head=text"),
    ("model.alignment", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    ("model.similarity", lambda config: config.model.head == "similarity", "model.head=similarity"),
    ("model.objects", _has_objects, "data.objects.file or data.objects.find"),
    ("model.update", lambda config: "u" in config.model.blocks, "a block u in model.blocks"),
    ("model.pooled", lambda config: "U" in config.model.blocks, "a block U in model.blocks"),
    ("model.tokens", lambda config: not config.model.transcript, "model.transcript=false"),
    ("data.validation_unseen", lambda config: config.data.holdout is not None, "data.holdout"),
    ("data.interleave", lambda config: config.data.stride > 1, "data.stride above 1"),
    (
        "data.objects.blocks",
        lambda config: config.data.objects.file is not None,
        "data.objects.file",
    ),
    ("data.objects.slot", _has_objects, "data.objects.file or data.objects.find"),
    ("data.objects.fixed", _has_objects, "data.objects.file or data.objects.find"),
    ("loss.fact_weight", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    (
        "loss.contrastive_weight",
        lambda config: config.model.head == "fact-clip",
        "model.head=fact-clip",
    ),
    ("augment.time_length", lambda config: config.augment.time_spans > 0, "augment.time_spans"),
    ("augment.time_share", lambda config: config.augment.time_spans > 0, "augment.time_spans"),
    ("decode.overlap", lambda config: config.decode.window > 0, "decode.window"),
    (
        "decode.factor_frames",
        lambda config: config.decode.factor_weight > 0,
        "decode.factor_weight",
    ),
    ("decode.prior_weight", lambda config: config.data.holdout is not None, "data.holdout"),
    ("decode.prior", lambda config: config.decode.prior_weight > 0, "decode.prior_weight"),
    ("decode.gamma_rule", lambda config: config.data.holdout is not None, "data.holdout"),
    ("decode.gamma_cost", lambda config: config.data.holdout is not None, "data.holdout"),
    (
        "decode.gamma_cost",
        lambda config: config.decode.gamma_rule == "cost",
        "decode.gamma_rule=cost",
    ),
    ("train.lr_decay", lambda config: config.train.schedule == "step", "train.schedule=step"),
    (
        "train.warmup",
        lambda config: config.train.warmup < config.train.epochs,
        "more epochs than that",
    ),
    ("train.member_parts", lambda config: config.train.members > 1, "train.members above 1"),
    *(
        (f"train.{key}", lambda config: config.data.validation > 0, "data.validation")
        for key in ("member_parts", "select", "patience", "validate_every", "validate_from")
    ),
)


def warn_of_unused(configs: Sequence[Config], overrides: Iterable[str]) -> None:
    """Warn of each ``key=value`` override that has no effect in any of these configurations."""
    for override in overrides:
        key, _, value = override.partition("=")
        unmet = (
            needs
            for setting, is_used, needs in NEEDS
            if f"{key}.".startswith(f"{setting}.") and not any(map(is_used, configs))
        )
        if value and (needs := next(unmet, "")):
            warnings.warn(f"{override} has no effect without {needs}", stacklevel=2)
