"""One member of an ensemble, trained by ``python -m fact_clip.training.member``.

Arguments: the recipe, the run folder, the ID of the parent process, and ``--resume`` to continue.
It is a new process and no fork, because torch's threads do not survive a fork.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from fact_clip.core.launch import end_with_parent
from fact_clip.devices.processes import Processes


def _end_with_stdin() -> None:
    """End this process when its parent closes its end of stdin, however the parent ends."""
    os.read(0, 1)
    os._exit(1)


def main(recipe: str, out: str, parent: str, *options: str) -> None:
    """Train one member.

    Args:
        recipe: path of its configuration.
        out: its run folder.
        parent: ID of the parent process.
        options: ``--resume`` to continue an interrupted training.
    """
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    # On Linux the kernel ends the process too, even where no Python runs for a while.
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
