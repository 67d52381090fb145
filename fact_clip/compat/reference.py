"""Published FACT and FACT-CLIP settings, read into ours (docs/method.md, 'Reference configuration'), and checkpoints.

Checkpoints are read strictly, as a model or a run folder; their parameters have the same names as ours.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fact_clip.config import Config, merged, read_recipe, set_key, value_of
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import validated
from fact_clip.core.io import check_file, read_mapping
from fact_clip.core.messages import suggest
from fact_clip.core.paths import inside
from fact_clip.datasets.benchmarks import BENCHMARKS, Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.holdout import named_holdout
from fact_clip.datasets.layout import DataFolder
from fact_clip.encoders.vectors import class_vectors
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes
from fact_clip.run import Run, load_strictly, save_weights

_BLOCK_KEYS = {
    "hid_dim": "hidden",
    "dropout": "dropout",
    "a": "action",
    "a_nhead": "heads",
    "a_ffdim": "feedforward",
    "a_layers": "action_layers",
    "a_dim": "action_dim",
    "f": "frame",
    "f_layers": "frame_layers",
    "f_ln": "frame_norm",
    "f_dim": "frame_dim",
    "f_ngp": "frame_groups",
    "s_layers": "segment_layers",
}

# Reference key -> our key.
KEYS: dict[str, str] = {
    **{
        f"{theirs}.{key}": f"model.{ours}.{name}"
        for theirs, ours in {"Bi": "input", "Bu": "update", "BU": "pooled"}.items()
        for key, name in _BLOCK_KEYS.items()
    },
    "FACT.ntoken": "model.tokens",
    "FACT.block": "model.blocks",
    "FACT.trans": "model.transcript",
    "FACT.fpos": "model.frame_positions",
    "FACT.mwt": "decode.frame_weight",
    "FACT.cmr": "augment.channels",
    "CLIP.temp": "model.alignment.temperature",
    "CLIP.projection_hidden_dim": "model.alignment.projection_dim",
    "CLIP.projection_dropout": "model.alignment.dropout",
    "CLIP.fact_loss_weight": "loss.fact_weight",
    "CLIP.contrastive_weight": "loss.contrastive_weight",
    "Loss.pc": "loss.class_cost",
    "Loss.a2fc": "loss.overlap_cost",
    "Loss.match": "loss.match",
    "Loss.bgw": "loss.background_weight",
    "Loss.nullw": "loss.null_weight",
    "Loss.sw": "loss.smoothing",
    "TM.t": "augment.time_length",
    "TM.p": "augment.time_share",
    "TM.m": "augment.time_spans",
    "lr": "train.lr",
    "optimizer": "train.optimizer",
    "epoch": "train.epochs",
    "lr_decay": "train.lr_decay",
    "clip_grad_norm": "train.clip_norm",
    "weight_decay": "train.weight_decay",
    "batch_size": "train.batch_size",
    "sr": "data.stride",
    "eval_bg": "evaluation.count_background",
    "split": "data.split",
}
# Reference keys that need more than a new name: see `translate`.
SWITCHES = {"use_clip", "holdout_mode", "holdout_classes", "TM.use", "dataset", "FACT.cmr"}
# What a reference configuration means by leaving a key out, where that is not our default.
_ABSENT: dict[str, Any] = {"dataset": "", "TM.use": False, "FACT.cmr": 0.0, "Loss.pc": 1.0}
# Keys that mean something only together.
_TOGETHER = ({"TM.use", "TM.m"}, {"holdout_mode", "holdout_classes"})
_GPU = "aux.gpu"
_OURS = tuple(Config.model_fields)


def read_config(
    reference: Mapping[str, Any],
    *,
    verb_noun: bool = False,
    where: str | Path = "reference configuration",
) -> tuple[Config, tuple[str, ...]]:
    """Our configuration for a reference one, flat or nested, and the reference keys that have no meaning here.

    With `verb_noun` the model scores verbs and nouns; that of Epic-Kitchens always does. Errors name `where`.
    """
    flat = flatten(reference)
    return Config.from_tree(_whole_tree(flat, verb_noun), str(where)), _meaningless(flat)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested YAML mapping as flat dotted keys; flat keys stay as they are."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            # Some published files write null the Python way, which YAML reads as a text.
            flat[f"{prefix}{key}"] = None if value == "None" else value
    return flat


def _meaningless(flat: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(key for key in flat if key not in KEYS and key not in SWITCHES))


def _whole_tree(flat: Mapping[str, Any], verb_noun: bool = False) -> dict[str, Any]:
    """Our settings for a whole reference configuration, its defaults included."""
    present = {key: value for key, value in flat.items() if value is not None or key == "lr_decay"}
    return translate({**_ABSENT, **present}, verb_noun=verb_noun)


def translate(flat: Mapping[str, Any], *, verb_noun: bool = False) -> dict[str, Any]:
    """The tree of our settings that some flat reference keys change; null and unknown keys change none."""
    ours = {KEYS[key]: value for key, value in flat.items() if key in KEYS and value is not None}
    if (
        "lr_decay" in flat
    ):  # epochs until the rate falls to a tenth; with null or a number below one it is constant
        decay = flat["lr_decay"]
        constant = decay is None or (isinstance(decay, int) and decay <= 0)
        ours["train.schedule"] = "constant" if constant else "step"
        if constant:
            ours.pop("train.lr_decay", None)
    if flat.get("split") is not None:  # "split4" is part of a file name there; here it is split 4
        name = str(flat["split"]).removeprefix("split")
        ours["data.split"] = int(name) if re.fullmatch("0|[1-9][0-9]*", name) else name
    if "dataset" in flat:
        ours["data.name"] = known_data_set(str(flat["dataset"] or "")) or "folder"
        if ours["data.name"].startswith("havid"):
            ours["text.phrase"] = "havid"  # its names are codes
    if "TM.use" in flat:
        ours["augment.time_spans"] = ours.get("augment.time_spans", 5) if flat["TM.use"] else 0
    if flat.get("use_clip"):
        ours["model.head"] = "fact-clip"
    elif verb_noun or ours.get("data.name") == "epic":
        ours["model.head"] = "verb-noun"
    elif "use_clip" in flat:
        ours["model.head"] = "closed"
    if flat.get("holdout_mode") and flat.get("holdout_classes"):
        classes = flat["holdout_classes"]
        ours["data.holdout"] = named_holdout(classes) if isinstance(classes, list) else [classes]
    if str(ours.get("train.optimizer")).lower() in ("adam", "adamw", "sgd"):
        ours["train.optimizer"] = str(ours["train.optimizer"]).lower()
    tree: dict[str, Any] = {}
    for key, value in ours.items():
        set_key(tree, key.split("."), value, key)
    return tree


def known_data_set(name: str) -> str | None:
    """The entry of datasets/benchmarks.py for a reference data set: one name is the other's, or begins with it."""
    close = (
        entry for entry in BENCHMARKS if name and (entry.startswith(name) or name.startswith(entry))
    )
    return name if name in BENCHMARKS else next(close, None)


