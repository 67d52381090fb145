"""From a data set and a recipe to a run: its description, the texts its model reads, the classes that are scored."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fact_clip.config import Config
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.distributed import Processes
from fact_clip.core.errors import ConfigKey
from fact_clip.core.vocabulary import WHOLE_NAME
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import find_root, read_vocabulary
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.encoders.cache import class_texts, class_vectors, embed_as
from fact_clip.inference.segmenter import check_joint_space
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.run import Run, check_vocabulary, classes_of
from fact_clip.weights import load_strictly, read_weights

logger = logging.getLogger(__name__)


@contextmanager
def told_if_accepted() -> Iterator[None]:
    """Keep back what this module logs of the choices it makes, until the block has found no fault; else it is dropped.

    A refusal is then the only line. Warnings come at once.
    """
    held = list[logging.LogRecord]()

    def keep_back(record: logging.LogRecord) -> bool:
        if record.levelno == logging.INFO:
            held.append(record)
        return record.levelno != logging.INFO

    logger.addFilter(keep_back)
    try:
        yield
    finally:
        logger.removeFilter(keep_back)
    for record in held:
        logger.handle(record)


def by_names(config: Config) -> Config:
    """The configuration with what the names of the classes tell of it, for a head that reads them; logged.

    Of a data set of your own: the background, and how names are read (`datasets.describe.guess_names`), where neither
    the configuration nor a factors.csv says it. Of any: which vectors a class has, for ``text.parts: auto``.
    """
    if not config.model.is_open:
        return config
    data, root, found = config.data, find_root(config.data), list[str]()
    if data.name == "folder" and data.background is None:
        listed = Vocabulary.from_mapping(root / find_benchmark(data.name).mapping).names
        data, _ = guess_names(data, listed, root)
        found.append(f"background by its name: {', '.join(data.background or ()) or 'no class'}")
        if data.unlabelled != config.data.unlabelled:
            found.append(f"ignored by their name: {', '.join(data.unlabelled)}")
        if data.grammar != config.data.grammar:
            found.append(f"names are read as {data.grammar}")
    text = config.text
    if text.parts == "auto":
        whole = read_vocabulary(data, root).slots == WHOLE_NAME
        parts = ("sentence",) if whole else ("sentence", "factors")
        text = text.model_copy(update={"parts": parts})
        found.append("a class is named by its sentence" + ("" if whole else " and its factors"))
    if found:
        logger.info("%s", "; ".join(found))
    return config.model_copy(update={"data": data, "text": text})


def with_choice(config: Config, dataset: Dataset) -> Config:
    """The configuration with the validation-unseen classes of its data set by name, where they were chosen; logged.

    A warning where there are none and none were asked not to be.
    """
    asked, holdout = config.data.validation_unseen, dataset.holdout
    if holdout is None or asked not in (None, "auto"):
        return config
    chosen, rule = holdout.validation_unseen, "gamma is chosen by the accuracy of seen classes alone"
    if asked is None:
        if not chosen and config.model.is_open:
            todo = "data.validation_unseen=auto chooses some"
            logger.warning("data.holdout names no validation-unseen classes, so %s; %s", rule, todo)
        return config
    if not chosen:
        why = "no class can be validation-unseen: none has all of its factors in other seen classes, and enough frames"
        logger.warning("%s; %s", why if config.data.validation else "there are no validation videos", rule)
    else:
        counts = dict(zip(dataset.vocabulary.names, dataset.class_counts(dataset.validation).tolist(), strict=True))
        listed = ", ".join(f"{name!r} ({counts[name]} frames there)" for name in chosen)
        text = "chosen as validation-unseen, not trained, and used on the validation videos to choose settings: %s"
        logger.info(text, listed)
    return config.model_copy(update={"data": config.data.model_copy(update={"validation_unseen": chosen})})


def with_objects(config: Config, dataset: Dataset) -> Config:
    """The configuration with ``data.objects.find: auto`` decided by the data; logged where objects show."""
    objects, parts = config.data.objects, config.text.parts
    if objects.find != "auto":
        return config
    usable = config.model.head == "text" and "factors" in parts and objects.file is None
    found = usable and ObjectColumns.show(objects, dataset)
    if found:
        logger.info("the columns hold objects that come and go, and the labels say their names (data.objects.find)")
    decided = objects.model_copy(update={"find": found})
    return config.model_copy(update={"data": config.data.model_copy(update={"objects": decided})})


def prepare(
    config: Config, out: Path, dataset: Dataset, resume: bool, processes: Processes | None = None
) -> tuple[Run, dict[str, Tensor]]:
    """Write the description of a new run, or check that it is that of the run to be resumed (`train_model` writes it).

    The first process alone writes, and has to do so before the others come here.

    Returns:
        The run, and what its model is made from besides sizes: ``{"text", "object_text", "space"}`` where its head
        reads them. Settings that do not go together are an InputError before anything is written.
    """
    processes = processes or Processes(config.train.device)
    # The root and the hold-out as they were found, so that the run can be evaluated from anywhere.
    asked = config.data.holdout
    if isinstance(asked, str) and not (dataset.root / asked).is_file() and Path(asked).is_file():
        asked = str(Path(asked).resolve())
    data = config.data.model_copy(update={"root": str(Path(dataset.root).resolve()), "holdout": asked})
    config = config.model_copy(update={"data": data})
    start = None if config.train.init is None else starting_run(config, dataset)
    if start is not None:
        init = str(start.path.resolve())
        config = config.model_copy(update={"train": config.train.model_copy(update={"init": init})})
    objects = None if start is not None else _object_columns(config, dataset)
    texts = model_texts(config, dataset.vocabulary, objects)
    if start is not None and start.objects is not None:
        texts["object_text"] = read_weights(start.path / "model.safetensors")[0]["objects.names"]
    check_joint_space(config, dataset.input_dim, texts["text"].shape[-1] if config.model.is_open else None)
    if resume or not processes.is_main:
        run = _resumed(config, out, dataset, processes.world)
        texts |= _joint_space(run, dataset)
    else:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(
                out, "the folder is not empty; expected a new folder", "name another --out, or give --resume"
            )
        if config.loss.match == "seq" and not config.model.transcript:  # tokens without an order
            raise InputError(
                ConfigKey("loss.match"),
                "seq, without model.transcript; expected o2o or o2m",
                "or set model.transcript=true",
            )
        if config.model.is_open:
            _warn_of_one_vector(texts["text"], dataset.vocabulary, config.text.encoder)
        run = _described(config, out, dataset, objects, texts, start)
        run = replace(run, videos_a_step=config.train.batch_size * processes.world, videos=dataset.digest)
        texts |= _joint_space(run, dataset)
        run.new_model(**texts)  # sizes that do not go together are reported here
        make_criterion(run, dataset).null_weight(config.model.tokens, config.model.transcript)
    if processes.is_main and not resume:
        run.write()
    return run, texts


def _resumed(config: Config, out: Path, dataset: Dataset, world: int) -> Run:
    """The run in the folder, with the epochs, members, workers, device and batch size of the configuration.

    A step keeps the number of videos that it began with, however many processes share them now; another batch size has
    to agree with it.
    """
    run, may_grow = Run.read(out), {"train": {"epochs", "members", "workers", "device", "batch_size"}}
    other = _first_difference(run.config.model_dump(exclude=may_grow), config.model_dump(exclude=may_grow))
    if other is not None:
        key, before, now = other
        expected = f"{before!r}, as {out / 'config.yaml'} has it"
        raise InputError(
            key, f"{now!r}; expected {expected}", "resume with the settings of the run, or use a new --out"
        )
    check_vocabulary(run, dataset.vocabulary, dataset.root)
    if run.videos not in (None, dataset.digest):
        found, todo = (
            "other videos to train on, or to validate with",
            "resume with the lists of the run, or use a new --out",
        )
        raise InputError(dataset.root, f"{found}; expected those that {out} began with", todo)
    began, size = run.videos_a_step or run.config.train.batch_size, config.train.batch_size
    if size != run.config.train.batch_size and size * world != began:
        raise InputError(
            ConfigKey("train.batch_size"),
            f"{size} in {world} processes; expected {began} videos a step, as the run began",
        )
    return replace(run, config=config, videos_a_step=began)


def _first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting in which two configurations differ, and its two values."""
    for key, value in before.items():
        if isinstance(value, Mapping) and isinstance(now[key], Mapping):
            if (inner := _first_difference(value, now[key])) is not None:
                return f"{key}.{inner[0]}", *inner[1:]
        elif value != now[key]:
            return key, value, now[key]
    return None


