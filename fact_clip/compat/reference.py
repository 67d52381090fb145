"""Published FACT and FACT-CLIP configurations and checkpoints, read into this project's own.

The keys and their defaults are those of FACT.md, 'Reference configuration'. Parameter names are the same on
both sides, so a checkpoint loads as it is, strictly.
"""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from fact_clip.checkpoint import load_strictly
from fact_clip.config import Config, merged, read_recipe, set_key
from fact_clip.core import InputError
from fact_clip.core.files import read_mapping
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.holdout import named_holdout
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes

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

# Reference key -> our key. What is neither here nor in SWITCHES is reported as without a meaning.
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
SWITCHES = {"use_clip", "holdout_mode", "holdout_classes", "TM.use", "dataset", "FACT.cmr"}
# Defaults of the published code where they differ from ours.
_DEFAULTS: dict[str, Any] = {"loss.class_cost": 1.0, "model.input.action": "sca", "train.schedule": "step"}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested YAML mapping as flat dotted keys; flat keys stay as they are, and the text "None" is null."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            # Some published files write null the Python way, which YAML reads as a text.
            flat[f"{prefix}{key}"] = None if value == "None" else value
    return flat


def known_data_set(name: str) -> str | None:
    """The entry of data/benchmarks.py of a reference data set: of that name, of its beginning, or of a longer name."""
    close = (entry for entry in BENCHMARKS if name and (entry.startswith(name) or name.startswith(entry)))
    return name if name in BENCHMARKS else next(close, None)


def read_config(reference: Mapping[str, Any], *, verb_noun: bool = False) -> tuple[Config, tuple[str, ...]]:
    """Our configuration of a reference one, and the reference keys that mean nothing here.

    Args:
        reference: flat reference keys (``{"Bi.hid_dim": 48}``) or a reference YAML's nested mapping.
        verb_noun: the model scores verbs and nouns, as that of Epic-Kitchens does in any case.
    """
    flat = flatten(reference)
    return Config.from_tree(whole_tree(flat, verb_noun=verb_noun), "reference configuration"), meaningless(flat)


def whole_tree(flat: Mapping[str, Any], *, verb_noun: bool = False) -> dict[str, Any]:
    """The tree of our settings that flat reference keys stand for when they are all there is, defaults included."""
    # What an absent key means; the rest of the published defaults are ours.
    missing = {"dataset": "", "TM.use": False, "FACT.cmr": 0.0}
    given = {key: value for key, value in flat.items() if value is not None or key == "lr_decay"}
    tree = translate({**missing, **given}, verb_noun=verb_noun)
    whole: dict[str, Any] = {}
    for key, value in _DEFAULTS.items():
        set_key(whole, key.split("."), value, key)
    return merged(whole, tree)


