"""What `fact-clip segment` prints of its results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING

from fact_clip.cli.console import segment_table
from fact_clip.core.messages import printable

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip_batch.inputs import Inputs, Item, Shard
    from fact_clip_batch.segmentation import SegmentTask


@dataclass(frozen=True)
class Results:
    """The results of a batch, read from their records one by one.

    Attributes:
        task: wrote them.
        inputs: what was segmented.
        shard: the part of the inputs.
    """

    task: SegmentTask
    inputs: Inputs
    shard: Shard

    def __iter__(self) -> Iterator[tuple[Item, Segmentation]]:
        """Yield each input that is done, and its segmentation."""
        for item in self.inputs:
            if self.shard.has(item.id):
                outcome = self.task.plan(item)
                if outcome.done:
                    yield item, self.task.read(outcome.name)

    def print_json(self) -> None:
        """Print a list of segmentations, without having all of them in memory."""
        from fact_clip.formats.json_file import as_dict

        separator = "[\n"
        for item, segmentation in self:
            tree = {"id": item.id, "input": str(item.path), **item.span.facts}
            lines = json.dumps(tree | as_dict(segmentation), indent=2)
            print(separator + indent(lines, "  "), end="")
            separator = ",\n"
        print("[]" if separator[0] == "[" else "\n]")

    def print_segments(self) -> None:
        """Print the segments of each input."""
        for item, segmentation in self:
            rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
            print(f"{printable(str(item.path))}: {segmentation.n_frames} frames{rate}")
            print(segment_table(segmentation))