def read_settings(files: Sequence[str], pairs: Sequence[str] = ()) -> Config:
    """The configuration of files or recipe names and the words of ``--set``; warns of keys without a meaning here."""
    sources = [*map(_read_file, files), read_pairs(pairs)]
    tree, reference = dict[str, Any](), dict[str, Any]()
    for flat, ours in sources:
        tree = merged(merged(tree, _changes(flat, tree, reference)), ours)
        reference.update(flat)
    if dead := dict.fromkeys(key for flat, _ in sources for key in _meaningless(flat)):
        warnings.warn(f"keys without a meaning here: {', '.join(dead)}", stacklevel=2)
    if reference.get("holdout_mode") and not reference.get("holdout_classes"):
        warnings.warn("holdout_mode without holdout_classes: nothing is held out", stacklevel=2)
    return Config.from_tree(tree, " + ".join([*files, *(["--set"] if pairs else [])]))


def _read_file(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat reference keys of a file, and the tree of our keys in it."""
    path = Path(name)
    if path.is_file():
        tree = read_mapping(path, "a YAML file")
        flat = flatten({key: value for key, value in tree.items() if key not in _OURS})
        if any(key in KEYS or key in SWITCHES for key in flat):
            gpu, ours = (
                flat.pop(_GPU, None),
                {key: value for key, value in tree.items() if key in _OURS},
            )
            return flat, ours if gpu is None else merged({"train": {"device": _device(gpu)}}, ours)
    return {}, read_recipe(name)


def _changes(
    flat: Mapping[str, Any], tree: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """What reference keys change in the tree so far, `before` being its reference keys; all, if it is empty."""
    if not flat or not tree:
        return _whole_tree(flat) if flat else {}
    changes = dict(flat)
    for group in _TOGETHER:
        if group & flat.keys():
            changes = {**{key: before[key] for key in group & before.keys()}, **changes}
    if not changes.get("use_clip", True) and tree.get("model", {}).get("head") != "fact-clip":
        del changes["use_clip"]  # it is off already, and the head may be verb-noun
    return translate(changes)


def read_pairs(pairs: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat reference keys, and the tree of our keys, in the words of ``--set``: KEY VALUE KEY VALUE ..."""
    if len(pairs) % 2:
        joined = next((word for word in pairs[::2] if "=" in word), pairs[-1])
        raise InputError("--set", f"{joined!r} has no value", "write KEY VALUE KEY VALUE ...")
    flat, ours, gpu = dict[str, Any](), dict[str, Any](), None
    for key, text in zip(pairs[::2], pairs[1::2], strict=True):
        value = value_of(key, text, f"--set {key}")
        if key.split(".")[0] in _OURS:
            set_key(ours, key.split("."), value, key)
        elif key == _GPU:
            gpu = value
        elif key in KEYS or key in SWITCHES or key.startswith("aux."):
            flat[key] = None if value == "None" else value
        else:
            raise InputError("--set", f"unknown key {key}", suggest(key, [*KEYS, *SWITCHES, _GPU]))
    return flat, ours if gpu is None else merged({"train": {"device": _device(gpu)}}, ours)


def overrides(pairs: Sequence[str], groups: Sequence[str]) -> list[str]:
    """What ``--set`` changes in some groups of our keys, as KEY=VALUE."""
    flat, ours = read_pairs(pairs)
    changed = flatten(
        {group: keys for group, keys in merged(translate(flat), ours).items() if group in groups}
    )
    return [f"{key}={json.dumps(value)}" for key, value in changed.items()]


def device(pairs: Sequence[str]) -> str:
    """The device that ``--set`` asks for, by train.device or aux.gpu; else "auto"."""
    return str(read_pairs(pairs)[1].get("train", {}).get("device", "auto"))


def _device(gpu: Any) -> str:
    if not isinstance(gpu, int) or isinstance(gpu, bool):
        raise InputError(_GPU, f"{gpu!r} is not the number of a GPU, or -1 for the CPU")
    if gpu < 0:
        return "cpu"
    if not torch.cuda.is_available():
        return "auto"  # scripts/train.py warns
    if gpu >= torch.cuda.device_count():
        raise InputError(_GPU, f"{gpu}, but this machine has {torch.cuda.device_count()} GPUs")
    return f"cuda:{gpu}"


# What torch.load and safetensors raise for files that are broken or hold more than weights.
_BROKEN: tuple[type[Exception], ...] = (
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
)
_BROKEN += (AssertionError, EOFError, ValueError, LookupError, AttributeError, TypeError, OSError)


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


@validated()
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
    name = str(flatten(reference).get("dataset", ""))
    benchmark = BENCHMARKS[known_data_set(name) or "folder"]
    layout = layout or benchmark.layout
    if layout is None:
        raise InputError(
            config,
            f"unknown dataset {name!r}",
            f"name one of {', '.join(BENCHMARKS)}, or give --layout",
        )
    ours, unknown = read_config(reference, where=config)
    data = ours.data.model_copy(
        update={"layout": layout, "fps": benchmark.fps, "background": tuple(background)}
    )
    vocabulary = Vocabulary.from_mapping(mapping, background=background)
    weights = read_state(checkpoint)
    _write(
        out,
        ours.model_copy(update={"data": data}),
        layout,
        vocabulary,
        mapping,
        weights,
        checkpoint,
    )
    if unknown:  # at the end, so that a refusal is one line
        warnings.warn(f"{config}: keys without a meaning here: {', '.join(unknown)}", stacklevel=2)
    return out


def convert_for(checkpoint: Path, config: Config, out: Path) -> Path:
    """Do as `convert`, with our configuration and its data; class texts that the checkpoint lacks are made."""
    weights, folder = read_state(checkpoint), DataFolder(config.data)
    dataset = Dataset.build(config.data, folder, folder.vocabulary(config.data))
    dataset.check()
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        weights["text_embeddings"] = torch.from_numpy(
            class_vectors(config.text, dataset.vocabulary)
        )
    opened = {"root": str(folder.root.resolve()), "fps": dataset.fps}
    config = config.model_copy(update={"data": config.data.model_copy(update=opened)})
    _write(
        out,
        config,
        dataset.layout,
        dataset.vocabulary,
        folder.mapping_location,
        weights,
        checkpoint,
    )
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
    if config.model.head == "fact-clip" and "text_embeddings" not in weights:
        raise InputError(
            checkpoint, "no text_embeddings", "score it with scripts/run_eval.py, which makes them"
        )
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
            state: Any = (
                load_file(path)
                if plain
                else torch.load(path, map_location="cpu", weights_only=True)
            )
    except _BROKEN as error:
        # torch goes on with the advice to read what may run code
        reason = (str(error).splitlines() or ["damaged"])[0].partition(". ")[0]
        raise InputError(path, f"not readable as plain weights ({reason})") from None
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) and value.layout is torch.strided and value.is_floating_point()
        for value in state.values()
    ):
        raise InputError(
            path, "more than names and dense tensors of numbers", "save the state dict of the model"
        )
    return {
        str(name): value.float() for name, value in state.items() if not _is_position(str(name))
    }


