"""Videos that go on: rows of features or pictures in, segments out as soon as they are final."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import LEAST_FPS, MOST_FPS, Clock, InputError, Segment, Segmentation, runs
from fact_clip.core.arguments import array_of, number_of
from fact_clip.decoding import DecodeSettings
from fact_clip.inference.scorer import check_features
from fact_clip.video.decode import scaled
from fact_clip.video.extract import RowEncoder

if TYPE_CHECKING:
    from fact_clip.inference.segmenter import Segmenter

HOPS = 4  # A video is scored anew this often in a delay
_CONTEXT = 1024  # Rows of the model that are scored together where neither a window nor the training says how many


class FrameLabels(NamedTuple):
    """What decoding says of T frames."""

    labels: NDArray[np.int64]  # (T,) index among the candidates
    confidence: NDArray[np.float64]  # (T,)
    sure: NDArray[
        np.float64
    ]  # (T,) the confidence among all classes of the run, which `reject` goes by

    def rows(self, index: slice) -> FrameLabels:
        """Return those of some frames."""
        return FrameLabels(self.labels[index], self.confidence[index], self.sure[index])


class LabelRun(NamedTuple):
    """Frames [start, stop) of one label, and sums over them."""

    start: int
    stop: int
    label: int
    confidence: float
    sure: float

    @property
    def duration(self) -> int:
        """Length in frames."""
        return self.stop - self.start


def label_runs(before: Sequence[LabelRun], first: int, frames: FrameLabels) -> list[LabelRun]:
    """Return the runs before frame `first`, and those of the frames from there on; the last one may go on in them."""
    result = list(before)
    for start, stop, label in runs(frames.labels) if frames.labels.size else ():
        sums = (float(values[start:stop].sum()) for values in (frames.confidence, frames.sure))
        run = LabelRun(first + start, first + stop, label, *sums)
        if result and result[-1].label == label:
            last = result.pop()
            run = LabelRun(
                last.start, run.stop, label, last.confidence + run.confidence, last.sure + run.sure
            )
        result.append(run)
    return result


class Stream:
    """Cuts a video into actions while it goes on; `Segmenter.stream` makes one.

    A hop is a quarter of the delay, and one row at least. At the end of each hop the rows in memory are scored in one
    go, and labels that would become older than the delay before the next one are final: no later row changes them, and
    decoding goes on from the last final run. So what comes out depends on the video, not on how it was cut into pushes.
    In memory are as many rows as the model reads in one pass (its window, or the length of a training video), and twice
    the delay at least, so that a label is decided with as much before it as after it. With an infinite delay all is in
    memory, and `finish` gives what `Segmenter.segment` gives.

    The segments of all pushes and of `finish` together are the video without a gap.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        delay: float,
        actions: Sequence[str] | None,
        settings: DecodeSettings,
        fps: float | None,
    ) -> None:
        scorer = segmenter.scorer
        if delay != math.inf:
            number_of(delay, "delay", "seconds, more than 0, or math.inf", sys.float_info.min)
        if fps is not None:
            number_of(
                fps,
                "fps",
                f"rows a second, from {LEAST_FPS:g} to {MOST_FPS:g}",
                LEAST_FPS,
                MOST_FPS,
            )
        if scorer.run is not None:
            scorer.run.check_rate(fps, "fps")
            if scorer.run.config.model.transcript:
                raise InputError(
                    scorer.run.path,
                    "its model aligns the transcript of a whole video",
                    "use segment",
                )
        self._segmenter, self._candidates = segmenter, segmenter.choose(actions, settings)
        self._settings = settings.over(scorer.settings)
        rate = fps or scorer.fps or (segmenter.extraction.fps if segmenter.encodes else None)
        if rate is None and delay < math.inf:
            raise InputError(
                "delay", "seconds, but the run has no frame rate", "give fps, rows a second"
            )
        self._clock = Clock(fps=rate)
        # in rows, whole ones of the model; `_ahead` are those after a label that becomes final
        step = scorer.frames_per_score
        self._hop = self._kept = self._ahead = math.inf
        if rate is not None and delay < math.inf:
            rows = step * max(math.floor(delay * rate / step + 1e-9), 1)
            self._hop = step * max(rows // (HOPS * step), 1)
            n_frames = None if scorer.run is None else scorer.run.n_frames
            self._kept = step * -(
                -max(scorer.window or n_frames or _CONTEXT * step, 2 * rows) // step
            )
            self._ahead = rows - self._hop
        self._parts: list[NDArray[Any]] = []  # the rows in memory
        self._final = np.empty(0, np.int64)  # labels of the first ones of these
        self._n_rows = 0  # that have come
        self._open: list[LabelRun] = []  # the final run that may go on
        self._rest: FrameLabels | None = (
            None  # of the rows after the final ones, unless others have come since
        )
        self._pictures: RowEncoder | None = None
        self._finished = False

    def push(self, features: NDArray[Any]) -> list[Segment]:
        """Take the next rows of features (T, D), or pictures (T, H, W, 3) uint8, where the segmenter has an encoder.

        Returns the segments that have become final. Input that does not fit the model is an InputError.
        """
        if self._finished:
            raise InputError("stream", "it is finished", "begin another one")
        scorer, ended = self._segmenter.scorer, list[LabelRun]()
        rows = self._encoded(features) if getattr(features, "ndim", 0) == 4 else features
        rows = np.array(
            check_features(rows, "features", scorer.width, scorer.needs.origin)
        )  # callers may reuse theirs
        while len(rows):
            count = int(min(self._hop - self._n_rows % self._hop, len(rows)))
            self._parts.append(rows[:count])
            self._n_rows, self._rest, rows = self._n_rows + count, None, rows[count:]
            if self._n_rows % self._hop == 0:
                ended += self._end_hop()
        return self._named(ended)

    def tentative(self) -> list[Segment]:
        """Return the segments after those that were given as final, as they stand now; rows that came are scored."""
        return self._named(label_runs(self._open, self._n_final, self._decoded()))

    def finish(self) -> list[Segment]:
        """Return the segments that are left, and end the stream."""
        segments = self.tentative()
        self._finished, self._parts, self._final, self._open = True, [], self._final[:0], []
        return segments

    def segmentation(self, segments: Iterable[Segment]) -> Segmentation:
        """Return all segments of the stream as one value, with its rate and background, to be saved."""
        return self._segmenter.segmentation(
            tuple(segments), self._candidates, self._settings, self._clock
        )

    @property
    def fps(self) -> float | None:
        """Rows a second, if known."""
        return self._clock.fps

    @property
    def _n_final(self) -> int:
        """Rows whose label is final."""
        return self._n_rows - sum(map(len, self._parts)) + len(self._final)

    def _decoded(self) -> FrameLabels:
        """The labels of the rows after the final ones."""
        if self._n_final == self._n_rows:
            return FrameLabels(np.empty(0, np.int64), np.empty(0), np.empty(0))
        if self._rest is None:
            self._parts = [np.concatenate(self._parts)]
            scorer, rivals = self._segmenter.scorer, self._settings.reject is not None
            scores = scorer.score(self._parts[0], self._candidates, self._clock, rivals=rivals)
            # A change costs the switching penalty, more than few rows ahead can pay, so the rows since the last final
            # change count too: only the labels before them, and the first of theirs, are given.
            first = self._n_final - len(self._final)
            fixed = (
                max(self._open[0].start - first, 0) + scorer.frames_per_score if self._open else 0
            )
            frames = self._segmenter.label(
                scores, self._candidates, self._settings, self._final[:fixed]
            )
            self._rest = frames.rows(slice(len(self._final), None))
        return self._rest

    def _end_hop(self) -> list[LabelRun]:
        """Make labels final, forget rows that are no longer read, and return the runs that have ended."""
        first, frames = self._n_final, self._decoded()
        count = max(self._n_rows - int(self._ahead) - first, 0)
        final = label_runs(self._open, first, frames.rows(slice(count)))
        self._open = final[-1:]
        self._final = np.concatenate([self._final, frames.labels[:count]])
        self._rest = frames.rows(slice(count, None))
        spare = max(len(self._parts[0]) + int(self._hop) - int(self._kept), 0)
        self._parts, self._final = [self._parts[0][spare:]], self._final[spare:]
        return final[:-1]

    def _named(self, ended: Iterable[LabelRun]) -> list[Segment]:
        return self._segmenter.named(ended, self._candidates, self._settings)

    def _encoded(self, pictures: NDArray[Any]) -> NDArray[np.float16]:
        """(T, D) the features of pictures (T, H, W, 3), as those of a video file are made."""
        images = array_of(pictures, "pictures", "uint8, (T, H, W, 3)", "u")
        if images.dtype != np.uint8 or images.shape[3] != 3 or not images.size:
            raise InputError(
                "pictures", f"{images.dtype} of shape {images.shape}, not uint8, (T, H, W, 3)"
            )
        encoder, batch = self._segmenter.encoder_for("pictures"), self._segmenter.extraction.batch
        if self._pictures is None:
            encoder.load()
            self._pictures = RowEncoder(encoder, "pictures")
        parts = [images[start : start + batch] for start in range(0, len(images), batch)]
        prepare = encoder.prepare
        return np.concatenate(
            [self._pictures([prepare(scaled(x, encoder.size)) for x in part]) for part in parts]
        )
