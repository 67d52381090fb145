"""The members of an ensemble: trainings of one recipe with other seeds, side by side in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import torch

from fact_clip.config import Config, with_values
from fact_clip.core import InputError
from fact_clip.core.paths import inside, whole_file
from fact_clip.models.kernels import products
from fact_clip.run import member_folders
from fact_clip.training.plan import Plan

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


@contextmanager
def members_beside(plan: Plan, out: Path, resume: bool) -> Iterator[Callable[[], None]]:
    """Train all members but the first in processes of their own while the block trains the first.

    A second training uses a second core better than torch does, so the threads are dealt out. At the end of the block
    all members are done; however it ends, no process is left. What it yields raises an InputError where a member has
    failed.
    """
    members = plan.config.train.members
    folders = member_folders(out, members)
    if not folders:
        yield lambda: None
        return
    threads = torch.get_num_threads()
    share = max(1, threads // members)
    running: dict[Path, subprocess.Popen[bytes]] = {}
    said: dict[Path, IO[bytes]] = {}

    def check() -> None:
        for folder, process in running.items():
            if process.poll():
                said[folder].seek(0)
                last = (said[folder].read().decode(errors="replace").splitlines() or [""])[-1]
                problem = f"the training of this member ended with exit code {process.returncode}"
                raise InputError(folder, problem, last.removeprefix("fact-clip: "))

    try:
        torch.set_num_threads(share)
        for number, folder in enumerate(folders, start=1):
            said[folder] = tempfile.TemporaryFile()  # noqa: SIM115
            running[folder] = _start_member(plan, number, folder, resume, share, said[folder])
        yield check
        for process in running.values():
            while process.poll() is None:
                check()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        check()
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        for file in said.values():
            file.close()
        torch.set_num_threads(threads)


def _start_member(
    plan: Plan, number: int, folder: Path, resume: bool, threads: int, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    out = folder.parent.parent
    config = member_config(plan.config, number, plan.dataset.validation_parts)
    data, holdout = plan.dataset.config, plan.dataset.holdout
    if config.train.member_parts and data.validation_unseen == "auto" and data.validation > 0 and holdout is not None:
        group = plan.dataset.validation_unseen_group(holdout, number)
        config = with_values(config, {"data.validation_unseen": group})
    recipe = inside(out, "members", f"{folder.name}.yaml")
    with whole_file(recipe) as unfinished:
        unfinished.write_text(config.to_yaml(), encoding="utf-8")
    inside(out, "members", folder.name)
    resumed = resume and (folder / "run.json").is_file()
    chosen = json.dumps(products() if plan.device.type == "cpu" else {})  # all members multiply in one way
    words = [str(recipe), str(folder), str(os.getpid()), chosen, *(["--resume"] if resumed else [])]
    command = [sys.executable, "-c", _MEMBER, *words]
    # A session of its own: Ctrl-C reaches the parent alone, which ends its members.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=said, start_new_session=True)


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
