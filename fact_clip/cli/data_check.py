"""fact-clip data check."""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="Recipe that comes with the package, or the path of a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Single settings, as data.root=FOLDER.")
    ] = None,
) -> None:
    """Look for faults in a data set.

    Reads labels and features of a split as training would, and tells the first fault.

    \b
    Example:
      fact-clip data check kscgr data.root=../shared/data/kscgr data.split=5
    """
    from fact_clip.config import Config
    from fact_clip.data.dataset import Dataset

    dataset = Dataset.open(Config.load(config, overrides or []).data)
    dataset.check()
    counts = f"{len(dataset.train)} training, {len(dataset.validation)} validation, {len(dataset.test)} test videos"
    print(f"{dataset.root}: {counts}, {len(dataset.vocabulary)} classes, {dataset.input_dim} columns; no fault found")
