"""A published checkpoint and its YAML to a run folder."""

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

from fact_clip import checkpoint as runs
from fact_clip.compat.reference import flatten, is_position, known_data_set, read_config
from fact_clip.config import Config
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.files import read_mapping
from fact_clip.datasets.benchmarks import BENCHMARKS, Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.encoders.cache import class_vectors
from fact_clip.models import Classes

# What torch.load and safetensors raise on files that are broken or hold more than weights.
_BROKEN = (
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    AssertionError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OSError,
)


def convert(
    checkpoint: Path,
    config: Path,
    out: Path,
    mapping: Path,
    background: Sequence[str] = (),
    layout: Layout | None = None,
) -> Path:
    """Write a run folder that predicts as the published model does.

    Args:
        checkpoint: weights saved by the published code (read with ``weights_only=True`` alone) or safetensors.
        config: the reference YAML.
        out: the run folder, a new one.
        mapping: ``mapping.txt`` of the classes. Verb-noun models read ``verb_mapping.txt`` and
            ``noun_mapping.txt`` beside it, and their class names are "verb,noun".
        background: names of background classes.
        layout: orientation of feature files; None: as published for the YAML's data set.

    Raises:
        InputError: anything that does not fit; nothing is written then.
    """
    _check_new(out)
    reference = read_mapping(config, "the YAML that the checkpoint was trained with")
    weights = read_state(checkpoint)
    flat = flatten(reference)
    name = str(flat.get("dataset", ""))
    known = BENCHMARKS[known_data_set(name) or "folder"]
    layout = layout or known.layout
    if layout is None:
        raise InputError(config, f"dataset {name!r}", f"one of {', '.join(BENCHMARKS)}", "or give the layout, TD or DT")
    vocabulary = Vocabulary.from_mapping(mapping, background=background)
    classes = _verbs_and_nouns(mapping, vocabulary) if name.startswith("epic") else Classes(len(vocabulary))
    ours, unknown = read_config(reference, verb_noun=bool(classes.verb))
    if unknown:
        warnings.warn(f"{config}: keys without a meaning here: {', '.join(unknown)}", stacklevel=2)
    data = ours.data.model_copy(update={"layout": layout, "fps": known.fps, "background": tuple(background)})
    ours = ours.model_copy(update={"data": data})
    return _write(out, ours, vocabulary, classes, layout, known.fps, weights, checkpoint)


def convert_for(checkpoint: Path, config: Config, out: Path) -> Path:
    """Write a run folder of published weights and a configuration of ours; classes and layout are those of its data.

    Args:
        checkpoint: as for :func:`convert`. Class texts that an aligned model came without are made as ``text`` says.
        config: what the weights were trained with; its data must be there.
        out: the run folder, a new one.

    Raises:
        InputError: anything that does not fit; nothing is written then.
    """
    _check_new(out)
    weights = read_state(checkpoint)
    dataset = Dataset.open(config.data.model_copy(update={"holdout": None}))
    vocabulary, classes = dataset.vocabulary, Classes(len(dataset.vocabulary))
    if config.model.head == "verb-noun":
        classes = _verbs_and_nouns(dataset.root / BENCHMARKS[config.data.name].mapping, vocabulary)
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        weights["text_embeddings"] = torch.from_numpy(class_vectors(config.text, vocabulary))
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(dataset.root.resolve())})})
    return _write(out, config, vocabulary, classes, dataset.layout, dataset.fps, weights, checkpoint)


def _check_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "already there and not empty", "a new folder")


def _write(
    out: Path,
    config: Config,
    vocabulary: Vocabulary,
    classes: Classes,
    layout: Layout,
    fps: float | None,
    weights: dict[str, Tensor],
    checkpoint: Path,
) -> Path:
    transform = FeatureTransform((), None, None, _input_dim(weights, checkpoint))
    run = runs.Run(out, config, vocabulary, classes, transform, layout, fps, None)
    model = run.new_model(weights.get("text_embeddings"))
    runs.load_strictly(model, weights, str(checkpoint))
    runs.create(run)
    runs.save_weights(out / "model.safetensors", model.state_dict(), {"converted_from": str(checkpoint)})
    return out


def read_state(path: Path) -> dict[str, Tensor]:
    """The parameters in a published checkpoint by name, position tables left out; nothing in it is executed."""
    if not path.is_file():
        raise InputError(path, "no such file", "a checkpoint")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        found = f"not readable as plain weights ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise InputError(path, found, "a state dict saved with torch.save, or safetensors") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(path, "more than parameters", "a state dict: names and tensors")
    return {name: value.float() for name, value in state.items() if not is_position(name)}


def _input_dim(weights: Mapping[str, Tensor], where: Path) -> int:
    """Feature columns, read off the first convolution."""
    for name in ("block_list.0.frame_branch.conv_1x1.weight", "block_list.0.frame_branch.conv_1x1_in.weight"):
        if name in weights:
            return int(weights[name].shape[1])
    raise InputError(where, "no input convolution (block_list.0.frame_branch.conv_1x1...)", "a FACT checkpoint")


def _verbs_and_nouns(mapping: Path, vocabulary: Vocabulary) -> Classes:
    verbs, nouns = (Vocabulary.from_mapping(mapping.with_name(f"{kind}_mapping.txt")) for kind in ("verb", "noun"))
    pairs = [name.split(",") for name in vocabulary.names]
    wrong = next((name for name, pair in zip(vocabulary.names, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        raise InputError(mapping, f"class {wrong!r}", '"verb,noun"')
    verb, noun = verbs.encode(pair[0] for pair in pairs), nouns.encode(pair[1] for pair in pairs)
    return Classes(len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), len(verbs), len(nouns))
