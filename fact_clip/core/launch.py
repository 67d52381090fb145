"""The place of this process in a launch, and processes that end with their parent."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence

from fact_clip.core.errors import InputError

PARENT = "FACT_CLIP_PARENT"
"""Environment variable with the ID of the process with which a command ends."""

# The child arranges its end before it imports a module, because such imports can take seconds.
_CHILD = "import sys; from fact_clip.core.launch import run_child; run_child(*sys.argv[1:])"


def place_in_launch() -> tuple[int, int]:
    """Return the rank of this process and the world size, from the environment of the launcher."""
    rank_value = os.environ.get("RANK") or "0"
    world_value = os.environ.get("WORLD_SIZE") or "1"
    rank = int(rank_value) if rank_value.isdecimal() else -1
    world = int(world_value) if world_value.isdecimal() else -1

    needed = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")
    is_incomplete = world > 1 and not all(os.environ.get(name) for name in needed)
    if not 0 <= rank < world or is_incomplete:
        problem = f"process {rank_value} of {world_value}"
        raise InputError("RANK", problem, "start it with torchrun, or unset RANK and WORLD_SIZE")
    return rank, world


def end_with_parent(parent: int) -> None:
    """End this process when its parent ends, even by SIGKILL. Only Linux supports this.

    Args:
        parent: ID of the parent process.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1 is PR_SET_PDEATHSIG of <linux/prctl.h>
    if os.getppid() != parent:  # the parent has already ended
        os._exit(1)


def child_command(module: Sequence[str]) -> list[str]:
    """Return the command of a process that runs a module and ends with this process.

    Start it with a pipe as its stdin: where the kernel cannot end the process, the end of the pipe
    does.

    Args:
        module: "-m", the name of the module, and its arguments.
    """
    _, name, *arguments = module
    return [sys.executable, "-c", _CHILD, str(os.getpid()), name, *arguments]


def run_child(parent: str, module: str, *arguments: str) -> None:
    """Run a module as the main module of this process, which ends with its parent.

    Args:
        parent: ID of the parent process.
        module: Name of the module.
        arguments: Arguments of the module.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    end_with_parent(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_stdin() -> None:
    """End this process when its parent closes its end of stdin, however the parent ends."""
    os.read(0, 1)
    os._exit(1)
