"""Segments of a live input for ``fact-clip segment --live``."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fact_clip.cli.arguments import read_formats
from fact_clip.cli.console import note
from fact_clip.core import Array, FileLocation, InputError, Segment
from fact_clip.core.io import parse_json
from fact_clip.core.messages import printable
from fact_clip.core.paths import file_name, inside
from fact_clip.datasets.features import read_sidecar
from fact_clip.formats import save
from fact_clip.formats.table import COLUMNS
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import FEATURES
from fact_clip.inference.stream import Stream
from fact_clip.video.pictures import LIVE, live_frames
from fact_clip_batch.commands.output import Output
from fact_clip_batch.records import result_names


def segment_live(
    source: str,
    model: Segmenter,
    stream: Stream,
    output: Output,
    overwrite: bool,
    folder: Path,
) -> None:
    """Print each segment as soon as it is final; at the end, or at Ctrl-C, write the files.

    Args:
        source: an address, a camera, a file, or "-" for rows on stdin.
        model: the model of the stream.
        stream: a new stream.
        output: what is written. Without --out and --format, no files are.
        overwrite: whether files that are there are replaced.
        folder: the folder of the files.
    """
    writes_files = output.out is not None or output.formats is not None
    formats = read_formats(output.formats or "csv,json") if writes_files else {}
    segments: list[Segment] = []
    error: InputError | None = None

    def show(final: Sequence[Segment]) -> None:
        for segment in final:
            print(_line(segment, stream.fps, output.as_json), flush=True)
        if writes_files:
            segments.extend(final)

    try:
        for part in _read_parts(source, model):
            show(stream.push(part))
    except KeyboardInterrupt:
        note("fact-clip: stopped; the segments that were not final follow")
    except InputError as fault:  # segments before the fault are kept
        error = fault
    show(stream.finish())
    if segments:
        _write(source, stream, segments, list(formats.values()), output, overwrite, folder)
    if error is not None:
        raise error


def _write(
    source: str,
    stream: Stream,
    segments: Sequence[Segment],
    suffixes: Sequence[str],
    output: Output,
    overwrite: bool,
    folder: Path,
) -> None:
    path = Path(source)
    media = None
    stem = "live"
    if not source.startswith(LIVE) and source != "-":
        is_video = path.suffix.lower() != FEATURES
        media = str(path.absolute()) if is_video else read_sidecar(path).video
        stem = file_name(path.stem)
    result = replace(stream.segmentation(segments), media=media)
    for name in result_names(stem):
        paths = [inside(folder, f"{name}{suffix}") for suffix in suffixes]
        if overwrite or not any(path.exists() for path in paths):
            break
    for suffix, path in zip(suffixes, paths, strict=True):
        save(result, path, with_background=output.with_background, kind=suffix)
    note(f"written: {', '.join(map(str, paths))}")


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
    """Yield rows (1, D) of stdin or a feature file, or pictures (1, H, W, 3), as they come."""
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
            raise InputError(source, "a pause in its times, which a stream has not", "omit --live")
        for row in features:
            yield row[None]
    else:
        size = model.sources.encoder_for(source).size
        for frame in live_frames(source, model.sources.extraction.fps, size):
            yield frame.image[None]
