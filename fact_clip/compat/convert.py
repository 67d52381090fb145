"""Published checkpoints, read strictly, as a model or a run folder; their parameters have the same names as ours."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fact_clip.compat.reference import flatten, known_data_set, read_config
from fact_clip.config import Config
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import checked
from fact_clip.core.io import check_file, read_mapping
from fact_clip.core.paths import inside
from fact_clip.datasets.benchmarks import BENCHMARKS, Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import DataFolder
from fact_clip.encoders.vectors import class_vectors
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes
from fact_clip.run import Run, load_strictly, save_weights

# What torch.load and safetensors raise for files that are broken or hold more than weights.
_BROKEN: tuple[type[Exception], ...] = (SafetensorError, pickle.UnpicklingError, struct.error, RuntimeError)
_BROKEN += (AssertionError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError)


@checked
def load_reference(
    state_dict: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    n_classes: int,
    input_dim: int,
    background: Sequence[int] = (),
    text_embeddings: Tensor | None = None,
    verb_of_class: Sequence[int] | None = None,
    noun_of_class: Sequence[int] | None = None,
    n_verbs: int | None = None,
    n_nouns: int | None = None,
    mean_transcript_length: float | None = None,
) -> tuple[FACT, Criterion]:
    """The model with the weights of a reference checkpoint, in evaluation mode, and its criterion.

    `config` has flat reference keys, or is the nested mapping of a reference YAML; an InputError if the parameters do
    not fit it. Verbs and nouns of classes make the verb-noun model; `text_embeddings` (C, E) of FACT-CLIP may be in the
    checkpoint. `mean_transcript_length`, of the training videos, is for ``Loss.nullw: -1``.
    """
    classes = Classes(n_classes)
    if verb_of_class is not None and noun_of_class is not None:
        verb, noun = tuple(int(v) for v in verb_of_class), tuple(int(n) for n in noun_of_class)
        classes = Classes(n_classes, verb, noun, n_verbs or max(verb) + 1, n_nouns or max(noun) + 1)
    ours, _ = read_config(config, verb_noun=bool(classes.verb))
    weights = {name: value for name, value in state_dict.items() if not _is_position(name)}
    text = weights.get("text_embeddings") if text_embeddings is None else text_embeddings
    if ours.model.head == "fact-clip" and text is not None:
        weights["text_embeddings"] = text = torch.as_tensor(text)
    model = FACT(ours.model, input_dim, classes, text, frame_weight=ours.decode.frame_weight)
    load_strictly(model, weights, "reference checkpoint")
    flat = flatten(config)
    unseen = flat.get("holdout_classes") or () if flat.get("holdout_mode") else ()
    criterion = Criterion(ours.loss, classes, background, mean_transcript_length, unseen)
    return model.eval(), criterion


@checked
def convert(
    checkpoint: str | Path,
    config: str | Path,
    out: str | Path,
    mapping: str | Path,
    background: Sequence[str] = (),
    layout: Layout | None = None,
) -> Path:
    """Write a new run folder that predicts as the published model does; nothing is written if anything does not fit.

    The checkpoint holds plain weights, `config` is its YAML. Verb-noun models read ``verb_mapping.txt`` and
    ``noun_mapping.txt`` beside ``mapping.txt``; their class names are "verb,noun". `layout` is that of feature files;
    None: as published for the data set of the YAML.
    """
    checkpoint, config, out, mapping = map(Path, (checkpoint, config, out, mapping))
    reference = read_mapping(config, "the YAML that the checkpoint was trained with")
    if {"base", "data", "model", "train"} & reference.keys():
        raise InputError(config, "a recipe of fact-clip, not a published YAML")
    name = str(flatten(reference).get("dataset", ""))
    benchmark = BENCHMARKS[known_data_set(name) or "folder"]
    layout = layout or benchmark.layout
    if layout is None:
        raise InputError(config, f"unknown dataset {name!r}", f"name one of {', '.join(BENCHMARKS)}, or give --layout")
    ours, unknown = read_config(reference, where=config)
    data = ours.data.model_copy(update={"layout": layout, "fps": benchmark.fps, "background": tuple(background)})
    vocabulary = Vocabulary.from_mapping(mapping, background=background)
    weights = read_state(checkpoint)
    _write(out, ours.model_copy(update={"data": data}), layout, vocabulary, mapping, weights, checkpoint)
    if unknown:  # at the end, so that a refusal is one line
        warnings.warn(f"{config}: keys without a meaning here: {', '.join(unknown)}", stacklevel=2)
    return out


def convert_for(checkpoint: Path, config: Config, out: Path) -> Path:
    """Do as `convert`, with our configuration and its data; class texts that the checkpoint lacks are made."""
    weights, folder = read_state(checkpoint), DataFolder(config.data)
    dataset = Dataset(config.data, folder, folder.vocabulary(config.data))
    dataset.check()
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        weights["text_embeddings"] = torch.from_numpy(class_vectors(config.text, dataset.vocabulary))
    opened = {"root": str(dataset.root.resolve()), "fps": dataset.fps}
    config = config.model_copy(update={"data": config.data.model_copy(update=opened)})
    _write(out, config, dataset.layout, dataset.vocabulary, folder.mapping_path, weights, checkpoint)
    return out


def _write(
    out: Path,
    config: Config,
    layout: Layout,
    vocabulary: Vocabulary,
    mapping: Path,
    weights: Mapping[str, Tensor],
    checkpoint: Path,
) -> None:
    """Write a run folder, whose data settings name the rate."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "the folder is not empty", "name a new one")
    for name in ("action_embed.weight", "text_embeddings"):  # one row a class
        if name in weights and len(weights[name]) != len(vocabulary):
            problem = f"{len(vocabulary)} classes, but {name} of {checkpoint} has {len(weights[name])}"
            raise InputError(mapping, problem, "take the mapping that the weights were trained with")
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        raise InputError(checkpoint, "no text_embeddings", "score it with scripts/run_eval.py, which makes them")
    classes = Classes(len(vocabulary))
    if config.model.head == "verb-noun":
        classes = _verbs_and_nouns(mapping, vocabulary)
    run = Run(
        classes, layout, config.data.fps, None, path=out, config=config, vocabulary=vocabulary,
        transform=_transform(weights, checkpoint),
    )  # fmt: skip
    run.check()
    model = run.new_model(weights.get("text_embeddings"))
    load_strictly(model, weights, checkpoint)
    run.write()
    names = {"converted_from": str(checkpoint), "classes": vocabulary.names}
    save_weights(inside(out, "model.safetensors"), model.state_dict(), names)


