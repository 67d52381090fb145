"""Train one member of an ensemble: ``python -m fact_clip.training.member``.

Arguments: the recipe, the run folder, the ID of the parent process, and ``--resume`` to continue.
This is a new process and not a fork, because the threads of torch do not survive a fork.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from fact_clip.core.launch import end_with_parent
from fact_clip.devices.processes import Processes


def _end_with_stdin() -> None:
    """End this process when its parent ends, which closes the parent's end of stdin."""
    os.read(0, 1)
    os._exit(1)


def main(recipe: str, out: str, parent: str, *options: str) -> None:
    """Train one member.

    Args:
        recipe: Path of the member's configuration.
        out: Run folder of the member.
        parent: ID of the parent process.
        options: ``--resume`` to continue an interrupted run.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    # On Linux, the kernel also ends the process, even while no Python code runs.
    end_with_parent(int(parent))

    from fact_clip.config import Config
    from fact_clip.core import InputError
    from fact_clip.training.plan import resolve
    from fact_clip.training.runs import train_calibrated
    from fact_clip.training.trainer import Watch

    try:
        plan = resolve(Config.load(recipe), is_checked=True)
        processes = Processes(plan.device)
        train_calibrated(plan, Path(out), processes, Watch(), resume="--resume" in options)
    except InputError as error:
        sys.exit(f"fact-clip: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
