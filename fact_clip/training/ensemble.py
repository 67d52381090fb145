"""The members of an ensemble: their configurations, and the processes that train them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from fact_clip.config import Config, with_values
from fact_clip.core import InputError, Json
from fact_clip.core.launch import child_command
from fact_clip.core.paths import inside, write_lines
from fact_clip.runs.files import member_folders
from fact_clip.training.plan import Plan, resolve

SEED_STEP = 1000
"""Difference between the seeds of two members, so that runs with nearby seeds share no member."""


@dataclass(frozen=True)
class Ensemble:
    """The models of a run. Index 0 is the run itself, and a run of one model has only this index.

    Attributes:
        plan: Plan of the run.
        folder: Run folder.
        resume: Whether to continue interrupted models.
    """

    plan: Plan
    folder: Path
    resume: bool = False

    @property
    def folders(self) -> list[Path]:
        """Return the run folder of each model."""
        return [self.folder, *member_folders(self.folder, self.plan.config.train.members)]

    def resumes(self, model_index: int) -> bool:
        """Return whether to continue a model. A model that was not started yet is started.

        If no model was started, the first one is resumed, which raises an error. The exception is a
        run with self-training, whose teacher may have been interrupted.
        """
        has_begun = [(folder / "run.json").is_file() for folder in self.folders]
        has_nothing = not any(has_begun) and not self.plan.config.train.self_training
        return self.resume and (has_begun[model_index] or (has_nothing and model_index == 0))

    def member_folder(self, model_index: int) -> Path:
        """Return the run folder of a member. A link that leads out of the run is an InputError."""
        return inside(self.folder, "members", self.folders[model_index].name)

    def config_of(self, model_index: int) -> Config:
        """Return the configuration of a member, including its share of the validation videos."""
        plan = self.plan
        config = member_config(plan.config, model_index)
        if not plan.parts:
            return config
        part = plan.parts[model_index]
        values: Json = {"data.validation_videos": part.validation}
        if config.data.validation_unseen is not None and plan.dataset.holdout is not None:
            values["data.validation_unseen"] = part.validation_unseen
        return with_values(config, values)

    def plan_of(self, model_index: int) -> Plan:
        """Return the plan of a member that is trained on the device of the run."""
        device = self.plan.config.train.device
        config = with_values(self.config_of(model_index), {"train.device": device})
        return resolve(config, self.plan.dataset.folder, is_checked=True)

    @contextmanager
    def members_beside(self) -> Iterator[Callable[[], None]]:
        """Train all members in other processes while the block trains the first model.

        Two models in parallel use two cores better than one model with two threads, so the threads
        are divided among the models. No process remains when the block ends.

        Yields:
            A function that raises an InputError if a member has failed.
        """
        threads = torch.get_num_threads()
        share = max(1, threads // len(self.folders))
        running: list[_MemberProcess] = []

        def check() -> None:
            for member_process in running:
                member_process.check()

        with ExitStack() as afterwards:
            afterwards.callback(torch.set_num_threads, threads)
            torch.set_num_threads(share)
            for model_index in range(1, len(self.folders)):
                errors = afterwards.enter_context(tempfile.TemporaryFile())
                process = self._start(model_index, share, errors)
                afterwards.callback(process.wait)
                afterwards.callback(process.kill)
                running.append(_MemberProcess(self.folders[model_index], process, errors))
            yield check
            for member_process in running:
                while member_process.process.poll() is None:
                    check()
                    with suppress(subprocess.TimeoutExpired):
                        member_process.process.wait(timeout=0.5)
            check()

    def _start(self, model_index: int, threads: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the process that trains a member; see `training.member`."""
        folder = self.member_folder(model_index)
        recipe = inside(self.folder, "members", f"{folder.name}.yaml")
        write_lines(recipe, self.config_of(model_index).to_yaml().splitlines())
        module = ["-m", "fact_clip.training.member", str(recipe), str(folder)]
        if self.resumes(model_index):
            module.append("--resume")
        return subprocess.Popen(
            child_command(module),
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stderr=errors,
            # In a separate session, Ctrl-C reaches only the parent, which ends its members.
            start_new_session=True,
        )


@dataclass(frozen=True)
class _MemberProcess:
    """The process that trains a member."""

    folder: Path
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def check(self) -> None:
        """Raise an InputError if the process has failed."""
        if not self.process.poll():
            return
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()
        last = lines[-1] if lines else ""
        problem = f"training of this member ended with exit code {self.process.returncode}"
        raise InputError(self.folder, problem, last.removeprefix("fact-clip: "))


def member_config(config: Config, model_index: int) -> Config:
    """Return the configuration of a member: its seed, swaps and device.

    Args:
        config: Configuration of the run.
        model_index: Index of the member. 0 is the run itself.
    """
    init = config.train.init
    if init is not None:
        folder = Path(init) / "members" / str(model_index + 1)
        if folder.is_dir():
            init = str(folder)
    swap = config.augment.swap
    values = {
        "train.init": init,
        "train.members": 1,
        "train.seed": config.train.seed + SEED_STEP * model_index,
        "train.device": member_device(config.train.device, model_index, torch.cuda.device_count()),
        "train.loggers": [],
        "augment.swap": [swap[model_index % len(swap)]],
    }
    return with_values(config, values)


def member_device(device: str, model_index: int, gpus: int) -> str:
    """Return the device of a member. With "auto" and several GPUs, members take turns."""
    if device in ("auto", "cuda") and gpus > 1:
        return f"cuda:{model_index % gpus}"
    return device
