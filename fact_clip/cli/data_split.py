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
            "A split for each group, which is its test; --pattern finds the groups.",
            metavar="WORD",
        ),
    ] = None,
    folds: Annotated[
        int | None, option("This many splits; each video is tested once.", min=2)
    ] = None,
    test: Annotated[
        float | None, option("One split; share of the videos that is its test.")
    ] = None,
    pattern: Annotated[
        str | None,
        option(
            "Regular expression whose parentheses find the group in a video's name; "
            "groups stay whole."
        ),
    ] = None,
    overwrite: Annotated[bool, option("Replace the splits that are there.", "--overwrite")] = False,
    as_json: AsJson = False,
) -> None:
    """Divide the videos into training and test.

    Writes splits/train.split1.bundle, test.split1.bundle and so on. Takes the videos that have
    labels and features. The choice depends on their names alone.

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
        problem = f"it is not said which part of a name is the {leave_out} ({videos[0]!r}, ...)"
        raise InputError("--pattern", problem, f"give an expression, as {example!r} for persons")
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
        note(f"left out, without features: {', '.join(missing)}")
    if pattern is None:
        if guess is not None:
            n_persons = len(set(read_groups(videos, guess).values()))
            words = shlex.join(["--pattern", guess])
            note(
                f"the names show {n_persons} persons, who may be in both parts; "
                f"{words} keeps them apart"
            )
        return
    note(
        "put this into the recipe, so that whole groups are used for validation if there are "
        f"enough: data: {{groups: {json.dumps(pattern)}}}"
    )


def _find_videos(folder: Path) -> tuple[Path, list[str], list[str]]:
    """Return the root of a data set, its videos with labels, and those with features too."""
    from fact_clip.config import DataConfig
    from fact_clip.datasets.benchmarks import find_root
    from fact_clip.datasets.layout import in_order, label_files

    root = find_root(DataConfig(root=str(folder)))
    labelled = in_order(path.stem for path in label_files(root))
    videos = [name for name in labelled if (root / "features" / f"{name}.npy").is_file()]
    if not videos:
        problem = f"{len(labelled)} label files, none with features"
        raise InputError(root, problem, "extract the features first")
    return root, labelled, videos
