"""One part of each kind that a package can add to FACT-CLIP; pyproject.toml names them as entry points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from fact_clip import Segment, Segmentation
from fact_clip.formats import Format
from fact_clip.models.heads import Candidates, Classes, Head


class Tiles:
    """A frame encoder, ``tiles`` or ``tiles:8``: mean colours of the tiles of a picture, 4 by 4 by default."""

    size = (64, 64)  # to which pictures are decoded
    context = 0  # pictures before the first one that are needed

    def __init__(self, rest: str, where: str, runtime: Any) -> None:
        """Take what follows the colon, how errors call this encoder, and device and precision."""
        self.count = int(rest or 4)
        self.name = f"tiles:{self.count}"  # equal names mean equal features

    def load(self) -> None:
        """Load weights; there are none."""

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) pictures to (tiles, tiles, 3) mean colours."""
        side = 64 // self.count
        parts = image[: side * self.count, : side * self.count].reshape(
            self.count, side, self.count, side, 3
        )
        return parts.mean(axis=(1, 3), dtype=np.float32) / 255

    def encode_images(self, prepared: np.ndarray) -> np.ndarray:
        """(N, tiles, tiles, 3) to (N, D)."""
        return prepared.reshape(len(prepared), -1)


class LinearHead(Head):
    """Class scores by one linear layer; what they say is added to the features. It names the trained classes alone."""

    def __init__(self, width: int, classes: Classes, null: bool) -> None:
        super().__init__(width, classes, null)
        self.score = nn.Linear(width, classes.count + int(null))
        self.feed = nn.Linear(classes.count + int(null), width)

    def forward(
        self, x: Tensor, text: Candidates | None, evidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, N, H) to features (B, N, H) and scores (B, N, C or C+1)."""
        scores = self.score(x)
        return x + self.feed(scores.softmax(-1)), scores


def _write(segmentation: Segmentation, path: Path) -> None:
    lines = (f"{segment.start}\t{segment.stop}\t{segment.label}\n" for segment in segmentation)
    path.write_text("".join(lines), encoding="utf-8")


def _read(path: Path, gaps: Any) -> Segmentation:
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line)
    return Segmentation(tuple(Segment(int(start), int(stop), label) for start, stop, label in rows))


SPANS = Format(".spans", _write, _read, needs_media=False, every_frame=True)


def segments_ratio(truth: list[np.ndarray], prediction: list[np.ndarray]) -> float:
    """Return how many segments are predicted for a hundred true ones."""
    true, predicted = (
        sum(1 + np.count_nonzero(np.diff(row)) for row in rows) for rows in (truth, prediction)
    )
    return 100 * predicted / true
