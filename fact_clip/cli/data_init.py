"""fact-clip data init."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.arguments import read_names
from fact_clip.cli.console import table
from fact_clip.cli.options import Layout, argument, option
from fact_clip.core import InputError
from fact_clip.core.paths import write_lines

if TYPE_CHECKING:
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.describe import Proposal

ROOT = "data.root"

MAX_NAMES = 3
"""Names whose parts are printed."""

MAX_NOTES = 3


def init(
    folder: Annotated[Path, argument("DIR", "Data set in the common layout.")],
    *,
    out: Annotated[
        Path | None, option("Recipe to write, a new file; unset: DIR/recipe.yaml.")
    ] = None,
    background: Annotated[
        str | None,
        option('Classes that mean no action, "a, b"; unset: guessed from their names.'),
    ] = None,
    fps: Annotated[float | None, option("Feature rows per second.")] = None,
    layout: Annotated[
        Layout, option("Features with time or channels first; unset: told by the labels.")
    ] = None,
    split: Annotated[str, option("Split to train on; where there is no split 1, the first.")] = "1",
    grammar: Annotated[
        str | None,
        option(
            'How names are read: "{verb} {object} [with {tool}]", english, or none (no parts); '
            "unset: guessed by the names."
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        option('Labels that stand for no class, "a, b": their frames are ignored.'),
    ] = None,
    minutes: Annotated[
        float,
        option("How long a training may take on one core; more time, more models.", min=0.01),
    ] = 1.5,
    zero_shot: Annotated[
        bool,
        option(
            "For a model that also names classes which are held out: three models by words, whose "
            "epochs follow from the number of videos.",
            "--zero-shot",
        ),
    ] = False,
    overwrite: Annotated[bool, option("Replace the recipe that is there.", "--overwrite")] = False,
) -> None:
    """Write a recipe for your own data set.

    Orientation, stride, context, sizes, regularisation and validation follow from what the training
    videos hold, and the parts of names are read; guesses are marked as such. Some steps are
    trained, and their time says how many epochs --minutes allow, and of how many models.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.config import DataConfig, validate_tree
    from fact_clip.datasets.describe import propose
    from fact_clip.training.estimate import for_unseen_classes, with_time

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending of a recipe is .yaml, not {path.suffix!r}")
    if path.exists() and not overwrite:
        fix = "replace it with --overwrite, or name another file with --out"
        raise InputError(path, "it exists already", fix)
    values = {
        "root": str(folder),
        "background": None if background is None else read_names(background, "--background"),
        "fps": fps,
        "layout": layout,
        "split": split,
        "grammar": grammar,
        "unlabelled": read_names(unlabelled, "--unlabelled"),
    }
    proposal = propose(validate_tree(DataConfig, values, "data init"))
    if zero_shot:
        proposal, time = for_unseen_classes(proposal)
    else:
        proposal, time = with_time(proposal, minutes)
    proposal = _with_relative_root(proposal, path.parent.resolve())
    write_lines(path, _recipe(folder, proposal, time))

    print(f"{path}: {proposal.videos} videos, {proposal.measures.classes} classes")
    print(f"  {proposal.measures}")
    for key, value, reason in proposal.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    print(_parts_table(proposal.vocabulary))
    for note in proposal.notes[:MAX_NOTES]:
        print(f"note: {note}")
    print(time)
    words = ["fact-clip", "train", str(path), "--out", "runs/mine"]
    if zero_shot:
        words.insert(3, "data.holdout=[name, name]")
    print(f"train it with: {shlex.join(words)}")


def _with_relative_root(proposal: Proposal, parent: Path) -> Proposal:
    """Return the proposal with the root relative to the recipe, so that both can be moved."""
    settings = []
    for setting in proposal.settings:
        root = Path(str(setting.value))
        if setting.key == ROOT and root.is_relative_to(parent):
            setting = setting._replace(value=str(root.relative_to(parent)))
        settings.append(setting)
    return replace(proposal, settings=tuple(settings))


def _parts_table(vocabulary: Vocabulary) -> str:
    """Return the parts of the first names as a table. Names with the most parts come first."""
    if len(vocabulary.slots) < 2:
        return "names are read as whole phrases; data.grammar or ROOT/factors.csv gives them parts"
    rows = []
    for name, parts in zip(vocabulary, vocabulary.factors, strict=True):
        if name not in vocabulary.background:
            rows.append({"name": name, **dict(zip(vocabulary.slots, parts, strict=True))})
    rows.sort(key=lambda row: list(row.values()).count(None))
    lines = [table(rows[:MAX_NAMES])]
    if len(rows) > MAX_NAMES:
        lines.append(f"and {len(rows) - MAX_NAMES} more names")
    return "\n".join(lines)


def _recipe(folder: Path, proposal: Proposal, time: str) -> list[str]:
    """Return the lines of the recipe as YAML, with its reasons as comments."""
    counts = f"{proposal.videos} videos, {proposal.measures.classes} classes"
    lines = [
        f"# {folder.resolve().name}: {counts}. Measured by fact-clip data init.",
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
        # JSON is YAML, and it quotes what YAML would read as something else.
        line = f"{'  ' * len(groups)}{last}: {json.dumps(value, ensure_ascii=False)}"
        lines.append(f"{line}  # {reason}" if reason else line)
    return lines + [f"# {note}" for note in proposal.notes[:MAX_NOTES]]
