"""Files of tensors: written whole or not at all, read without executing anything, loaded strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn

from fact_clip.core.errors import InputError
from fact_clip.core.io import check_file, parse_json
from fact_clip.core.paths import whole_file

_OBJECTS_OF_FORMAT_1 = re.compile(r"(?<![^.])channels[.]")  # names of the object columns' parameters


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and a few JSON facts to one file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing_tensors(path) as unfinished:
        save_tensors(plain, unfinished, {"facts": json.dumps(dict(facts))})


@contextmanager
def writing_tensors(path: Path) -> Iterator[Path]:
    """Do as `whole_file` for safetensors, whose error on a full disk is not an OSError."""
    with whole_file(path) as unfinished:
        try:
            yield unfinished
        except SafetensorError as error:
            raise InputError(path, f"cannot be written ({error})") from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and facts of a file of `save_weights`; an InputError where it cannot be read."""
    if not path.exists():
        raise InputError(path, "no such file", "train the run, or let the training reach its first epoch")
    check_file(path, "weights as they were saved")
    try:
        with safe_open(path, framework="pt") as file:
            # the best score is minus infinity before the first validation
            facts = parse_json(
                (file.metadata() or {}).get("facts", "{}"), path, "facts about the weights", finite=False
            )
            weights = {_OBJECTS_OF_FORMAT_1.sub("objects.", key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})") from None
    if not isinstance(facts, dict):
        raise InputError(path, f"the facts about the weights are a {type(facts).__name__}, not an object")
    return weights, facts


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights; an InputError names the first missing, unexpected or wrongly shaped parameter."""
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or extra:
        problems = [f"{len(missing)} parameters are missing (first: {missing[0]})"] if missing else []
        problems += [f"{len(extra)} are unexpected (first: {extra[0]})"] if extra else []
        raise InputError(path, " and ".join(problems), "check that the configuration is that of the weights")
    for name, value in expected.items():
        loaded = weights[name]
        if loaded.shape != value.shape:
            problem = f"{name} has shape {tuple(loaded.shape)}, but the model has {tuple(value.shape)}"
            raise InputError(path, problem, "check sizes and class count")
        if loaded.is_floating_point() != value.is_floating_point():
            raise InputError(path, f"{name} holds {loaded.dtype}, not {value.dtype}", "save the weights again")
        if value.is_floating_point() and not loaded.isfinite().all():
            raise InputError(path, f"{name} has a NaN or an infinity", "train the model again")
    model.load_state_dict(dict(weights))
