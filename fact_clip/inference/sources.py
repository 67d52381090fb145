"""What a segmenter reads: features that fit its model, and when their rows are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.arguments import array_of
from fact_clip.core.errors import Location
from fact_clip.core.segments import Clock
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, load_features, read_clock, read_sidecar
from fact_clip.video.decode import SUFFIXES, probe

logger = logging.getLogger(__name__)

FEATURES = ".npy"
KINDS = f"features ({FEATURES}) or a video ({', '.join(SUFFIXES)})"


@dataclass(frozen=True)
class FeatureSpec:
    """The features that a model reads."""

    origin: str  # where this comes from, as errors say it: "RUN was trained with"
    layout: Layout = "TD"  # of their files
    fps: float | None = None  # rows a second; None: any
    encoder: str | None = None  # name of what made them; None: unknown
    named: bool = False  # whether their files must say which encoder made them

    def open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        """Read a feature file, (T, D), and the times of its rows; an InputError for another rate or encoder."""
        features, clock = load_features(path, self.layout), read_clock(path, self.fps, self.layout)
        encoder, beside = read_sidecar(path).encoder, path.with_suffix(".json")
        if self.fps is not None and clock.fps != self.fps:
            raise InputError(beside, f"{clock.fps:g} rows a second, but {self.origin} {self.fps:g}")
        if self.encoder is not None and encoder != self.encoder and (self.named or encoder is not None):
            problem = f"features by {encoder or 'an unknown encoder'}, but {self.origin} {self.encoder}"
            raise InputError(beside, problem, "extract them with that encoder")
        return features, _with_video_rate(clock)


def check_features(features: Any, where: Location | str | Path, width: int, origin: str) -> NDArray[Any]:
    """Return features as an array; an InputError unless these are finite rows (T, `width`), as `origin` has them."""
    try:
        rows = array_of(features, "features", f"an array of numbers, (T, {width})")
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != width:
            raise InputError("features", f"an array of shape {rows.shape}, but {origin} (T, {width})")
        check_finite("features", rows)
    except InputError as error:
        raise error.at(where) from None
    return rows


def _with_video_rate(clock: Clock) -> Clock:
    """The clock with the rate of the video that it names, read from that file if it is there and can be read."""
    if clock.video_fps is not None or clock.media is None or not Path(clock.media).is_file():
        return clock
    try:
        return replace(clock, video_fps=probe(clock.media).fps)
    except InputError as error:
        logger.info("the frame rate of the video is unknown: %s", error)
        return clock
