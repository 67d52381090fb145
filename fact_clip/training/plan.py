"""The plan of a training: every ``auto`` decided, the data opened, texts and objects read."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fact_clip import metrics
from fact_clip.config import Config, ObjectData, TextConfig, with_values
from fact_clip.core import WHOLE_NAME, InputError, Json, Vocabulary
from fact_clip.core.distributed import pick_device, place_in_launch
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.layout import IN_MEMORY, DataFolder, DataStore
from fact_clip.datasets.objects import OBJECT_SLOT, ObjectColumns
from fact_clip.encoders.vectors import class_texts, class_vectors, embed_as
from fact_clip.run import Run, read_weights
from fact_clip.training.calibration import check_posterior
from fact_clip.training.callbacks import check_loggers

logger = logging.getLogger(__name__)

ALIKE = 0.99  # cosine of the vectors of two classes, above which they are reported


@dataclass(frozen=True)
class Note:
    """A message about a decision that was made for the user."""

    message: str
    level: int = logging.INFO


@dataclass(frozen=True)
class Decision:
    """Values for keys that a configuration leaves open.

    Attributes:
        values: by key with dots.
        notes: what was decided, and why.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A training that can start.

    Attributes:
        config: the configuration with every decision, and with absolute paths.
        dataset: its split, with the classes held out.
        device: where it trains.
        objects: the object columns; None: there are none, or those of `start` are used.
        texts: text vectors that the model is made from: "text" (C, S, E), "object_text" (O, E).
        start: the run of ``train.init``, whose weights the training starts from.
        notes: what was decided.
    """

    config: Config
    dataset: Dataset
    device: torch.device
    objects: ObjectColumns | None = None
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    start: Run | None = None
    notes: tuple[Note, ...] = ()


def report_notes(notes: Iterable[Note]) -> None:
    """Log what was decided, with the logger whose notes the command line shows."""
    for note in notes:
        logger.log(note.level, "%s", note.message)


def resolve(config: Config, folder: DataStore | None = None, is_checked: bool = False) -> Plan:
    """Decide everything that a configuration leaves open, and open what it names.

    Args:
        config: of a training.
        folder: its data, if it is open already.
        is_checked: another process has checked all files. The first process of a launch always
            does it for the others, which read only the labels that they need.

    Returns:
        The plan.

    Raises:
        InputError: files cannot be read, or settings do not fit the data.
    """
    folder = folder or DataFolder(config.data)
    from_names = _decide_from_class_names(config, folder)
    named = with_values(config, from_names.values)
    dataset = Dataset.open(named.data, folder)
    device = pick_device(named.train.device, "train.device")
    _check(named, dataset)
    if not is_checked and place_in_launch()[0] == 0:
        dataset.check()

    start = None
    if named.train.init is not None:
        start = Run.read(named.train.init)
    decisions = [
        _decide_paths(named, dataset, start),
        _decide_validation_unseen(named, dataset),
        _decide_objects(named, dataset),
    ]
    values: Json = {}
    notes = list(from_names.notes)
    for decision in decisions:
        values.update(decision.values)
        notes += decision.notes
    resolved = with_values(named, values)
    return _with_inputs(resolved, dataset, device, start, notes)


def _with_inputs(
    config: Config, dataset: Dataset, device: torch.device, start: Run | None, notes: list[Note]
) -> Plan:
    """Read what a resolved training starts from: weights, object columns and text vectors."""
    objects = None
    if start is None:
        objects = _object_columns(config, dataset)
    else:
        _check_start(start, config, dataset)
    texts = model_texts(config, dataset.vocabulary, objects)
    if start is not None and start.objects is not None:
        weights, _ = read_weights(start.path / "model.safetensors")
        texts["object_text"] = weights["objects.names"]
    if config.model.is_open:
        notes += _indistinguishable_classes(texts["text"], dataset.vocabulary, config.text.encoder)
    return Plan(
        config=config,
        dataset=dataset,
        device=device,
        objects=objects,
        texts=texts,
        start=start,
        notes=tuple(notes),
    )


def _decide_from_class_names(config: Config, folder: DataStore) -> Decision:
    """Decide what class names tell: background, how names are read, and the vectors of a class."""
    data = config.data
    values: Json = {}
    messages = []
    if data.name == "folder" and data.background is None:
        guess, _ = guess_names(data, folder.class_names, folder.root)
        background = ", ".join(guess.background or ()) or "no class"
        messages.append(f"background by its name: {background}")
        if guess.unlabelled != data.unlabelled:
            messages.append(f"ignored by their name: {', '.join(guess.unlabelled)}")
        if guess.grammar != data.grammar:
            messages.append(f"names are read as {guess.grammar}")
        for key in ("background", "unlabelled", "grammar"):
            values[f"data.{key}"] = getattr(guess, key)
        data = guess
    if config.text.parts == "auto" and config.model.is_open:
        if folder.vocabulary(data).slots == WHOLE_NAME:
            values["text.parts"] = ("sentence",)
            messages.append("class names are embedded as a sentence")
        else:
            values["text.parts"] = ("sentence", "factors")
            messages.append("class names are embedded as a sentence plus their parts")
    if not messages:
        return Decision(values)
    return Decision(values, (Note("; ".join(messages)),))


def _decide_paths(config: Config, dataset: Dataset, start: Run | None) -> Decision:
    """Make the paths absolute that a run keeps, so that it can be evaluated from anywhere."""
    root = IN_MEMORY if dataset.root is None else dataset.root.resolve()
    values: Json = {"data.root": str(root)}
    holdout = config.data.holdout
    if isinstance(holdout, str) and Path(holdout).is_file():
        if dataset.root is None or not (dataset.root / holdout).is_file():
            values["data.holdout"] = str(Path(holdout).resolve())
    if start is not None:
        values["train.init"] = str(start.path.resolve())
    return Decision(values)


def _decide_validation_unseen(config: Config, dataset: Dataset) -> Decision:
    """Replace ``auto`` by the validation-unseen classes that the data set selected."""
    setting = config.data.validation_unseen
    holdout = dataset.holdout
    if holdout is None or setting not in (None, "auto"):
        return Decision()
    names = holdout.validation_unseen
    rule = "gamma is chosen by the accuracy of seen classes alone"
    if setting is None:
        if names or not config.model.is_open:
            return Decision()
        fix = "data.validation_unseen=auto selects some"
        message = f"data.holdout names no validation-unseen classes, so {rule}; {fix}"
        return Decision(notes=(Note(message, logging.WARNING),))
    values = {"data.validation_unseen": names}
    if names:
        counts = dataset.class_counts(dataset.validation).tolist()
        frames_of = dict(zip(dataset.vocabulary.names, counts, strict=True))
        classes = ", ".join(f"{name!r} ({frames_of[name]} frames there)" for name in names)
        message = (
            "selected as validation-unseen: not trained, and used on the validation videos to tune "
            f"settings: {classes}"
        )
        return Decision(values, (Note(message),))
    reason = "there are no validation videos"
    if config.data.validation:
        reason = (
            "no class can be validation-unseen: none has all of its factors in other seen "
            "classes, and enough frames"
        )
    return Decision(values, (Note(f"{reason}; {rule}", logging.WARNING),))


def _decide_objects(config: Config, dataset: Dataset) -> Decision:
    """Decide ``data.objects.find: auto`` by whether the features show objects."""
    objects = config.data.objects
    if objects.find != "auto":
        return Decision()
    reads_factors = config.model.head == "text" and "factors" in config.text.parts
    if not reads_factors or objects.file is not None or not ObjectColumns.show(dataset):
        return Decision({"data.objects.find": False})
    message = (
        "the columns hold objects that come and go, and the labels say their names "
        "(data.objects.find)"
    )
    return Decision({"data.objects.find": True}, (Note(message),))


def _check(config: Config, dataset: Dataset) -> None:
    """Raise what would otherwise fail after minutes, with a run folder half written."""
    check_loggers(config.train.loggers)
    metrics.figure_keys(config.evaluation.profile)
    if config.loss.match == "seq" and not config.model.transcript:
        problem = "seq matches the tokens of a transcript, and the model has none"
        fix = "choose o2o or o2m, or set model.transcript=true"
        raise InputError("loss.match", problem, fix)
    members = config.train.members
    if config.train.member_parts and 1 < dataset.validation_parts < members:
        message = f"{members} members share {dataset.validation_parts} parts of validation videos"
        warnings.warn(message, stacklevel=2)
    if dataset.holdout is not None and config.model.is_open and not config.train.member_parts:
        check_posterior(config.decode, dataset)


def _check_start(run: Run, config: Config, dataset: Dataset) -> None:
    """Check the run of ``train.init``.

    Raises:
        InputError: its model, texts, feature transform or classes do not fit the training.
    """
    _check_same_settings(run, config)
    key = "train.init"
    n_columns = run.transform.input_dim
    if n_columns != dataset.input_dim:
        problem = f"features of {dataset.input_dim} columns, but {run.path} reads {n_columns}"
        raise InputError(key, problem)
    is_standardized = run.transform.mean is not None
    if run.transform.context != config.data.context or is_standardized != config.data.standardize:
        problem = f"{run.path} was trained with another data.context or data.standardize"
        raise InputError(key, problem)
    run.check_rate(dataset.fps, "train.init")
    _check_classes(run, config, dataset.vocabulary)


def _check_same_settings(run: Run, config: Config) -> None:
    """Raise an InputError if the model or the texts of a starting run have other settings."""
    groups = ("model", "text") if config.model.reads_text else ("model",)
    for group in groups:
        settings = getattr(config, group).model_dump()
        for name, value in getattr(run.config, group).model_dump().items():
            if settings[name] != value:
                recipe = shlex.quote(str(run.path / "config.yaml"))
                problem = f"{run.path} was trained with another {group}.{name}"
                fix = f"use its settings: fact-clip train {recipe} ..."
                raise InputError("train.init", problem, fix)


def _check_classes(run: Run, config: Config, vocabulary: Vocabulary) -> None:
    """Raise an InputError if a starting run cannot be trained on these classes."""
    if config.model.is_open or run.vocabulary.names == vocabulary.names:
        return
    key = "train.init"
    if config.model.head != "closed" or config.model.transcript:
        problem = (
            f"{run.path} can only name its {len(run.vocabulary)} classes; the data set has others"
        )
        raise InputError(key, problem, "train with model.head=text, which takes new classes")
    for name in run.vocabulary:
        if name not in vocabulary:
            problem = f"the data set has no {name!r}, a class of {run.path}"
            raise InputError(key, problem, "add it to mapping.txt")


def _object_columns(config: Config, dataset: Dataset) -> ObjectColumns | None:
    """Return the object columns of the data, read or detected; None where the recipe has none."""
    data: ObjectData = config.data.objects
    if data.find and data.file is not None:
        problem = f"true, beside the file {data.file}"
        raise InputError("data.objects.find", problem, "give one of them")
    if data.find:
        objects: ObjectColumns | None = ObjectColumns.find(dataset)
    else:
        objects = ObjectColumns.read(data, dataset.root, dataset.vocabulary)
    if any(config.augment.swap) and objects is None:
        fix = "set it to 0, or data.objects"
        raise InputError("augment.swap", "no object columns to swap", fix)
    return objects


def model_texts(
    config: Config, vocabulary: Vocabulary, objects: ObjectColumns | None = None
) -> dict[str, Tensor]:
    """Return the text vectors that a model is made from.

    Args:
        config: of the training.
        vocabulary: the classes.
        objects: object columns, with the names of objects.

    Returns:
        "text" (C, S, E) and, with object columns, "object_text" (O, E), for a head that reads text;
        (C, E) for head "fact-clip"; nothing for other heads.
    """
    device = config.train.device
    if config.model.head == "fact-clip":
        return {"text": torch.from_numpy(class_vectors(config.text, vocabulary, device))}
    if not config.model.is_open:
        return {}
    parts = config.text.parts
    if "factors" in parts and vocabulary.slots == WHOLE_NAME:
        problem = f"{list(parts)}, but the names have no parts"
        fix = "choose sentence, or say how names are read: data.grammar, ROOT/factors.csv"
        raise InputError("text.parts", problem, fix)
    texts = {"text": torch.from_numpy(class_texts(config.text, vocabulary, device))}
    if objects is not None:
        if "factors" not in parts:
            problem = "object columns are tied to factors"
            raise InputError("text.parts", problem, "add factors")
        texts["object_text"] = _object_texts(config.text, objects, device)
    return texts


def _object_texts(config: TextConfig, objects: ObjectColumns, device: str) -> Tensor:
    """Return the text vectors of objects, (O, E); an object without a name has a zero row."""
    names = [name for name in objects.names if name]
    factors = {name: (name,) for name in names}
    words = Vocabulary.from_names(names, factors=factors, slots=(OBJECT_SLOT,))
    vectors = torch.from_numpy(embed_as(config, words, device).slots[OBJECT_SLOT])
    has_name = torch.tensor([bool(name) for name in objects.names])
    rows = vectors.new_zeros(len(has_name), vectors.shape[1])
    rows[has_name] = vectors
    return rows


def _indistinguishable_classes(
    text_embeddings: Tensor, vocabulary: Vocabulary, encoder: str
) -> list[Note]:
    """Warn of classes whose vectors (C, S, E) are equal or nearly so, all of them."""
    rows = nn.functional.normalize(text_embeddings.flatten(1), dim=1)
    is_alike = (rows @ rows.T > ALIKE).tolist()
    groups: dict[int, list[str]] = {}  # by their first class
    for number, name in enumerate(vocabulary.names):
        alike = [first for first in groups if is_alike[number][first]]
        if alike:
            groups[alike[0]].append(name)
        elif rows[number].any():
            groups[number] = [name]
    twins = [", ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not twins:
        return []
    message = (
        f"{encoder} has (nearly) the same vector for {'; for '.join(twins)}, so a model can hardly "
        "tell them apart: write their parts in English into factors.csv, or choose a text encoder "
        "of their language (docs/names.md)"
    )
    return [Note(message, logging.WARNING)]
