"""The run that a training starts from (``train.init``): whether it fits, and its weights."""

from __future__ import annotations

import logging
import shlex

from torch import Tensor

from fact_clip.config import Config
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.hub import run_folder
from fact_clip.models import FACT
from fact_clip.models.heads import is_open, reads_text
from fact_clip.run import Run, load_strictly, read_weights
from fact_clip.seen import Seen, unseen_error

logger = logging.getLogger(__name__)

_KEY = "train.init"


def read_start(config: Config, dataset: Dataset) -> tuple[Run | None, dict[str, Tensor]]:
    """Read the run of ``train.init``.

    Args:
        config: of the training.
        dataset: of the training.

    Returns:
        The run and "object_text" (O, E), the text vectors of its objects, if it has some. None and
        no texts if the training starts from random weights.

    Raises:
        InputError: its model, texts, feature transform or classes do not fit the training.
    """
    if config.train.init is None:
        return None, {}
    run = Run.read(run_folder(config.train.init))
    head = config.model.head
    _check_same_settings(run, config, ("model", "text") if reads_text(head) else ("model",))
    takes_any_name = is_open(head)
    n_columns = run.transform.input_dim
    if n_columns != dataset.input_dim:
        problem = f"features of {dataset.input_dim} columns, but {run.path} reads {n_columns}"
        raise InputError(_KEY, problem)
    is_standardized = run.transform.mean is not None
    if run.transform.context != config.data.context or is_standardized != config.data.standardize:
        problem = f"{run.path} was trained with another data.context or data.standardize"
        raise InputError(_KEY, problem)
    if not takes_any_name:
        _check_classes(run, config, dataset.vocabulary)
    run.check_rate(dataset.fps, _KEY)
    run.check_encoder(dataset.encoder, _KEY)
    seen = check_start_seen(run, dataset, _KEY)
    if seen is not None:
        _check_validation(run, seen, dataset)
    if run.objects is None:
        return run, {}
    weights, _ = read_weights(run.path / "model.safetensors")
    return run, {"object_text": weights["objects.names"]}


def check_start_seen(run: Run, dataset: Dataset, where: str) -> Seen | None:
    """Check that a run that a training builds on has not learned what is tested.

    Args:
        run: the run.
        dataset: of the training.
        where: location of an error.

    Returns:
        What the run has seen; None if it has no record, with a warning.

    Raises:
        InputError: it has seen a test video, or learned a hidden class.
    """
    seen = run.seen_by_all()
    if seen is None:
        logger.warning("%s: %s does not record what it has seen", where, run.path)
        return None
    seen.check_videos(dataset, dataset.test, where)
    if dataset.hidden:
        seen.check_unseen_classes(dataset, where)
        learned = seen.learned_classes(dataset.names_of(dataset.hidden))
        if learned:
            raise unseen_error(learned[0], where)
    same = seen.same_names(dataset, dataset.test)
    if same:
        message = "%s: the test video %r has the name of one that %s has seen, and other features"
        logger.warning(message, where, same[0], run.path)
    return seen


def _check_validation(run: Run, seen: Seen, dataset: Dataset) -> None:
    """Warn of a validation video that a starting run has learned."""
    validation = [
        name for name, video in seen.find_in(dataset, dataset.validation) if video.role == "trained"
    ]
    if validation:
        message = "%s: %s was trained on the validation video %r, so that validation is too good"
        logger.warning(message, _KEY, run.path, validation[0])


def _check_same_settings(run: Run, config: Config, groups: Names) -> None:
    """Raise an InputError if some groups of a starting run have other settings."""
    for group in groups:
        settings = getattr(config, group).model_dump()
        for name, value in getattr(run.config, group).model_dump().items():
            if settings[name] != value:
                recipe = shlex.quote(str(run.path / "config.yaml"))
                problem = f"{run.path} was trained with another {group}.{name}"
                fix = f"use its settings: fact-clip train {recipe} ..."
                raise InputError(_KEY, problem, fix)


def _check_classes(run: Run, config: Config, vocabulary: Vocabulary) -> None:
    """Raise an InputError if a starting run cannot be trained on these classes."""
    if run.vocabulary.names == vocabulary.names:
        return
    if config.model.head != "closed" or config.model.transcript:
        problem = (
            f"{run.path} can only name its {len(run.vocabulary)} classes; the data set has others"
        )
        raise InputError(_KEY, problem, "train with model.head=text, which takes new classes")
    for name in run.vocabulary:
        if name not in vocabulary:
            problem = f"the data set has no {name!r}, a class of {run.path}"
            raise InputError(_KEY, problem, "add it to mapping.txt")


def grown_channels(start: Run, vocabulary: Vocabulary) -> tuple[int, ...]:
    """Return the score channel of each class.

    New classes come first, so that those of the starting run stay where they were.
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

    Text vectors, and the outputs of new classes, keep their values.
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
