"""The run that training starts from (``train.init``): its checks and its weights."""

from __future__ import annotations

import logging
import shlex

from torch import Tensor

from fact_clip.config import Config, ModelConfig
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.models import FACT
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run
from fact_clip.runs.weights import load_strictly, read_weights

logger = logging.getLogger(__name__)

_KEY = "train.init"


def read_start(
    config: Config, dataset: Dataset, reads_text: bool, takes_any_name: bool
) -> Run | None:
    """Read the run of ``train.init``.

    Args:
        config: Configuration of the new run.
        dataset: Data set of the new run.
        reads_text: Whether the head uses vectors of class names.
        takes_any_name: Whether the head accepts classes that it was not trained with.

    Returns:
        The run, or None if training starts from random weights.

    Raises:
        InputError: The model, texts, feature transform or classes do not fit the new run.
    """
    if config.train.init is None:
        return None
    folder = run_folder(config.train.init)
    run = Run.read(folder)
    _check_same_settings(run, config, ("model", "text") if reads_text else ("model",))
    n_columns = run.transform.input_dim
    if n_columns != dataset.input_dim:
        problem = f"features of {dataset.input_dim} columns, but {run.path} reads {n_columns}"
        raise InputError(_KEY, problem)
    is_standardized = run.transform.mean is not None
    if run.transform.context != config.data.context or is_standardized != config.data.standardize:
        problem = f"{run.path} was trained with a different data.context or data.standardize"
        raise InputError(_KEY, problem)
    if not takes_any_name:
        _check_classes(run, config.model, dataset.vocabulary)
    record = run.check_start(dataset, _KEY)
    if record is not None:
        for name, video in record.find_in(dataset, dataset.validation):
            if video.role == "trained":
                message = (
                    "%s: %s was trained on the validation video %r, so the validation scores are "
                    "too high"
                )
                logger.warning(message, _KEY, run.path, name)
                break
    return run


def start_texts(run: Run | None) -> dict[str, Tensor]:
    """Return "object_text" (O, E), the text vectors of the objects of a starting run."""
    if run is None or run.objects is None:
        return {}
    weights, _ = read_weights(run.path / "model.safetensors")
    return {"object_text": weights["objects.names"]}


def _check_same_settings(run: Run, config: Config, groups: Names) -> None:
    """Raise an InputError if a starting run has different settings in some groups."""
    for group in groups:
        settings = getattr(config, group).model_dump()
        for name, value in getattr(run.config, group).model_dump().items():
            if settings[name] != value:
                recipe = shlex.quote(str(run.path / "config.yaml"))
                problem = f"{run.path} was trained with a different {group}.{name}"
                fix = f"use its settings: fact-clip train {recipe} ..."
                raise InputError(_KEY, problem, fix)


def _check_classes(run: Run, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Raise an InputError if a starting run cannot be trained on these classes."""
    if run.vocabulary.names == vocabulary.names:
        return
    if model.head != "closed" or model.transcript:
        problem = (
            f"{run.path} can predict only its {len(run.vocabulary)} classes, not those of the data"
        )
        raise InputError(_KEY, problem, "train with model.head=text to add classes")
    for name in run.vocabulary:
        if name not in vocabulary:
            problem = f"the data set lacks {name!r}, a class of {run.path}"
            raise InputError(_KEY, problem, "add it to mapping.txt")


def grown_channels(start: Run, vocabulary: Vocabulary) -> tuple[int, ...]:
    """Return the score channel of each class.

    New classes come first, so that the classes of the starting run keep their channels.
    """
    if start.vocabulary.names == vocabulary.names:
        return start.classes.channels
    n_new = len(vocabulary) - len(start.vocabulary)
    old_channels = start.classes.channels or range(len(start.vocabulary))
    pairs = zip(start.vocabulary.names, old_channels, strict=True)
    channel_of = {name: n_new + channel for name, channel in pairs}
    free = iter(range(n_new))
    return tuple(
        channel_of[name] if name in channel_of else next(free) for name in vocabulary.names
    )


def load_start(model: FACT, run: Run) -> None:
    """Load the weights of ``train.init`` into a new model.

    Text vectors and the outputs of new classes keep their values.
    """
    start = Run.read(run_folder(str(run.config.train.init)))
    path = start.path / "model.safetensors"
    weights, _ = read_weights(path)
    if model.text is not None:
        weights["text_embeddings"] = model.text
    count = run.classes.count
    n_new = count - start.classes.count
    if run.config.model.head == "closed" and n_new:
        fresh = model.state_dict()
        for name, weight in weights.items():
            layer = name.rpartition(".")[0]
            if layer.endswith(("frame_branch.conv_out", "seg_combine")):
                new = slice(-count, n_new - count)
                weight[new] = fresh[name][new]
            elif layer.endswith(("action_branch.out_linear", "action_branch.out_map")):
                # The null class is the last channel.
                new = slice(-count - 1, n_new - count - 1)
                weight[new] = fresh[name][new]
    load_strictly(model, weights, str(path))