def starting_run(config: Config, dataset: Dataset) -> Run:
    """The run that a training starts from; an InputError where its weights cannot be those of this one.

    The model, the texts and the transform of features must be the same. Other classes are possible where the head reads
    text; any other head has one output a class.
    """
    where, run = "train.init", Run.read(str(config.train.init))
    for group in ("model", "text") if config.model.reads_text else ("model",):
        asked = getattr(config, group).model_dump()
        for key, value in getattr(run.config, group).model_dump().items():
            if key != "cache" and asked[key] != value:
                todo = f"use its settings: fact-clip train {shlex.quote(str(run.path / 'config.yaml'))} ..."
                raise InputError(where, f"another {group}.{key} than that of {run.path}; expected the same", todo)
    if dataset.input_dim != run.transform.input_dim:
        raise InputError(
            where, f"features of {dataset.input_dim} columns; expected {run.transform.input_dim}, as {run.path} read"
        )
    if (run.transform.context, run.transform.mean is not None) != (config.data.context, config.data.standardize):
        raise InputError(where, f"other data.context or data.standardize; expected those of {run.path}")
    if None not in (dataset.fps, run.fps) and dataset.fps != run.fps:
        raise InputError(where, f"{dataset.fps:g} rows a second; expected {run.fps:g}, as {run.path} was trained with")
    if not config.model.is_open and run.vocabulary.names != dataset.vocabulary.names:
        new = [name for name in dataset.vocabulary if name not in run.vocabulary]
        told = f", {new[0]!r} among them" if new else ""
        found = f"{len(dataset.vocabulary)} classes that are not those of {run.path}{told}"
        raise InputError(
            where, f"{found}; expected the same, since its head has one output a class", "only head text takes others"
        )
    return run


