"""One part of each kind that a package can add. pyproject.toml names them as entry points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from fact_clip import Segment, Segmentation
from fact_clip.formats import Format
from fact_clip.models.heads import Candidates, Classes, Head


class Tiles:
    """A frame encoder: the mean colours of the tiles of a picture, 8 by 8 for ``tiles:8``."""

    size = (64, 64)  # size of the decoded pictures
    context = 0  # earlier pictures that the encoder needs

    def __init__(self, rest: str, where: str, runtime: Any) -> None:
        """Create the encoder.

        Args:
            rest: the text after the colon.
            where: the name of the encoder in errors.
            runtime: device and precision.
        """
        self.count = int(rest or 4)
        self.name = f"tiles:{self.count}"  # encoders of one name give equal features

    def load(self) -> None:
        """Do nothing, because there are no weights."""

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return the mean colours (tiles, tiles, 3) of a picture (H, W, 3)."""
        side = 64 // self.count
        square = image[: side * self.count, : side * self.count]
        tiles = square.reshape(self.count, side, self.count, side, 3)
        return tiles.mean(axis=(1, 3), dtype=np.float32) / 255

    def encode_images(self, prepared: np.ndarray) -> np.ndarray:
        """Return features (N, D) of prepared pictures (N, tiles, tiles, 3)."""
        return prepared.reshape(len(prepared), -1)


class LinearHead(Head):
    """Class scores by one linear layer, which are mapped back and added to the features.

    It scores trained classes only.
    """

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        n_scores = classes.count + int(null)
        self.score = nn.Linear(width, n_scores)
        self.feed = nn.Linear(n_scores, width)

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return features (B, N, H) and scores (B, N, C or C+1) of (B, N, H)."""
        scores = self.score(x)
        return x + self.feed(scores.softmax(-1)), scores


def _write(segmentation: Segmentation, path: Path) -> None:
    """Write a line for each segment: start, stop and label."""
    lines = [f"{segment.start}\t{segment.stop}\t{segment.label}\n" for segment in segmentation]
    path.write_text("".join(lines), encoding="utf-8")


def _read(path: Path, gaps: Any) -> Segmentation:
    """Read a file of `_write`."""
    segments = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            start, stop, label = line.split("\t")
            segments.append(Segment(int(start), int(stop), label))
    return Segmentation(tuple(segments))


SPANS = Format(".spans", _write, _read, needs_media=False, every_frame=True)
