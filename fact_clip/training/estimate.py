"""How long a training will take on this machine, by some real steps of it; for `fact-clip data init`.

On the CPU all times are processor seconds of one core: small models gain little from a second one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fact_clip.config import Config
from fact_clip.core.distributed import Processes
from fact_clip.training.plan import Plan, resolve, with_values
from fact_clip.training.state import begin
from fact_clip.training.trainer import Trainer, numerics

VIDEOS = 3  # Training videos that are measured, from the shortest to the longest


@dataclass(frozen=True)
class Estimate:
    """Seconds of a training: before the first epoch, of an epoch, and of a validation."""

    start: float
    epoch: float
    validation: float
    videos: int  # that were measured

    def total(self, epochs: int, config: Config) -> float:
        """Seconds of a training of some epochs, else with the settings of a configuration."""
        every, before = config.train.validate_every, int(config.train.validate_from * epochs)
        validations = epochs // every - before // every + (epochs % every > 0)  # the last epoch is always validated
        return self.start + epochs * self.epoch + validations * self.validation

    def epochs_in(self, seconds: float, config: Config) -> int:
        """The most epochs whose training takes at most this long; 1 at least, those of the configuration at most."""
        fitting = (epochs for epochs in range(config.train.epochs, 1, -1) if self.total(epochs, config) <= seconds)
        return next(fitting, 1)


def estimate(config: Config) -> Estimate:
    """Train a new model for two epochs of three videos, in a temporary folder, and time the second."""
    one_model = with_values(config, {"train.members": 1, "train.member_parts": False})
    began = time.process_time()
    plan = resolve(one_model)
    resolved = time.process_time() - began
    dataset = plan.dataset
    frames = {name: len(dataset.labels(name)) for name in dataset.learning}
    every, validated = (sum(frames[name] for name in names) for names in (dataset.train, dataset.validation))
    dataset.train = spread(dataset.train, frames, VIDEOS)
    dataset.validation = dataset.train[:1]
    some, validated_frames = (sum(frames[name] for name in names) for names in (dataset.train, dataset.validation))
    with tempfile.TemporaryDirectory() as temporary:
        began = time.process_time()
        run, texts = begin(plan, Path(temporary) / "run", Processes(plan.device))
        prepared = time.process_time() - began
        with numerics(run.config.train):
            epoch, validation = timed(plan, Trainer(run, dataset, texts))
    trained, judged = config.train.members * every / some, config.train.members * validated / validated_frames
    return Estimate(resolved + prepared * trained, epoch * trained, validation * judged, len(dataset.train))


def spread(names: Sequence[str], frames: dict[str, int], count: int) -> tuple[str, ...]:
    """`count` names, or all of fewer, from the shortest video to the longest in even steps of rank."""
    order = sorted(names, key=lambda name: (frames[name], name))
    if len(order) <= count:
        return tuple(order)
    return tuple(order[round(step * (len(order) - 1) / (count - 1))] for step in range(count))


def timed(plan: Plan, trainer: Trainer) -> tuple[float, float]:
    """Seconds of an epoch and of a validation of a new model, the second of each; on the CPU of one thread."""
    threads, on_cpu = torch.get_num_threads(), plan.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    torch.set_num_threads(1 if on_cpu else threads)
    try:
        trainer.train_epoch()
        trainer.validate()
        began = clock()
        trainer.train_epoch()
        trained = clock()
        trainer.validate()
        return trained - began, clock() - trained
    finally:
        torch.set_num_threads(threads)
