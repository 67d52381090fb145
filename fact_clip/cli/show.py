"""What `segment` prints and draws: tables, timelines, names burned into a video."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fact_clip.cli.console import progress, table
from fact_clip.core.errors import InputError
from fact_clip.core.messages import is_name, printable

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.inference.segmenter import Segmenter

logger = logging.getLogger(__name__)


def segment_table(segmentation: Segmentation) -> str:
    """Return start, stop, seconds, action and confidence of each segment as text; new words of an action beside it."""
    words, rows = dict[str, str](), list[list[str]]()
    for word in segmentation.new_words:
        text = f"{'far from training' if word.far else 'new'}: {word.word}"
        words[word.action] = f"{words[word.action]}, {text}" if word.action in words else text
    for segment in segmentation:
        start, stop = (segmentation.seconds(frame) for frame in (segment.start, segment.stop))
        span = "" if start is None or stop is None else f"{start:.2f} - {stop:.2f}"
        confidence = "" if segment.confidence is None else f"{segment.confidence:.2f}"
        cells = [str(segment.start), str(segment.stop), span, segment.label, confidence]
        rows.append([*cells, words.get(segment.label, "")])
    header = ["start", "stop", "seconds", "action", "confidence", "words"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows, right=(0, 1, 2, 4))


def titled_table(path: Path, segmentation: Segmentation) -> str:
    """Return `segment_table` under the name of the input."""
    rate = "" if segmentation.fps is None else f" at {segmentation.fps:g} frames a second"
    return f"{printable(str(path))}: {segmentation.n_frames} frames{rate}\n{segment_table(segmentation)}"


def read_truths(inputs: Sequence[Path], model: Segmenter) -> dict[Path, Segmentation]:
    """Read labels of inputs that lie in a data set of the common layout, which may be another than that of the run."""
    from fact_clip.core import Segmentation
    from fact_clip.datasets.layout import UNLABELLED, read_lines

    truths = dict[Path, Segmentation]()
    for path in inputs:
        file = path.parent.parent / "groundTruth" / f"{path.stem}.txt"
        if file.is_file():
            labels = read_lines(file, "a label file, one class name per line")
            if not all(map(is_name, labels)):
                raise InputError(file, "lines that are no names", "give one class name per frame")
            labels = [UNLABELLED if name in model.scorer.unlabelled else name for name in labels]
            truths[path] = Segmentation.from_frames(labels, model.scorer.fps)
    return truths


def draw_timelines(
    segmented: Mapping[Path, Segmentation], truths: Mapping[Path, Segmentation], model: Segmenter, plot: Path
) -> Path:
    """Draw timelines of all inputs, each below its true labels where there are some."""
    from fact_clip.datasets.layout import UNLABELLED
    from fact_clip.report import save_timeline

    rows: dict[str, Segmentation] = {}
    for path, prediction in segmented.items():
        prefix = f"{path.stem} " if len(segmented) > 1 else ""
        if (truth := truths.get(path)) is not None:
            same = truth.n_frames == prediction.n_frames
            if not same:
                logger.warning("%s: %d labels, and %d frames", path, truth.n_frames, prediction.n_frames)
            rows[f"{prefix}truth"] = replace(truth, times=prediction.times) if same else truth
        rows[f"{prefix}prediction"] = prediction
    title = next(iter(segmented)).stem if len(segmented) == 1 else ""
    return save_timeline(rows, plot, background=(*model.vocabulary.background, UNLABELLED), title=title)


def burn_in(segmented: Mapping[Path, Segmentation], model: Segmenter, overlay: Path, keep_going: bool) -> Path:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.report.colours import palette
    from fact_clip.video.overlay import overlay as write

    ((video, segmentation),) = segmented.items()
    actions = [name for name in dict.fromkeys(segmentation.transcript) if name not in model.vocabulary.background]
    colours = dict(zip(actions, palette(len(actions)), strict=True))
    with progress("overlay") as report:
        write(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
    return overlay
