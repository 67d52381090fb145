"""`train`: from a recipe, a configuration or a plan to a run folder, of one model or of the members of an ensemble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch

from fact_clip.config import Config, with_values
from fact_clip.core import ConfigKey, InputError
from fact_clip.core.arguments import validated
from fact_clip.core.distributed import Processes, place_in_launch
from fact_clip.core.messages import printable
from fact_clip.core.paths import inside, locked, write_lines
from fact_clip.datasets.memory import DataSource, MemoryStore, with_data
from fact_clip.datasets.statistics import median_frames
from fact_clip.models.blocks import block_configs
from fact_clip.models.kernels import products
from fact_clip.run import member_folders, remove_unfinished
from fact_clip.training import trainer
from fact_clip.training.callbacks import Callback
from fact_clip.training.estimate import load_config
from fact_clip.training.evaluation import Progress
from fact_clip.training.plan import Plan, resolve, tell
from fact_clip.training.state import begin, check_free
from fact_clip.training.zero_shot import learn_calibration

SEED_STEP = 1000  # Member k has the seed of the run + k * this, so that runs of neighbouring seeds share no member

# A process of its own, not a fork: torch's threads do not survive one. It ends when its parent closes its end of stdin,
# that is, however the parent ends; on Linux the kernel sees to it, even where no Python runs for a while.
_MEMBER = """
import json, os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from fact_clip.core.distributed import end_with_parent
end_with_parent(int(sys.argv[3]))
from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.models.kernels import use_products
from fact_clip.training import train
use_products(json.loads(sys.argv[4]))
try:
    train(Config.load(sys.argv[1]), sys.argv[2], resume="--resume" in sys.argv)
except InputError as error:
    sys.exit(f"fact-clip: {error}")
"""


@validated("data")
def train(
    config: Config | Plan | str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    data: DataSource | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a run into the folder ``out``: one model, or the members of an ensemble side by side.

    The weights that are kept (``model.safetensors``) are the best on the validation videos, a part of the training
    videos; without validation videos they are the last. The test split is not read.

    Args:
        config: everything that makes the run, the name or path of a recipe (as `load_config` reads it), or a plan.
        out: the run folder; it must be new, unless ``resume``.
        overrides: settings on top of the configuration, as "train.epochs=20"; none with a plan.
        data: data in memory (`datasets.from_arrays`, or a `datasets.DataSource` of your own) in place of ``data.root``.
            They are not written anywhere, so an ensemble is an InputError, `evaluate` takes them again, and the recipe
            `zero_shot` measures nothing.
        callbacks: called after epochs, validations and saves; see `Callback`.
        resume: continue an interrupted run of the same configuration; epochs and members may have become more.
        progress: called with (epochs done, epochs, a short text).

    Returns:
        ``{"epoch", "best", "seconds", "parameters"}`` of the (first) model.
    """
    out = Path(out)
    if not resume and place_in_launch()[0] == 0:  # before a data set is measured
        check_free(out)
    plan = _planned(config, overrides, data, out / "config.yaml" if resume else None)
    if printable(str(out)) != str(out):
        raise InputError(
            out, "control characters, or bytes that are not UTF-8, in the name of the folder"
        )
    processes = Processes(plan.device)
    if processes.world > 1 and plan.config.train.members > 1:
        fix = (
            "train an ensemble without a launcher: its members take the GPUs of the machine in turn"
        )
        raise InputError(
            ConfigKey("train.members"),
            f"{plan.config.train.members} in {processes.world} processes",
            fix,
        )
    with ExitStack() as while_training:
        if processes.is_main:
            tell(plan.notes)
            while_training.enter_context(locked(out, "a training"))
            while_training.enter_context(_removed_unless_begun(out))
            if resume:
                remove_unfinished(out)
        with processes.main_first():
            run, texts = begin(plan, out, processes, resume)
        with members_beside(plan, out, resume) as check_members, trainer.numerics(run.config.train):
            loop = trainer.Trainer(run, plan.dataset, texts, resume, check_members, callbacks)
            result = loop.run_all(progress if processes.is_main else None)
        if processes.is_main:
            learn_calibration(run, plan.dataset, plan.device)
        processes.wait()
    return result


def _planned(
    config: Config | Plan | str | Path,
    overrides: Sequence[str],
    data: DataSource | None,
    stored: Path | None,
) -> Plan:
    if isinstance(config, Plan):
        if overrides or data is not None:
            raise InputError(
                "config", "a plan, whose settings and data are decided", "give a Config or a recipe"
            )
        return config
    if not isinstance(config, Config):
        config = (
            Config.load(config, overrides)
            if data is not None
            else load_config(config, overrides, stored)
        )
    elif overrides:
        config = Config.overridden(config.model_dump(mode="json"), overrides, "config")
    if data is None:
        return resolve(config)
    if config.train.members > 1:
        problem = f"{config.train.members}, but other processes cannot read data in memory"
        raise InputError(
            ConfigKey("train.members"),
            problem,
            "write the data with datasets.save, and set data.root",
        )
    return resolve(with_data(config, data), MemoryStore(data))


