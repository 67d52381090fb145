"""fact-clip data holdout."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, Overrides, check_new, data_config, names, option, refuse
from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fact_clip.config import DataConfig
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.holdout import Holdout
    from fact_clip.datasets.layout import DataFolder


_DATA = "A recipe or data set by name, the folder of a data set, or a mapping.txt."
_UNSEEN = 'Names of unseen classes: "cut ham, hold egg".'
_VALIDATION = "With --unseen: names of further classes, by which settings are chosen."
_ONLY_IN = "Actions that occur only in videos whose names have this regular expression, which are tests alone."
_SUPPORT = "With --count: seen classes that must have each factor of a chosen class."
_ANY = "With --count: also classes with a factor that no seen class has."
_MODE = "In training, mask frames of these classes or drop their videos."


def holdout(
    data: Annotated[str, typer.Argument(metavar="NAME|DIR|FILE", help=_DATA)],
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
    a single one, and what remains for training if unseen frames are masked or their videos dropped. A mapping.txt has
    names only; data.name=NAME says how to read them, or data.grammar=PATTERN. The folder of an own data set is read as
    its recipe.yaml says; without one the grammar is guessed as init does.

    \b
    Example:
      fact-clip data holdout kscgr data.root=../shared/data/kscgr --count 6 --validation-count 3 --out mine.json
      fact-clip data holdout mapping.txt data.name=havid_view0_lh_pt --unseen "sntft, sntn5"
    """
    from fact_clip.datasets.holdout import Holdout

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
    source, chosen = _open(data, overrides), None
    if unseen is not None:
        unseen_names, validation_names = names(unseen, "--unseen"), names(validation_unseen, "--validation-unseen")
        chosen = Holdout(tuple(unseen_names or ()), tuple(validation_names or ()), mode)
    elif file is not None:
        in_root = None if source.dataset is None else source.dataset.root / file  # as data.holdout is looked for
        chosen = Holdout.read(in_root if in_root is not None and in_root.is_file() else file)
    elif only_in is not None:
        chosen = source.of_videos(only_in, mode)
    elif count is not None:
        support = 0 if any_class else min_support
        chosen = source.choose(count, validation_count, min_support=support, seed=seed, mode=mode)
    elif out is not None:
        raise refuse("--out", "nothing is chosen", "give --unseen, --file, --only-in or --count too")
    if chosen is None:
        result: dict[str, Any] = {"ranking": _ranking(source, seed)}
        text = _ranking_text(source, result["ranking"])
    else:
        result = description(source, chosen)
        text = description_text(result)
        if any_class and not result["compositional"]:
            lost = ", ".join(map(_factor, result["lost_factors"]))
            warnings.warn(f"no seen class has {lost}: these words are known by the text encoder alone", stacklevel=2)
        if out is not None:
            chosen.save_json(out)
    note(*source.guesses)
    print_result(result, text, as_json)
    if out is not None:
        note(f"written: {out}; train with data.holdout={out}")


@dataclass(frozen=True)
class Source:
    """Classes, and the data set with nothing held out; only the classes where there are only names."""

    vocabulary: Vocabulary
    dataset: Dataset | None = None
    counts: NDArray[Any] | None = None  # training frames of each class, (C,)
    segments: NDArray[Any] | None = None  # and segments
    tested: list[str] | None = None  # classes that occur in the test videos
    guesses: tuple[str, ...] = ()  # what was read off the names, in words

    def choose(self, count: int, validation_count: int, **rules: Any) -> Holdout:
        """Choose classes that stay compositional when they are held out together; `rules` as of `holdout.select`."""
        from fact_clip.datasets.holdout import select

        rules |= {"counts": self.counts, "segments": self.segments, "candidates": self.tested}
        return select(self.vocabulary, count, validation_count, **rules)

    def of_videos(self, pattern: str, mode: Literal["mask", "drop"]) -> Holdout:
        """Hold out the actions that occur in no video but those that match; test on these, and train on the others.

        Matching videos would train their background alone, and all that looks like them would become background.
        """
        from fact_clip.datasets.holdout import Holdout

        dataset = self.dataset
        if dataset is None:
            raise refuse("--only-in", "there are names alone", "name a data set")
        try:
            matching = {name for name in (*dataset.learning, *dataset.test) if re.search(pattern, name)}
        except re.error as error:
            raise refuse("--only-in", f"{pattern!r} is not a regular expression: {error}") from None
        others = [name for name in (*dataset.learning, *dataset.test) if name not in matching]
        only = (dataset.class_counts(matching) > 0) & (dataset.class_counts(others) == 0)
        unseen = tuple(name for name, is_only in zip(self.vocabulary, only.tolist(), strict=True) if is_only)
        test = tuple(name for name in dataset.test if name in matching)
        train = tuple(name for name in dataset.learning if name not in matching)
        if not unseen or not test or not train:
            problem = f"{len(unseen)} actions occur only in the {len(matching)} videos that match"
            raise refuse("--only-in", f"{problem}, {len(test)} of the test", "give another pattern")
        return Holdout(unseen, mode=mode, train_videos=train, test_videos=test)


