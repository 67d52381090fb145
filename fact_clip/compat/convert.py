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
from fact_clip.core.arguments import number_of, path_of, whole_of
from fact_clip.core.errors import CommandOption
from fact_clip.core.io import check_archive, read_mapping
from fact_clip.core.paths import inside
from fact_clip.datasets.benchmarks import BENCHMARKS, Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import DataFolder
from fact_clip.encoders.cache import class_vectors
from fact_clip.losses import Criterion
from fact_clip.metrics.frame import class_set
from fact_clip.models import FACT, Classes
from fact_clip.models.blocks import block_configs
from fact_clip.run import Run
from fact_clip.weights import load_strictly, save_weights

# What torch.load and safetensors raise for files that are broken or hold more than weights.
_BROKEN: tuple[type[Exception], ...] = (SafetensorError, pickle.UnpicklingError, struct.error, RuntimeError)
_BROKEN += (AssertionError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError)


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

    An InputError if the checkpoint does not fit the configuration.

    Args:
        state_dict: the reference parameters by name; all must be there, and no others.
        config: flat reference keys or the nested mapping of a reference YAML.
        n_classes: C.
        input_dim: D, feature columns.
        background: indices of the background classes.
        text_embeddings: (C, E), for FACT-CLIP; else those of the checkpoint.
        verb_of_class: index for each class, for the verb-noun model.
        noun_of_class: likewise.
        n_verbs: None: one more than the largest index.
        n_nouns: likewise.
        mean_transcript_length: of the training videos, for ``Loss.nullw: -1``.
    """
    _check_arguments(state_dict, config, n_classes, input_dim, background)
    if mean_transcript_length is not None:
        number_of(mean_transcript_length, "mean_transcript_length")
    classes = Classes(n_classes)
    if verb_of_class is not None and noun_of_class is not None:
        verb, noun = tuple(int(v) for v in verb_of_class), tuple(int(n) for n in noun_of_class)
        if len(verb) != n_classes or len(noun) != n_classes:
            raise InputError("verb_of_class", f"{len(verb)} verbs and {len(noun)} nouns; expected {n_classes} of each")
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


def _check_arguments(state_dict: Any, config: Any, n_classes: Any, input_dim: Any, background: Any) -> None:
    if not isinstance(state_dict, Mapping) or not isinstance(config, Mapping):
        raise InputError(
            "load_reference", "a checkpoint or configuration that is no mapping; expected names and values"
        )
    whole_of(n_classes, "n_classes", 1, 1_000_000)
    whole_of(input_dim, "input_dim", 1, 10_000_000)
    if any(index >= n_classes for index in class_set("background", background)):
        raise InputError("background", f"{list(background)!r}; expected class indices below {n_classes}")
    for name, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise InputError("state_dict", f"{name!r} is a {type(value).__name__}; expected tensors by name")


def convert(
    checkpoint: str | Path,
    config: str | Path,
    out: str | Path,
    mapping: str | Path,
    background: Sequence[str] = (),
    layout: Layout | None = None,
) -> Path:
    """Write a run folder that predicts as the published model does; nothing is written if anything does not fit.

    Args:
        checkpoint: weights saved by the published code (read with ``weights_only=True`` alone) or safetensors.
        config: the reference YAML.
        out: the run folder; a new one.
        mapping: ``mapping.txt`` of the classes. Verb-noun models read ``verb_mapping.txt`` and
            ``noun_mapping.txt`` beside it, and their class names are "verb,noun".
        background: names of background classes.
        layout: orientation of feature files; None: as published for the YAML's data set.
    """
    checkpoint, config = path_of(checkpoint, "checkpoint"), path_of(config, "config")
    out, mapping = path_of(out, "out"), path_of(mapping, "mapping")
    _check_new(out)
    reference = read_mapping(config, "the YAML that the checkpoint was trained with")
    if ours_there := [key for key in ("base", "data", "model", "train") if key in reference]:
        raise InputError(
            config, f"a recipe of fact-clip (key {ours_there[0]!r}); expected the YAML of the published code"
        )
    weights = read_state(checkpoint)
    flat = flatten(reference)
    name = str(flat.get("dataset", ""))
    known = BENCHMARKS[known_data_set(name) or "folder"]
    layout = layout or known.layout
    if layout is None:
        raise InputError(
            config, f"dataset {name!r}; expected one of {', '.join(BENCHMARKS)}", "or give the layout, TD or DT"
        )
    vocabulary = Vocabulary.from_mapping(mapping, background=background)
    if len(vocabulary.background) == len(vocabulary):
        raise InputError(CommandOption("--background"), "all classes; expected an action among them")
    classes = _verbs_and_nouns(mapping, vocabulary) if name.startswith("epic") else Classes(len(vocabulary))
    ours, unknown = read_config(reference, verb_noun=bool(classes.verb), where=config)
    if ours.model.head == "fact-clip" and "text_embeddings" not in weights:
        found, todo = (
            f"no text_embeddings, and use_clip in {config}",
            "score it with scripts/run_eval.py, which makes them",
        )
        raise InputError(checkpoint, f"{found}; expected the weights of a model that reads text", todo)
    data = ours.data.model_copy(update={"layout": layout, "fps": known.fps, "background": tuple(background)})
    ours = ours.model_copy(update={"data": data})
    transform = FeatureTransform((), None, None, _input_dim(weights, checkpoint))
    run = Run(classes, layout, known.fps, None, path=out, config=ours, vocabulary=vocabulary, transform=transform)
    made = _write(run, weights, checkpoint, mapping)
    if unknown:  # told at the end, so that a refusal is one line
        warnings.warn(f"{config}: keys without a meaning here: {', '.join(unknown)}", stacklevel=2)
    return made


def convert_for(checkpoint: Path, config: Config, out: Path) -> Path:
    """As `convert`, with our configuration and its data; class texts that the checkpoint lacks are made."""
    _check_new(out)
    weights = read_state(checkpoint)
    folder = DataFolder(config.data)
    dataset = Dataset(config.data, folder, folder.vocabulary(config.data))
    dataset.check()
    vocabulary, classes = dataset.vocabulary, Classes(len(dataset.vocabulary))
    mapping = dataset.root / BENCHMARKS[config.data.name].mapping
    if config.model.head == "verb-noun":
        classes = _verbs_and_nouns(mapping, vocabulary)
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        weights["text_embeddings"] = torch.from_numpy(class_vectors(config.text, vocabulary))
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(dataset.root.resolve())})})
    transform = FeatureTransform((), None, None, _input_dim(weights, checkpoint))
    run = Run(
        classes, dataset.layout, dataset.fps, None, path=out, config=config, vocabulary=vocabulary, transform=transform
    )
    return _write(run, weights, checkpoint, mapping)


def _check_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "already there and not empty; expected a new folder")


def _write(run: Run, weights: Mapping[str, Tensor], checkpoint: Path, mapping: Path) -> Path:
    _check_count(run, weights, checkpoint, mapping)
    model = run.new_model(weights.get("text_embeddings"))
    load_strictly(model, weights, str(checkpoint))
    run.write()
    facts = {"converted_from": str(checkpoint), "classes": run.vocabulary.names}
    save_weights(inside(run.path, "model.safetensors"), model.state_dict(), facts)
    return run.path


def _check_count(run: Run, weights: Mapping[str, Tensor], checkpoint: Path, mapping: Path) -> None:
    """An InputError where the weights are known to be those of more classes than the mapping has, or of fewer."""
    scores, todo = run.classes.count, "take the mapping that the weights were trained with"
    if run.classes.verb:
        scores = run.classes.n_verbs + run.classes.n_nouns
    for name in ("action_embed.weight", "text_embeddings"):  # one row a class
        if name in weights and len(weights[name]) != run.classes.count:
            found, expected = f"{run.classes.count} classes", f"{len(weights[name])}, as {name} of {checkpoint} has"
            raise InputError(mapping, f"{found}; expected {expected}", todo)
    if run.config.model.head != "fact-clip" and (least := trained_scores(weights)) > scores:
        what = "verbs and nouns" if run.classes.verb else "classes"
        expected = f"at least {least}: the last layer of {checkpoint} was trained for as many"
        raise InputError(mapping, f"{scores} {what}; expected {expected}", todo)
    most = min(block.hidden for block in block_configs(run.config.model)) - 2  # beside them a null class and a feature
    if run.config.model.head == "closed" and scores > most:
        raise InputError(
            mapping, f"{scores} classes; expected at most {most}, as the channels of {checkpoint} hold", todo
        )


def trained_scores(weights: Mapping[str, Tensor]) -> int:
    """The least number of class scores that the weights of a closed-set model can have; 0: nothing is known.

    Scores are the last channels of the last layer of frames; the channels before them are read by nothing, so that
    they stay as they were made: uniform below 1 / sqrt(inputs), or smaller with weight decay. The first channel that is
    larger was trained, and is a score. Weights that were made in another way are larger everywhere, and tell nothing.
    """
    name = f"block_list.{_blocks(weights) - 1}.frame_branch.conv_out.weight"
    if name not in weights or not weights[name].numel():
        return 0
    layer = weights[name].flatten(1)  # (H, inputs)
    first = int((layer.abs().amax(1) > 1.001 / layer.shape[1] ** 0.5).int().argmax())
    return len(layer) - first if first else 0


def _blocks(weights: Mapping[str, Tensor]) -> int:
    numbers = [name.split(".")[1] for name in weights if name.startswith("block_list.")]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


def read_state(path: Path) -> dict[str, Tensor]:
    """The parameters of a published checkpoint by name, without position tables; nothing in it is executed."""
    check_archive(path, "a checkpoint")
    try:
        with warnings.catch_warnings():  # torch warns of old pickles that it then refuses
            warnings.simplefilter("ignore")
            plain = path.suffix == ".safetensors"
            state: Any = load_file(path) if plain else torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        # torch goes on with the advice to read what may run code
        told = isinstance(error, pickle.UnpicklingError | SafetensorError | RuntimeError | OSError) and str(error)
        reason = str(error).splitlines()[0].partition(". ")[0] if told else "damaged"
        found = f"not readable as plain weights ({reason})"
        raise InputError(path, f"{found}; expected a state dict saved with torch.save, or safetensors") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(path, "more than parameters; expected a state dict: names and tensors")
    for name, value in state.items():
        _check_tensor(path, name, value)
    return {name: value.float() for name, value in state.items() if not _is_position(name)}


def _check_tensor(path: Path, name: object, value: Tensor) -> None:
    """An InputError for a key that is no text, and a tensor that is not numbers in rows of its own."""
    if not isinstance(name, str):
        raise InputError(path, f"a parameter named {name!r}; expected names that are texts")
    kind = "quantised" if value.is_quantized else "sparse" if value.layout is not torch.strided else ""
    kind = kind or ("on no device" if value.is_meta else "" if value.is_floating_point() else f"of {value.dtype}")
    if kind:
        raise InputError(path, f"{name}, a tensor that is {kind}; expected dense tensors of numbers")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        found = f"{name} of shape {tuple(value.shape)}, more than the values that are stored"
        raise InputError(path, f"{found}; expected tensors of their own values")


def _input_dim(weights: Mapping[str, Tensor], where: Path) -> int:
    """Feature columns, read off the first convolution."""
    for name in ("block_list.0.frame_branch.conv_1x1.weight", "block_list.0.frame_branch.conv_1x1_in.weight"):
        if name in weights and weights[name].ndim > 1 and weights[name].shape[1]:
            return int(weights[name].shape[1])
    raise InputError(where, "no input convolution (block_list.0.frame_branch.conv_1x1...); expected a FACT checkpoint")


def _verbs_and_nouns(mapping: Path, vocabulary: Vocabulary) -> Classes:
    verbs, nouns = (Vocabulary.from_mapping(mapping.with_name(f"{kind}_mapping.txt")) for kind in ("verb", "noun"))
    pairs = [name.split(",") for name in vocabulary.names]
    wrong = next((name for name, pair in zip(vocabulary.names, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        raise InputError(mapping, f'class {wrong!r}; expected "verb,noun"')
    verb, noun = verbs.encode(pair[0] for pair in pairs), nouns.encode(pair[1] for pair in pairs)
    return Classes(len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), len(verbs), len(nouns))


def _is_position(name: str) -> bool:
    """Whether a tensor is a position table, which published checkpoints may carry as a buffer."""
    return name.rsplit(".", 1)[-1] in {"pe", "pos", "pos_enc", "positional_encoding"} or ".pe." in name
