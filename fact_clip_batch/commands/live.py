"""Segments of a live input for ``fact-clip segment --live``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fact_clip.cli.console import note
from fact_clip.core import Array, FileLocation, InputError, Segment
from fact_clip.core.io import parse_json
from fact_clip.core.messages import printable
from fact_clip.formats.table import COLUMNS
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import FEATURES
from fact_clip.inference.stream import Stream
from fact_clip.video.frames import live_frames


def segment_live(source: str, model: Segmenter, stream: Stream, as_json: bool) -> None:
    """Print each segment as soon as it is final, and the remaining ones at the end or at Ctrl-C.

    Args:
        source: Address, camera, file, or "-" for rows on stdin.
        model: Model of the stream.
        stream: New stream.
        as_json: Whether to print lines of the format jsonl.
    """
    try:
        for part in _read_parts(source, model):
            for segment in stream.push(part):
                print(_line(segment, stream.fps, as_json), flush=True)
    except KeyboardInterrupt:
        note("fact-clip: stopped; the segments that were not final follow")
    finally:
        for segment in stream.finish():
            print(_line(segment, stream.fps, as_json), flush=True)


def rate_of_file(source: str, model: Segmenter) -> float | None:
    """Return the rows per second that NAME.json states for a feature file, or None."""
    path = Path(source)
    if path.suffix.lower() != FEATURES or not path.is_file():
        return None
    _, clock = model.scorer.needs.open(path)
    return clock.fps


def _line(segment: Segment, fps: float | None, as_json: bool) -> str:
    seconds = [None if fps is None else frame / fps for frame in (segment.start, segment.stop)]
    if as_json:
        values = (segment.start, segment.stop, *seconds, segment.label, segment.confidence)
        return json.dumps(dict(zip(COLUMNS, values, strict=True)))
    line = f"{segment.start} - {segment.stop}  {segment.label}"
    if fps is not None:
        line = f"{seconds[0]:.2f} - {seconds[1]:.2f}  {segment.label}"
    if segment.confidence is not None:
        line += f"  {segment.confidence:.2f}"
    return printable(line)


def _read_parts(source: str, model: Segmenter) -> Iterator[Array]:
    """Yield rows (1, D) of stdin or a feature file, or video frames (1, H, W, 3)."""
    scorer = model.scorer
    if source == "-":
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                where = FileLocation(Path("-"), number)
                row = parse_json(line, where, "numbers, [0.5, 1.0, ...]")
                features = scorer.checked([row], where)
                yield features.astype(np.float32)
    elif Path(source).suffix.lower() == FEATURES:
        features, clock = scorer.needs.open(Path(source))
        if clock.times is not None and np.diff(clock.times).max() > 2 / (clock.fps or np.inf):
            raise InputError(
                source, "a pause in its times, which a stream cannot have", "omit --live"
            )
        for row in features:
            yield row[None]
    else:
        size = model.sources.encoder_for(source).size
        for frame in live_frames(source, model.sources.extraction().fps, size):
            yield frame.image[None]
