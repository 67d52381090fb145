"""Train one member of an ensemble in a new process; see `core.launch.child_command`.

Arguments: the recipe, the run folder, and ``--resume`` to continue.
It is a new process and not a fork, because the threads of torch do not survive a fork.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.devices.processes import Processes
from fact_clip.training.plan import resolve
from fact_clip.training.runs import train_calibrated
from fact_clip.training.trainer import Watch


def main(recipe: str, out: str, *options: str) -> None:
    """Train one member.

    Args:
        recipe: Path of its configuration.
        out: Its run folder.
        options: ``--resume`` to continue an interrupted training run.
    """
    try:
        plan = resolve(Config.load(recipe), is_checked=True)
        processes = Processes(plan.device)
        train_calibrated(plan, Path(out), processes, Watch(), resume="--resume" in options)
    except InputError as error:
        sys.exit(f"fact-clip: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
