"""fact-clip data holdout."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fact_clip.cli.arguments import data_config, read_names
from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, DataSet, Overrides, option
from fact_clip.core import InputError, Json


def holdout(
    data: DataSet,
    overrides: Overrides = None,
    unseen: Annotated[str | None, option('Names of unseen classes: "cut ham, hold egg".')] = None,
    validation_unseen: Annotated[
        str | None,
        option("With --unseen: names of classes for choosing settings."),
    ] = None,
    file: Annotated[
        Path | None, option("Choice to describe: JSON, or one unseen class per line.")
    ] = None,
    only_in: Annotated[
        str | None,
        option(
            "Hold out actions that occur only in videos whose names match this pattern.",
        ),
    ] = None,
    count: Annotated[int | None, option("Choose this many unseen classes.", min=1)] = None,
    validation_count: Annotated[
        int, option("With --count: number of validation-unseen classes.", min=0)
    ] = 0,
    min_support: Annotated[
        int,
        option(
            "With --count: minimum number of seen classes that share each factor of a chosen "
            "class.",
            min=0,
        ),
    ] = 1,
    seed: Annotated[int, option("Seed that breaks ties of --count.")] = 0,
    out: Annotated[Path | None, option("JSON file to write, for data.holdout=FILE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose classes to hold out, or describe a choice.

    The report lists the factors of held-out classes that no seen class has, the factors that only
    one seen class has, and what remains for training. Your own data set is read according to its
    recipe.yaml. Without a recipe, the grammar is guessed as in `data init`. Videos that --only-in
    matches are used only for the test. With --min-support 0, a chosen class can have new factors.

    \b
    Example:
      fact-clip data holdout kscgr data.root=data/kscgr --count 6 \\
        --validation-count 3 --out mine.json
      fact-clip data holdout havid_view0_lh_pt data.root=data/havid \\
        --unseen "sntft, sntn5"
    """
    if sum(way is not None for way in (unseen, file, only_in, count)) > 1:
        raise InputError("data holdout", "give only one of --unseen, --file, --only-in and --count")
    if validation_unseen is not None and unseen is None:
        where = "--validation-unseen"
        raise InputError(where, "it needs --unseen", "also give --unseen")
    if count is None:
        for name, is_typed in (
            ("--validation-count", validation_count > 0),
            ("--min-support", min_support != 1),
        ):
            if is_typed:
                raise InputError(name, "it needs --count", "also give --count")
    if out is not None:
        if out.suffix != ".json" or os.path.lexists(out):  # a run may refer to the old file
            problem = "it already exists, or does not end in .json"
            raise InputError(out, problem, "name a new file with --out")
    from fact_clip.advice.holdouts import choose, description, of_videos, open_with_guesses
    from fact_clip.unseen.holdout import Holdout, read_holdout

    dataset, guesses = open_with_guesses(data_config(data, overrides))
    if unseen is not None:
        validation_names = read_names(validation_unseen, "--validation-unseen")
        choice = Holdout(read_names(unseen, "--unseen"), validation_names)
    elif file is not None:
        choice = read_holdout(str(file), dataset.root)
    elif only_in is not None:
        choice = of_videos(dataset, only_in)
    elif count is not None:
        choice = choose(dataset, count, validation_count, min_support=min_support, seed=seed)
    else:
        fix = "give --count, --unseen, --file or --only-in"
        raise InputError("data holdout", "no classes are chosen", fix)
    choice = replace(choice, mode=dataset.config.holdout_mode or choice.mode)
    result = description(dataset, choice)
    if min_support == 0 and not result["compositional"]:
        lost = ", ".join(map(" ".join, result["lost_factors"]))
        message = (
            f"no seen class has {lost}: only the text encoder can relate these words to others"
        )
        warnings.warn(message, stacklevel=2)
    note(*guesses)
    print_result(result, holdout_text(result), as_json)
    if out is not None:
        written = choice.save_json(out)
        # A file of the same name in the data folder would be read instead of this one.
        is_hidden = dataset.root is not None and (dataset.root / out).is_file()
        reference = written.resolve() if is_hidden else out
        note(f"written: {written}; train with data.holdout={reference}")


def holdout_text(result: Json) -> str:
    """Return the description of a hold-out as text.

    Args:
        result: Result of `advice.holdouts.description`.

    Returns:
        Table of the classes, their factors that occur in at most one seen class, and a table of
        what remains for training.
    """
    rows = []
    single_lines: dict[str, None] = {}
    for row in result["classes"]:
        shared = {key: row[key] for key in ("name", "group", "frames", "level")}
        rows.append({**shared, "new factors": [_factor(factor) for factor in row["new"]]})
        for single in row["on_one_class"]:
            single_lines[f"  {_factor(single['factor'])}: {single['class']}"] = None
    texts = [table(rows)]
    if single_lines:
        head = "factors of only one seen class, whose other factors may be confused with them:"
        texts.append("\n".join([head, *single_lines]))
    if result["lost_factors"]:
        names = ", ".join(map(_factor, result["lost_factors"]))
        texts.append(f"parts of the held-out names that occur in no trained class: {names}")
    else:
        texts.append("all parts of the held-out names occur in trained classes")
    texts.append(table([{"remains for training": result["holdout"]["mode"], **result["remains"]}]))
    return "\n\n".join(texts)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"
