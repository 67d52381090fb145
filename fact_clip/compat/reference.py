"""Published FACT and FACT-CLIP settings, read into ours; docs/method.md, 'Reference configuration', explains them."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fact_clip.config import Config, merged, read_recipe, set_key, value_of
from fact_clip.core import InputError
from fact_clip.core.errors import CommandOption
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import suggest
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.holdout import named_holdout

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
    reference: Mapping[str, Any], *, verb_noun: bool = False, where: str | Path = "reference configuration"
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
    if "lr_decay" in flat:  # epochs until the rate falls to a tenth; with null or a number below one it is constant
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
    if "model.blocks" in ours:
        ours["model.blocks"] = str(ours["model.blocks"])
    tree: dict[str, Any] = {}
    for key, value in ours.items():
        set_key(tree, key.split("."), value, key)
    return tree


def known_data_set(name: str) -> str | None:
    """The entry of datasets/benchmarks.py for a reference data set: one name is the other's, or begins with it."""
    close = (entry for entry in BENCHMARKS if name and (entry.startswith(name) or name.startswith(entry)))
    return name if name in BENCHMARKS else next(close, None)


def read_settings(files: Sequence[str], pairs: Sequence[str] = ()) -> Config:
    """The configuration of files or recipe names and the words of ``--set``; warns of keys without a meaning here."""
    sources = [*map(_read_file, files), read_pairs(pairs)]
    tree, reference = dict[str, Any](), dict[str, Any]()
    for flat, ours in sources:
        tree = merged(merged(tree, _changes(flat, tree, reference)), ours)
        reference.update(flat)
    dead = dict.fromkeys(key for flat, _ in sources for key in _meaningless(flat) if key != _GPU)
    if dead:
        warnings.warn(f"keys without a meaning here: {', '.join(dead)}", stacklevel=2)
    if reference.get("holdout_mode") and not reference.get("holdout_classes"):
        warnings.warn("holdout_mode without holdout_classes: nothing is held out", stacklevel=2)
    if reference.get(_GPU) is not None and "device" not in sources[-1][1].get("train", {}):
        tree = merged(tree, {"train": {"device": _device(reference[_GPU])}})
    return Config.from_tree(tree, " + ".join([*files, *(["--set"] if pairs else [])]))


def _read_file(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat reference keys of a file, and the tree of our keys in it."""
    path = Path(name)
    if path.is_file():
        tree = read_mapping(path, "a YAML file")
        flat = flatten({key: value for key, value in tree.items() if key not in _OURS})
        if any(key in KEYS or key in SWITCHES for key in flat):
            return flat, {key: value for key, value in tree.items() if key in _OURS}
    return {}, read_recipe(name)


def _changes(flat: Mapping[str, Any], tree: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
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
        raise InputError(CommandOption("--set"), f"{joined!r} has no value", "write KEY VALUE KEY VALUE ...")
    flat, ours = dict[str, Any](), dict[str, Any]()
    for key, text in zip(pairs[::2], pairs[1::2], strict=True):
        value = value_of(key, text, f"--set {key}")
        if key.split(".")[0] in _OURS:
            set_key(ours, key.split("."), value, key)
        elif key in KEYS or key in SWITCHES or key.startswith("aux."):
            flat[key] = None if value == "None" else value
        else:
            raise InputError(CommandOption("--set"), f"unknown key {key}", suggest(key, [*KEYS, *SWITCHES, _GPU]))
    return flat, ours


def overrides(pairs: Sequence[str], groups: Sequence[str]) -> list[str]:
    """What ``--set`` changes in some groups of our keys, as KEY=VALUE."""
    flat, ours = read_pairs(pairs)
    changed = flatten({group: keys for group, keys in merged(translate(flat), ours).items() if group in groups})
    return [f"{key}={json.dumps(value)}" for key, value in changed.items()]


def device(pairs: Sequence[str]) -> str:
    """The device that ``--set`` asks for, by train.device or aux.gpu; else "auto"."""
    flat, ours = read_pairs(pairs)
    return str(ours.get("train", {}).get("device") or ("auto" if flat.get(_GPU) is None else _device(flat[_GPU])))


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
