"""Streaming: accepts features or images, and returns segments as soon as they are final."""

import copy
import math
from collections.abc import Callable, Iterable

import numpy as np

from fact_clip.core import Array, Clock, InputError, Segment, Segmentation
from fact_clip.core.arguments import array_of
from fact_clip.decoding.switching import shortened
from fact_clip.encoders import FrameEncoder, clip_of
from fact_clip.inference.decoder import FrameLabels, SegmentDecoder
from fact_clip.video.extract import RowEncoder, Settings
from fact_clip.video.frames import scaled

HOPS = 4  # number of times that a video is scored per delay

# Number of scores to compute together if neither a window nor training determines it.
_CONTEXT = 1024


class Stream:
    """Divides a video into actions while it continues; see `Segmenter.stream`.

    A hop is a quarter of the delay, but at least one row. At the end of each hop, the rows in
    memory are scored together. Labels that would become older than the delay before the next hop
    ends are then final: no later row changes them, and decoding continues from the last final
    label. The result therefore depends on the video and not on how it was divided into pushes.

    The memory holds as many rows as the model reads in one pass (its window, or the length of a
    training video), and at least twice the delay. With an infinite delay, it holds all rows, and
    `finish` returns the same as `Segmenter.segment`. The segments of all pushes and of `finish`
    together cover the video without gaps.

    Args:
        decoder: Decoder with its scorer.
        delay: Seconds after which a label is final.
        fps: Rows per second, if known.
        encoder: Function that returns the frame encoder, called if images are pushed.
    """

    def __init__(
        self,
        decoder: SegmentDecoder,
        delay: float,
        fps: float | None,
        encoder: Callable[[], FrameEncoder],
    ) -> None:
        if fps is None and delay < math.inf:
            problem = "seconds, but the run has no frame rate"
            raise InputError("delay", problem, "give fps, rows per second")
        self._decoder = decoder
        self._scorer = decoder.scorer
        self._clock = Clock(fps=fps)
        self._encoder = encoder
        # All of these are whole rows of the model.
        self._hop = math.inf  # rows between two times of scoring
        self._memory = math.inf  # rows in memory
        self._ahead = math.inf  # rows after a label at the time when it becomes final
        if fps is not None and delay < math.inf:
            step = self._scorer.frames_per_score
            n_rows = step * max(math.floor(delay * fps / step + 1e-9), 1)
            self._hop = step * max(n_rows // (HOPS * step), 1)
            self._ahead = n_rows - self._hop
            # A label is decided with at least as many rows before it as after it.
            n_rows = max(self._scorer.rows_per_pass or _CONTEXT * step, 2 * n_rows)
            self._memory = step * -(-n_rows // step)
        self._builder = decoder.builder()
        self._parts: list[Array] = []  # the rows in memory
        self._final = np.empty(0, np.int64)  # labels of the first rows in memory
        self._history = np.empty(0, np.int64)  # labels of previous score rows, see `shortened`
        self._n_rows = 0  # number of pushed rows
        self._rest: FrameLabels | None = FrameLabels.empty()  # of `_decoded`, until the next push
        self._pictures: RowEncoder | None = None
        self._is_finished = False

    def push(self, features: Array) -> list[Segment]:
        """Add the next rows of a video.

        Args:
            features: Rows (T, D) or, if the segmenter has an encoder, images (T, H, W, 3) in uint8.

        Returns:
            The segments that have become final.

        Raises:
            InputError: The rows do not fit the model, or the stream is finished.
        """
        if self._is_finished:
            raise InputError("stream", "it is finished", "start a new one")
        rows = features
        if getattr(features, "ndim", 0) == 4:
            rows = self._encode(features)
        rows = self._scorer.checked(rows, "features")
        rows = np.array(rows)  # a copy, because callers may reuse their buffer
        segments: list[Segment] = []
        while len(rows):
            until_hop = self._hop - self._n_rows % self._hop
            count = int(min(until_hop, len(rows)))
            self._parts.append(rows[:count])
            self._n_rows += count
            self._rest = None
            rows = rows[count:]
            if self._n_rows % self._hop == 0:
                segments += self._end_hop()
        return segments

    def tentative(self) -> list[Segment]:
        """Return the segments after the final ones, as if the video ended now."""
        builder = copy.copy(self._builder)
        return builder.add(self._decoded(), is_last=True)

    def finish(self) -> list[Segment]:
        """Return the remaining segments, and end the stream."""
        segments = self.tentative()
        self._is_finished = True
        self._parts = []
        self._rest = FrameLabels.empty()
        self._builder = self._decoder.builder()
        return segments

    def segmentation(self, segments: Iterable[Segment]) -> Segmentation:
        """Return all segments of the stream with its rate and background, ready to save."""
        # Consecutive segments without an action may have become final separately.
        return self._decoder.finish(tuple(segments), self._clock).joined()

    @property
    def fps(self) -> float | None:
        """Return the rows per second, if known."""
        return self._clock.fps

    def _decoded(self) -> FrameLabels:
        """Return the labels of the rows after the final ones."""
        if self._rest is None:
            self._parts = [np.concatenate(self._parts)]
            scores = self._scorer.score(
                self._parts[0],
                self._decoder.candidates,
                self._clock,
                rivals=self._decoder.settings.reject is not None,
            )
            # A change costs the switching penalty, which a few rows cannot outweigh. The rows since
            # the last final change are therefore decoded again. Only the labels before these rows,
            # and the first label of these rows, are fixed.
            n_fixed = 0
            if self._builder.open_label is not None:
                first_row = self._n_rows - len(self._parts[0])
                n_fixed = max(self._builder.start - first_row, 0) + self._scorer.frames_per_score
            final = self._final[:n_fixed]
            frames = self._decoder.label(scores, final, history=self._history)
            self._rest = frames.rows(slice(len(self._final), None))
        return self._rest

    def _end_hop(self) -> list[Segment]:
        """Fix labels, drop rows that are not needed again, and return the segments that ended."""
        frames = self._decoded()
        n_in_memory = len(self._parts[0])
        count = max(n_in_memory - int(self._ahead) - len(self._final), 0)
        segments = self._builder.add(frames.rows(slice(count)))
        self._final = np.concatenate([self._final, frames.labels[:count]])
        self._rest = frames.rows(slice(count, None))
        n_needed = int(self._memory) - int(self._hop)
        n_dropped = max(n_in_memory - n_needed, 0)
        self._parts = [self._parts[0][n_dropped:]]
        dropped = self._final[: n_dropped : self._scorer.frames_per_score]
        self._history = shortened(np.concatenate([self._history, dropped]))
        self._final = self._final[n_dropped:]
        return segments

    def _encode(self, pictures: Array) -> Array:
        """Return the features (T, D) of images (T, H, W, 3), extracted as from a video file."""
        images = array_of(pictures, "pictures", "uint8, (T, H, W, 3)", "u")
        if images.dtype != np.uint8 or images.shape[3] != 3 or not images.size:
            problem = f"{images.dtype} of shape {images.shape}, not uint8, (T, H, W, 3)"
            raise InputError("pictures", problem)
        encoder = self._encoder()
        if clip_of(encoder).length > 1:
            problem = f"{encoder.name} reads clips, whose second half has not arrived yet"
            raise InputError("pictures", problem, "push features")
        if self._pictures is None:
            encoder.load()
            self._pictures = RowEncoder(encoder, "pictures")
        rows = []
        size = Settings().batch
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            prepared = [encoder.prepare(scaled(image, encoder.size)) for image in batch]
            rows.append(self._pictures(prepared))
        return np.concatenate(rows)
