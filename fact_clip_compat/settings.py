"""Settings of the published FACT and FACT-CLIP code (README.md, 'Reference configuration')."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fact_clip.config import Config, flattened, merged, read_recipe, set_key, value_of, with_values
from fact_clip.core import InputError, Json, Names
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import suggest
from fact_clip.datasets.benchmarks import BENCHMARKS

_TABLES = read_mapping(Path(__file__).with_name("keys.yaml"), "the published keys")
KEYS: dict[str, str] = _TABLES["keys"]
"""Reference key -> our key."""

for _reference, _block in _TABLES["blocks"].items():
    for _key, _name in _TABLES["block"].items():
        KEYS[f"{_reference}.{_key}"] = f"{_block}.{_name}"

# Reference keys that need more than a new name: see `translate`.
SWITCHES = {"use_clip", "holdout_mode", "holdout_classes", "TM.use", "dataset", "FACT.cmr"}
# What a reference configuration means by leaving a key out, where that is not our default.
_ABSENT: Json = {"dataset": "", "TM.use": False, "FACT.cmr": 0.0, "Loss.pc": 1.0}
# Keys that mean something only together.
_TOGETHER = ({"TM.use", "TM.m"}, {"holdout_mode", "holdout_classes"})
_GPU = "aux.gpu"
_GROUPS = tuple(Config.model_fields)  # of our keys


def read_config(
    reference: Mapping[str, Any],
    *,
    verb_noun: bool = False,
    where: str | Path = "reference configuration",
) -> tuple[Config, Names]:
    """Convert a reference configuration to one of this package.

    Args:
        reference: Reference keys, flat or nested.
        verb_noun: Whether the model scores verbs and nouns; that of Epic-Kitchens always does.
        where: Location for errors.

    Returns:
        Our configuration, and the reference keys that have no meaning here.

    Raises:
        InputError: A value is not valid.
    """
    flat = flatten(reference)
    return Config.from_tree(_complete_tree(flat, verb_noun), str(where)), _meaningless(flat)


def flatten(tree: Mapping[str, Any]) -> Json:
    """Return a nested mapping as flat dotted keys. Flat keys stay as they are."""
    # Some published files write null the Python way, which YAML reads as a string.
    return {key: None if value == "None" else value for key, value in flattened(tree).items()}


def _meaningless(flat: Mapping[str, Any]) -> Names:
    return tuple(sorted(key for key in flat if key not in KEYS and key not in SWITCHES))


def _complete_tree(flat: Mapping[str, Any], verb_noun: bool = False) -> Json:
    """Return our settings for a complete reference configuration, its defaults included."""
    present = {key: value for key, value in flat.items() if value is not None or key == "lr_decay"}
    return translate({**_ABSENT, **present}, verb_noun=verb_noun)


def translate(flat: Mapping[str, Any], *, verb_noun: bool = False) -> Json:
    """Return the tree of our settings that flat reference keys change.

    Null changes nothing, except for ``lr_decay``. Unknown keys are ignored.

    Args:
        flat: Reference keys.
        verb_noun: Whether the model scores verbs and nouns.
    """
    settings = {
        KEYS[key]: value for key, value in flat.items() if key in KEYS and value is not None
    }
    if "lr_decay" in flat:
        # Epochs until the rate falls to a tenth. With null or a number below one it is constant.
        decay = flat["lr_decay"]
        constant = decay is None or (isinstance(decay, int) and decay <= 0)
        settings["train.schedule"] = "constant" if constant else "step"
        if constant:
            settings.pop("train.lr_decay", None)
    if "TM.use" in flat:
        spans = settings.get("augment.time_spans", 5)
        settings["augment.time_spans"] = spans if flat["TM.use"] else 0
    if "train.optimizer" in settings:
        settings["train.optimizer"] = str(settings["train.optimizer"]).lower()

    if flat.get("split") is not None:  # "split4" is part of a file name there, and split 4 here
        name = str(flat["split"]).removeprefix("split")
        settings["data.split"] = int(name) if re.fullmatch("0|[1-9][0-9]{,8}", name) else name
    if "dataset" in flat:
        settings["data.name"] = data_set_of(str(flat["dataset"] or ""))
        if settings["data.name"].startswith("havid"):
            settings["text.phrase"] = "havid"  # its names are codes
    if "holdout_mode" in flat:
        settings["data.holdout"] = held_out(flat) or None
    if flat.get("use_clip"):
        settings["model.head"] = "fact-clip"
    elif verb_noun or settings.get("data.name") == "epic":
        settings["model.head"] = "verb-noun"
    elif "use_clip" in flat:
        settings["model.head"] = "closed"

    tree: Json = {}
    for key, value in settings.items():
        set_key(tree, key.split("."), value, key)
    return tree


def held_out(flat: Mapping[str, Any]) -> list[Any]:
    """Return the held-out classes of flat reference keys; a single one may stand alone."""
    classes = flat.get("holdout_classes")
    if not flat.get("holdout_mode") or classes in (None, ""):
        return []
    return classes if isinstance(classes, list) else [classes]


def data_set_of(name: str) -> str:
    """Return the name in datasets/benchmarks.py of a reference data set, or "folder"."""
    name = _TABLES["data_sets"].get(name, name)
    if name in BENCHMARKS:
        return name
    for benchmark in BENCHMARKS:
        if name and (benchmark.startswith(name) or name.startswith(benchmark)):
            raise InputError("dataset", f"no data set {name!r}", f"name {benchmark!r} or 'folder'")
    return "folder"


def read_settings(files: Sequence[str], pairs: Sequence[str] = ()) -> Config:
    """Read the configuration of ``--cfg`` and ``--set``. Warns of keys without a meaning here.

    Args:
        files: Reference files, or names of our recipes.
        pairs: KEY VALUE KEY VALUE ...

    Returns:
        Our configuration.

    Raises:
        InputError: A file or a value is not valid.
    """
    tree: Json = {}
    reference: Json = {}
    for content in (*map(_read_file, files), _read_pairs(pairs)):
        flat, own_keys = _separated(content)
        tree = merged(merged(tree, _changes(flat, tree, reference)), own_keys)
        reference.update(flat)
    absent = [key for key in _TABLES["complete"] if key not in reference]
    if absent and "FACT.block" in reference:  # a whole configuration
        message = "keys that are left out have the defaults of this package, not the published ones"
        warnings.warn(f"{message}: {', '.join(absent)}", stacklevel=2)
    meaningless = _meaningless(reference)
    if meaningless:
        warnings.warn(f"keys without a meaning here: {', '.join(meaningless)}", stacklevel=2)
    if reference.get("holdout_mode") and not held_out(reference):
        warnings.warn("holdout_mode without holdout_classes: nothing is held out", stacklevel=2)
    return Config.from_tree(tree, " + ".join([*files, "--set"]))


def _read_file(name: str) -> Json:
    """Read a reference file, which may have our keys, too, or one of our recipes."""
    path = Path(name)
    if path.is_file():
        content = read_mapping(path, "a YAML file")
        if any(key in KEYS or key in SWITCHES for key in flatten(content)):
            return content
    return read_recipe(name)


def _separated(content: Json) -> tuple[Json, Json]:
    """Return the reference keys, flat, and our keys. The GPU of the former is one of the latter."""
    reference = dict(content)
    own_keys = {key: reference.pop(key) for key in content if key in _GROUPS}
    flat = flatten(reference)
    gpu = flat.pop(_GPU, None)
    if gpu is not None:
        own_keys = merged({"train": {"device": _device(gpu)}}, own_keys)
    return flat, own_keys


def _device(gpu: Any) -> str:
    """Return the device of a number of a GPU, or of -1."""
    if not isinstance(gpu, int):
        raise InputError(_GPU, f"{gpu!r} is not the number of a GPU, or -1 for the CPU")
    if gpu < 0:
        return "cpu"
    if not torch.cuda.is_available():
        return "auto"  # scripts/train.py warns
    return f"cuda:{gpu}"


def _changes(flat: Mapping[str, Any], tree: Json, earlier: Mapping[str, Any]) -> Json:
    """Return the changes of reference keys to a tree that has the `earlier` reference keys."""
    if not flat:
        return {}
    if not tree:
        return _complete_tree(flat)
    changes = dict(flat)
    for group in _TOGETHER:
        if group & flat.keys():
            missing = group & earlier.keys()
            changes = {**{key: earlier[key] for key in missing}, **changes}
    if "holdout_classes" in changes and "holdout_mode" not in changes:
        if tree.get("data", {}).get("holdout") is None:
            raise InputError("holdout_classes", "nothing is held out", "set holdout_mode true")
        changes["holdout_mode"] = True
    head = tree.get("model", {}).get("head")
    if not changes.get("use_clip", True) and head != "fact-clip":
        del changes["use_clip"]  # it is off already, and the head may be verb-noun
    if "dataset" in changes and head == "fact-clip":
        changes.setdefault("use_clip", True)
    if "dataset" in changes and head == "verb-noun":
        changes["use_clip"] = False  # verbs and nouns are those of Epic-Kitchens
    return translate(changes)


def _read_pairs(pairs: Sequence[str]) -> Json:
    """Read the words of ``--set``: KEY VALUE KEY VALUE ..."""
    if len(pairs) % 2:
        raise InputError("--set", f"{pairs[-1]!r} has no value", "write KEY VALUE KEY VALUE ...")
    content: Json = {}
    for key, word in zip(pairs[::2], pairs[1::2], strict=True):
        value = value_of(key, word, f"--set {key}")
        if key.split(".")[0] in _GROUPS:
            set_key(content, key.split("."), value, key)
        elif key in KEYS or key in SWITCHES or key.startswith("aux."):
            content[key] = value
        else:
            fix = suggest(key, [*KEYS, *SWITCHES, _GPU])
            raise InputError("--set", f"unknown key {key}", fix)
    return content


def read_changes(pairs: Sequence[str], trained: Config | None = None) -> tuple[list[str], str]:
    """Return the changes of ``--set`` that scoring reads, as KEY=VALUE, and the device.

    Raises an InputError for others that `trained` has not.
    """
    flat, own_keys = _separated(_read_pairs(pairs))
    if "holdout_classes" in flat:
        flat.setdefault("holdout_mode", True)
    changes = flatten(merged(translate(flat), own_keys))
    device = str(changes.pop("train.device", "auto"))
    words = []
    for key, value in changes.items():
        if trained is not None and with_values(trained, {key: value}) == trained:
            continue
        if key.startswith(("data.", "decode.", "evaluation.")):
            words.append(f"{key}={json.dumps(value)}")
        elif trained is not None:
            raise InputError("--set", f"the training had another {key}", "train a run with it")
    return words, device
