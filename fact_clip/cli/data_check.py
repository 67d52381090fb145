"""fact-clip data check."""

from __future__ import annotations

from fact_clip.cli.arguments import Overrides, Recipe


def check(
    config: Recipe,
    overrides: Overrides = None,
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