def load_start(model: FACT, config: Config) -> None:
    """Give a new model the weights of ``train.init``; its text vectors stay those of its own classes. Strict."""
    path = Path(str(config.train.init)) / "model.safetensors"
    weights, _ = read_weights(path)
    if model.text is not None:
        weights["text_embeddings"] = model.text
    load_strictly(model, weights, str(path))


def _object_columns(config: Config, dataset: Dataset) -> ObjectColumns | None:
    """The object columns of the data, read or found; None where the recipe asks for none."""
    data = config.data.objects
    if data.find and data.file is not None:
        raise InputError(ConfigKey("data.objects.find"), f"true, and the file {data.file}; expected one of them")
    objects = (
        ObjectColumns.find(data, dataset) if data.find else ObjectColumns.read(data, dataset.root, dataset.vocabulary)
    )
    if any(config.augment.swap) and objects is None:
        shares = ", ".join(map(str, config.augment.swap))
        raise InputError(
            ConfigKey("augment.swap"), f"{shares} without object columns; expected 0, or data.objects.file"
        )
    return objects


def model_texts(config: Config, vocabulary: Vocabulary, objects: ObjectColumns | None = None) -> dict[str, Tensor]:
    """``{"text": (C, S, E), "object_text": (O, E)}`` for a head that reads text, else nothing."""
    if config.model.head == "fact-clip":
        return {"text": torch.from_numpy(class_vectors(config.text, vocabulary, config.train.device))}
    if not config.model.is_open:
        return {}
    assert config.text.parts != "auto", "by_names comes first"
    if "factors" in config.text.parts and vocabulary.slots == WHOLE_NAME:
        found = f"{list(config.text.parts)}, and names without parts"
        raise InputError(
            ConfigKey("text.parts"),
            f"{found}; expected sentence",
            "or say how names are read: data.grammar, ROOT/factors.csv",
        )
    texts = {"text": torch.from_numpy(class_texts(config.text, vocabulary, config.train.device))}
    if objects is None:
        return texts
    if "factors" not in config.text.parts:
        raise InputError(
            ConfigKey("text.parts"), f"{list(config.text.parts)}; expected factors, which object columns are tied to"
        )
    slot = config.data.objects.slot
    known = [name for name in objects.names if name]
    words = Vocabulary.from_names(known, factors={name: (name,) for name in known}, slots=(slot,))
    vectors = torch.from_numpy(embed_as(config.text, words, config.train.device).slots[slot])
    named = torch.tensor([bool(name) for name in objects.names])
    texts["object_text"] = vectors.new_zeros(len(named), vectors.shape[1])  # an object without a name has a zero row
    texts["object_text"][named] = vectors
    return texts


