"""`train`: from a recipe, a configuration or a plan to the run folder of one or more models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import torch

from fact_clip.config import Config, with_values
from fact_clip.core import InputError, Progress
from fact_clip.core.arguments import validated
from fact_clip.core.distributed import Processes, place_in_launch
from fact_clip.core.messages import printable
from fact_clip.core.paths import inside, locked, write_lines
from fact_clip.datasets.memory import DATA_SOURCES, DataSource, MemoryStore, with_data
from fact_clip.datasets.statistics import median_frames
from fact_clip.losses.criterion import LOSSES, Loss
from fact_clip.metrics.report import METRICS, Metric
from fact_clip.models.blocks import block_configs
from fact_clip.run import Run, member_folders, read_weights, remove_unfinished
from fact_clip.training import trainer
from fact_clip.training.callbacks import Callback
from fact_clip.training.choice import learn_calibration
from fact_clip.training.plan import Plan, report_notes, resolve
from fact_clip.training.results import Training
from fact_clip.training.state import begin, check_free

SEED_STEP = 1000
"""Member k has the seed of the run + k * this, so runs of neighbouring seeds share no member."""

_PATIENCE = 3600.0  # seconds to wait for another job that learns the calibration

# torch splits no operation into parts of fewer numbers (docs/method.md).
_GRAIN = 32_768


@validated("data", "losses", "metrics")
def train(
    config: Config | Plan | str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    data: DataSource | str | None = None,
    losses: Sequence[Loss | str] = (),
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    member: int | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a run into the folder ``out``: one model, or the members of an ensemble side by side.

    Processes of ``torchrun`` train the members in groups, or one each where there are as many.
    The weights that are kept (``model.safetensors``) are the best on the validation videos, a part
    of the training videos; without validation videos they are the last. The test split is not read.

    Args:
        config: everything that makes the run, the name or path of a recipe (as `load_config` reads
            it), or a plan.
        out: the run folder; it must be new, unless ``resume``.
        overrides: settings on top of the configuration, as "train.epochs=20"; none with a plan.
        data: data in memory (`datasets.from_arrays`, or a `datasets.DataSource`) in place of
            ``data.root``, or the name of a registered source. They are not written anywhere, so an
            ensemble is an InputError, `evaluate` takes them again, and the recipe `zero_shot`
            measures nothing.
        losses: further terms of the loss, functions of output and truth (`losses.Loss`) or names.
            Functions are registered by their names, which ``loss.terms`` lists.
        metrics: metrics of this process by name, see `register`; validations have them, too.
        callbacks: called after steps, epochs, validations and saves; see `Callback`.
        resume: continue an interrupted run of the same configuration; epochs and members may have
            become more.
        member: train this member alone, from 1 to ``train.members``. Whoever trains the last
            member that is missing makes the run whole.
        progress: called with (epochs done, epochs, a short description).

    Returns:
        The result of the (first) model.

    Raises:
        InputError: settings or data are not valid, or the folder is in use.
    """
    out = Path(out)
    if not resume and member is None and place_in_launch()[0] == 0:
        check_free(out)  # before a data set is measured
    if printable(str(out)) != str(out):
        problem = "control characters, or bytes that are not UTF-8, in the name of the folder"
        raise InputError(out, problem)
    for name, metric in (metrics or {}).items():
        METRICS.register(metric, name)
    if losses:
        names = [LOSSES.name_of(term) for term in losses]
        overrides = [*overrides, f"loss.terms={json.dumps(names)}"]
    source = DATA_SOURCES.find(data, "data") if isinstance(data, str) else data
    plan = _planned(config, overrides, source, out / "config.yaml" if resume else None)
    job = _Job(plan, out, resume, callbacks, progress)
    if job.processes.is_main:
        report_notes(plan.notes)
    return job.run() if member is None else job.run_member(member)


