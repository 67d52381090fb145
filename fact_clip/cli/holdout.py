"""fact-clip data holdout."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, DataSet, Overrides, check_new, data_config, names, option, refuse
from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    from fact_clip.config import DataConfig
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.holdout import Holdout
    from fact_clip.datasets.layout import DataFolder


_UNSEEN = 'Names of unseen classes: "cut ham, hold egg".'
_VALIDATION = "With --unseen: names of further classes, by which settings are chosen."
_ONLY_IN = "Actions that occur only in videos whose names have this regular expression, which are tests alone."
_SUPPORT = "With --count: seen classes that must have each factor of a chosen class."
_ANY = "With --count: also classes with a factor that no seen class has."
_MODE = "In training, mask frames of these classes or drop their videos."


def holdout(
    data: DataSet,
    overrides: Overrides = None,
    unseen: Annotated[str | None, option(_UNSEEN)] = None,
    validation_unseen: Annotated[str | None, option(_VALIDATION)] = None,
    file: Annotated[Path | None, option("A choice to look at: JSON, or one unseen name per line.")] = None,
    only_in: Annotated[str | None, option(_ONLY_IN)] = None,
    count: Annotated[int | None, option("Choose this many unseen classes.", min=1)] = None,
    validation_count: Annotated[int, option("With --count: and this many validation-unseen ones.", min=0)] = 0,
    min_support: Annotated[int, option(_SUPPORT, min=1)] = 1,
    any_class: Annotated[bool, option(_ANY, "--any")] = False,
    seed: Annotated[int, option("With --count: breaks ties.")] = 0,
    mode: Annotated[Literal["mask", "drop"], option(_MODE)] = "mask",
    out: Annotated[Path | None, option("JSON to write, for data.holdout=FILE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose classes to hold out, or look at a choice.

    Without a choice: ranks the classes by how many others have their rarest factor, well filled with ten training
    frames in three segments. With one: says whether it is compositional as a whole, which factors no seen class has, or
    a single one, and what remains for training if unseen frames are masked or their videos dropped. The folder of an
    own data set is read as its recipe.yaml says; without one the grammar is guessed as init does.

    \b
    Example:
      fact-clip data holdout kscgr data.root=../shared/data/kscgr --count 6 --validation-count 3 --out mine.json
      fact-clip data holdout havid_view0_lh_pt data.root=../shared/data/havid --unseen "sntft, sntn5"
    """
    from fact_clip.datasets.holdout import Holdout
    from fact_clip.datasets.layout import DataFolder

    if sum(way is not None for way in (unseen, file, only_in, count)) > 1:
        raise InputError("data holdout", "give only one of --unseen, --file, --only-in and --count")
    if validation_unseen is not None and unseen is None:
        raise refuse("--validation-unseen", "it needs --unseen", "give --unseen too")
    if count is None and (validation_count or min_support > 1 or any_class):
        name = "--validation-count" if validation_count else "--any" if any_class else "--min-support"
        raise refuse(name, "it needs --count", "give --count too")
    if any_class and min_support > 1:
        raise refuse("--any", "it takes classes without support", "leave out --min-support")
    if out is not None:  # a run may name one that is there
        check_new(out, suffix=".json")
    folder = DataFolder(config := data_config(data, overrides))
    config, guesses = _with_guesses(config, folder)
    dataset, chosen = open_whole(config, folder), None
    if unseen is not None:
        unseen_names, validation_names = names(unseen, "--unseen"), names(validation_unseen, "--validation-unseen")
        chosen = Holdout(tuple(unseen_names or ()), tuple(validation_names or ()), mode)
    elif file is not None:
        in_root = dataset.root / file  # as data.holdout is looked for
        chosen = Holdout.read(in_root if in_root.is_file() else file)
    elif only_in is not None:
        chosen = _of_videos(dataset, only_in, mode)
    elif count is not None:
        support = 0 if any_class else min_support
        chosen = choose(dataset, count, validation_count, min_support=support, seed=seed, mode=mode)
    elif out is not None:
        raise refuse("--out", "nothing is chosen", "give --unseen, --file, --only-in or --count too")
    if chosen is None:
        result: dict[str, Any] = {"ranking": _ranking(dataset, seed)}
        text = _ranking_text(dataset.vocabulary, result["ranking"])
    else:
        result = description(dataset, chosen)
        text = description_text(result)
        if any_class and not result["compositional"]:
            lost = ", ".join(map(_factor, result["lost_factors"]))
            warnings.warn(f"no seen class has {lost}: these words are known by the text encoder alone", stacklevel=2)
        if out is not None:
            chosen.save_json(out)
    note(*guesses)
    print_result(result, text, as_json)
    if out is not None:
        note(f"written: {out}; train with data.holdout={out}")


def choose(dataset: Dataset, number: int, n_validation: int, **rules: Any) -> Holdout:
    """Choose classes of the test that stay compositional when held out together; `rules` as of `holdout.select`."""
    from fact_clip.datasets.holdout import select

    counts = dataset.class_counts(dataset.learning)
    tests = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = [name for name, frames in zip(dataset.vocabulary, tests.tolist(), strict=True) if frames]
    rules |= {"counts": counts, "segments": dataset.segment_counts(dataset.learning), "candidates": tested}
    return select(dataset.vocabulary, number, n_validation, **rules)


