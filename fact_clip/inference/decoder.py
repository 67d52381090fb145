"""`SegmentDecoder`: from the scores of a video to segments with confidences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from fact_clip.core import (
    BACKGROUND,
    NONE_OF_THESE,
    Clock,
    Floats,
    InputError,
    Integers,
    Segment,
    Segmentation,
    Singles,
    runs,
)
from fact_clip.core.arguments import table_of
from fact_clip.core.plugins import Table
from fact_clip.core.scores import Scores
from fact_clip.decoding import (
    CandidateSet,
    DecodeSettings,
    ModelScores,
    class_scores,
    decode_scores,
)
from fact_clip.inference.scorer import FrameScorer
from fact_clip.inference.sources import Source

MOST_ALTERNATIVES = 5  # per segment

Decode = Callable[[Scores], ArrayLike]
"""A decoder: a function from a video's scores to the index of a name for each frame, (T,)."""


DECODERS: Table[Decode] = Table(
    "fact_clip.decoders", {"argmax": lambda scores: scores.array.argmax(axis=1)}
)
"""Decoders that `Segmenter.segment` can use instead of the decoding settings."""


@dataclass(frozen=True)
class FrameLabels:
    """Labels of T frames, before they are joined into segments.

    Attributes:
        labels: Index among the C candidates, (T,). Index C is background added by a threshold.
        confidence: Confidence in the label, compared with the other candidates, (T,).
        certainty: Confidence in the label, compared with all classes of the run, (T,). `reject`
            uses it. Without `reject`, it equals `confidence`.
    """

    labels: Integers
    confidence: Floats
    certainty: Floats

    @classmethod
    def empty(cls) -> FrameLabels:
        """Return the labels of an empty video."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))

    def rows(self, index: slice) -> FrameLabels:
        """Return the labels of some frames."""
        return FrameLabels(self.labels[index], self.confidence[index], self.certainty[index])


@dataclass(frozen=True)
class SegmentDecoder:
    """Decodes the scores of videos into segments.

    `segmentation` calls `label`, `builder` and `finish` in this order. A stream calls them itself,
    because its frames arrive in parts.

    Attributes:
        scorer: Source of the scores.
        candidates: Classes for naming frames.
        settings: Decoding settings. Values that are None come from the scorer's settings.
    """

    scorer: FrameScorer
    candidates: CandidateSet
    settings: DecodeSettings = field(default_factory=DecodeSettings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", self.settings.over(self.scorer.settings))

    def score(self, source: Source, transcript: Sequence[str] | None = None) -> ModelScores:
        """Check the features of a source and score them for the candidates.

        Args:
            source: Features of a video.
            transcript: Actions in order, for a model that aligns transcripts.
        """
        rows = self.scorer.checked(source.features, source.where)
        rivals = self.settings.reject is not None
        return self.scorer.score(rows, self.candidates, source.clock, transcript, rivals=rivals)

    def segmentation(self, scores: ModelScores) -> Segmentation:
        """Return the segmentation of a scored video."""
        row_scores = self.class_scores(scores)
        frames = self.label(scores, row_scores=row_scores)
        segments = self.builder().add(frames, is_last=True)
        frame_scores = self.frame_scores(scores, row_scores)
        ranked = []
        for segment in segments:
            ranking = frame_scores.rank(segment.start, segment.stop)
            runners_up = [candidate for candidate in ranking if candidate.label != segment.label]
            ranked.append(replace(segment, alternatives=tuple(runners_up[:MOST_ALTERNATIVES])))
        return self.finish(ranked, scores.clock)

    def segmentation_by(self, decode: Decode, scores: ModelScores) -> Segmentation:
        """Return the segmentation of a scored video by a different decoder."""
        frame_scores = self.frame_scores(scores)
        n_frames, n_classes = frame_scores.array.shape
        labels = table_of(decode(frame_scores), "decoder", (n_frames,)).astype(np.int64)
        if not ((labels >= 0) & (labels < n_classes)).all():
            raise InputError("decoder", f"indices that are not from 0 to {n_classes - 1}")
        confidence = frame_scores.array[np.arange(n_frames), labels].clip(0, 1).tolist()
        names = [frame_scores.names[label] for label in labels]
        frames = Segmentation.from_frames(names, confidence=confidence)
        return self.finish(frames.segments, scores.clock)

    def class_scores(self, scores: ModelScores) -> Tensor:
        """Return the probabilities of the candidates before decoding, (T', C)."""
        return class_scores(scores, self.candidates.with_gamma(self.settings.gamma))

    def frame_scores(self, scores: ModelScores, row_scores: Tensor | None = None) -> Scores:
        """Return the probabilities of the allowed candidates in each frame.

        Args:
            scores: Scores of the video.
            row_scores: Result of `class_scores`, (T', C), if already computed.
        """
        if row_scores is None:
            row_scores = self.class_scores(scores)
        allowed = self.candidates.is_allowed
        names = tuple(compress(self.candidates.vocabulary, allowed))
        rows = row_scores.cpu().numpy()[:, allowed].astype(np.float32)
        starts = scores.clock.starts(scores.n_frames)
        return Scores(rows[scores.row_of_frame], names, starts)

    def label(
        self,
        scores: ModelScores,
        final: Integers | None = None,
        row_scores: Tensor | None = None,
        history: Integers | None = None,
    ) -> FrameLabels:
        """Label the frames of a scored video.

        Args:
            scores: Scores of the video, which include rivals if `reject` is set.
            final: Fixed labels of the first frames, as in `decode_scores`.
            row_scores: Result of `class_scores`, (T', C), if already computed.
            history: Labels of the previous rows, as in `decode_scores`.
        """
        labels, shares = decode_scores(
            scores, self.candidates, self.settings, final, row_scores, history
        )
        confidence = self.scorer.calibrated(shares)
        certainty = confidence
        if self.settings.reject is not None:
            certainty = self._certainty(scores, labels, shares)
        return FrameLabels(labels, confidence, certainty)

    def _certainty(self, scores: ModelScores, labels: Integers, shares: Singles) -> Floats:
        """Return the confidences (T,) of labels among all classes of the run."""
        everything = self.scorer.with_run_classes(self.candidates).with_gamma(self.settings.gamma)
        index = everything.vocabulary.encode(self.candidates.vocabulary)
        table = class_scores(scores.rivals or scores, everything)  # (T', C')
        columns = index[np.minimum(labels, len(index) - 1)]  # (T,)
        among_all = np.clip(table.cpu().numpy()[scores.row_of_frame, columns], 0, 1)
        # Frames that a threshold changed to background remain background.
        background = [*self.candidates.vocabulary.background_indices, len(index)]
        is_raised = shares <= np.float32(self.settings.threshold or -1)
        is_final = is_raised & np.isin(labels, background)
        return np.where(is_final, 1.0, self.scorer.calibrated(among_all))

    def builder(self) -> SegmentBuilder:
        """Return the builder that joins the labelled frames of one video into segments."""
        least_certainty = 0.0
        if self.settings.reject is not None and self.scorer.confidence is not None:
            least_certainty = self.scorer.confidence.least(self.settings.reject)
        names = [*self.candidates.vocabulary.names, BACKGROUND]
        return SegmentBuilder(names, least_certainty)

    def finish(self, segments: Sequence[Segment], clock: Clock) -> Segmentation:
        """Return all segments of a video with its clock, background names and new words."""
        background = self.candidates.vocabulary.background
        if self.settings.threshold is not None and not background:
            background = (BACKGROUND,)
        if self.settings.reject is not None:
            background = tuple(dict.fromkeys((*background, NONE_OF_THESE)))  # each name once

        segmentation = clock.apply_to(Segmentation(tuple(segments)))
        return replace(segmentation, background=background, new_words=self.candidates.new_words)


class SegmentBuilder:
    """Joins labelled frames, which arrive in order, into segments.

    The last segment stays open until its label changes. Segments whose mean certainty is too low
    become `NONE_OF_THESE`. To look ahead, a stream adds frames to a `copy.copy` of its builder, so
    methods may replace attributes but must not change them in place.

    Args:
        names: Name of each label index.
        least_certainty: Mean certainty below which a segment is rejected.

    Attributes:
        open_label: Label of the open segment, or None.
        start: First frame of the open segment.
        stop: Number of added frames, which is the end of the open segment.
    """

    def __init__(self, names: Sequence[str], least_certainty: float) -> None:
        self.names = names
        self.least_certainty = least_certainty
        self.start = 0
        self.stop = 0
        self.open_label: int | None = None
        self._confidence_sum = 0.0  # both sums are over the frames of the open segment
        self._certainty_sum = 0.0

    def add(self, frames: FrameLabels, is_last: bool = False) -> list[Segment]:
        """Add frames and return the segments that have ended.

        Args:
            frames: The next frames.
            is_last: Whether the video ends after these frames, so that the open segment also ends.
        """
        segments: list[Segment] = []
        first_frame = self.stop
        label_runs = runs(frames.labels) if frames.labels.size else []  # `runs` needs a frame
        for run_start, run_stop, label in label_runs:
            if label != self.open_label:
                self._close(segments)
                self.open_label = label
                self.start = first_frame + run_start
            self.stop = first_frame + run_stop
            self._confidence_sum += float(frames.confidence[run_start:run_stop].sum())
            self._certainty_sum += float(frames.certainty[run_start:run_stop].sum())
        if is_last:
            self._close(segments)
        return segments

    def _close(self, segments: list[Segment]) -> None:
        """Close the open segment, if any, and append it to the segments that `add` returns.

        A rejected segment extends the last segment in the list if that segment was also rejected.
        """
        if self.open_label is None:
            return

        n_frames = self.stop - self.start
        is_accepted = self._certainty_sum / n_frames >= self.least_certainty
        if is_accepted:
            name = self.names[self.open_label]
            confidence = min(self._confidence_sum / n_frames, 1.0)  # a sum may be rounded up
            segments.append(Segment(self.start, self.stop, name, confidence))
        elif segments and segments[-1].label == NONE_OF_THESE:
            segments[-1] = replace(segments[-1], stop=self.stop)
        else:
            segments.append(Segment(self.start, self.stop, NONE_OF_THESE))

        self.open_label = None
        self._confidence_sum = 0.0
        self._certainty_sum = 0.0
