"""How a model is opened, and how an array, a feature file or a video becomes features."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fact_clip.core import Array, Clock, FileLocation, InputError, Location, Progress, Reals
from fact_clip.core.io import check_file
from fact_clip.devices.device import Precision
from fact_clip.encoders import EncodeImages, FrameEncoder
from fact_clip.inference.scorer import FrameScorer
from fact_clip.video.extract import Settings, encode
from fact_clip.video.frames import SUFFIXES, Decoder, Span

logger = logging.getLogger(__name__)

FEATURES = ".npy"
KINDS = f"features ({FEATURES}) or a video ({', '.join(SUFFIXES)})"


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened, and how it reads videos; `load` explains each.

    Attributes:
        device: auto, cpu, cuda, cuda:N or mps.
        actions: the candidates for calls that name none.
        encoder: the frame encoder for videos of a run.
        fps: rows a second of features that are made from videos.
        window: seconds of a video that the model of a run reads in one pass.
        prompts: wording around names, for a model without training.
        smoothing: seconds over which similarities are averaged, for a model without training.
        trust_encoder: load an encoder that the run names by a path.
        precision: of the encoder and the model.
    """

    device: str = "auto"
    actions: Sequence[str] | None = None
    encoder: str | FrameEncoder | EncodeImages | None = None
    fps: float | None = None
    window: float | None = None
    prompts: str | None = None
    smoothing: float | None = None
    trust_encoder: bool = False
    precision: Precision = "auto"

    def given(self, *names: str) -> dict[str, Any]:
        """Return the options among `names` that are set."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Source:
    """Features of a video.

    Attributes:
        features: raw features, (T, D).
        where: their location in errors.
        clock: the times of the rows.
    """

    features: Any
    where: Location
    clock: Clock


class SourceReader:
    """Reads the features that a scorer needs, and makes them from videos.

    Args:
        scorer: the scorer.
        encoder: makes features from videos; None: the one that the scorer names.
        options: rate and precision.

    Attributes:
        video_decoder: Decoder of videos, or None to decode in this process.
    """

    def __init__(
        self, scorer: FrameScorer, encoder: FrameEncoder | None, options: ModelOptions
    ) -> None:
        self._scorer = scorer
        self._encoder = encoder
        self._precision = options.precision
        self.video_decoder: Decoder | None = None
        self._fps = scorer.fps if options.fps is None else options.fps
        self._extraction = Settings() if self._fps is None else Settings(self._fps)

    def extraction(self) -> Settings:
        """Return how features are made from videos.

        Raises:
            InputError: neither the run nor the options have a rate.
        """
        run = self._scorer.run
        if run is not None and self._fps is None:
            raise InputError("fps", f"{run.path} has no frame rate", "set fps= for videos")
        return self._extraction

    @property
    def encoder_name(self) -> str | None:
        """Return the name of the encoder of videos, or None as long as none is known."""
        return None if self._encoder is None else self._encoder.name

    def encoder_for(self, video: Path | str) -> FrameEncoder:
        """Return the encoder that was named, or that of the features of the training."""
        if self._encoder is None:
            self._encoder = self._scorer.frame_encoder(video, self._precision)
        return self._encoder

    def load_encoder(self, source: Path) -> None:
        """Load the encoder if the source is a video. Its faults are no fault of the video."""
        if source.suffix.lower() in SUFFIXES:
            self.extraction()
            self.encoder_for(source).load()

    def _note_seen(self, path: Path, features: Array) -> None:
        """Log that the run has learned a video, so that its labels are better than others."""
        record = self._scorer.seen
        video = None if record is None else record.find(features)
        if video is not None:
            logger.info("%s: the run was %s on this video", path, video.role)

    def read(
        self,
        source: Reals | str | Path,
        progress: Progress | None = None,
        span: Span | None = None,
    ) -> Source:
        """Return the features of a source.

        Args:
            source: raw features (T, D), the path of a feature file, or a video.
            progress: called with (rows done, rows in all, name) while a video is encoded.
            span: the part of a video; None: all of it.

        Raises:
            InputError: the source cannot be read or has another rate or encoder.
        """
        path = Path(source) if isinstance(source, str | Path) else None
        is_video = path is not None and path.suffix.lower() != FEATURES
        span = span or Span()
        if span != Span() and not is_video:
            raise InputError("start and stop", "only a video has them", "cut the features")
        if path is None:
            return Source(source, "features", Clock(fps=self._fps))
        if not is_video:
            features, clock = self._scorer.needs.open(path)
            if clock.fps is None and clock.times is None:
                clock = replace(clock, fps=self._fps)
            self._note_seen(path, features)
            return Source(features, path, clock)
        check_file(path, KINDS)
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(path, f"the ending {path.suffix!r}", f"give {KINDS}")
        encoder = self.encoder_for(path)
        extraction = replace(self.extraction(), span=span)
        features, clock = encode(path, encoder, extraction, progress, decoder=self.video_decoder)
        return Source(features, FileLocation(path, part=f"features by {encoder.name}"), clock)
