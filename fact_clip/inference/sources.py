"""What every segmenter takes: arrays, feature files and videos, one or many."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.arguments import array_of, path_of
from fact_clip.core.clock import Clock
from fact_clip.core.io import check_file
from fact_clip.core.pace import Pace
from fact_clip.core.public import public_class
from fact_clip.datasets.features import check_finite, load_features, read_clock
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.encoders import FrameEncoder
from fact_clip.inference.prepared import Adjust, Prepared
from fact_clip.video.decode import SUFFIXES, probe
from fact_clip.video.extract import Progress, Settings, extracted

logger = logging.getLogger(__name__)

FEATURES = ".npy"
KINDS = f"features ({FEATURES}) or a video ({', '.join(SUFFIXES)})"

Input = TypeVar("Input", str, Path)


@public_class
class SegmentsMany(ABC):
    """What every segmenter can do: take an array, a feature file or a video, one or many."""

    vocabulary: Vocabulary
    fps: float | None
    extraction: Settings
    unlabelled: tuple[str, ...] = (UNLABELLED,)
    """Labels of ground truth that stand for no class."""
    adjust: Adjust = Adjust()
    """How `segment` decodes where it differs from what the model has."""

    def segment(
        self,
        source: NDArray[np.floating] | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
        *,
        reject: float | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            source: raw features (T, D), the path of a feature file, or a video. NAME.json beside a feature file may
                hold frame times and the path of the video.
            actions: candidates; None: the segmenter's own. A run whose head reads text takes any names, others only
                names of their vocabulary. The background is always a candidate.
            transcript: the actions in order, for a model that aligns transcripts (``model.transcript``).
            reject: label segments "none of these" whose confidence this share, 0 to 1, of the correctly named frames of
                the validation videos does not reach either (docs/method.md, 'Confidence'). None: as `adjust` says.
            progress: called with (rows done, rows in all, name) while a video is encoded.

        Returns:
            A segmentation of all T frames; the confidence of a segment is the mean score of its class, calibrated where
            the run has validation videos. Input that does not fit the model is an InputError.
        """
        if not isinstance(self.adjust, Adjust):
            raise InputError("adjust", f"{self.adjust!r}; expected an Adjust")
        adjust = self.adjust if reject is None else replace(self.adjust, reject=reject)
        if adjust.reject is not None:
            self.least_confidence(adjust.reject)  # before the work
        found = self._found(source, actions, transcript, adjust, progress)
        return found if found.background else replace(found, background=self.vocabulary.background)

    def least_confidence(self, reject: float) -> float:
        """The confidence below which `reject` leaves a segment without an action."""
        raise InputError("reject", "without a trained run; expected a run, whose validation videos tell what is unsure")

    def _found(
        self,
        source: NDArray[np.floating] | str | Path,
        actions: Sequence[str] | None,
        transcript: Sequence[str] | None,
        adjust: Adjust,
        progress: Progress | None,
    ) -> Segmentation:
        if not isinstance(source, str | Path):
            return self._segment(source, "features", Clock(fps=self.fps), actions, transcript, adjust)
        path = Path(source)
        if path.suffix.lower() not in (FEATURES, *SUFFIXES):
            check_file(path, KINDS)
            raise InputError(path, f"the ending {path.suffix!r}; expected {KINDS}")
        if path.suffix.lower() == FEATURES:
            features, clock = self.open(path)
            return self._segment(features, str(path), clock, actions, transcript, adjust)
        check_file(path, "a video file")
        encoder = self.encoder_for(path)
        with extracted(path, encoder, self.extraction, progress) as file:
            features, where = load_features(file, "TD"), f"{path} by {encoder.name}"
            return self._segment(features, where, read_clock(file, layout="TD"), actions, transcript, adjust)

    def open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        """A feature file that fits the model, (T, D), and the times of its rows."""
        features, clock = self._open(path)
        return features, with_video_rate(clock)

    def load(self) -> None:  # noqa: B027  not every segmenter has something to load
        """Load what the first new name would wait for."""

    @abstractmethod
    def prepare(
        self, features: NDArray[np.floating], where: str, clock: Clock, actions: Sequence[str] | None = None
    ) -> Prepared:
        """All that is needed of a video to decode it in several ways.

        Args:
            features: raw features (T, D); errors call them `where`.
            where: see `features`.
            clock: the times of their rows.
            actions: candidates, as in :meth:`segment`.
        """

    @abstractmethod
    def _open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        """A feature file that fits the model, and the times of its rows."""

    @abstractmethod
    def encoder_for(self, video: Path) -> FrameEncoder:
        """What turns this video into features that fit the model."""

    @abstractmethod
    def _segment(
        self,
        features: NDArray[np.floating],
        where: str,
        clock: Clock,
        actions: Sequence[str] | None,
        transcript: Sequence[str] | None,
        adjust: Adjust,
    ) -> Segmentation:
        """Cut the features of a video into actions."""

    def segment_all(
        self,
        inputs: Iterable[Input],
        actions: Sequence[str] | None = None,
        *,
        reject: float | None = None,
        progress: Progress | None = None,
        within: Progress | None = None,
        failed: Callable[[Input, InputError], None] | None = None,
    ) -> Iterator[tuple[Input, Segmentation]]:
        """Segment feature files and videos one by one, each result as soon as it is there.

        `actions` and `reject` are those of `segment`. `progress` is called with (inputs done, inputs, name) before each
        input, `within` with (rows done, rows in all, name) while a video is encoded. `failed` is called with an input
        that cannot be segmented and the reason, and the others go on; without it the reason is raised, after those
        before it have been yielded. An encoder that does not load is raised in any case.
        """
        if isinstance(inputs, str | Path) or not isinstance(inputs, Iterable):
            raise InputError("inputs", f"{inputs!r}; expected a list of paths")
        listed, pace = list(inputs), Pace()
        for source in listed:
            path_of(source, "inputs")
        for done, source in enumerate(listed):
            if progress is not None:
                progress(done, len(listed), Path(source).name)
            if pace.is_due(done, len(listed)):
                logger.info("%d of %d inputs, %s left", done, len(listed), pace.left(done, len(listed)))
            if Path(source).suffix.lower() in SUFFIXES and Path(source).is_file():
                self.encoder_for(Path(source)).load()
            try:
                found = self.segment(source, actions, reject=reject, progress=within)
            except InputError as error:
                if failed is None:
                    raise
                failed(source, error)
                continue
            yield source, found


def check_features(features: Any, where: str, width: int, origin: str) -> NDArray[Any]:
    """The features as an array; an InputError unless these are finite rows (T, `width`), as `origin` has them."""
    features = array_of(features, where, f"an array of numbers, (T, {width})")
    if features.ndim != 2 or not len(features):
        raise InputError(where, f"an array of shape {features.shape}; expected (T, {width}), at least one frame")
    if features.shape[1] != width:
        raise InputError(
            where, f"{features.shape[1]} columns (of {len(features)} frames); expected {width}, as {origin}"
        )
    check_finite(where, features)
    return features


def with_video_rate(clock: Clock) -> Clock:
    """The clock with the rate of the video that it names, read from that file if it is there and can be read."""
    if clock.video_fps is not None or clock.media is None or not Path(clock.media).is_file():
        return clock
    try:
        return replace(clock, video_fps=probe(clock.media).fps)
    except InputError as error:
        logger.info("the frame rate of the video is unknown: %s", error)
        return clock
