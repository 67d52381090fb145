"""The recipe of a data set as a file (`fact-clip data init`)."""

import json
from dataclasses import replace
from pathlib import Path

from fact_clip.advice.estimate import for_unseen_classes, with_time
from fact_clip.advice.proposal import Proposal, propose
from fact_clip.config import DataConfig
from fact_clip.core.paths import write_lines

ROOT = "data.root"

ALL_MEASURED = (
    "the labels of all training videos were measured, so that settings may have seen classes that "
    "you hold out: --holdout leaves their labels out"
)
MAX_NOTES = 3
"""Notes that are written into a recipe."""


def write_recipe(
    config: DataConfig, path: Path, minutes: float, *, zero_shot: bool = False
) -> tuple[Proposal, str]:
    """Measure a data set, and write the recipe that follows.

    Args:
        config: Location of the data set. Values that are set in it are kept.
        path: Recipe to write. An existing file is replaced.
        minutes: Duration of a training run on one core.
        zero_shot: Whether the models also name held-out classes. Then, `minutes` is not used.

    Returns:
        The proposal in the recipe, and a sentence about the duration of a training run.

    Raises:
        InputError: The data have a fault that prevents training.
    """
    proposal = propose(config)
    if zero_shot:
        if config.holdout is None:
            proposal = replace(proposal, notes=(ALL_MEASURED, *proposal.notes))
        proposal, time = for_unseen_classes(proposal)
    else:
        proposal, time = with_time(proposal, minutes)
    proposal = _with_relative_root(proposal, path.parent.resolve())
    write_lines(path, _lines(Path(str(config.root)).resolve(), proposal, time))
    return proposal, time


def _with_relative_root(proposal: Proposal, parent: Path) -> Proposal:
    """Return the proposal with the root relative to the recipe, so that both can be moved."""
    settings = []
    for setting in proposal.settings:
        root = Path(str(setting.value))
        if setting.key == ROOT and root.is_relative_to(parent):
            setting = setting._replace(value=str(root.relative_to(parent)))
        settings.append(setting)
    return replace(proposal, settings=tuple(settings))


def _lines(folder: Path, proposal: Proposal, time: str) -> list[str]:
    """Return the lines of the recipe as YAML, with its reasons as comments."""
    counts = f"{proposal.videos} videos, {proposal.measures.classes} classes"
    lines = [
        f"# {folder.name}: {counts}. Measured by fact-clip data init.",
        f"# {proposal.measures}",
        f"# {time[0].upper()}{time[1:]}.",
        f"base: {proposal.base}",
    ]
    open_groups: list[str] = []
    order = list(dict.fromkeys(setting.group for setting in proposal.settings))
    for key, value, reason in sorted(proposal.settings, key=lambda item: order.index(item.group)):
        *groups, last = key.split(".")
        for depth, group in enumerate(groups):
            if open_groups[: depth + 1] != groups[: depth + 1]:
                lines.append(f"{'  ' * depth}{group}:")
        open_groups = groups
        # JSON is valid YAML, and it quotes values that YAML would read differently.
        line = f"{'  ' * len(groups)}{last}: {json.dumps(value, ensure_ascii=False)}"
        lines.append(f"{line}  # {reason}" if reason else line)
    return lines + [f"# {note}" for note in proposal.notes[:MAX_NOTES]]