def _warn_of_one_vector(text: Tensor, vocabulary: Vocabulary, encoder: str) -> None:
    """Warn of two classes whose vectors, of `text` (C, ...), are equal: a model that reads them scores both alike."""
    first: dict[bytes, str] = {}
    for name, row in zip(vocabulary.names, text.flatten(1).numpy().round(5), strict=True):
        other = first.setdefault(row.tobytes(), name)
        if other != name and row.any():
            told = (
                f"{encoder} has one vector for the classes {other!r} and {name!r}, so that no model can tell them apart"
            )
            warnings.warn(told, stacklevel=3)
            return


def _joint_space(run: Run, dataset: Dataset) -> dict[str, Tensor]:
    """``{"space": (2, W)}`` for head "similarity": what makes centred vectors of the columns that its model reads."""
    if run.config.model.head != "similarity":
        return {}
    width, transform = run.classes.text_width, run.transform
    if dataset.input_dim != width:
        found = f"similarity, features of {dataset.input_dim} columns and text vectors of {width}"
        todo = "extract the features with a model of images and texts, and name its text side in text.encoder"
        raise InputError(ConfigKey("model.head"), f"{found}; expected features and texts in one space", todo)
    if transform.std is not None:  # the columns are centred already
        rows = (transform.std[:width], np.zeros_like(transform.std[:width]))
    else:
        mean = FeatureTransform.fit((dataset.features(name) for name in dataset.train), (), True).mean
        assert mean is not None
        rows = (np.ones_like(mean), mean)
    return {"space": torch.from_numpy(np.stack(rows))}


def _described(
    config: Config,
    out: Path,
    dataset: Dataset,
    objects: ObjectColumns | None,
    texts: dict[str, Tensor],
    start: Run | None = None,
) -> Run:
    kinds = None if objects is None else objects.check(dataset.input_dim).kinds()
    transform = FeatureTransform(config.data.context, None, None, dataset.input_dim)
    if start is not None:  # its weights belong to its statistics
        transform = start.transform
    elif config.data.standardize:  # one pass over the training videos
        # Members share the statistics of the first one, so they are those of all learning videos.
        whole = sorted((*dataset.train, *dataset.validation))
        names = whole if config.train.member_parts else dataset.train
        raw = (dataset.features(name) for name in names)
        transform = FeatureTransform.fit(raw, config.data.context, True, kinds)
    classes, spec = classes_of(dataset.vocabulary, config.model.head), None
    if config.model.is_open:
        _, n_slots, width = texts["text"].shape
        evidence = config.model.similarity.channels if config.model.head == "similarity" else 0
        classes = Classes(len(dataset.vocabulary), n_slots=n_slots, text_width=width, evidence_width=evidence)
    if objects is not None:
        copies = transform.width // transform.input_dim
        slot = objects.slot + int("sentence" in config.text.parts)
        spec = ObjectSpec(objects.with_context(copies), objects.fixed, slot)
        classes = replace(classes, evidence_slot=slot, evidence_width=config.model.objects.width)
    if start is not None and start.objects is not None:
        of_start = start.classes.evidence_slot, start.classes.evidence_width
        spec, classes = start.objects, replace(classes, evidence_slot=of_start[0], evidence_width=of_start[1])
    length = float(dataset.mean_transcript_length(dataset.train))
    return Run(
        classes=classes,
        layout=dataset.layout,
        fps=dataset.fps,
        mean_transcript_length=length,
        objects=spec,
        encoder=dataset.encoder,
        path=out,
        config=config,
        vocabulary=dataset.vocabulary,
        transform=transform,
    )


def candidates(run: Run, dataset: Dataset) -> tuple[int, ...]:
    """The classes that training scores: with a text head those that it may see, else all.

    A head with one output a class has no other choice than to score all of them.
    """
    return dataset.learned if run.config.model.is_open else tuple(range(len(run.vocabulary)))


def make_criterion(run: Run, dataset: Dataset) -> Criterion:
    """The criterion over the classes that training scores."""
    chosen = candidates(run, dataset)
    background = [place for place, label in enumerate(chosen) if label in run.vocabulary.background_indices]
    unseen = () if len(chosen) < len(run.vocabulary) else dataset.hidden
    frames = dataset.class_counts(dataset.train)[list(chosen)].tolist()
    classes = replace(run.classes, count=len(chosen))
    return Criterion(run.config.loss, classes, background, run.mean_transcript_length, unseen, frames)
