"""Checkpoints of the published FACT and FACT-CLIP code, read strictly."""

import hashlib
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

from fact_clip.config import Config, DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import validated
from fact_clip.core.io import check_file, check_uncompressed, read_mapping
from fact_clip.core.messages import join_names
from fact_clip.core.paths import inside
from fact_clip.datasets.benchmarks import BENCHMARKS, Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.naming import guess_names
from fact_clip.encoders import text_encoder
from fact_clip.encoders.vectors import class_vectors
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes
from fact_clip.runs.run import Run
from fact_clip.runs.weights import load_strictly, save_weights
from fact_clip_compat.settings import flatten, held_out, read_config

# What torch.load and safetensors raise for files that are broken or hold more than weights.
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

# Weight of the first convolution, by the kind of frame branch.
_INPUT_WEIGHTS = (
    "block_list.0.frame_branch.conv_1x1.weight",
    "block_list.0.frame_branch.conv_1x1_in.weight",
)


@validated()
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
    """Build the model of a reference checkpoint, in evaluation mode, and its criterion.

    Args:
        state_dict: Parameters by name.
        config: Reference keys, flat or as the nested mapping of a reference YAML.
        n_classes: C.
        input_dim: D, feature columns.
        background: Indices of background classes.
        text_embeddings: (C, E) for FACT-CLIP, if the checkpoint has none.
        verb_of_class: Verb index of each class, for the verb-noun model.
        noun_of_class: Noun index of each class, likewise.
        n_verbs: Number of verbs. None: as many as the classes have.
        n_nouns: Number of nouns. None: likewise.
        mean_transcript_length: Mean length in the training videos, for ``Loss.nullw: -1``.

    Returns:
        The model and the criterion.

    Raises:
        InputError: Parameters do not fit the configuration.
    """
    classes = Classes(n_classes)
    if verb_of_class is not None and noun_of_class is not None:
        verb = tuple(map(int, verb_of_class))
        noun = tuple(map(int, noun_of_class))
        classes = Classes(
            count=n_classes,
            verb=verb,
            noun=noun,
            n_verbs=n_verbs or max(verb) + 1,
            n_nouns=n_nouns or max(noun) + 1,
        )
    settings, _ = read_config(config, verb_noun=bool(classes.verb))
    weights = {name: value for name, value in state_dict.items() if not _is_position(name)}
    if settings.model.head == "fact-clip" and text_embeddings is not None:
        weights["text_embeddings"] = torch.as_tensor(text_embeddings)
    vectors = weights.get("text_embeddings")
    frame_weight = settings.decode.frame_weight
    model = FACT(settings.model, input_dim, classes, vectors, frame_weight=frame_weight)
    load_strictly(model, weights, "reference checkpoint")
    unseen = held_out(flatten(config))
    criterion = Criterion(settings.loss, classes, background, mean_transcript_length, unseen)
    return model.eval(), criterion


@validated()
def convert(
    checkpoint: str | Path,
    config: str | Path,
    out: str | Path,
    mapping: str | Path,
    background: Sequence[str] | None = None,
    layout: Layout | None = None,
) -> Path:
    """Write a new run folder that predicts as the published model does, or nothing.

    Args:
        checkpoint: File of plain weights.
        config: Its YAML.
        out: Run folder.
        mapping: ``mapping.txt``. Verb-noun models read ``verb_mapping.txt`` and
            ``noun_mapping.txt`` beside it; their class names are "verb,noun".
        background: Names of background classes, or None for the classes that are published for the
            data set of the YAML. For an unknown data set they are guessed from the names, with a
            warning.
        layout: Of feature files. None: as published for the data set of the YAML.

    Returns:
        The run folder.

    Raises:
        InputError: Files do not fit each other.
    """
    checkpoint = Path(checkpoint)
    config = Path(config)
    out = Path(out)
    mapping = Path(mapping)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "the folder is not empty", "name a new one")
    reference = read_mapping(config, "the YAML that the checkpoint was trained with")
    settings, unknown = read_config(reference, where=config)
    benchmark = BENCHMARKS[settings.data.name]
    layout = layout or benchmark.layout
    if layout is None:
        name = flatten(reference).get("dataset", "")
        fix = f"name one of {', '.join(BENCHMARKS)}, or give --layout"
        raise InputError(config, f"unknown dataset {name!r}", fix)
    names = Vocabulary.from_mapping(mapping).names
    if background is None:
        background = _with_background(settings.data, names).background or ()
    data = settings.data.model_copy(
        update={"layout": layout, "fps": benchmark.fps, "background": tuple(background)}
    )
    vocabulary = Vocabulary.from_names(names, background)
    weights = read_state(checkpoint)
    _write(
        checkpoint,
        weights,
        out,
        config=settings.model_copy(update={"data": data}),
        layout=layout,
        vocabulary=vocabulary,
        mapping=mapping,
    )
    if unknown:  # at the end, so that a refusal is one line
        warnings.warn(f"{config}: keys without a meaning here: {', '.join(unknown)}", stacklevel=2)
    return out