def meaningless(flat: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of some flat reference keys that mean nothing here, in order."""
    return tuple(sorted(key for key in flat if key not in KEYS and key not in SWITCHES))


def translate(flat: Mapping[str, Any], *, verb_noun: bool = False) -> dict[str, Any]:
    """The tree of our settings that some flat reference keys change; null keys and unknown ones change none."""
    ours = {KEYS[key]: value for key, value in flat.items() if key in KEYS and value is not None}
    if "lr_decay" in flat:  # epochs until the rate falls to a tenth; none, or a number below one: it stays
        decay = flat["lr_decay"]
        stays = decay is None or (isinstance(decay, int) and decay <= 0)
        ours["train.schedule"] = "constant" if stays else "step"
        if stays:
            ours.pop("train.lr_decay", None)
    if "split" in flat and flat["split"] is not None:  # "split4" is a file name's part there, a split's name here
        name = str(flat["split"]).removeprefix("split")
        ours["data.split"] = int(name) if re.fullmatch("0|[1-9][0-9]*", name) else name
    if "dataset" in flat:
        ours["data.name"] = known_data_set(str(flat["dataset"] or "")) or "folder"
        if ours["data.name"].startswith("havid"):
            ours["text.phrase"] = "havid"  # its names are codes
    if "TM.use" in flat and not flat["TM.use"]:
        ours["augment.time_spans"] = 0
    elif "TM.use" in flat:
        ours.setdefault("augment.time_spans", 5)
    if flat.get("use_clip"):
        ours["model.head"] = "fact-clip"
    elif verb_noun or ours.get("data.name") == "epic":
        ours["model.head"] = "verb-noun"
    elif "use_clip" in flat:
        ours["model.head"] = "closed"
    if flat.get("holdout_mode") and flat.get("holdout_classes"):
        ours["data.holdout"] = named_holdout(flat["holdout_classes"])
    if str(ours.get("train.optimizer", "")).lower() in ("adam", "adamw", "sgd"):
        ours["train.optimizer"] = str(ours["train.optimizer"]).lower()
    if "model.blocks" in ours:
        ours["model.blocks"] = str(ours["model.blocks"])
    tree: dict[str, Any] = {}
    for key, value in ours.items():
        set_key(tree, key.split("."), value, key)
    return tree


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

    Args:
        state_dict: the reference parameters by name; a missing or unexpected one is an error.
        config: flat reference keys or a reference YAML's nested mapping.
        n_classes: C.
        input_dim: D, feature columns.
        background: indices of background classes.
        text_embeddings: (C, E), for FACT-CLIP; else those of the checkpoint.
        verb_of_class: verb index of each class, for the verb-noun model.
        noun_of_class: noun index of each class.
        n_verbs: number of verbs; None: one more than the largest index.
        n_nouns: number of nouns; likewise.
        mean_transcript_length: of the training videos, for ``Loss.nullw: -1``.

    Raises:
        InputError: the checkpoint does not fit the configuration.
    """
    classes = Classes(n_classes)
    if verb_of_class is not None and noun_of_class is not None:
        verb, noun = tuple(int(v) for v in verb_of_class), tuple(int(n) for n in noun_of_class)
        classes = Classes(n_classes, verb, noun, n_verbs or max(verb) + 1, n_nouns or max(noun) + 1)
    ours, _ = read_config(config, verb_noun=bool(classes.verb))
    weights = {name: value for name, value in state_dict.items() if not is_position(name)}
    text = weights.get("text_embeddings") if text_embeddings is None else text_embeddings
    if ours.model.head == "fact-clip" and text is not None:
        text = torch.as_tensor(text)
        weights["text_embeddings"] = text
    model = FACT(ours.model, input_dim, classes, text, frame_weight=ours.decode.frame_weight)
    load_strictly(model, weights, "reference checkpoint")
    unseen = flatten(config).get("holdout_classes") or () if flatten(config).get("holdout_mode") else ()
    criterion = Criterion(ours.loss, classes, background, mean_transcript_length, unseen)
    return model.eval(), criterion


def is_position(name: str) -> bool:
    """Position tables are computed here; published checkpoints may carry them as buffers."""
    return name.rsplit(".", 1)[-1] in {"pe", "pos", "pos_enc", "positional_encoding"} or ".pe." in name


_OURS = tuple(Config.model_fields)
_GPU = "aux.gpu"
# Keys that say something only together.
_TOGETHER = ({"TM.use", "TM.m"}, {"holdout_mode", "holdout_classes"})


class _Settings:
    """What has been said so far: a tree of our keys, and the reference keys behind a part of it."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.known: dict[str, Any] = {}

    def add_ours(self, tree: Mapping[str, Any]) -> None:
        self.tree = merged(self.tree, tree)

    def add_reference(self, flat: Mapping[str, Any]) -> None:
        """Reference keys; with nothing before them they are a whole configuration, with the published defaults."""
        if not self.tree:
            self.add_ours(whole_tree(flat))
        else:
            changes = dict(flat)
            for group in _TOGETHER:
                if group & changes.keys():
                    changes = {**{key: self.known[key] for key in group & self.known.keys()}, **changes}
            if not changes.get("use_clip", True) and self.tree.get("model", {}).get("head") != "fact-clip":
                del changes["use_clip"]  # off already, and the head may be verb-noun
            self.add_ours(translate(changes))
        self.known.update(flat)


def read_settings(files: Sequence[str], pairs: Sequence[str] = ()) -> Config:
    """The configuration of files, by path or by name of a recipe, and of the pairs of ``--set``.

    Reference keys of the files that mean nothing here are named in one warning. A GPU that is asked for (``aux.gpu``)
    and not there is another: the CPU takes its place.

    Raises:
        InputError: a file that is not there or not YAML, an unknown key of ours or of ``--set``, a value of the wrong
            kind.
    """
    settings, dead = _Settings(), dict[str, None]()
    for name in files:
        flat, ours = _read(name)
        dead.update(dict.fromkeys(key for key in meaningless(flat) if key != _GPU))
        if flat:
            settings.add_reference(flat)
        settings.add_ours(ours)
    flat, ours = read_pairs(pairs)
    if flat:
        settings.add_reference(flat)
    settings.add_ours(ours)
    dead.update(dict.fromkeys(key for key in meaningless(flat) if key != _GPU))
    if dead:
        warnings.warn(f"keys without a meaning here: {', '.join(dead)}", stacklevel=2)
    if settings.known.get(_GPU) is not None and "device" not in ours.get("train", {}):
        set_key(settings.tree, ["train", "device"], _device(settings.known[_GPU]), _GPU)
    return Config.from_tree(settings.tree, " + ".join([*files, *(["--set"] if pairs else [])]))


def _read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat reference keys of a file, and its tree of our keys."""
    path = Path(name)
    if path.is_file():
        tree = read_mapping(path, "a YAML file")
        flat = flatten({key: value for key, value in tree.items() if key not in _OURS})
        if any(key in KEYS or key in SWITCHES for key in flat):
            return flat, {key: value for key, value in tree.items() if key in _OURS}
    return {}, read_recipe(name)


def read_pairs(pairs: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat reference keys and the tree of our keys in the words of ``--set``: KEY VALUE KEY VALUE ...

    Raises:
        InputError: a key without a value or an unknown one, or a value that is not YAML.
    """
    if len(pairs) % 2:
        raise InputError("--set", f"{pairs[-1]!r} without a value", "KEY VALUE KEY VALUE ...")
    flat: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    for key, text in zip(pairs[::2], pairs[1::2], strict=True):
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {key}", f"{text!r} is not YAML", "a value as in a recipe") from None
        if key.split(".")[0] in _OURS:
            set_key(ours, key.split("."), value, key)
        elif key in KEYS or key in SWITCHES or key.startswith("aux."):
            flat[key] = None if value == "None" else value
        else:
            near = difflib.get_close_matches(key, [*KEYS, *SWITCHES, _GPU], n=1, cutoff=0.0)[0]
            expected = f"a reference key, or a key of ours as train.epochs ({', '.join(_OURS)})"
            raise InputError("--set", f"unknown key {key}", expected, f"did you mean {near}?")
    return flat, ours


def overrides(pairs: Sequence[str], groups: Sequence[str]) -> list[str]:
    """What ``--set`` says of some groups of our keys, as KEY=VALUE."""
    flat, ours = read_pairs(pairs)
    tree = merged(translate(flat), ours)
    said = flatten({group: tree[group] for group in groups if group in tree})
    return [f"{key}={json.dumps(value)}" for key, value in said.items()]


def device(pairs: Sequence[str]) -> str:
    """The device that ``--set`` asks for, by train.device or aux.gpu; else "auto"."""
    flat, ours = read_pairs(pairs)
    gpu, own = flat.get(_GPU), ours.get("train", {}).get("device")
    return str(own) if own is not None else "auto" if gpu is None else _device(gpu)


def _device(gpu: Any) -> str:
    if not isinstance(gpu, int) or isinstance(gpu, bool):
        raise InputError(_GPU, repr(gpu), "the number of a GPU, or -1 for the CPU")
    if gpu < 0:
        return "cpu"
    if not torch.cuda.is_available():
        return "auto"  # scripts/train.py says so
    if gpu >= torch.cuda.device_count():
        raise InputError(_GPU, str(gpu), f"0 to {torch.cuda.device_count() - 1}, the GPUs of this machine")
    return f"cuda:{gpu}"
