"""Several trainings of one recipe side by side, each a process and a run folder of its own: an ensemble's members.

PyTorch makes little of a second core on models of this size; a second training makes all of it. The members differ by
their seed, by their entry of ``augment.swap``, and with ``train.member_parts`` by the videos that validate them;
:class:`fact_clip.segmenter.Segmenter` averages their scores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from fact_clip.checkpoint import member_folders
from fact_clip.config import Config
from fact_clip.core import InputError

SEED_STEP = 1000
"""Member k has the seed of the run + k * this, so that runs of neighbouring seeds share no member."""

# A process of its own, not a fork: torch's threads do not survive one.
_TRAIN = """
import sys
from fact_clip.config import Config
from fact_clip.training import train
train(Config.load(sys.argv[1]), sys.argv[2], resume="--resume" in sys.argv)
"""


@contextmanager
def trained_beside(config: Config, out: Path, resume: bool) -> Iterator[None]:
    """Train the members behind the first into their folders while the block trains the first.

    The threads are dealt out. At the end of the block all members are done; where the block fails they are stopped.

    Raises:
        InputError: a member failed; its own error stands on stderr.
    """
    folders = member_folders(out, config.train.members)
    threads = torch.get_num_threads()
    if not folders:
        yield
        return
    share = max(1, threads // config.train.members)
    torch.set_num_threads(share)
    running = [_start(config, number, folder, resume, share) for number, folder in enumerate(folders, start=1)]
    try:
        yield
        for process, folder in zip(running, folders, strict=True):
            if process.wait():
                raise InputError(folder, f"its training ended with exit code {process.returncode}", "0", "see above")
    finally:
        for process in running:
            process.terminate()
            process.wait()
        torch.set_num_threads(threads)


def swap_of(config: Config, number: int) -> float:
    """Share of the steps of member ``number`` that exchange named things: ``augment.swap``, its entries in turn."""
    return config.augment.swap[number % len(config.augment.swap)]


def _alone(config: Config, number: int) -> Config:
    """The recipe of one member; the first, number 0, is the run itself."""
    train = {"members": 1, "seed": config.train.seed + SEED_STEP * number, "loggers": ()}
    part = config.data.validation_part + number * int(config.train.member_parts)
    data = config.data.model_copy(update={"validation_part": part})
    augment = config.augment.model_copy(update={"swap": (swap_of(config, number),)})
    return config.model_copy(update={"data": data, "augment": augment, "train": config.train.model_copy(update=train)})


def _start(config: Config, number: int, folder: Path, resume: bool, threads: int) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    recipe = folder.parent / f"{folder.name}.yaml"
    recipe.write_text(_alone(config, number).to_yaml(), encoding="utf-8")
    resumed = resume and (folder / "run.json").is_file()
    command = [sys.executable, "-c", _TRAIN, str(recipe), str(folder), *(["--resume"] if resumed else [])]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
