"""The settings of published command lines: ``--cfg`` files merged in order, then ``--set KEY VALUE ...``.

Files and keys may be those of the published code (FACT.md, 'Reference configuration') or of this one, in any mixture.
"""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from fact_clip.compat.reference import KEYS, SWITCHES, flatten, meaningless, translate, whole_tree
from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.core.files import read_mapping
from fact_clip.recipes import merged, put, read_recipe

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
        put(settings.tree, ["train", "device"], _device(settings.known[_GPU]), _GPU)
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
            put(ours, key.split("."), value, key)
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
