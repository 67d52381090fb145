"""From the scores of a video to segments with confidences: `SegmentDecoder`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Clock, Segment, Segmentation, runs
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores, decode_scores
from fact_clip.inference.candidates import NONE_OF_THESE
from fact_clip.inference.scorer import FrameScorer

BACKGROUND = "background"
"""Name of frames under a threshold, where the vocabulary has no background."""


@dataclass(frozen=True)
class FrameLabels:
    """Labels of T frames, before they are joined to segments.

    Attributes:
        labels: (T,) index among the candidates; the index after the last one is the background of
            a threshold.
        confidence: (T,) of the label among the candidates.
        certainty: (T,) of the label among all classes of the run, which `reject` is applied to.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    certainty: NDArray[np.float64]

    @classmethod
    def empty(cls) -> FrameLabels:
        """Return the labels of no frames."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))

    def rows(self, index: slice) -> FrameLabels:
        """Return the labels of some frames."""
        return FrameLabels(self.labels[index], self.confidence[index], self.certainty[index])


class SegmentBuilder:
    """Joins labelled frames, which come in order, to segments.

    The last segment stays open until its label changes. Segments whose mean certainty is too low
    become `NONE_OF_THESE`.

    Args:
        names: label of each index.
        least_certainty: mean certainty below which a segment is rejected.
    """

    def __init__(self, names: Sequence[str], least_certainty: float = -math.inf) -> None:
        self.names = names
        self.least_certainty = least_certainty
        self.start = 0  # of the open segment
        self.stop = 0
        self._label: int | None = None
        self._confidence = 0.0  # sums over the frames of the open segment
        self._certainty = 0.0

    def add(self, frames: FrameLabels, is_last: bool = False) -> list[Segment]:
        """Add frames and return the segments that have ended.

        Args:
            frames: the next frames.
            is_last: whether the video ends after them, so that the open segment ends too.
        """
        segments: list[Segment] = []
        first = self.stop
        for start, stop, label in runs(frames.labels) if frames.labels.size else ():
            if label != self._label:
                self._close(segments)
                self._label = label
                self.start = first + start
            self.stop = first + stop
            self._confidence += float(frames.confidence[start:stop].sum())
            self._certainty += float(frames.certainty[start:stop].sum())
        if is_last:
            self._close(segments)
        return segments

    @property
    def has_open(self) -> bool:
        """Return whether a segment is open."""
        return self._label is not None

    def _close(self, segments: list[Segment]) -> None:
        """Append the open segment; a rejected one is joined with a rejected one before it."""
        if self._label is None:
            return
        n_frames = self.stop - self.start
        if self._certainty / n_frames >= self.least_certainty:
            confidence = min(self._confidence / n_frames, 1.0)
            name = self.names[self._label]
            segments.append(Segment(self.start, self.stop, name, confidence))
        elif segments and segments[-1].label == NONE_OF_THESE:
            segments[-1] = replace(segments[-1], stop=self.stop)
        else:
            segments.append(Segment(self.start, self.stop, NONE_OF_THESE))
        self._label = None
        self._confidence = 0.0
        self._certainty = 0.0


@dataclass(frozen=True)
class SegmentDecoder:
    """Decodes the scores of videos to segments.

    Attributes:
        scorer: source of the scores.
        candidates: the classes that frames are named with.
        settings: of decoding, without a None that the scorer could fill.
    """

    scorer: FrameScorer
    candidates: CandidateSet
    settings: DecodeSettings

    def segmentation(self, scores: Scores) -> Segmentation:
        """Return the segmentation of a scored video."""
        segments = self.builder().add(self.label(scores), is_last=True)
        return self.finish(segments, scores.clock)

    def label(self, scores: Scores, final: NDArray[np.int64] | None = None) -> FrameLabels:
        """Label the frames of a scored video.

        Args:
            scores: of the video; with `reject`, those of rivals too.
            final: labels of the first frames, which stay, as in `decode_scores`.
        """
        settings = self.settings
        labels, shares = decode_scores(scores, self.candidates, settings, final)
        confidence = self.scorer.calibrated(shares)
        certainty = confidence
        if settings.reject is not None:
            certainty = self.scorer.certainty(
                scores=scores,
                candidates=self.candidates,
                labels=labels,
                shares=shares,
                gamma=settings.gamma,
            )
        return FrameLabels(labels, confidence, certainty)

    def builder(self) -> SegmentBuilder:
        """Return the builder that joins labelled frames of one video to segments."""
        least_certainty = -math.inf
        if self.settings.reject is not None and self.scorer.confidence is not None:
            least_certainty = self.scorer.confidence.least(self.settings.reject)
        names = [*self.candidates.vocabulary.names, BACKGROUND]
        return SegmentBuilder(names, least_certainty)

    def finish(self, segments: Sequence[Segment], clock: Clock) -> Segmentation:
        """Return all segments of a video with its clock, background and new words."""
        background = self.candidates.vocabulary.background
        if self.settings.threshold is not None and not background:
            background = (BACKGROUND,)
        if self.settings.reject is not None:
            background = tuple(dict.fromkeys((*background, NONE_OF_THESE)))
        result = clock.apply_to(Segmentation(tuple(segments)))
        return replace(result, background=background, new_words=self.candidates.new_words)
