"""fact-clip data split."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, option, refuse
from fact_clip.core.errors import CommandOption, InputError

if TYPE_CHECKING:
    from fact_clip.datasets.splits import Split, Way

_LEAVE_OUT = "A split for each group, which is its test; the word says what a group is."
_PATTERN = "Regular expression whose parentheses find the group in a video's name; groups stay whole."


def split(
    folder: Annotated[Path, typer.Argument(metavar="ROOT", help="Data set in the common layout.")],
    *,
    leave_out: Annotated[str | None, option(_LEAVE_OUT, metavar="WORD")] = None,
    folds: Annotated[int | None, option("This many splits; each video is tested once.", min=2)] = None,
    test: Annotated[float | None, option("One split; share of the videos that is its test.")] = None,
    pattern: Annotated[str | None, option(_PATTERN)] = None,
    overwrite: Annotated[bool, option("Replace the splits that are there.", "--overwrite")] = False,
    as_json: AsJson = False,
) -> None:
    """Divide the videos into training and test.

    Writes splits/train.split1.bundle, test.split1.bundle and so on. Takes the videos that have labels and features. The
    choice depends on their names alone.

    \b
    Example:
      fact-clip data split my_data --leave-out subject --pattern "subj(\\d+)"
      fact-clip data split my_data --folds 5 --pattern "^(P\\d+)"
      fact-clip data split my_data --test 0.2
    """
    from fact_clip.datasets.splits import divide, guess_groups, read_groups, write_splits

    way, amount = _way(leave_out, folds, test)
    if leave_out is not None and re.search(r"[()\\\[\]+*]", leave_out):
        fix = "name it with a word, such as subject, and give the pattern with --pattern"
        raise refuse("--leave-out", f"{leave_out!r} is a pattern", fix)
    root, labelled, videos = _videos(folder)
    if leave_out is not None and pattern is None:
        pattern = guess_groups(videos)
        if pattern is None:
            problem = f"the names of the videos do not show a {leave_out} ({videos[0]!r}, ...)"
            raise refuse("--pattern", problem, r"give a regular expression such as 'subj(\d+)'")
    groups = read_groups(videos, pattern, CommandOption("--pattern"))
    splits = divide(groups, way, amount)
    rows = {number: _row(root, split) for number, split in enumerate(splits, start=1)}
    write_splits(root, splits, overwrite=overwrite)
    head = ["split", "training videos", "test videos", f"{leave_out or 'group'}s tested", "classes never trained"]
    lines = []
    for number, row in rows.items():
        tested = ", ".join(row["tested_groups"]) if pattern else "-"
        counts = [str(number), str(len(row["train"])), str(len(row["test"]))]
        lines.append([*counts, tested, ", ".join(row["never_trained"]) or "-"])
    result = {"root": str(root), "groups": pattern, "splits": rows}
    print_result(result, table(head, lines, right=(0, 1, 2)), as_json)
    last = f"1 to {len(splits)}" if len(splits) > 1 else "1"
    notes = [f"written: {root}/splits/train.splitN.bundle and test.splitN.bundle, N = {last}"]
    left = [name for name in labelled if name not in videos]
    notes += [f"left out, without features: {', '.join(left)}"] if left else []
    if pattern is None and (guess := guess_groups(videos)) is not None:
        count, again = len(set(read_groups(videos, guess).values())), shlex.join(["--pattern", guess])
        notes.append(f"the names show {count} persons, who may be in both parts; {again} keeps them apart")
    if pattern is not None and all(len({groups[name] for name in split.train}) > 1 for split in splits):
        text = "put this into the recipe, so that validation and training share no group: "
        notes.append(f"{text}data: {{groups: {json.dumps(pattern)}}}")
    note(*notes)


def _way(leave_out: str | None, folds: int | None, test: float | None) -> tuple[Way, float]:
    """Return the way that the options name, and its number or share."""

    amounts: dict[Way, float | None] = {"leave-out": None if leave_out is None else 0, "folds": folds, "test": test}
    ways = [(way, amount) for way, amount in amounts.items() if amount is not None]
    if len(ways) != 1:
        fix = "give exactly one of --leave-out, --folds and --test"
        raise InputError("data split", "no way to split, or several", fix)
    if test is not None and not 0 < test < 1:
        raise refuse("--test", f"{test:g} is not a share between 0 and 1")
    return ways[0]


def _videos(folder: Path) -> tuple[Path, list[str], list[str]]:
    """Return the folder of the data, its videos with labels, and those with features too."""
    from fact_clip.config import DataConfig
    from fact_clip.core.paths import is_file_name
    from fact_clip.datasets.layout import find_root, label_files
    from fact_clip.datasets.splits import in_order

    root = find_root(DataConfig(root=str(folder)))
    labelled = in_order(path.stem for path in label_files(root))
    videos = [name for name in labelled if (root / "features" / f"{name}.npy").is_file()]
    odd = next((name for name in videos if name != name.strip() or not is_file_name(name)), None)
    if odd is not None:
        raise InputError(root / "groundTruth", f"a list of videos cannot hold the name {odd!r}")
    if not videos:
        raise InputError(root, f"{len(labelled)} label files, none with features", "extract the features first")
    return root, labelled, videos


def _row(root: Path, split: Split) -> dict[str, Any]:
    """Return the videos of a split, and the classes that its test has and its training has not."""
    from fact_clip.datasets.layout import read_lines

    trained, tested = (
        {name for video in videos for name in read_lines(root / "groundTruth" / f"{video}.txt", "labels")}
        for videos in (split.train, split.test)
    )
    lost = sorted(tested - trained)
    return {"train": split.train, "test": split.test, "tested_groups": split.tested, "never_trained": lost}