def _of_videos(dataset: Dataset, pattern: str, mode: Literal["mask", "drop"]) -> Holdout:
    """Hold out the actions that occur in no video but those that match; test on these, and train on the others.

    Matching videos would train their background alone, and all that looks like them would become background.
    """
    from fact_clip.datasets.holdout import Holdout

    try:
        matching = {name for name in (*dataset.learning, *dataset.test) if re.search(pattern, name)}
    except re.error as error:
        raise refuse("--only-in", f"{pattern!r} is not a regular expression: {error}") from None
    others = [name for name in (*dataset.learning, *dataset.test) if name not in matching]
    only = (dataset.class_counts(matching) > 0) & (dataset.class_counts(others) == 0)
    unseen = tuple(name for name, is_only in zip(dataset.vocabulary, only.tolist(), strict=True) if is_only)
    test = tuple(name for name in dataset.test if name in matching)
    train = tuple(name for name in dataset.learning if name not in matching)
    if not unseen or not test or not train:
        problem = f"{len(unseen)} actions occur only in the {len(matching)} videos that match"
        raise refuse("--only-in", f"{problem}, {len(test)} of the test", "give another pattern")
    return Holdout(unseen, mode=mode, train_videos=train, test_videos=test)


def open_whole(config: DataConfig, folder: DataFolder | None = None) -> Dataset:
    """Open a data set with nothing held out; of all splits the first."""
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.layout import DataFolder

    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    folder = folder or DataFolder(config)
    return Dataset(config.model_copy(update={"split": split}), folder, folder.vocabulary(config))


def _with_guesses(config: DataConfig, folder: DataFolder) -> tuple[DataConfig, list[str]]:
    """Return settings of an own data set with what its class names tell, as `init` guesses it, and that in words."""
    from fact_clip.datasets.describe import guess_names

    if config.name != "folder":
        return config, []
    guessed, _ = guess_names(config, folder.class_names, folder.root)
    values = {key: getattr(guessed, key) for key in ("background", "unlabelled", "grammar")}
    new = {key: value for key, value in values.items() if value and value != getattr(config, key)}
    texts = (f"data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in new.items())
    return guessed, [f"guessed by the names: {text}" for text in texts]


def _ranking(dataset: Dataset, seed: int) -> list[dict[str, Any]]:
    from fact_clip.datasets.holdout import rank

    counts, segments = dataset.class_counts(dataset.learning), dataset.segment_counts(dataset.learning)
    frames = dict(zip(dataset.vocabulary, counts.tolist(), strict=True))
    return [
        {
            "name": row.name,
            "support": row.classes,
            "well_filled": row.well_filled,
            "rarest": row.rarest,
            "frames": frames[row.name],
        }
        for row in rank(dataset.vocabulary, (), counts, seed, segments)
    ]


def _ranking_text(vocabulary: Vocabulary, ranking: list[dict[str, Any]]) -> str:
    head = f"{len(vocabulary)} classes with {', '.join(vocabulary.slots)}"
    rows = [{**row, "rarest": _factor(row["rarest"])} for row in ranking]
    return f"{head}; support: other classes with the rarest factor; training frames\n{table(rows)}"


def description(dataset: Dataset, chosen: Holdout) -> dict[str, Any]:
    """Describe a choice: whether it is compositional, each class with its frames and new factors, and what remains."""
    from fact_clip.datasets.holdout import level, lost_factors, resting_on_one

    vocabulary = dataset.vocabulary
    counts, segments = dataset.class_counts(dataset.learning), dataset.segment_counts(dataset.learning)
    frames = dict(zip(vocabulary, counts.tolist(), strict=True))
    trained = dataset.class_counts(dataset.videos_of(chosen)[0])
    new_of = lost_factors(vocabulary, chosen.check(vocabulary).hidden, trained)
    resting = resting_on_one(vocabulary, chosen.hidden, trained, segments)
    lost = list(dict.fromkeys(factor for new in new_of.values() for factor in new))
    classes = []
    for name, new in new_of.items():
        group = "unseen" if name in chosen.unseen else "validation-unseen"
        row = {"name": name, "group": group, "frames": frames[name], "level": level(new)}
        on_one = [{"factor": list(factor), "class": other} for factor, other in resting[name].items()]
        classes.append({**row, "new": list(map(list, new)), "on_one_class": on_one})
    result = {"holdout": chosen.to_dict(), "compositional": not lost, "lost_factors": list(map(list, lost))}
    return {**result, "classes": classes, "remains": dataset.remaining(chosen)}


def description_text(description: Mapping[str, Any]) -> str:
    """Write a `description` as tables."""
    classes = description["classes"]
    keys = ("name", "group", "frames", "level")
    rows = [{key: row[key] for key in keys} | {"new factors": [*map(_factor, row["new"])]} for row in classes]
    parts = [table(rows)]
    resting = [f"  {_factor(rest['factor'])}: {rest['class']}" for row in classes for rest in row["on_one_class"]]
    if resting:
        head = "factors that rest on one seen class, whose other factors they may be taken for:"
        parts.append("\n".join([head, *dict.fromkeys(resting)]))
    lost = ", ".join(map(_factor, description["lost_factors"]))
    text = f"NOT compositional as a whole; lost: {lost}"
    parts.append(text if lost else "compositional as a whole: a seen class has every factor of every class")
    parts.append(table([{"remains for training": way, **row} for way, row in description["remains"].items()]))
    return "\n\n".join(parts)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"
