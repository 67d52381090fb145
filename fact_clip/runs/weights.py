"""Files of weights, which contain tensors and facts about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn

from fact_clip.core import InputError, Json, library_errors
from fact_clip.core.io import check_file, parse_json
from fact_clip.core.paths import whole_file


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON facts to one file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing_tensors(path) as unfinished:
        save_tensors(plain, unfinished, {"facts": json.dumps(dict(facts))})


@contextmanager
def writing_tensors(path: Path) -> Iterator[Path]:
    """Write like `whole_file`, for safetensors, whose error on a full disk is not an OSError."""
    with whole_file(path) as unfinished, library_errors(path, "cannot be written", SafetensorError):
        yield unfinished


def read_weights(path: Path) -> tuple[dict[str, Tensor], Json]:
    """Read the tensors and facts from a file of `save_weights`.

    Raises:
        InputError: The file cannot be read.
    """
    check_file(path, "weights as they were saved")
    kinds = SafetensorError, OSError, RuntimeError, TypeError, KeyError
    with (
        library_errors(path, "not a readable safetensors file", *kinds),
        safe_open(path, framework="pt") as file,
    ):
        metadata = file.metadata() or {}
        weights = {key: file.get_tensor(key) for key in list(file.keys())}
    # The best score is minus infinity before the first validation.
    facts = parse_json(metadata.get("facts", "{}"), path, "facts about the weights", finite=False)
    if not isinstance(facts, dict):
        problem = f"the facts about the weights are a {type(facts).__name__}, not an object"
        raise InputError(path, problem)
    return weights, facts


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights into a model.

    Args:
        model: Model.
        weights: Values by the names of the parameters.
        path: Location of an error.

    Raises:
        InputError: A parameter is missing or unexpected, or has the wrong shape or type.
    """
    expected = model.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    extra = sorted(weights.keys() - expected.keys())
    if missing or extra:
        first = [*missing, *extra][0]
        problem = (
            f"{len(missing)} parameters are missing and {len(extra)} unexpected (first: {first})"
        )
        raise InputError(path, problem, "check that the configuration belongs to the weights")
    for name, value in expected.items():
        loaded = weights[name]
        if loaded.shape != value.shape:
            problem = (
                f"{name} has shape {tuple(loaded.shape)}, but the model has {tuple(value.shape)}"
            )
            raise InputError(path, problem, "check sizes and class count")
        if loaded.is_floating_point() != value.is_floating_point() or loaded.is_meta:
            problem = f"{name} contains {loaded.dtype} on {loaded.device}, not {value.dtype}"
            raise InputError(path, problem, "save the weights again")
        if value.is_floating_point() and not loaded.isfinite().all():
            raise InputError(path, f"{name} has a NaN or an infinity", "train the model again")
    model.load_state_dict(dict(weights))
