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
"""Number of names that are printed with their parts."""


def init(
    folder: Annotated[Path, argument("DIR", "Data set in the common layout.")],
    *,
    out: Annotated[
        Path | None, option("Recipe to write; must be new. Default: DIR/recipe.yaml.")
    ] = None,
    background: Annotated[
        str | None,
        option('Classes that mean no action, "a, b". Default: guessed from the names.'),
    ] = None,
    fps: Annotated[float | None, option("Feature rows per second.")] = None,
    layout: Annotated[
        Layout, option("Layout of the features. Default: inferred from the labels.")
    ] = None,
    split: Annotated[str, option("Split to train on. If there is no split 1, the first.")] = "1",
    grammar: Annotated[
        str | None,
        option(
            'Pattern of the names, such as "{verb} {object} [with {tool}]", english, or none. '
            "Default: guessed.",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        option('Labels that stand for no class, "a, b". Their frames are ignored.'),
    ] = None,
    minutes: Annotated[
        float,
        option("Minutes that training may take on one core.", min=0.01),
    ] = 1.5,
    zero_shot: Annotated[
        bool,
        option(
            "Also recognise held-out classes: three models that read names.",
            "--zero-shot",
        ),
    ] = False,
    holdout: Annotated[
        str | None,
        option(
            'Held-out classes for data.holdout: a JSON file, or "[a, b]".',
        ),
    ] = None,
    overwrite: Annotated[bool, option("Replace an existing recipe.", "--overwrite")] = False,
) -> None:
    """Write a recipe for your own data set.

    The command derives the orientation, stride, context, model sizes, regularisation and validation
    videos from the training videos, and divides the names into parts. Guesses are marked as such.
    It times a few training steps to choose the number of epochs and models that --minutes allows.
    With --zero-shot, the number of epochs follows from the number of videos. Labels of held-out
    classes are not measured.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.advice.recipe import MAX_NOTES, write_recipe
    from fact_clip.config import DataConfig, validate_tree, value_of

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"a recipe must end in .yaml, not {path.suffix!r}")
    if path.exists() and not overwrite:
        fix = "replace it with --overwrite, or name a different file with --out"
        raise InputError(path, "it already exists", fix)
    holdout_value = None if holdout is None else value_of("data.holdout", holdout, "--holdout")
    if isinstance(holdout_value, str) and Path(holdout_value).is_file():
        holdout_value = str(Path(holdout_value).resolve())
    values = {
        "root": str(folder),
        "holdout": holdout_value,
        # None means that background is guessed from the names, and () that there is none.
        # Unlabelled names are guessed in both cases, so they need no None.
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
    """Return a table of the parts of the `MAX_NAMES` names that have the most parts."""
    if len(vocabulary.slots) < 2:
        return (
            "names are read as whole phrases; to divide them, set data.grammar or write "
            "ROOT/factors.csv"
        )
    rows = []
    for name, parts in zip(vocabulary, vocabulary.factors, strict=True):
        if name not in vocabulary.background:
            rows.append({"name": name, **dict(zip(vocabulary.slots, parts, strict=True))})
    rows.sort(key=lambda row: list(row.values()).count(None))
    lines = [table(rows[:MAX_NAMES])]
    if len(rows) > MAX_NAMES:
        lines.append(f"and {len(rows) - MAX_NAMES} more names")
    return "\n".join(lines)
