"""What a training can do in a given time on this machine, by some real steps of it; for `data init` and `zero_shot`.

On the CPU all times are processor seconds of one core: small models gain little from a second one.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fact_clip.config import Config, DataConfig, read_recipe, set_key, with_values
from fact_clip.core import ConfigKey, InputError
from fact_clip.core.distributed import Processes, place_in_launch
from fact_clip.datasets.describe import Proposal, Setting, propose
from fact_clip.training.plan import Note, Plan, resolve, tell
from fact_clip.training.state import begin
from fact_clip.training.trainer import Trainer, numerics

VIDEOS = 3  # Training videos that are measured, from the shortest to the longest
MINUTES = 1.5  # That a training takes on one core; `data init --minutes` has the same default
STEPS, MOST_EPOCHS, MOST_MEMBERS = (
    1800,
    300,
    5,
)  # After so many steps a model gains little: more time, more models
MEASURED = "zero_shot"  # The recipe that measures a folder of the user's own


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
        validations = (
            epochs // every - before // every + (epochs % every > 0)
        )  # the last epoch is always validated
        return self.start + epochs * self.epoch + validations * self.validation

    def epochs_in(self, seconds: float, config: Config) -> int:
        """The most epochs whose training takes at most this long; 1 at least, those of the configuration at most."""
        fitting = (
            epochs
            for epochs in range(config.train.epochs, 1, -1)
            if self.total(epochs, config) <= seconds
        )
        return next(fitting, 1)


def estimate(config: Config) -> Estimate:
    """Train a new model for two epochs of three videos, in a temporary folder, and time the second."""
    one_model = with_values(config, {"train.members": 1, "train.member_parts": False})
    began = time.process_time()
    plan = resolve(one_model)
    resolved = time.process_time() - began
    dataset = plan.dataset
    frames = {name: len(dataset.labels(name)) for name in dataset.learning}
    every, validated = (
        sum(frames[name] for name in names) for names in (dataset.train, dataset.validation)
    )
    train = spread(dataset.train, frames, VIDEOS)
    dataset = dataset.with_videos(train, validation=train[:1])
    plan = replace(plan, dataset=dataset)
    some, validated_frames = (
        sum(frames[name] for name in names) for names in (dataset.train, dataset.validation)
    )
    with tempfile.TemporaryDirectory() as temporary:
        began = time.process_time()
        run, texts = begin(plan, Path(temporary) / "run", Processes(plan.device))
        prepared = time.process_time() - began
        with numerics(run.config.train):
            epoch, validation = timed(plan, Trainer(run, dataset, texts))
    trained, judged = (
        config.train.members * every / some,
        config.train.members * validated / validated_frames,
    )
    return Estimate(
        resolved + prepared * trained, epoch * trained, validation * judged, len(dataset.train)
    )


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


def with_time(proposal: Proposal, minutes: float) -> tuple[Proposal, str]:
    """A proposal with the epochs and models that fit the time, and what the training will take, in words."""
    tree = read_recipe(proposal.base)
    for key, value, _ in proposal.settings:
        set_key(tree, key.split("."), value, key)
    most = min(max(math.ceil(STEPS / proposal.measures.videos), 20), MOST_EPOCHS)
    set_key(tree, ["train", "epochs"], most, "train.epochs")
    config = Config.from_tree(tree, "the recipe")
    estimated = estimate(config)
    epochs = estimated.epochs_in(60 * minutes, config)
    reason = (
        f"; a model gains little from more than {most}"
        if epochs == most
        else f", {minutes:g} minutes"
    )
    proposal = proposal.with_settings(
        Setting("train.epochs", epochs, f"{estimated.epoch:.2f} s an epoch{reason}")
    )
    took = estimated.total(epochs, config)
    members = min(int(60 * minutes / took), MOST_MEMBERS)
    if members > 1:
        reason = f"as many models as {minutes:g} minutes allow, at most {MOST_MEMBERS}; their scores are averaged"
        proposal = proposal.with_settings(Setting("train.members", members, reason))
    seconds = max(members, 1) * took
    duration = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"
    text = f"training will take about {duration} of one core of this machine"
    return proposal, f"{text}, by steps on {estimated.videos} videos"


def load_config(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    stored: Path | None = None,
    is_swept: bool = False,
) -> Config:
    """A recipe with overrides, for a training; `zero_shot` is fitted to the folder it reads, as `data init` does it.

    Epochs are measured too, unless they are set or swept (`is_swept`), or a run goes on, whose config.yaml is `stored`.
    """
    config = Config.load(recipe, overrides)
    if recipe != MEASURED or config.data.name != "folder":
        return config
    keys = ("root", "fps", "layout", "background", "unlabelled", "grammar", "groups")
    is_all = str(config.data.split) == "all"
    values = {key: getattr(config.data, key) for key in keys} | {
        "split": 1 if is_all else config.data.split
    }
    proposal = propose(DataConfig(**values))
    notes, epochs = [Note(str(proposal.measures))], list[str]()
    if stored is not None and stored.is_file():
        epochs = [f"train.epochs={Config.load(stored).train.epochs}"]
    elif not is_swept and not any(override.startswith("train.epochs=") for override in overrides):
        if place_in_launch()[1] > 1:
            problem, fix = (
                "not measured in several processes",
                "set it, or train a recipe that `data init` wrote",
            )
            raise InputError(ConfigKey("train.epochs"), problem, fix)
        proposal, time = with_time(proposal, MINUTES)
        notes.append(Note(time))
    tell(notes)
    left_out = ("data.root", "train.members", *(["data.split"] if is_all else []))
    settings = [
        f"{key}={json.dumps(value)}" for key, value, _ in proposal.settings if key not in left_out
    ]
    return Config.load(recipe, [*settings, *epochs, *overrides])
