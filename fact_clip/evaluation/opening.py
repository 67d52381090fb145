"""A run with overrides and its data set, as an evaluation opens them."""

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
"""Exceptions from these, since the weights depend on them; `Run.read` checks the columns."""

VALIDATED = (
    "data.validation=",
    "data.validation_part=",
    "data.validation_videos=",
    "data.groups=",
)
"""Further exceptions for the training data: a trained video could become a validation video."""


@dataclass(frozen=True)
class OpenedRun:
    """A run that is ready to score a data set.

    Attributes:
        scorer: The models of the run with its overrides.
        dataset: The data set.
        trained: The run without overrides.
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

    Gamma and confidences are learned again if the decoding differs from the training.

    Args:
        run_dir: the run folder.
        overrides: ``key=value`` settings.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the model's products.
        data: data in memory instead of ``data.root``.

    Returns:
        The run and its data set.

    Raises:
        InputError: an override belongs to the training, or the run does not fit the data.
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
    # If these are not the data of the training, the list is None.
    settings = {"data.validation_videos": dataset.config.validation_videos}
    run = replace(run, config=with_values(run.config, settings))
    _check_data(run, dataset)
    loaded = replace(loaded, run=run)
    if not _is_decoded_alike(run, trained):
        if dataset.validation:
            check_seen(trained, dataset, "validation")
        elif loaded.confidence is not None:
            problem = "no validation videos, by which another decoding is calibrated"
            raise InputError("data.validation", problem, "leave it as in the training")
        calibration, confidence = learn_for_decoding(loaded, dataset, torch_device)
        loaded = replace(loaded, calibration=calibration, confidence=confidence)
    warn_of_unused([run.config], overrides)
    return OpenedRun(Scorer(loaded, torch_device, precision=precision), dataset, trained)


def _is_decoded_alike(run: Run, trained: Run) -> bool:
    """Return whether a run decodes the scores of the same models as in its training."""
    if run.config.decode != trained.config.decode:
        return False
    return run.config.train.members == trained.config.train.members


def _open_dataset(run: Run, store: DataStore | None, overrides: Sequence[str]) -> Dataset:
    """Open the data set of a run, with the validation videos of its training if it has them."""
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
    """Raise an InputError for an override that is no setting, or belongs to the training."""
    trained: tuple[str, ...] = TRAINED
    if not has_other_data and not any(word.startswith("data.root=") for word in overrides):
        trained = (*TRAINED, *VALIDATED)
    for override in overrides:
        if not override.startswith(CHANGEABLE) or override.startswith(trained):
            prefixes = ", ".join(CHANGEABLE)
            fix = f"train a run with it; settings that begin with {prefixes} can be changed"
            raise InputError(override, "this setting belongs to the training", fix)


def _check_data(run: Run, dataset: Dataset) -> None:
    """Raise an InputError if these data cannot score a run."""
    fix = "use the data that it was trained on"
    check_classes(run, dataset.vocabulary.names, dataset.location, fix)
    # Labels have the length of features, unless these have the other orientation.
    dataset.labels(dataset.learning[0])
    if dataset.input_dim != run.transform.input_dim:
        n_trained = run.transform.input_dim
        problem = f"{dataset.input_dim} columns, but {run.path} was trained with {n_trained}"
        raise InputError(dataset.folder.features_location, problem)
    run.check_rate(dataset.fps, "data.fps")
    for names in (dataset.train, dataset.test):
        run.check_encoder(dataset.encoder_of(names), dataset.folder.features_location)
