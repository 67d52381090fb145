"""Opening of a run with overrides, and of its data set, for an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fact_clip import metrics
from fact_clip.config import warn_of_unused, with_values
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataStore
from fact_clip.datasets.memory import DataSource, MemoryStore, with_data
from fact_clip.devices.device import Precision, pick_device
from fact_clip.evaluation.cautions import check_seen
from fact_clip.evaluation.learning import learn_for_decoding
from fact_clip.inference.scorer import Scorer
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run, check_classes

CHANGEABLE = ("data.", "decode.", "evaluation.", "text.encoder=", "train.members=")
"""Settings that an evaluation may change."""

TRAINED = (
    "data.objects",
    "data.stride=",
    "data.interleave=",
    "data.context=",
    "data.standardize=",
)
"""Exceptions, because the weights depend on these settings. `Run.read` checks the columns."""

VALIDATED = (
    "data.validation=",
    "data.validation_part=",
    "data.validation_videos=",
    "data.groups=",
)
"""Further exceptions for the training data: a training video could become a validation video."""


@dataclass(frozen=True)
class OpenedRun:
    """A run that is ready to score a data set.

    Attributes:
        scorer: Models of the run with its overrides.
        dataset: The data set.
        trained: Run without overrides.
    """

    scorer: Scorer
    dataset: Dataset
    trained: Run


def open_run(
    run_dir: str | Path,
    overrides: Sequence[str],
    device: str,
    precision: Precision = "auto",
    data: DataSource | None = None,
) -> OpenedRun:
    """Open a run with overrides, and its data set.

    If the decoding differs from training, gamma and confidences are learned again.

    Args:
        run_dir: Run folder.
        overrides: Settings as ``key=value``.
        device: Device: auto, cpu, cuda, cuda:N or mps.
        precision: Precision of matrix products in the model.
        data: Data in memory instead of ``data.root``.

    Returns:
        The run and its data set.

    Raises:
        InputError: An override belongs to training, or the run does not fit the data.
    """
    _check_overrides(overrides, has_other_data=data is not None)
    trained = Run.read(run_folder(run_dir))
    loaded = trained.overridden(overrides).load()
    torch_device = pick_device(device, "device")
    run = loaded.run
    if data is not None:
        config = run.config
        if config.data.background is None:
            config = with_values(config, {"data.background": run.vocabulary.background})
        run = replace(run, config=with_data(config, data))
    metrics.figure_keys(run.config.evaluation.profile)
    store = None if data is None else MemoryStore(data)
    dataset = _open_dataset(run, store, overrides)
    # This list is None if these are not the training data.
    settings = {"data.validation_videos": dataset.config.validation_videos}
    run = replace(run, config=with_values(run.config, settings))
    _check_data(run, dataset)
    loaded = replace(loaded, run=run)
    if not _is_decoded_alike(run, trained):
        if dataset.validation:
            check_seen(trained, dataset, "validation")
        elif loaded.confidence is not None:
            problem = "no validation videos to calibrate a different decoding"
            raise InputError("data.validation", problem, "use the same decoding as in training")
        calibration, confidence = learn_for_decoding(loaded, dataset, torch_device)
        loaded = replace(loaded, calibration=calibration, confidence=confidence)
    warn_of_unused([run.config], overrides)
    return OpenedRun(Scorer(loaded, torch_device, precision=precision), dataset, trained)


def _is_decoded_alike(run: Run, trained: Run) -> bool:
    """Return whether decoding and number of models are the same as in training."""
    if run.config.decode != trained.config.decode:
        return False
    return run.config.train.members == trained.config.train.members


def _open_dataset(run: Run, store: DataStore | None, overrides: Sequence[str]) -> Dataset:
    """Open the data set of a run, with the same validation videos as in training if possible."""
    config = run.config.data.model_copy(update={"validation_videos": None})
    dataset = Dataset.open(config, store, run.vocabulary)
    if any(override.startswith(VALIDATED) for override in overrides):
        return dataset
    names: set[str] = set()
    for member in run.members():
        names.update(member.validation_videos or ())
    if run.validation_videos is None or not names <= dataset.roles.parts.groups.of_video.keys():
        return dataset
    config = config.model_copy(update={"validation_videos": run.validation_videos})
    return Dataset.open(config, dataset.folder, run.vocabulary)


def _check_overrides(overrides: Sequence[str], has_other_data: bool) -> None:
    """Raise an InputError for an override that is unknown or belongs to training."""
    trained: tuple[str, ...] = TRAINED
    if not has_other_data and not any(word.startswith("data.root=") for word in overrides):
        trained = (*TRAINED, *VALIDATED)
    for override in overrides:
        if not override.startswith(CHANGEABLE) or override.startswith(trained):
            prefixes = ", ".join(CHANGEABLE)
            fix = f"train a run with it; you can change settings that begin with {prefixes}"
            raise InputError(override, "this setting belongs to training", fix)


def _check_data(run: Run, dataset: Dataset) -> None:
    """Raise an InputError if a run cannot be scored on these data."""
    fix = "use the data that it was trained on"
    check_classes(run, dataset.vocabulary.names, dataset.location, fix)
    # Labels are as long as features, unless the features have the other orientation.
    dataset.labels(dataset.learning[0])
    if dataset.input_dim != run.transform.input_dim:
        n_trained = run.transform.input_dim
        problem = f"{dataset.input_dim} columns, but {run.path} was trained with {n_trained}"
        raise InputError(dataset.folder.features_location, problem)
    run.check_rate(dataset.fps, "data.fps")
    for names in (dataset.train, dataset.test):
        run.check_encoder(dataset.encoder_of(names), dataset.folder.features_location)
