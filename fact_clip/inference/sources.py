"""Options for opening a model, and conversion of arrays, feature files and videos to features."""

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
    """Options for opening a model and for reading videos. `load` explains each of them.

    Attributes:
        device: Device: auto, cpu, cuda, cuda:N or mps.
        actions: Candidates for calls that name none.
        encoder: Frame encoder for videos of a run.
        fps: Rows per second of features extracted from videos.
        window: Seconds of a video that the model of a run reads in one pass.
        prompts: Wording around names, for a model without training.
        smoothing: Seconds over which similarities are averaged, for a model without training.
        trust_encoder: Whether to load an encoder that the run names by a path.
        precision: Precision of the encoder and the model.
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
        features: Raw features, (T, D).
        where: Location of the features in errors.
        clock: Times of the rows.
    """

    features: Any
    where: Location
    clock: Clock


class SourceReader:
    """Reads the features that a scorer needs, and extracts them from videos.

    Args:
        scorer: The scorer.
        encoder: Encoder that extracts features from videos, or None for the scorer's encoder.
        options: Options, of which rate and precision are used.

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
        """Return the settings for extracting features from videos.

        Raises:
            InputError: Neither the run nor the options have a rate.
        """
        run = self._scorer.run
        if run is not None and self._fps is None:
            raise InputError("fps", f"{run.path} has no frame rate", "set fps= for videos")
        return self._extraction

    @property
    def encoder_name(self) -> str | None:
        """Return the name of the encoder of videos, or None while it is unknown."""
        return None if self._encoder is None else self._encoder.name

    def encoder_for(self, video: Path | str) -> FrameEncoder:
        """Return the encoder in the options, or else the encoder of the training features."""
        if self._encoder is None:
            self._encoder = self._scorer.frame_encoder(video, self._precision)
        return self._encoder

    def load_encoder(self, source: Path) -> None:
        """Load the encoder if the source is a video, so that its errors do not blame the video."""
        if source.suffix.lower() in SUFFIXES:
            self.extraction()
            self.encoder_for(source).load()

    def _note_seen(self, path: Path, features: Array) -> None:
        """Log that the run has learned a video, because its labels are then unusually good."""
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
            source: Raw features (T, D), path of a feature file, or path of a video.
            progress: Function called with (rows done, total rows, name) while a video is encoded.
            span: Part of a video, or None for the whole video.

        Raises:
            InputError: The source cannot be read or has a different rate or encoder.
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