@dataclass(frozen=True)
class _Job:
    """A call of `train` whose plan is made; see its arguments."""

    plan: Plan
    out: Path
    resume: bool
    callbacks: Sequence[Callback] = ()
    progress: Progress | None = None

    @property
    def processes(self) -> Processes:
        """Return the processes that train."""
        return Processes(self.plan.device)

    @property
    def folders(self) -> list[Path]:
        """Return the run folders of all members; the first is the run itself."""
        return [self.out, *member_folders(self.out, self.plan.config.train.members)]

    def run(self) -> Training:
        """Train all members."""
        processes = self.processes
        with ExitStack() as while_training:
            if processes.is_main:
                while_training.enter_context(locked(self.out, "a training"))
                while_training.enter_context(_removed_unless_begun(self.out))
                if self.resume:
                    remove_unfinished(self.out)
            if processes.world > 1 and len(self.folders) > 1:
                result = self._run_groups()
            else:
                result = self._train_first(len(self.folders))
            if processes.is_main:
                self._calibrate()
            processes.wait()
        return result

    def run_member(self, member: int) -> Training:
        """Train one member, and learn the calibration if no member is left."""
        if not 1 <= member <= len(self.folders):
            problem = f"member {member} of {len(self.folders)}"
            raise InputError("member", problem, "count from 1, and set train.members")
        processes = self.processes
        if member > 1:
            result = self._train_member(member - 1)
        else:
            is_begun = (self.out / "run.json").is_file()
            with locked(self.out, "a training") if processes.is_main else nullcontext():
                result = replace(self, resume=self.resume and is_begun)._train_first()
            processes.wait()
        numbers = range(1, len(self.folders) + 1)
        left = [number for number in numbers if not _is_trained(self.folders[number - 1])]
        if not left and processes.is_main:
            # Two jobs may end at the same time.
            with locked(self.out, "a training", _PATIENCE):
                self._calibrate()
        return replace(result, members_left=left)

    def _run_groups(self) -> Training:
        """Train the members in groups of processes of equal size, each group its share in turn."""
        processes = self.processes
        size = max(processes.world // len(self.folders), 1)
        n_groups = min(processes.world // size, len(self.folders))
        result: Training | None = None
        with processes.groups(size) as group:
            if group == 0:
                is_begun = self.processes.broadcast(self._is_first_begun)
                result = replace(self, resume=self.resume and is_begun)._train_first()
            for number in range(group or n_groups, len(self.folders), n_groups):
                if group < n_groups:
                    replace(self, callbacks=(), progress=None)._train_member(number)
        return cast(Training, processes.broadcast(lambda: result))

    def _is_first_begun(self) -> bool:
        """Return whether the first member has begun, or none has; others may begin before it."""
        begun = [(folder / "run.json").is_file() for folder in self.folders]
        return begun[0] or not any(begun)

    def _train_first(self, beside: int = 1) -> Training:
        """Train the model of the run itself, with `beside` - 1 members in processes beside it."""
        processes = self.processes
        with processes.main_first():
            run, texts = begin(self.plan, self.out, processes, self.resume)
        with (
            members_beside(self.plan, self.out, self.resume, beside) as check_members,
            trainer.numerics(run.config.train),
        ):
            loop = trainer.Trainer(
                run=run,
                dataset=self.plan.dataset,
                texts=texts,
                resume=self.resume,
                after_step=check_members,
                callbacks=self.callbacks,
            )
            return loop.run_all(self.progress if processes.is_main else None)

    def _train_member(self, number: int) -> Training:
        """Train a member after the first in this process, or in the processes of its group."""
        folder = inside(self.out, "members", self.folders[number].name)
        resume = self.resume and (folder / "run.json").is_file()
        config = _config_of_member(self.plan, number, folder if resume else None)
        config = with_values(config, {"train.device": self.plan.config.train.device})
        return train(
            resolve(config, self.plan.dataset.folder, is_checked=True),
            folder,
            callbacks=self.callbacks,
            resume=resume,
            progress=self.progress,
        )

    def _calibrate(self) -> None:
        run = Run.read(self.out).without_choice()
        learn_calibration(run, self.plan.dataset, self.plan.device)


def _is_trained(folder: Path) -> bool:
    """Return whether the model of a run folder was trained to its last epoch."""
    state = folder / "last.safetensors"
    if not (folder / "model.safetensors").is_file() or not state.is_file():
        return False
    epoch: int = read_weights(state)[1]["epoch"]
    return epoch >= Run.read(folder).config.train.epochs


def _planned(
    config: Config | Plan | str | Path,
    overrides: Sequence[str],
    data: DataSource | None,
    stored: Path | None,
) -> Plan:
    """Return the plan of a training; `stored` is the configuration of the run that is resumed."""
    if isinstance(config, Plan):
        if overrides or data is not None:
            problem = "a plan, whose settings and data are decided"
            raise InputError("config", problem, "give a Config or a recipe")
        return config
    if isinstance(config, Config):
        if overrides:
            config = Config.overridden(config.model_dump(mode="json"), overrides, "config")
    elif data is not None:
        config = Config.load(config, overrides)
    else:
        from fact_clip.advice.estimate import load_config  # it trains, to estimate the time

        config = load_config(config, overrides, stored)

    folder = None
    if data is not None:
        if config.train.members > 1:
            problem = f"{config.train.members}, but other processes cannot read data in memory"
            fix = "write the data with datasets.save, and set data.root"
            raise InputError("train.members", problem, fix)
        config = with_data(config, data)
        folder = MemoryStore(data)
    return resolve(config, folder)


@contextmanager
def _removed_unless_begun(out: Path) -> Iterator[None]:
    """Empty a new folder if bad input, or Ctrl-C, ends the training before its first state."""
    was_empty = not any(out.iterdir())
    try:
        yield
    # RuntimeError is torch's error when the memory is full.
    except (InputError, MemoryError, RuntimeError, KeyboardInterrupt):
        if was_empty and not any(out.rglob("last.safetensors")):
            for path in out.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        raise


def useful_threads(plan: Plan) -> int:
    """Return the number of threads that make a step faster.

    torch splits an operation into parts of 32,768 numbers at least.
    """
    if plan.device.type != "cpu":
        return torch.get_num_threads()
    labels = map(plan.dataset.labels, plan.dataset.train)
    rows = median_frames(labels) / plan.config.data.stride
    width = max(block.frame_dim for block in block_configs(plan.config.model))
    n_numbers = int(plan.config.train.batch_size * rows * width)
    return max(1, n_numbers // _GRAIN)


@dataclass(frozen=True)
class _MemberProcess:
    """The process that trains a member."""

    folder: Path
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def check(self) -> None:
        """Raise an InputError if the training has failed."""
        if not self.process.poll():
            return
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()
        last = lines[-1] if lines else ""
        problem = f"the training of this member ended with exit code {self.process.returncode}"
        raise InputError(self.folder, problem, last.removeprefix("fact-clip: "))


@contextmanager
def members_beside(
    plan: Plan, out: Path, resume: bool, members: int
) -> Iterator[Callable[[], None]]:
    """Train all members but the first in other processes while the block trains the first.

    Two trainings use two cores better than one training with two threads, so threads are divided
    among members. However the block ends, no process is left.

    Args:
        plan: of the training.
        out: the run folder.
        resume: continue interrupted members.
        members: how many there are, the first included.

    Yields:
        A function that raises an InputError if a member has failed.
    """
    folders = member_folders(out, members)
    threads = torch.get_num_threads()
    share = max(1, min(threads // (len(folders) + 1), useful_threads(plan)))
    running: list[_MemberProcess] = []

    def check() -> None:
        for member in running:
            member.check()

    with ExitStack() as afterwards:
        afterwards.callback(torch.set_num_threads, threads)
        torch.set_num_threads(share)
        for number, folder in enumerate(folders, start=1):
            errors = afterwards.enter_context(tempfile.TemporaryFile())
            recipe = inside(out, "members", f"{folder.name}.yaml")
            resumes = resume and (folder / "run.json").is_file()
            config = _config_of_member(plan, number, folder if resumes else None)
            write_lines(recipe, config.to_yaml().splitlines())
            process = _start_member(recipe, folder, resumes, share, errors)
            afterwards.callback(process.wait)
            afterwards.callback(process.kill)
            running.append(_MemberProcess(folder, process, errors))
        yield check
        for member in running:
            while member.process.poll() is None:
                check()
                with suppress(subprocess.TimeoutExpired):
                    member.process.wait(timeout=0.5)
        check()


def _config_of_member(plan: Plan, number: int, begun: Path | None) -> Config:
    """Return the configuration of a member with the classes that it hides.

    Args:
        plan: of the training.
        number: of the member.
        begun: its run folder, if its training goes on.
    """
    config = member_config(plan.config, number, plan.dataset.validation_parts)
    # The setting of the recipe, since that of the plan has the classes of the first member.
    data = plan.dataset.config
    holdout = plan.dataset.holdout
    is_auto = data.validation_unseen == "auto" and data.validation > 0
    group = config.data.validation_unseen
    if config.train.member_parts and holdout is not None:
        if begun is not None:
            # A plan by the config.yaml of a run has the classes that the first member hides.
            group = Run.read(begun).config.data.validation_unseen
        elif is_auto:
            group = plan.dataset.validation_unseen_group(holdout, number)
    return with_values(config, {"data.validation_unseen": group})


def _start_member(
    recipe: Path, folder: Path, resume: bool, threads: int, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start the training of a member; see `training.member`."""
    inside(folder.parent.parent, "members", folder.name)
    command = [
        sys.executable,
        "-m",
        "fact_clip.training.member",
        str(recipe),
        str(folder),
        str(os.getpid()),
    ]
    if resume:
        command.append("--resume")
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stderr=errors,
        # A session of its own: Ctrl-C reaches the parent alone, which ends its members.
        start_new_session=True,
    )


def member_config(config: Config, number: int, validation_parts: int = 1) -> Config:
    """Return the configuration of a member: its seed, swaps, device and validation videos.

    Args:
        config: of the run.
        number: of the member; 0 is the run itself.
        validation_parts: number of disjoint parts of validation videos.
    """
    part = config.data.validation_part
    if config.train.member_parts and number:
        part = (part + number) % validation_parts
    init = config.train.init
    if init is not None:
        member = Path(init) / "members" / str(number + 1)
        if member.is_dir():
            init = str(member)
    swap = config.augment.swap
    values = {
        "train.init": init,
        "train.members": 1,
        "train.seed": config.train.seed + SEED_STEP * number,
        "train.device": member_device(config.train.device, number, torch.cuda.device_count()),
        "train.loggers": [],
        "data.validation_part": part,
        "augment.swap": [swap[number % len(swap)]],
    }
    return with_values(config, values)


def member_device(device: str, number: int, gpus: int) -> str:
    """Return where a member trains: with "auto" and several GPUs they take turns."""
    if device in ("auto", "cuda") and gpus > 1:
        return f"cuda:{number % gpus}"
    return device
