"""fact-clip data split."""

import json
import shlex
from pathlib import Path
from typing import Annotated

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, argument, option
from fact_clip.core import InputError


def split(
    folder: Annotated[Path, argument("ROOT", "Data set in the common layout.")],
    *,
    leave_out: Annotated[
        str | None,
        option(
            "Write one split per group, with the group as its test.",
            metavar="WORD",
        ),
    ] = None,
    folds: Annotated[
        int | None, option("Number of splits; each video is in one test.", min=2)
    ] = None,
    test: Annotated[
        float | None, option("Write one split with this share of videos as its test.")
    ] = None,
    pattern: Annotated[
        str | None,
        option(
            "Regular expression whose parentheses match the group in a name.",
        ),
    ] = None,
    overwrite: Annotated[bool, option("Replace existing splits.", "--overwrite")] = False,
    as_json: AsJson = False,
) -> None:
    """Divide the videos into training and test videos.

    The command writes splits/train.split1.bundle, test.split1.bundle and so on, for the videos that
    have labels and features. Groups are never divided. The choice depends only on the names.

    \b
    Example:
      fact-clip data split my_data --leave-out subject --pattern "subj(\\d+)"
      fact-clip data split my_data --folds 5 --pattern "^(P\\d+)"
      fact-clip data split my_data --test 0.2
    """
    from fact_clip.datasets.splits import divide, guess_groups, write_splits
    from fact_clip.unseen.groups import read_groups

    if sum(way is not None for way in (leave_out, folds, test)) != 1:
        raise InputError("data split", "give exactly one of --leave-out, --folds and --test")
    root, labelled, videos = _find_videos(folder)
    guess = guess_groups(videos)
    if leave_out is not None and pattern is None:
        example = guess or r"subj(\d+)"
        problem = f"it is unknown which part of a name is the {leave_out} ({videos[0]!r}, ...)"
        raise InputError(
            "--pattern", problem, f"give an expression, such as {example!r} for persons"
        )
    groups = read_groups(videos, pattern, "--pattern")
    if folds is not None:
        splits = divide(groups, "folds", folds)
    elif test is not None:
        splits = divide(groups, "test", test)
    else:
        splits = divide(groups, "leave-out", 0)
    write_splits(root, splits, overwrite=overwrite)

    rows = {}
    cells = []
    for number, part in enumerate(splits, start=1):
        rows[number] = {"train": part.train, "test": part.test, "tested_groups": part.tested}
        sizes = {"train": len(part.train), "test": len(part.test)}
        cells.append({"split": number, **rows[number], **sizes})
    print_result({"root": str(root), "groups": pattern, "splits": rows}, table(cells), as_json)
    note(
        "written: train.splitN.bundle and test.splitN.bundle in "
        f"{root}/splits, N up to {len(splits)}"
    )
    missing = [name for name in labelled if name not in videos]
    if missing:
        note(f"left out, because they have no features: {', '.join(missing)}")
    if pattern is None:
        if guess is not None:
            n_persons = len(set(read_groups(videos, guess).values()))
            words = shlex.join(["--pattern", guess])
            note(
                f"the names suggest {n_persons} persons, who may be in both parts; "
                f"{words} separates them"
            )
        return
    note(
        "put this into the recipe, so that validation uses whole groups if there are "
        f"enough: data: {{groups: {json.dumps(pattern)}}}"
    )


def _find_videos(folder: Path) -> tuple[Path, list[str], list[str]]:
    """Return the root of a data set, its labelled videos, and those that also have features."""
    from fact_clip.config import DataConfig
    from fact_clip.datasets.benchmarks import find_root
    from fact_clip.datasets.layout import in_order, label_files

    root = find_root(DataConfig(root=str(folder)))
    labelled = in_order(path.stem for path in label_files(root))
    videos = [name for name in labelled if (root / "features" / f"{name}.npy").is_file()]
    if not videos:
        problem = f"{len(labelled)} label files, but none of the videos has features"
        raise InputError(root, problem, "extract the features first")
    return root, labelled, videos