def _transform(weights: Mapping[str, Tensor], where: Path) -> FeatureTransform:
    """No transform of as many feature columns as the first convolution has."""
    for name in (
        "block_list.0.frame_branch.conv_1x1.weight",
        "block_list.0.frame_branch.conv_1x1_in.weight",
    ):
        if name in weights and weights[name].ndim > 1 and weights[name].shape[1]:
            return FeatureTransform((), None, None, int(weights[name].shape[1]))
    raise InputError(
        where, "no input convolution (block_list.0.frame_branch.conv_1x1...): not a FACT checkpoint"
    )


def _verbs_and_nouns(mapping: Path, vocabulary: Vocabulary) -> Classes:
    verbs, nouns = (
        Vocabulary.from_mapping(mapping.with_name(f"{kind}_mapping.txt"))
        for kind in ("verb", "noun")
    )
    pairs = [name.split(",") for name in vocabulary.names]
    wrong = next(
        (name for name, pair in zip(vocabulary.names, pairs, strict=True) if len(pair) != 2), None
    )
    if wrong is not None:
        raise InputError(mapping, f'class {wrong!r} is not "verb,noun"')
    verb, noun = verbs.encode(pair[0] for pair in pairs), nouns.encode(pair[1] for pair in pairs)
    return Classes(
        len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), len(verbs), len(nouns)
    )


def _is_position(name: str) -> bool:
    """Whether a tensor is a position table, which published checkpoints may carry as a buffer."""
    return (
        name.rsplit(".", 1)[-1] in {"pe", "pos", "pos_enc", "positional_encoding"} or ".pe." in name
    )
