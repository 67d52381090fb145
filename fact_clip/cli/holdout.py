"""What fact-clip data holdout chooses and says, as scripts/select_holdout_classes.py does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from fact_clip.cli.console import table
from fact_clip.config import DataConfig
from fact_clip.core import CommandOption, InputError, library_errors
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.holdout import Holdout, level, lost_factors, rank, resting_on_one, select
from fact_clip.datasets.layout import DataFolder


def choose(dataset: Dataset, number: int, n_validation: int, **rules: Any) -> Holdout:
    """Choose classes of the test that stay compositional when held out together; `rules` as of `holdout.select`."""
    counts = dataset.class_counts(dataset.learning)
    tests = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = [
        name for name, frames in zip(dataset.vocabulary, tests.tolist(), strict=True) if frames
    ]
    rules |= {
        "counts": counts,
        "segments": dataset.segment_counts(dataset.learning),
        "candidates": tested,
    }
    return select(dataset.vocabulary, number, n_validation, **rules)


def of_videos(dataset: Dataset, pattern: str, mode: Literal["mask", "drop"]) -> Holdout:
    """Hold out the actions that occur in no video but those that match; test on these, and train on the others.

    Matching videos would train their background alone, and all that looks like them would become background.
    """
    videos = (*dataset.learning, *dataset.test)
    with library_errors(
        CommandOption("--only-in"), f"{pattern!r} is not a regular expression", re.error
    ):
        matching = {name for name in videos if re.search(pattern, name)}
    others = dataset.class_counts([name for name in videos if name not in matching])
    only = (dataset.class_counts(matching) > 0) & (others == 0)
    unseen = tuple(
        name for name, is_only in zip(dataset.vocabulary, only.tolist(), strict=True) if is_only
    )
    test = tuple(name for name in dataset.test if name in matching)
    train = tuple(name for name in dataset.learning if name not in matching)
    if not unseen or not test or not train:
        problem = f"{len(unseen)} actions occur only in the {len(matching)} videos that match"
        raise InputError(
            CommandOption("--only-in"),
            f"{problem}, {len(test)} of the test",
            "give another pattern",
        )
    return Holdout(unseen, mode=mode, train_videos=train, test_videos=test)


def open_whole(config: DataConfig, folder: DataFolder | None = None) -> Dataset:
    """Open a data set with nothing held out; of all splits the first."""
    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    folder = folder or DataFolder(config)
    return Dataset.build(
        config.model_copy(update={"split": split}), folder, folder.vocabulary(config)
    )


def open_with_guesses(config: DataConfig) -> tuple[Dataset, list[str]]:
    """Open a data set; an own one with what its class names tell, as `init` guesses it, and that in words."""
    folder, texts = DataFolder(config), list[str]()
    if config.name == "folder":
        guessed, _ = guess_names(config, folder.class_names, folder.root)
        for key in ("background", "unlabelled", "grammar"):
            if (value := getattr(guessed, key)) and value != getattr(config, key):
                texts.append(
                    f"guessed by the names: data.{key}={json.dumps(value, ensure_ascii=False)}"
                )
        config = guessed
    return open_whole(config, folder), texts


def ranking(dataset: Dataset, seed: int) -> tuple[list[dict[str, Any]], str]:
    """Rank the classes that could be held out, as rows and as text."""
    vocabulary = dataset.vocabulary
    counts, segments = (
        dataset.class_counts(dataset.learning),
        dataset.segment_counts(dataset.learning),
    )
    frames = dict(zip(vocabulary, counts.tolist(), strict=True))
    rows: list[dict[str, Any]] = [
        {
            "name": row.name,
            "support": row.classes,
            "well_filled": row.well_filled,
            "rarest": row.rarest,
        }
        | {"frames": frames[row.name]}
        for row in rank(vocabulary, (), counts, seed, segments)
    ]
    head = f"{len(vocabulary)} classes with {', '.join(vocabulary.slots)}"
    text = table([{**row, "rarest": _factor(row["rarest"])} for row in rows])
    return rows, f"{head}; support: other classes with the rarest factor; training frames\n{text}"


def description(dataset: Dataset, chosen: Holdout) -> tuple[dict[str, Any], str]:
    """Describe a choice as JSON and as text: is it compositional, the new factors of each class, and what remains."""
    vocabulary = dataset.vocabulary
    counts, segments = (
        dataset.class_counts(dataset.learning),
        dataset.segment_counts(dataset.learning),
    )
    frames = dict(zip(vocabulary, counts.tolist(), strict=True))
    trained = dataset.class_counts(dataset.videos_of(chosen).learning)
    new_of = lost_factors(vocabulary, chosen.check(vocabulary).hidden, trained)
    resting = resting_on_one(vocabulary, chosen.hidden, trained, segments)
    lost = list(dict.fromkeys(factor for new in new_of.values() for factor in new))
    classes, rows = list[dict[str, Any]](), list[dict[str, Any]]()
    for name, new in new_of.items():
        group = "unseen" if name in chosen.unseen else "validation-unseen"
        row = {"name": name, "group": group, "frames": frames[name], "level": level(new)}
        rests = [
            {"factor": list(factor), "class": other} for factor, other in resting[name].items()
        ]
        classes.append({**row, "new": list(map(list, new)), "on_one_class": rests})
        rows.append({**row, "new factors": [*map(_factor, new)]})
    remains = dataset.remaining(chosen)
    texts = [table(rows)]
    lines = [
        f"  {_factor(pair)}: {other}"
        for factors in resting.values()
        for pair, other in factors.items()
    ]
    if lines:
        head = "factors that rest on one seen class, whose other factors they may be taken for:"
        texts.append("\n".join([head, *dict.fromkeys(lines)]))
    text = f"NOT compositional as a whole; lost: {', '.join(map(_factor, lost))}"
    texts.append(
        text if lost else "compositional as a whole: a seen class has every factor of every class"
    )
    texts.append(table([{"remains for training": way, **row} for way, row in remains.items()]))
    result = {
        "holdout": chosen.to_dict(),
        "compositional": not lost,
        "lost_factors": list(map(list, lost)),
    }
    return {**result, "classes": classes, "remains": remains}, "\n\n".join(texts)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"