@contextmanager
def _removed_unless_begun(out: Path) -> Iterator[None]:
    """Leave the folder as empty as it was where bad input, or Ctrl-C, ends a training before its first state."""
    was_empty = not any(out.iterdir())
    try:
        yield
    except (
        InputError,
        MemoryError,
        RuntimeError,
        KeyboardInterrupt,
    ):  # RuntimeError is that of torch without memory
        if was_empty and not any(out.rglob("last.safetensors")):
            for path in out.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def useful_threads(plan: Plan) -> int:
    """Threads that a step gains by: torch cuts no layer into pieces of fewer than 32,768 numbers (docs/method.md)."""
    if plan.device.type != "cpu":
        return torch.get_num_threads()
    rows = median_frames(map(plan.dataset.labels, plan.dataset.train)) / plan.config.data.stride
    width = max(block.frame_dim for block in block_configs(plan.config.model))
    return max(1, int(plan.config.train.batch_size * rows * width) // 32768)


@contextmanager
def members_beside(plan: Plan, out: Path, resume: bool) -> Iterator[Callable[[], None]]:
    """Train all members but the first in processes of their own while the block trains the first.

    A second training uses a second core better than torch does, so the threads are dealt out, to each no more than its
    steps gain by. However the block ends, no process is left. What it yields raises an InputError if a member failed.
    """
    members = plan.config.train.members
    folders = member_folders(out, members)
    share = max(1, min(torch.get_num_threads() // members, useful_threads(plan)))
    running: dict[Path, subprocess.Popen[bytes]] = {}
    said: dict[Path, IO[bytes]] = {}

    def check() -> None:
        for folder, process in running.items():
            if process.poll():
                said[folder].seek(0)
                last = (said[folder].read().decode(errors="replace").splitlines() or [""])[-1]
                problem = f"the training of this member ended with exit code {process.returncode}"
                raise InputError(folder, problem, last.removeprefix("fact-clip: "))

    with ExitStack() as afterwards:
        afterwards.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(share)
        for number, folder in enumerate(folders, start=1):
            said[folder] = afterwards.enter_context(tempfile.TemporaryFile())
            running[folder] = _start_member(plan, number, folder, resume, share, said[folder])
            afterwards.callback(running[folder].wait)
            afterwards.callback(running[folder].kill)
        yield check
        for process in running.values():
            while process.poll() is None:
                check()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        check()


def _start_member(
    plan: Plan, number: int, folder: Path, resume: bool, threads: int, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    out = folder.parent.parent
    config = member_config(plan.config, number, plan.dataset.validation_parts)
    data, holdout = plan.dataset.config, plan.dataset.holdout
    if (
        config.train.member_parts
        and data.validation_unseen == "auto"
        and data.validation > 0
        and holdout is not None
    ):
        group = plan.dataset.validation_unseen_group(holdout, number)
        config = with_values(config, {"data.validation_unseen": group})
    recipe = inside(out, "members", f"{folder.name}.yaml")
    write_lines(recipe, config.to_yaml().splitlines())
    inside(out, "members", folder.name)
    resumed = resume and (folder / "run.json").is_file()
    chosen = json.dumps(
        products() if plan.device.type == "cpu" else {}
    )  # all members multiply in one way
    words = [str(recipe), str(folder), str(os.getpid()), chosen, *(["--resume"] if resumed else [])]
    command = [sys.executable, "-c", _MEMBER, *words]
    # A session of its own: Ctrl-C reaches the parent alone, which ends its members.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stderr=said, start_new_session=True
    )


def member_config(config: Config, number: int, validation_parts: int = 1) -> Config:
    """The recipe of one member, with its seed, swaps and validation videos; number 0 is the run itself."""
    swap = config.augment.swap[number % len(config.augment.swap)]
    part = config.data.validation_part
    if config.train.member_parts and number:
        part = (part + number) % validation_parts
    init = config.train.init
    if init is not None:
        member = Path(init) / "members" / str(number + 1)
        init = str(member) if member.is_dir() else init
    values = {
        "train.init": init,
        "train.members": 1,
        "train.seed": config.train.seed + SEED_STEP * number,
        "train.device": member_device(config.train.device, number, torch.cuda.device_count()),
        "train.loggers": [],
        "data.validation_part": part,
        "augment.swap": [swap],
    }
    return with_values(config, values)


def member_device(device: str, number: int, gpus: int) -> str:
    """Where a member trains: with "auto" and several GPUs they take turns."""
    return f"cuda:{number % gpus}" if device in ("auto", "cuda") and gpus > 1 else device