def read_state(path: Path) -> dict[str, Tensor]:
    """The parameters of a published checkpoint by name, without position tables; nothing in it is executed."""
    check_file(path, "a checkpoint")
    try:
        with warnings.catch_warnings():  # torch warns of old pickles that it then refuses
            warnings.simplefilter("ignore")
            plain = path.suffix == ".safetensors"
            state: Any = load_file(path) if plain else torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        # torch goes on with the advice to read what may run code
        reason = (str(error).splitlines() or ["damaged"])[0].partition(". ")[0]
        raise InputError(path, f"not readable as plain weights ({reason})") from None
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) and value.layout is torch.strided and value.is_floating_point()
        for value in state.values()
    ):
        raise InputError(path, "more than names and dense tensors of numbers", "save the state dict of the model")
    return {str(name): value.float() for name, value in state.items() if not _is_position(str(name))}


def _transform(weights: Mapping[str, Tensor], where: Path) -> FeatureTransform:
    """No transform of as many feature columns as the first convolution has."""
    for name in ("block_list.0.frame_branch.conv_1x1.weight", "block_list.0.frame_branch.conv_1x1_in.weight"):
        if name in weights and weights[name].ndim > 1 and weights[name].shape[1]:
            return FeatureTransform((), None, None, int(weights[name].shape[1]))
    raise InputError(where, "no input convolution (block_list.0.frame_branch.conv_1x1...): not a FACT checkpoint")


def _verbs_and_nouns(mapping: Path, vocabulary: Vocabulary) -> Classes:
    verbs, nouns = (Vocabulary.from_mapping(mapping.with_name(f"{kind}_mapping.txt")) for kind in ("verb", "noun"))
    pairs = [name.split(",") for name in vocabulary.names]
    wrong = next((name for name, pair in zip(vocabulary.names, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        raise InputError(mapping, f'class {wrong!r} is not "verb,noun"')
    verb, noun = verbs.encode(pair[0] for pair in pairs), nouns.encode(pair[1] for pair in pairs)
    return Classes(len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), len(verbs), len(nouns))


def _is_position(name: str) -> bool:
    """Whether a tensor is a position table, which published checkpoints may carry as a buffer."""
    return name.rsplit(".", 1)[-1] in {"pe", "pos", "pos_enc", "positional_encoding"} or ".pe." in name