def _with_background(data: DataConfig, names: Sequence[str]) -> DataConfig:
    """Return the configuration with the background classes that training would use."""
    if data.background is not None:
        return data
    background = guess_names(data, names)[0].background or ()
    if data.name == "folder":
        guessed = join_names(background) or "no class"
        warnings.warn(f"background by its name: {guessed}", stacklevel=4)
    present = tuple(name for name in background if name in names)
    return data.model_copy(update={"background": present})


def convert_for(checkpoint: Path, config: Config, out: Path) -> Path:
    """Convert a checkpoint as `convert` does, with a configuration of this package and its data.

    Class texts that the checkpoint lacks are computed. A conversion in the folder is replaced.
    """
    weights = read_state(checkpoint)
    folder = DataFolder(config.data)
    config = config.model_copy(update={"data": _with_background(config.data, folder.class_names)})
    dataset = Dataset(config.data, folder, folder.vocabulary(config.data))
    dataset.check()
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        encoder = text_encoder(config.text.encoder)
        vectors = class_vectors(encoder, dataset.vocabulary, config.text.phrase)
        weights["text_embeddings"] = torch.from_numpy(vectors)
    location = {"root": str(folder.root.resolve()), "fps": dataset.fps}
    data = config.data.model_copy(update=location)
    _write(
        checkpoint,
        weights,
        out,
        config=config.model_copy(update={"data": data}),
        layout=dataset.layout,
        vocabulary=dataset.vocabulary,
        mapping=folder.mapping_location,
    )
    return out


def _write(
    checkpoint: Path,
    weights: Mapping[str, Tensor],
    out: Path,
    *,
    config: Config,
    layout: Layout,
    vocabulary: Vocabulary,
    mapping: Path,
) -> None:
    """Write a run folder, whose data settings name the rate."""
    classes = Classes(len(vocabulary))
    if config.model.head == "verb-noun":
        classes = _verbs_and_nouns(mapping, vocabulary)
    run = Run(
        classes=classes,
        layout=layout,
        fps=config.data.fps,
        mean_transcript_length=None,
        path=out,
        config=config,
        vocabulary=vocabulary,
        transform=_transform(weights, checkpoint),
    )
    run.check()
    model = run.new_model(weights.get("text_embeddings"))
    load_strictly(model, weights, checkpoint)
    run.write()
    facts = {
        "converted_from": str(checkpoint),
        "sha256": digest_of(checkpoint),
        "classes": vocabulary.names,
    }
    save_weights(inside(out, "model.safetensors"), model.state_dict(), facts)


def digest_of(checkpoint: Path) -> str:
    """Return the SHA-256 of a checkpoint, by which its conversion is recognised."""
    return hashlib.sha256(check_file(checkpoint, "a checkpoint").read_bytes()).hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the parameters of a published checkpoint. Nothing in the file is executed.

    Args:
        path: A PyTorch file of plain weights, or a safetensors file.

    Returns:
        The parameters by name, in float32, without position tables.

    Raises:
        InputError: File is damaged, or holds more than weights.
    """
    check_file(path, "a checkpoint")
    check_uncompressed(path)
    try:
        with warnings.catch_warnings():  # torch warns of old pickles that it then refuses
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                state: Any = load_file(path)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        # torch continues with the advice to read the file in a way that may run code
        reason = (str(error).splitlines() or ["damaged"])[0].partition(". ")[0]
        raise InputError(path, f"not readable as plain weights ({reason})") from None
    if not isinstance(state, Mapping) or not all(map(_is_dense, state.values())):
        problem = "more than names and dense tensors of numbers"
        raise InputError(path, problem, "save the state dict of the model")
    parameters = {str(name): value.float() for name, value in state.items()}
    return {name: value for name, value in parameters.items() if not _is_position(name)}


def _is_dense(value: Any) -> bool:
    has_values = isinstance(value, Tensor) and not value.is_meta
    return has_values and value.layout is torch.strided and value.is_floating_point()


def _transform(weights: Mapping[str, Tensor], path: Path) -> FeatureTransform:
    """Return a transform that changes nothing, of as many columns as the first convolution has."""
    for name in _INPUT_WEIGHTS:
        weight = weights.get(name)
        if weight is not None and weight.ndim > 1 and weight.shape[1]:
            return FeatureTransform((), None, None, int(weight.shape[1]))
    problem = "no input convolution (block_list.0.frame_branch.conv_1x1...): not a FACT checkpoint"
    raise InputError(path, problem)


def _verbs_and_nouns(mapping: Path, vocabulary: Vocabulary) -> Classes:
    verbs = Vocabulary.from_mapping(mapping.with_name("verb_mapping.txt"))
    nouns = Vocabulary.from_mapping(mapping.with_name("noun_mapping.txt"))
    pairs = [name.partition(",") for name in vocabulary.names]
    verb = verbs.encode(first for first, _, _ in pairs)
    noun = nouns.encode(second for _, _, second in pairs)
    return Classes(
        count=len(vocabulary),
        verb=tuple(verb.tolist()),
        noun=tuple(noun.tolist()),
        n_verbs=len(verbs),
        n_nouns=len(nouns),
    )


def _is_position(name: str) -> bool:
    """Return whether a tensor is a position table, which published checkpoints may hold."""
    is_table = name.rsplit(".", 1)[-1] in {"pe", "pos", "pos_enc", "positional_encoding"}
    return is_table or ".pe." in name
