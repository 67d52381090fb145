"""fact-clip data holdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import Overrides, data_config, names, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fact_clip.core import Vocabulary
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.holdout import Holdout
    from fact_clip.datasets.selection import Level

Classes = Annotated[
    str, typer.Argument(metavar="NAME|DIR|FILE", help="Recipe, data set, its folder, or a mapping.txt.")
]
Unseen = Annotated[str | None, typer.Option(help='Unseen classes by name: "cut ham, hold egg".')]
ValidationUnseen = Annotated[str | None, typer.Option(help="Further ones, by which settings are chosen.")]
File = Annotated[Path | None, typer.Option(help="A hold-out to look at: JSON, or an unseen name a line.")]
Count = Annotated[int | None, typer.Option(help="Choose so many unseen classes.", min=1)]
ValidationCount = Annotated[int, typer.Option(help="... and so many validation-unseen ones.", min=0)]
MinSupport = Annotated[int, typer.Option(help="Seen classes that must show each factor of a chosen class.", min=1)]


def holdout(
    data: Classes,
    overrides: Overrides = None,
    unseen: Unseen = None,
    validation_unseen: ValidationUnseen = None,
    file: File = None,
    count: Count = None,
    validation_count: ValidationCount = 0,
    min_support: MinSupport = 1,
    seed: Annotated[int, typer.Option(help="Breaks ties of --count.")] = 0,
    mode: Annotated[Literal["mask", "drop"], typer.Option(help="What training does with unseen frames.")] = "mask",
    out: Annotated[Path | None, typer.Option(help="JSON to write, for data.holdout=FILE.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Choose classes to hold out, or look at such a choice.

    Without a choice: ranks classes by how many others show the rarest of their factors. With --unseen, --file or
    --count: says whether the set as a whole stays compositional, which factors no seen class has, and what remains for
    training when unseen frames are masked or their videos dropped. Of a mapping file names alone are looked at; say
    with data.name=NAME how they are read.

    \b
    Example:
      fact-clip data holdout kscgr data.root=../shared/data/kscgr --count 6 --validation-count 3 --out mine.json
      fact-clip data holdout mapping.txt data.name=havid_view0_lh_pt --unseen "sntft, sntn5"
    """
    source = _open(data, overrides)
    chosen = _given(source.dataset, (unseen, validation_unseen, file, count), mode)
    if count is not None:
        from fact_clip.datasets.selection import select

        wanted: dict[str, Any] = {"counts": source.counts, "candidates": source.tested}
        chosen = select(
            source.vocabulary, count, validation_count, **wanted, min_support=min_support, seed=seed, mode=mode
        )
    result = _looked_at(source, chosen, seed)
    print(json.dumps(result, indent=1, ensure_ascii=False) if as_json else _text(source.vocabulary, result))
    if out is not None:
        _write(chosen, out)


@dataclass(frozen=True)
class _Source:
    """Classes, and what their videos say of them; None where there are only names."""

    vocabulary: Vocabulary
    dataset: Dataset | None = None
    counts: NDArray[Any] | None = None
    tested: list[str] | None = None


def _open(data: str, overrides: list[str] | None) -> _Source:
    """A data set with the frames of each class in its training videos, or the names of a mapping file."""
    from fact_clip.config import Config
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.benchmarks import BENCHMARKS
    from fact_clip.datasets.dataset import Dataset

    if Path(data).is_file() and Path(data).suffix not in (".yaml", ".yml"):
        config = Config.load("folder", overrides or []).data
        entry = BENCHMARKS[config.name]
        listed = tuple(Vocabulary.from_mapping(data))
        background = [name for name in config.background or entry.background if name in listed]
        return _Source(Vocabulary.from_names(listed, background, entry.factors, entry.slots))
    config = data_config(data, overrides)
    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    dataset = Dataset.open(config.model_copy(update={"split": split, "holdout": None}))
    counts = dataset.class_counts(dataset.learning)
    tests = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = [name for name, frames in zip(dataset.vocabulary, tests.tolist(), strict=True) if frames]
    return _Source(dataset.vocabulary, dataset, counts, tested)


