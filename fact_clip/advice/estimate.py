"""Estimates of the duration of a training run, for `data init`.

A few real steps are measured. On the CPU, all times are processor seconds of one core, because
small models gain little from a second core.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fact_clip.advice.proposal import Proposal, Setting
from fact_clip.config import Config, read_recipe, set_key, with_values
from fact_clip.core import Names
from fact_clip.devices.processes import Processes
from fact_clip.training.description import begin
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.trainer import Trainer, numerics

REPEATS = 3  # repetitions of each measurement
VIDEOS = 3  # number of training videos that are measured, from the shortest to the longest

# After this many steps, a model gains little, so remaining time is used for further models.
USEFUL_STEPS = 1800
USEFUL_STEPS_IF_SEPARABLE = 750  # for features whose extractor was trained on the labels
MIN_EPOCHS = 20
MAX_EPOCHS = 300
MAX_MEMBERS = 5

ZERO_SHOT = "zero_shot"
"""Name of the base recipe for a model that names unseen classes."""


@dataclass(frozen=True)
class Estimate:
    """Durations of the parts of a training run, in seconds.

    Attributes:
        start: Duration before the first epoch.
        epoch: Duration of one epoch.
        validation: Duration of one validation.
        videos: Number of videos that were measured.
    """

    start: float
    epoch: float
    validation: float
    videos: int

    def total(self, epochs: int, config: Config) -> float:
        """Return the duration of a training run with a number of epochs."""
        every = config.train.validate_every
        n_without = int(config.train.validate_from * epochs)
        n_validations = epochs // every - n_without // every
        if epochs % every > 0:
            n_validations += 1  # the last epoch is always validated
        return self.start + epochs * self.epoch + n_validations * self.validation

    def epochs_in(self, seconds: float, config: Config) -> int:
        """Return how many epochs fit into a time, at most those that the configuration has."""
        for epochs in range(config.train.epochs, 1, -1):
            if self.total(epochs, config) <= seconds:
                return epochs
        return 1


def estimate(config: Config) -> Estimate:
    """Train a new model on a few videos in a temporary folder, and measure an epoch.

    Args:
        config: Configuration of the training run.

    Returns:
        The durations for the complete training run, with all members one after the other.
    """
    start_time = time.process_time()
    plan = resolve(with_values(config, {"train.members": 1, "train.member_parts": False}))
    resolving = time.process_time() - start_time

    dataset = plan.dataset
    frames = {name: len(dataset.labels(name)) for name in dataset.learning}
    sample_names = spread(dataset.labelled(dataset.train), frames, VIDEOS)
    sample = dataset.with_videos(sample_names, validation=sample_names[:1])
    plan = replace(plan, dataset=sample)
    with tempfile.TemporaryDirectory() as temporary:
        start_time = time.process_time()
        processes = Processes(plan.device)
        run, parts = begin(plan, Path(temporary) / "run", processes)
        preparing = time.process_time() - start_time
        with numerics(run.config.train):
            epoch, validation = timed(plan, Trainer(run, sample, parts, processes))

    def ratio(names: Sequence[str], sample_names: Sequence[str]) -> float:
        n_frames = sum(frames[name] for name in names)
        return config.train.members * n_frames / sum(frames[name] for name in sample_names)

    train_ratio = ratio(dataset.train, sample.train)
    return Estimate(
        start=resolving + preparing * train_ratio,
        epoch=epoch * train_ratio,
        validation=validation * ratio(dataset.validation, sample.validation),
        videos=len(sample.train),
    )


def spread(names: Sequence[str], frames: dict[str, int], count: int) -> Names:
    """Return videos from the shortest to the longest, in even steps of rank.

    Args:
        names: Names of the videos.
        frames: Number of frames of each video, by name.
        count: Number of videos to return, or all of them if there are fewer.
    """
    order = sorted(names, key=lambda name: (frames[name], name))
    if len(order) <= count:
        return tuple(order)
    last = len(order) - 1
    return tuple(order[round(step * last / (count - 1))] for step in range(count))


def timed(plan: Plan, trainer: Trainer) -> tuple[float, float]:
    """Measure an epoch and a validation of a new model, after one of each without measurement.

    Returns:
        Seconds of an epoch and of a validation. On the CPU, one thread is used.
    """
    threads = torch.get_num_threads()
    clock = time.perf_counter
    if plan.device.type == "cpu":
        clock = time.process_time
        torch.set_num_threads(1)
    try:
        trainer.train_epoch()
        trainer.validate()
        # The minimum of several, because other programs can only slow the machine down.
        epoch = min(_duration(trainer.train_epoch, clock) for _ in range(REPEATS))
        validation = min(_duration(trainer.validate, clock) for _ in range(REPEATS))
    finally:
        torch.set_num_threads(threads)
    return epoch, validation


def _duration(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def with_time(proposal: Proposal, minutes: float) -> tuple[Proposal, str]:
    """Choose epochs and members that fit a time.

    Args:
        proposal: Settings of a training run.
        minutes: Duration of the training run on one core.

    Returns:
        The proposal with epochs and members, and a sentence about the duration.
    """
    measures = proposal.measures
    steps = USEFUL_STEPS_IF_SEPARABLE if measures.is_separable else USEFUL_STEPS
    most_epochs = useful_epochs(measures.videos, steps)
    config = _config_of(proposal, most_epochs)
    estimated = estimate(config)
    epochs = estimated.epochs_in(60 * minutes, config)
    reason = f"{estimated.epoch:.2f} s an epoch, {minutes:g} minutes"
    if epochs == most_epochs:
        reason = f"{estimated.epoch:.2f} s an epoch; a model gains little from more than {epochs}"
    proposal = proposal.with_settings(Setting("train.epochs", epochs, reason))

    duration = estimated.total(epochs, config)
    members = min(int(60 * minutes / duration), MAX_MEMBERS)
    if members > 1:
        duration *= members
        reason = (
            f"as many models as {minutes:g} minutes allow, at most {MAX_MEMBERS}; "
            "their scores are averaged"
        )
        proposal = proposal.with_settings(Setting("train.members", members, reason))
    sentence = (
        f"training will take about {_in_words(duration)} on one core of this machine, "
        f"estimated from steps on {estimated.videos} videos"
    )
    if proposal.unvalidated:
        note = f"no validation ({proposal.unvalidated}): the averaged last epoch is kept"
        proposal = replace(proposal, notes=(*proposal.notes, note))
    return proposal, sentence + _teacher_too(config)


def for_unseen_classes(proposal: Proposal) -> tuple[Proposal, str]:
    """Make a proposal for a model that names unseen classes (``data.holdout``).

    Such a model needs more epochs than a model with a closed set of classes, so the number of
    epochs follows from the number of videos and not from a time.

    Args:
        proposal: Settings of a training run.

    Returns:
        The proposal on the base `ZERO_SHOT` with epochs, and a sentence about the duration.
    """
    proposal = replace(proposal, base=ZERO_SHOT)
    n_videos = proposal.measures.videos
    epochs = useful_epochs(n_videos)
    config = _config_of(proposal, epochs)
    duration = estimate(config).total(epochs, config)
    reason = f"{n_videos} videos to learn from; a model that names unseen classes gains by them"
    proposal = proposal.with_settings(Setting("train.epochs", epochs, reason))
    sentence = (
        f"{config.train.members} models of {epochs} epochs will take about {_in_words(duration)} "
        "on one core of this machine; fewer epochs: train.epochs=N"
    )
    return proposal, sentence + _teacher_too(config)


def _teacher_too(config: Config) -> str:
    return "; its teacher comes on top" if config.train.self_training else ""


def _config_of(proposal: Proposal, epochs: int) -> Config:
    """Return the configuration of a proposal."""
    tree = read_recipe(proposal.base)
    for key, value, _ in proposal.settings:
        set_key(tree, key.split("."), value, key)
    set_key(tree, ["train", "epochs"], epochs, "train.epochs")
    return Config.from_tree(tree, "the recipe")


def useful_epochs(n_videos: int, steps: int = USEFUL_STEPS) -> int:
    """Return the number of epochs after which a model gains little, for a number of videos."""
    epochs = math.ceil(steps / n_videos)
    return min(max(epochs, MIN_EPOCHS), MAX_EPOCHS)


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"
