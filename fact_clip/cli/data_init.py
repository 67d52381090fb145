"""fact-clip data init."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.arguments import read_names
from fact_clip.cli.console import table
from fact_clip.cli.options import Layout, argument, option
from fact_clip.core import InputError

if TYPE_CHECKING:
    from fact_clip.core import Vocabulary

MAX_NAMES = 2
"""How many names are printed with their parts."""


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
    holdout: Annotated[
        str | None,
        option(
            'Classes held out, as data.holdout: a JSON file, or "[a, b]". Their labels are not '
            "measured, and the recipe names them."
        ),
    ] = None,
    overwrite: Annotated[bool, option("Replace the recipe that is there.", "--overwrite")] = False,
) -> None:
    """Write a recipe for your own data set.

    Orientation, stride, context, sizes, regularisation and validation follow from what the training
    videos hold, and the parts of names are read; guesses are marked as such. A few training
    steps are timed. Without --zero-shot their duration gives the number of epochs, and of models,
    that --minutes allow.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.advice.recipe import MAX_NOTES, write_recipe
    from fact_clip.config import DataConfig, validate_tree, value_of

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending of a recipe is .yaml, not {path.suffix!r}")
    if path.exists() and not overwrite:
        fix = "replace it with --overwrite, or name another file with --out"
        raise InputError(path, "it exists already", fix)
    holdout_value = None if holdout is None else value_of("data.holdout", holdout, "--holdout")
    if isinstance(holdout_value, str) and Path(holdout_value).is_file():
        holdout_value = str(Path(holdout_value).resolve())
    values = {
        "root": str(folder),
        "holdout": holdout_value,
        # None is guessed from the names; () means that no class is background. Unlabelled names
        # are guessed in both cases, so they need no None.
        "background": None if background is None else read_names(background, "--background"),
        "fps": fps,
        "layout": layout,
        "split": split,
        "grammar": grammar,
        "unlabelled": read_names(unlabelled, "--unlabelled"),
    }
    config = validate_tree(DataConfig, values, "data init")
    proposal, duration_note = write_recipe(config, path, minutes, zero_shot=zero_shot)

    print(f"{path}: {proposal.videos} videos, {proposal.measures.classes} classes")
    print(f"  {proposal.measures}")
    for key, value, reason in proposal.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    print(_parts_table(proposal.vocabulary))
    for note in proposal.notes[:MAX_NOTES]:
        print(f"note: {note}")
    print(duration_note)
    run = "runs/mine" if path.stem == "recipe" else f"runs/{path.stem}"
    words = ["fact-clip", "train", str(path), "--out", run]
    if zero_shot and holdout is None:
        words.insert(3, "data.holdout=[name, name]")
    print(f"train it with: {shlex.join(words)}")


def _parts_table(vocabulary: Vocabulary) -> str:
    """Return a table of the parts of `MAX_NAMES` names, those with the most parts."""
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
