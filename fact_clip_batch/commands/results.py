"""What `fact-clip segment` prints and draws of its results."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from fact_clip.cli.console import progress, segment_table
from fact_clip.core.messages import printable
from fact_clip_batch.commands.batching import Tally

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip_batch.commands.output import Output
    from fact_clip_batch.inputs import Inputs, Item, Shard
    from fact_clip_batch.segmentation import SegmentTask
    from fact_clip_batch.stores import RemoteFile

logger = logging.getLogger("fact_clip.batch")


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

    def draw(self, output: Output) -> Tally:
        """Write the pictures that were asked for, and return what was written."""
        pictures: list[Path | RemoteFile] = []
        if output.plot is not None or output.overlay is not None:
            segmented = {item.path: segmentation for item, segmentation in self}
            if output.plot is not None and segmented:
                pictures.append(self._draw_timelines(segmented, output.plot))
            if output.overlay is not None and segmented:
                pictures.append(self._burn_in(segmented, output.overlay))
        return Tally(Counter(written=len(pictures)), pictures)

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

    def _draw_timelines(self, segmented: Mapping[Path, Segmentation], plot: Path) -> Path:
        """Draw the timelines of all inputs, each below the true labels if it is in a data set."""
        from fact_clip.core import Segmentation
        from fact_clip.core.io import read_lines
        from fact_clip.datasets.labels import UNLABELLED
        from fact_clip.report.plots import save_figure, timeline

        is_single = len(segmented) == 1
        stems = [path.stem for path in segmented]
        rows = {}
        for path, prediction in segmented.items():
            name = path.stem if stems.count(path.stem) == 1 else str(path)
            prefix = "" if is_single else f"{name} "
            labels_path = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
            if labels_path.is_file():
                labels = read_lines(labels_path, "a label file")
                truth = Segmentation.from_frames(labels, self.task.segmenter.scorer.fps)
                if truth.n_frames == prediction.n_frames:
                    truth = replace(truth, times=prediction.times)
                else:
                    n_labels = truth.n_frames
                    logger.warning(
                        "%s: %d labels, and %d frames", path, n_labels, prediction.n_frames
                    )
                rows[f"{prefix}truth"] = truth
            rows[f"{prefix}prediction"] = prediction
        title = next(iter(segmented)).stem if is_single else ""
        background = (
            *self.task.segmenter.vocabulary.background,
            *self.task.segmenter.scorer.unlabelled,
            UNLABELLED,
        )
        return save_figure(timeline(rows, background=background, title=title), plot)

    def _burn_in(self, segmented: Mapping[Path, Segmentation], overlay: Path) -> Path:
        """Burn the segments of the one video into it, in the colours of the timeline."""
        from fact_clip.core.colours import palette
        from fact_clip.video.overlay import overlay as burn_in

        ((video, segmentation),) = segmented.items()
        background = self.task.segmenter.vocabulary.background
        actions = [
            name for name in dict.fromkeys(segmentation.transcript) if name not in background
        ]
        colours = dict(zip(actions, palette(len(actions)), strict=True))
        with progress("overlay") as report:
            burn_in(
                video,
                segmentation,
                overlay,
                colours,
                keep_going=self.task.segmenter.options.keep_going,
                progress=report,
            )
        return overlay
