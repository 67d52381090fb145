"""What a training needs before its first step: the run folder's description, the texts, and the candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fact_clip import checkpoint
from fact_clip.checkpoint import Run, classes_of
from fact_clip.config import Config, ObjectData
from fact_clip.core import InputError, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.decoding import factor_frames, factor_log_shares
from fact_clip.encoders.cache import class_texts, class_vectors, embed_as
from fact_clip.losses import Criterion
from fact_clip.models import Classes, ObjectSpec


def prepare(config: Config, out: Path, dataset: Dataset, resume: bool) -> tuple[Run, dict[str, Tensor]]:
    """Write the run folder's description, or check that it is that of the run to be resumed.

    Returns:
        The run, and what its model is made from beside sizes: ``{"text", "object_text"}`` where its head reads text.
    """
    config = config.model_copy(update={"data": _located(config, dataset)})
    objects = _objects(config.data.objects, dataset)
    if any(config.augment.swap) and objects is None:
        shares = ", ".join(map(str, config.augment.swap))
        raise InputError("augment.swap", f"{shares} without object columns", "0, or data.objects.file")
    texts = model_texts(config, dataset.vocabulary, objects)
    if resume:
        run = checkpoint.open_run(out)
        same = {"train": {"epochs", "members"}}
        if run.config.model_dump(exclude=same) != config.model_dump(exclude=same):
            raise InputError(out, "another configuration", "the same one to resume", "use a new --out")
        checkpoint.check_vocabulary(run, dataset.vocabulary, dataset.root)
        run = replace(run, config=run.config.model_copy(update={"train": config.train}))
        checkpoint.create(run)  # there may be more epochs or members
        return run, texts
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "the folder is not empty", "a new folder", "name another --out, or give --resume")
    run = _describe(config, out, dataset, objects, texts)
    run.new_model(**texts)  # a wrong size is told before anything is written
    try:
        make_criterion(run, dataset).null_weight(config.model.tokens, config.model.transcript)
    except ValueError as error:
        raise InputError("loss.null_weight", str(error)) from None
    checkpoint.create(run)
    return run, texts


def _objects(config: ObjectData, dataset: Dataset) -> ObjectColumns | None:
    if not config.find:
        return ObjectColumns.read(config, dataset.root, dataset.vocabulary)
    if config.file is not None:
        raise InputError("data.objects.find", f"true, and the file {config.file}", "one of them")
    return ObjectColumns.find(config, dataset)


def _describe(
    config: Config, out: Path, dataset: Dataset, objects: ObjectColumns | None, texts: dict[str, Tensor]
) -> Run:
    kinds = None if objects is None else objects.check(dataset.input_dim).kinds()
    transform = FeatureTransform(config.data.context, None, None, dataset.input_dim)
    if config.data.standardize:  # one pass over the training videos
        # Members share the first one's statistics, which then know no part.
        whole = sorted(dataset.learning)
        names = whole if config.train.member_parts else dataset.train
        raw = (dataset.features(name) for name in names)
        transform = FeatureTransform.fit(raw, config.data.context, True, kinds)
    classes, spec = classes_of(dataset.vocabulary, config.model.head), None
    if config.model.head == "text":
        _, n_slots, width = texts["text"].shape
        classes = Classes(len(dataset.vocabulary), n_slots=n_slots, text_width=width, key_width=config.model.key_width)
    if objects is not None:
        copies = transform.width // transform.input_dim
        slot = objects.slot + int("sentence" in config.text.parts)
        spec = ObjectSpec(objects.with_context(copies), objects.fixed, slot)
        classes = replace(
            classes, evidence_slot=slot, evidence_width=config.model.objects.width, words=config.model.objects.words
        )
    length = float(dataset.mean_transcript_length(dataset.train))
    clock = dataset.layout, dataset.fps, length
    return Run(out, config, dataset.vocabulary, classes, transform, *clock, spec, dataset.encoder)


def model_texts(config: Config, vocabulary: Vocabulary, objects: ObjectColumns | None = None) -> dict[str, Tensor]:
    """``{"text": (C, S, E), "object_text": (O, E)}`` for a head that reads text, else nothing."""
    if config.model.head == "fact-clip":
        return {"text": torch.from_numpy(class_vectors(config.text, vocabulary))}
    if config.model.head != "text":
        return {}
    texts = {"text": torch.from_numpy(class_texts(config.text, vocabulary))}
    if objects is not None:
        if "factors" not in config.text.parts:
            raise InputError("text.parts", f"{list(config.text.parts)}", "factors, which object columns are tied to")
        slot = config.data.objects.slot
        known = [name for name in objects.names if name]
        things = Vocabulary.from_names(known, factors={name: (name,) for name in known}, slots=(slot,))
        vectors = torch.from_numpy(embed_as(config.text, things).slots[slot])
        named = torch.tensor([bool(name) for name in objects.names])
        texts["object_text"] = vectors.new_zeros(len(named), vectors.shape[1])  # zero: of a thing without a name
        texts["object_text"][named] = vectors
    return texts


def candidates(run: Run, dataset: Dataset) -> tuple[int, ...]:
    """The classes that training scores: with classes held out and a text head those that it may see, else all.

    A head with one output a class has no other choice than to score all of them.
    """
    if dataset.holdout is not None and run.config.model.head == "text":
        return dataset.learned
    return tuple(range(len(run.vocabulary)))


def make_criterion(run: Run, dataset: Dataset) -> Criterion:
    """The criterion over the classes that training scores."""
    chosen = candidates(run, dataset)
    background = [place for place, label in enumerate(chosen) if label in run.vocabulary.background_indices]
    unseen = () if len(chosen) < len(run.vocabulary) or dataset.holdout is None else dataset.hidden
    classes = replace(run.classes, count=len(chosen))
    counts = dataset.class_counts(dataset.train)
    log_prior = factor_log_shares(run.vocabulary, factor_frames(run.vocabulary, counts))[list(chosen)]
    frames = counts[list(chosen)].tolist()
    length = run.mean_transcript_length
    return Criterion(run.config.loss, classes, background, length, unseen, frames, log_prior.tolist())


def _located(config: Config, dataset: Dataset) -> Any:
    """The data configuration with its root as it was found, so that the run can be evaluated from anywhere."""
    return config.data.model_copy(update={"root": str(Path(dataset.root).resolve())})