def _given(
    dataset: Dataset | None,
    ways: tuple[str | None, str | None, Path | None, int | None],
    mode: Literal["mask", "drop"],
) -> Holdout | None:
    """The hold-out of --unseen or --file; None where neither is given, an InputError where several ways are."""
    from fact_clip.core import InputError
    from fact_clip.datasets.holdout import Holdout

    unseen, validation_unseen, file, count = ways
    if sum(way is not None for way in (unseen, file, count)) > 1:
        raise InputError("data holdout", "several of --unseen, --file and --count", "one of them")
    if unseen is None and validation_unseen is not None:
        raise InputError("--validation-unseen", "without --unseen", "both")
    if file is not None:
        inside = None if dataset is None else dataset.root / file  # as data.holdout is looked for
        return Holdout.read(inside if inside is not None and inside.is_file() else file)
    return None if unseen is None else Holdout(tuple(names(unseen) or ()), tuple(names(validation_unseen) or ()), mode)


def _looked_at(source: _Source, chosen: Holdout | None, seed: int) -> dict[str, Any]:
    from fact_clip.datasets.selection import levels, rank, summary

    counts = source.counts
    if chosen is not None and source.dataset is not None:
        counts = source.dataset.class_counts(source.dataset.videos_of(chosen)[0])
    frames = {} if counts is None else dict(zip(source.vocabulary, counts.tolist(), strict=True))
    if chosen is None:
        shown = rank(source.vocabulary, (), counts, seed)
        rows = [{"name": s.name, "support": s.classes, "rarest": s.rarest, "frames": frames.get(s.name)} for s in shown]
        return {"ranking": rows}
    found: dict[str, Level] = levels(source.vocabulary, chosen, counts)
    lost = {factor: None for level in found.values() for factor in level.new}
    return {
        "holdout": chosen.to_dict(),
        "compositional": not lost,
        "lost_factors": [list(factor) for factor in lost],
        "classes": [
            {
                "name": name,
                "group": "unseen" if name in chosen.unseen else "validation-unseen",
                "frames": frames.get(name),
                "level": level.kind,
                "new": [list(factor) for factor in level.new],
            }
            for name, level in found.items()
        ],
        "remains": None if source.dataset is None else summary(source.dataset, chosen),
    }


def _text(vocabulary: Vocabulary, found: dict[str, Any]) -> str:
    if "ranking" in found:
        rows = [
            [row["name"], str(row["support"]), _factor(row["rarest"]), _count(row["frames"])]
            for row in found["ranking"]
        ]
        head = f"{len(vocabulary)} classes with {', '.join(vocabulary.slots)}; support: others with the rarest factor"
        return head + "\n" + table(["class", "support", "rarest factor", "training frames"], rows, right=(1, 3))
    rows = [
        [
            row["name"],
            row["group"],
            _count(row["frames"]),
            row["level"],
            ", ".join(map(_factor, row["new"])),
        ]
        for row in found["classes"]
    ]
    parts = [table(["class", "group", "training frames", "level", "factors that no seen class has"], rows, right=(2,))]
    if found["compositional"]:
        parts.append("compositional as a whole: every factor of every class is in a seen class")
    else:
        parts.append(f"NOT compositional as a whole; lost: {', '.join(map(_factor, found['lost_factors']))}")
    if found["remains"] is not None:
        keys = ("videos", "frames", "segments", "classes")
        remains = [[way, *(f"{row[key]:,}" for key in keys)] for way, row in found["remains"].items()]
        parts.append(table(["remains for training", *keys], remains, right=range(1, 5)))
    return "\n\n".join(parts)


def _count(frames: int | None) -> str:
    return "-" if frames is None else str(frames)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"


def _write(chosen: Holdout | None, out: Path) -> None:
    from fact_clip.core import InputError

    if chosen is None:
        raise InputError("--out", "nothing chosen", "--unseen, --file or --count beside it")
    print(f"written: {chosen.save_json(out)}; train with data.holdout={out}", file=sys.stderr)