def _open(data: str, overrides: list[str] | None) -> Source:
    from fact_clip.config import Config
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.benchmarks import find_benchmark
    from fact_clip.datasets.layout import DataFolder, make_vocabulary

    if Path(data).is_file() and Path(data).suffix not in (".yaml", ".yml"):
        listed = tuple(Vocabulary.from_mapping(data))
        config, guesses = _with_guesses(Config.load("folder", overrides or []).data, listed)
        defaults = config.background or find_benchmark(config.name).background
        config = config.model_copy(update={"background": tuple(str(name) for name in defaults if name in listed)})
        return Source(make_vocabulary(config, listed, Path(data)), guesses=guesses)
    config = data_config(data, overrides)
    folder = DataFolder(config)
    config, guesses = _with_guesses(config, folder.class_names, folder.root)
    return replace(source_of(config, folder), guesses=guesses)


def _with_guesses(
    config: DataConfig, listed: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, tuple[str, ...]]:
    """Return settings of an own data set with what its class names tell, as `init` guesses it, and that in words."""
    from fact_clip.datasets.describe import guess_names

    if config.name != "folder":
        return config, ()
    guessed, _ = guess_names(config, listed, root)
    values = {key: getattr(guessed, key) for key in ("background", "unlabelled", "grammar")}
    new = {key: value for key, value in values.items() if value and value != getattr(config, key)}
    texts = (json.dumps(value, ensure_ascii=False) for value in new.values())
    return guessed, tuple(f"guessed by the names: data.{key}={text}" for key, text in zip(new, texts, strict=True))


def source_of(config: DataConfig, folder: DataFolder | None = None) -> Source:
    """Open a data set with nothing held out; of all splits the first."""
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.layout import DataFolder

    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    folder = folder or DataFolder(config)
    dataset = Dataset(config.model_copy(update={"split": split}), folder, folder.vocabulary(config))
    counts = dataset.class_counts(dataset.learning)
    tests = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = [name for name, frames in zip(dataset.vocabulary, tests.tolist(), strict=True) if frames]
    return Source(dataset.vocabulary, dataset, counts, dataset.segment_counts(dataset.learning), tested)


def _frames(source: Source, counts: NDArray[Any] | None) -> dict[str, int]:
    return {} if counts is None else dict(zip(source.vocabulary, counts.tolist(), strict=True))


def _ranking(source: Source, seed: int) -> list[dict[str, Any]]:
    from fact_clip.datasets.holdout import rank

    frames, rows = _frames(source, source.counts), list[dict[str, Any]]()
    for row in rank(source.vocabulary, (), source.counts, seed, source.segments):
        rows.append({"name": row.name, "support": row.classes, "well_filled": row.well_filled, "rarest": row.rarest})
        rows[-1]["frames"] = frames.get(row.name)
    return rows


def _ranking_text(source: Source, ranking: list[dict[str, Any]]) -> str:
    keys = {"name": "class", "support": "support", "well_filled": "well filled", "rarest": "rarest factor"}
    keys["frames"] = "training frames"
    rows = [[_factor(row[key]) if key == "rarest" else _count(row[key]) for key in keys] for row in ranking]
    head = f"{len(source.vocabulary)} classes with {', '.join(source.vocabulary.slots)}"
    return f"{head}; support: other classes with the rarest factor\n{table([*keys.values()], rows, right=(1, 2, 4))}"


def description(source: Source, chosen: Holdout) -> dict[str, Any]:
    """Describe a choice: whether it is compositional, each class with its frames and new factors, and what remains."""
    from fact_clip.datasets.holdout import level, lost_factors, resting_on_one

    dataset = source.dataset
    counts = source.counts if dataset is None else dataset.class_counts(dataset.videos_of(chosen)[0])
    new_of = lost_factors(source.vocabulary, chosen.check(source.vocabulary).hidden, counts)
    frames = _frames(source, counts)
    resting = resting_on_one(source.vocabulary, chosen.hidden, counts, source.segments)
    lost = list(dict.fromkeys(factor for new in new_of.values() for factor in new))
    classes = []
    for name, new in new_of.items():
        group = "unseen" if name in chosen.unseen else "validation-unseen"
        row = {"name": name, "group": group, "frames": frames.get(name), "level": level(new)}
        on_one = [{"factor": list(factor), "class": other} for factor, other in resting[name].items()]
        classes.append({**row, "new": list(map(list, new)), "on_one_class": on_one})
    remains = None if dataset is None else dataset.remaining(chosen)
    result = {"holdout": chosen.to_dict(), "compositional": not lost, "lost_factors": list(map(list, lost))}
    return {**result, "classes": classes, "remains": remains}


def description_text(description: Mapping[str, Any]) -> str:
    """Write a `description` as tables."""
    classes = description["classes"]
    rows = [
        [row["name"], row["group"], _count(row["frames"]), row["level"], ", ".join(map(_factor, row["new"]))]
        for row in classes
    ]
    parts = [table(["class", "group", "training frames", "level", "factors that no seen class has"], rows, right=(2,))]
    resting = [f"  {_factor(rest['factor'])}: {rest['class']}" for row in classes for rest in row["on_one_class"]]
    if resting:
        head = "factors that rest on one seen class, whose other factors they may be taken for:"
        parts.append("\n".join([head, *dict.fromkeys(resting)]))
    lost = ", ".join(map(_factor, description["lost_factors"]))
    text = f"NOT compositional as a whole; lost: {lost}"
    parts.append(text if lost else "compositional as a whole: a seen class has every factor of every class")
    if description["remains"] is not None:
        keys = ("videos", "frames", "segments", "classes")
        remains = [[way, *(f"{row[key]:,}" for key in keys)] for way, row in description["remains"].items()]
        parts.append(table(["remains for training", *keys], remains, right=range(1, 5)))
    return "\n\n".join(parts)


def _count(value: object) -> str:
    return "-" if value is None else str(value)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"
