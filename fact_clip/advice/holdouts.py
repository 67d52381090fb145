"""Hold-outs of a data set: their selection, and what they leave for training."""

import json
import re
from itertools import chain
from typing import Any

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Json, library_errors
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.naming import guess_names
from fact_clip.unseen.choice import level, lost_factors, resting_on_one, select
from fact_clip.unseen.holdout import Holdout


def choose(dataset: Dataset, number: int, n_validation: int, **rules: Any) -> Holdout:
    """Select classes of the test videos that stay compositional if all of them are held out.

    Args:
        dataset: Data set.
        number: Number of unseen classes.
        n_validation: Number of validation-unseen classes.
        rules: Further arguments of `unseen.choice.select`.
    """
    counts = dataset.class_counts(dataset.learning)
    test_counts = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = dataset.vocabulary.decode(test_counts.nonzero()[0])
    return select(
        dataset.vocabulary,
        number,
        n_validation,
        counts=counts,
        segments=dataset.segment_counts(dataset.learning),
        videos=[dataset.class_counts([name]) for name in dataset.learning],
        candidates=tested,
        **rules,
    )


def of_videos(dataset: Dataset, pattern: str) -> Holdout:
    """Hold out the actions that occur only in matching videos, which become the test videos.

    Matching videos are not used for training. Only their background would have labels, so a model
    would learn that similar videos contain only background.

    Args:
        dataset: Data set.
        pattern: Regular expression for names of videos.
    """
    where = "--only-in"
    videos = (*dataset.learning, *dataset.test)
    with library_errors(where, f"{pattern!r} is not a regular expression", re.error):
        matching = {name for name in videos if re.search(pattern, name)}
    counts = dataset.class_counts(matching)
    other_counts = dataset.class_counts([name for name in videos if name not in matching])
    only_matching = (counts > 0) & (other_counts == 0)
    only_matching[list(dataset.vocabulary.background_indices)] = False
    unseen = tuple(dataset.vocabulary.decode(only_matching.nonzero()[0]))
    test = tuple(name for name in dataset.test if name in matching)
    train = tuple(name for name in dataset.learning if name not in matching)
    if not unseen or not test or not train:
        counts_text = f"{len(unseen)} actions occur only in the {len(matching)} videos that match"
        raise InputError(where, f"{counts_text}, {len(test)} of the test", "give another pattern")
    return Holdout(unseen, train_videos=train, test_videos=test)


def open_whole(config: DataConfig, folder: DataFolder | None = None) -> Dataset:
    """Open a data set without a hold-out, with its first split if the split is "all"."""
    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    folder = folder or DataFolder(config)
    # validation videos with clicks have labels only in the clicked frames
    config = config.model_copy(update={"split": split, "validation": 0.0})
    return Dataset(config, folder, folder.vocabulary(config))


def open_with_guesses(config: DataConfig) -> tuple[Dataset, list[str]]:
    """Open a data set. For a folder, guess how its names are read, as `data init` does.

    Returns:
        The data set, and the guesses as lines of text.
    """
    folder = DataFolder(config)
    if config.name != "folder":
        return open_whole(config, folder), []
    guessed, _ = guess_names(config, folder.class_names, folder.root)
    lines = []
    for key in ("background", "unlabelled", "grammar"):
        value = getattr(guessed, key)
        if value and value != getattr(config, key):
            setting = json.dumps(value, ensure_ascii=False)
            lines.append(f"guessed by the names: data.{key}={setting}")
    return open_whole(guessed, folder), lines


def description(dataset: Dataset, holdout: Holdout) -> Json:
    """Describe a hold-out.

    Args:
        dataset: Data set.
        holdout: Hold-out.

    Returns:
        Whether the hold-out is compositional, the new factors of each class, the factors that occur
        in only one seen class, and what remains for training.
    """
    vocabulary = dataset.vocabulary
    counts = dataset.class_counts(dataset.learning)
    hidden = vocabulary.encode(holdout.check(vocabulary).hidden)
    learning = dataset.videos_of(holdout).learning
    if holdout.mode == "drop":
        learning = tuple(
            name for name in learning if not dataset.class_counts([name])[hidden].any()
        )
    segments = dataset.segment_counts(learning)
    trained = dataset.class_counts(learning)
    new_factors = lost_factors(vocabulary, holdout.hidden, trained)
    resting = resting_on_one(vocabulary, holdout.hidden, trained, segments)
    seen = [label for label in range(len(vocabulary)) if label not in hidden]
    remains = {
        "videos": sum(bool(dataset.class_counts([name])[seen].any()) for name in learning),
        "frames": int(trained[seen].sum()),
        "segments": int(segments[seen].sum()),
        "classes": int((trained[seen] > 0).sum()),
    }

    classes = []
    for name, factors in new_factors.items():
        row = {
            "name": name,
            "group": "unseen" if name in holdout.unseen else "validation-unseen",
            "frames": int(counts[vocabulary.index(name)]),
            "level": level(factors),
            "new": [list(factor) for factor in factors],
            "on_one_class": [
                {"factor": list(factor), "class": class_name}
                for factor, class_name in resting[name].items()
            ],
        }
        classes.append(row)
    lost = dict.fromkeys(chain.from_iterable(new_factors.values()))
    return {
        "holdout": holdout.to_dict(),
        "compositional": not lost,
        "lost_factors": [list(factor) for factor in lost],
        "classes": classes,
        "remains": remains,
    }
