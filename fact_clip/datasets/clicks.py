"""Clicks: one labelled frame inside each segment, instead of labels for all frames.

``clicks/NAME.csv`` has a row for each click, with the label and the time in seconds or the frame.
The borders between neighbouring clicks lie in the middle at first. During training, they move to
where the scores of the model place them (experiments/clicks.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from fact_clip.core import Floats, InputError, Integers, Reals
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.labels import Labels
from fact_clip.formats.table import read_table
from fact_clip.formats.times import parse_seconds

FOLDER = "clicks"

_ROUNDING = 1e-6  # seconds
_UPDATES = 30
_CERTAIN = 1000.0  # nats

SURE = 0.95
"""Minimum probability that a frame is on its side of a border for the frame to be labelled
(experiments/clicks.md)."""

MISSED = 5.0
"""Nats by which a class must score above the labels of both clicks around a stretch, so that the
stretch counts as a segment without a correct click (experiments/clicks.md)."""

_LEAST_SCORE = -10.0  # nats

_CONTENT = "time or frame, and label, one click per line"


@dataclass(frozen=True, order=True)
class Click:
    """A clicked frame of a video, and the label of its segment."""

    frame: int
    label: str


def read_clicks(path: Path, times: Floats | None, n_frames: int) -> list[Click]:
    """Read the clicks of a video, in order.

    Args:
        path: CSV file.
        times: Start of each frame and end of the video in seconds, (n_frames + 1,). Needed for a
            column of times.
        n_frames: Number of frames of the video.

    Raises:
        InputError: Columns are missing, a click is outside the video, or two are in one frame.
    """
    clicks = []
    for location, row in read_table(path, ("label",)):
        if ("frame" in row) == ("time" in row):
            raise InputError(path, f"the columns {', '.join(row)}", f"write {_CONTENT}")
        column = "frame" if "frame" in row else "time"
        if column == "time" and times is None:
            fix = "set data.fps, or give frames"
            raise InputError(location, "a time, but the rate of the features is unknown", fix)
        number = parse_seconds(location, row[column], column)
        frame = int(number)
        if column == "time" and times is not None:
            frame = int(np.searchsorted(times, number + _ROUNDING, side="right")) - 1
        is_moved = number < 0 or (column == "frame" and number != frame)
        if is_moved or not 0 <= frame < n_frames:
            problem = f"a click at {column} {row[column]} in a video of {n_frames} frames"
            raise InputError(location, problem, "give frames, starting at 0, or seconds")
        clicks.append(Click(frame, row["label"].strip()))
    if not clicks:
        raise InputError(path, "no clicks", f"write {_CONTENT}")
    clicks.sort()
    for first, second in pairwise(clicks):
        if first.frame == second.frame:
            problem = f"two clicks in frame {first.frame}: {first.label!r}, {second.label!r}"
            raise InputError(path, problem, "remove one")
    return clicks


def middle_borders(frames: Sequence[int]) -> list[int]:
    """Return the N - 1 borders of N clicks: the first frame after the middle of each pair."""
    return [(first + second + 1) // 2 for first, second in pairwise(frames)]


def label_frames(labels: Sequence[str], borders: Sequence[int], n_frames: int) -> list[str]:
    """Return the label of each frame of a video that is divided at borders."""
    lengths = np.diff([0, *borders, n_frames])
    lines: list[str] = np.repeat(np.array(labels, dtype=object), lengths).tolist()
    return lines


Gap = tuple[int, int]
"""End of the label of one click and start of the label of the next, in frames."""


def first_gaps(frames: Sequence[int], n_frames: int, share: float) -> list[Gap]:
    """Return the gaps that are unlabelled at first: all frames except those nearest to the clicks.

    Args:
        frames: Frames of the N clicks.
        n_frames: Number of frames of the video.
        share: Share of the distance between two clicks that is labelled.

    Returns:
        N + 1 gaps, including those before the first and after the last click.
    """
    gaps = [(0, frames[0])]
    for first, second in pairwise(frames):
        reach = int(share * (second - first) / 2)
        gaps.append((first + 1 + reach, second - reach))
    return [*gaps, (frames[-1] + 1, n_frames)]


def gap_labels(labels: Sequence[int], gaps: Sequence[Gap], n_frames: int) -> Labels:
    """Return the labels of the frames outside gaps. Frames in gaps are ignored.

    Args:
        labels: Class indices of the N clicks.
        gaps: N + 1 gaps before, between and after the clicks.
        n_frames: Number of frames of the video, T.

    Returns:
        Class indices (T,), -1 for ignored frames.
    """
    sure = np.full(n_frames, IGNORED)
    for label, ((_, start), (stop, _)) in zip(labels, pairwise(gaps), strict=True):
        sure[start:stop] = label
    return sure


def expected_lengths(
    frames: Sequence[Sequence[int]], labels: Sequence[Integers], n_classes: int
) -> Floats:
    """Estimate the mean segment length of each class from the gaps between clicks.

    On average, a click is in the middle of its segment, so a gap contains half a segment of each
    of its two classes. The estimate is a Poisson regression of the gaps with multiplicative
    updates.

    Args:
        frames: Frames of the clicks of each video.
        labels: Class indices of the clicks of each video.
        n_classes: Number of classes, C.

    Returns:
        Lengths in frames, (C + 1,), with the last one for label -1.
    """
    gaps, pairs = _gaps(frames, labels, n_classes)
    if not len(gaps):  # no video has two clicks
        return np.ones(n_classes + 1)
    counts = np.bincount(pairs.ravel(), minlength=n_classes + 1)
    lengths = np.full(n_classes + 1, gaps.mean())
    for _ in range(_UPDATES):
        ratios = 2 * gaps / lengths[pairs].sum(axis=0)
        totals = np.bincount(pairs.ravel(), np.tile(ratios, 2), minlength=n_classes + 1)
        lengths *= totals / np.maximum(counts, 1)
    return lengths


def likely_lengths(
    frames: Sequence[Sequence[int]], labels: Sequence[Integers], n_classes: int
) -> list[list[int]]:
    """Return likely lengths of the clicked segments of each class.

    Lengths have a log-normal distribution around the mean of their class, with one variance of the
    logarithms. A click is uniform in its segment. The mean square of a gap between two segments is
    therefore s / 3 + t / 3 + m n / 2, where m and n are the mean lengths and s and t the mean
    squares.

    Args:
        frames: Frames of the clicks of each video.
        labels: Class indices of the clicks of each video.
        n_classes: Number of classes, C.

    Returns:
        As many lengths in frames as each class has clicks, at the quantiles of its distribution.
    """
    gaps, pairs = _gaps(frames, labels, n_classes)
    means = expected_lengths(frames, labels, n_classes)
    means = np.where(means > 0, means, gaps.mean())  # for a class that is the only one in videos
    firsts, seconds = means[pairs]
    squares = 3 * (gaps**2 - firsts * seconds / 2)
    spread = squares.sum() / (firsts**2 + seconds**2).sum()
    variance = np.log(max(spread, 1.0))
    clicked = np.concatenate(labels)
    lengths = []
    for label, mean in enumerate(means[:n_classes]):
        count = int((clicked == label).sum())
        quantiles = ndtri((np.arange(count) + 0.5) / max(count, 1))
        logs = np.log(mean) - variance / 2 + np.sqrt(variance) * quantiles
        lengths.append(np.maximum(np.exp(logs).round(), 1).astype(int).tolist())
    return lengths


def _gaps(
    frames: Sequence[Sequence[int]], labels: Sequence[Integers], n_classes: int
) -> tuple[Integers, Integers]:
    """Return the frames between each pair of clicks (G,), and the classes of both (2, G)."""
    gaps = np.concatenate([np.diff(of_video) for of_video in frames])
    firsts = np.concatenate([of_video[:-1] for of_video in labels])
    seconds = np.concatenate([of_video[1:] for of_video in labels])
    return gaps, np.stack([firsts, seconds]) % (n_classes + 1)


def border_gains(log_scores: Reals, frames: Sequence[int], labels: Integers) -> list[Reals]:
    """Return by how much the label of each click outscores the label of the next click, in the
    frames between the two.

    Args:
        log_scores: Log scores of a model, (T, C).
        frames: Frames of the N clicks.
        labels: Class indices of the clicks.

    Returns:
        N - 1 arrays, in nats. Next to a label of -1, the middle is the best border.
    """
    gains: list[Reals] = []
    pairs = zip(pairwise(frames), pairwise(labels), strict=True)
    for (start, stop), (first, second) in pairs:
        if IGNORED in (first, second):
            gains.append(np.linspace(_CERTAIN, -_CERTAIN, stop - start - 1))
            continue
        between = log_scores[start + 1 : stop]
        gains.append(between[:, first] - between[:, second])
    return gains


def border_gaps(
    gains: Sequence[Reals],
    frames: Sequence[int],
    labels: Integers,
    offsets: Floats,
    n_frames: int,
    alike: float = 1.0,
) -> list[Gap]:
    """Return the frames between clicks whose label is uncertain.

    The likelihood of a border is the product of the scores of all frames' labels.

    Args:
        gains: Result of `border_gains`.
        frames: Frames of the N clicks.
        labels: Class indices of the clicks.
        offsets: Values added to the log scores of each class, (C + 1,).
        n_frames: Number of frames of the video.
        alike: Number of nearly identical frames, which count as one.

    Returns:
        N + 1 gaps. The first and the last gap are empty.
    """
    gaps = [(0, 0)]
    steps = -np.diff(offsets[labels])
    for frame, between, step in zip(frames, gains, steps, strict=False):
        # Values of a border after 0, 1, ... of the frames between the clicks.
        values = np.concatenate([[0.0], np.cumsum(between + step)]) / alike
        likelihood = np.exp(values - values.max())
        passed = np.cumsum(likelihood) / likelihood.sum()
        start, stop = (frame + 1 + np.searchsorted(passed, (1 - SURE, SURE))).tolist()
        gaps.append((start, stop if values.any() else start))  # one class on both sides
    return [*gaps, (n_frames, n_frames)]


def missed_stretches(
    log_scores: Reals, frames: Sequence[int], labels: Integers, alike: float = 1.0
) -> list[Gap | None]:
    """Find segments that have no click, or a click with a wrong label.

    Args:
        log_scores: Scores of a model, (T, C).
        frames: Frames of the N clicks.
        labels: Class indices of the clicks.
        alike: Number of nearly identical frames, which count as one.

    Returns:
        For each of the N + 1 parts before, between and after the clicks, the stretch in which one
        class scores clearly above the labels of the clicks around it, or None.
    """
    scores = np.maximum(log_scores, _LEAST_SCORE)
    edges = [-1, *frames, len(scores)]
    names = [labels[0], *labels, labels[-1]]
    stretches: list[Gap | None] = []
    for (first, last), pair in zip(pairwise(edges), pairwise(names), strict=True):
        stretches.append(None)
        if IGNORED in pair:
            continue
        part = scores[first + 1 : last]
        gains = part - part[:, pair].max(axis=1, keepdims=True)
        totals = np.pad(np.cumsum(gains, axis=0), ((1, 0), (0, 0)))
        rises = totals - np.minimum.accumulate(totals, axis=0)
        stop, label = np.unravel_index(rises.argmax(), rises.shape)
        if rises[stop, label] >= MISSED * alike:
            start = totals[:stop, label].argmin()
            stretches[-1] = (first + 1 + int(start), first + 1 + int(stop))
    return stretches


def widen_gaps(gaps: Sequence[Gap], stretches: Sequence[Gap | None]) -> list[Gap]:
    """Return gaps that contain the stretches of `missed_stretches`."""
    widened = []
    for (start, stop), stretch in zip(gaps, stretches, strict=True):
        if stretch is not None:
            start = min(start, stretch[0])
            stop = max(stop, stretch[1])
        widened.append((start, stop))
    return widened
