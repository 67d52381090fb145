"""Segmentation without training: an image-text model compares pictures with action names, transport decodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.core.arguments import number_of
from fact_clip.core.clock import Clock
from fact_clip.core.errors import CommandOption
from fact_clip.core.messages import normalize
from fact_clip.core.public import public_class
from fact_clip.datasets.features import load_features, read_clock
from fact_clip.decoding import TransportSettings, similarity_probabilities, transport
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.encoders.cache import embed
from fact_clip.encoders.joint import ImageTextModel
from fact_clip.inference.candidates import check_actions
from fact_clip.inference.prepared import Adjust, absorb_short, raise_background
from fact_clip.inference.sources import SegmentsMany, check_features
from fact_clip.text.prompts import TEMPLATES
from fact_clip.video.extract import Settings, describe

KEPT_NAMES = 2_000
"""Names whose text vectors are kept, at most."""


@public_class
@dataclass(frozen=True)
class TrainingFreeSettings:
    """How similarities become segments.

    Args:
        templates: entry of `text.prompts.TEMPLATES`: how names are put into sentences.
        background: name of what is no action; it takes part only with a threshold.
        threshold: similarity in [0, 1] that the background has in every frame, next to the probabilities of the
            actions, which sum to 1. A single action always has probability 1, so that such a list also needs names for
            what else happens. None: every frame is one of the actions.
        temperature: divides cosines before the softmax over actions; CLIP was trained at 0.01.
        smoothing: seconds over which similarities are averaged.
        shortest: seconds; shorter segments go to a neighbour.
        transport: settings of the decoder.
    """

    templates: str = "ensemble"
    background: str = "background"
    threshold: float | None = None
    temperature: float = 0.01
    smoothing: float = 1.0
    shortest: float = 1.0
    transport: TransportSettings = field(default_factory=TransportSettings)

    def __post_init__(self) -> None:
        if self.templates not in TEMPLATES:
            raise InputError(CommandOption("--prompts"), f"{self.templates!r}; expected one of {', '.join(TEMPLATES)}")
        if self.threshold is not None:
            number_of(self.threshold, "threshold", "a probability, 0 to 1", 0, 1)
        number_of(self.temperature, "temperature", "more than 0", math.ulp(0))
        for name in ("smoothing", "shortest"):
            number_of(getattr(self, name), name, "seconds, 0 or more", 0, 1e6)


@public_class
class TrainingFree(SegmentsMany):
    """Cuts videos into named actions without having been trained on any; used as a `Segmenter` is.

    The list of actions has no order, and not all of them need to occur.

    Args:
        encoder: a model of images and texts, as "clip:ViT-B-32/openai" or "transformers:FOLDER"; loaded once for both.
        actions: their names.
        settings: how similarities become segments; None: the defaults.
        extraction: how videos are read; None: the defaults. Feature files have their own rate.
        device: where the model runs: auto, cpu, cuda, cuda:N or mps.
    """

    def __init__(
        self,
        encoder: str,
        actions: Sequence[str],
        settings: TrainingFreeSettings | None = None,
        extraction: Settings | None = None,
        device: str = "auto",
    ) -> None:
        model = frame_encoder(encoder, Runtime(device))
        if not isinstance(model, ImageTextModel):
            expected = "a model of images and texts, clip:... or transformers:..."
            raise InputError(f"frame encoder {encoder!r}", f"no text side; expected {expected}")
        self.encoder = model
        self.settings, self.extraction = settings or TrainingFreeSettings(), extraction or Settings()
        self.fps: float = self.extraction.fps
        self.vocabulary = self._vocabulary(actions)
        self._texts: dict[str, NDArray[np.float32]] = {}  # (E,) of each name: embedded once, not once a video

    def load(self) -> None:
        """Load both sides of the model; an InputError says what is missing."""
        self.encoder.load()
        self._text_vectors(("something new",))

    def _vocabulary(self, actions: Sequence[str]) -> Vocabulary:
        if not actions:
            raise InputError("actions", "none; expected at least one name")
        check_actions(actions)
        if self.settings.threshold is None:
            return Vocabulary.from_names(actions)
        same = next((name for name in actions if normalize(name) == normalize(self.settings.background)), None)
        if same is not None:
            todo = "leave the name out, or the background threshold"
            found = f"{same!r}, which a background threshold adds for frames without an action"
            raise InputError("actions", f"{found}; expected names of actions", todo)
        return Vocabulary.from_names([*actions, self.settings.background], [self.settings.background])

    def encoder_for(self, video: Path) -> ImageTextModel:
        """Its own encoder, for every video."""
        return self.encoder

    def _open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        features, made_by = load_features(path, "TD"), describe(path)["encoder"]
        if made_by != self.encoder.name:
            todo = "give the encoder that they were made with"
            raise InputError(path, f"features by {made_by}; expected {self.encoder.name}", todo)
        return features, read_clock(path, layout="TD")

    def _segment(
        self,
        features: NDArray[np.floating],
        where: str,
        clock: Clock,
        actions: Sequence[str] | None,
        transcript: Sequence[str] | None,
        adjust: Adjust,
    ) -> Segmentation:
        if transcript is not None:
            raise InputError("transcript", "without a trained model; expected none")
        return self.prepare(features, where, clock, actions).segmentation(adjust)

    def prepare(
        self, features: NDArray[np.floating], where: str, clock: Clock, actions: Sequence[str] | None = None
    ) -> PreparedSimilarities:
        """The similarities of a video; arguments and errors as for `Segmenter.prepare`."""
        vocabulary = self.vocabulary if actions is None else self._vocabulary(actions)
        names = tuple(name for name in vocabulary if name not in vocabulary.background)
        texts = self._text_vectors(names)
        check_features(features, where, texts.shape[1], f"{self.encoder.name} gives")
        fps = clock.fps or self.fps
        return PreparedSimilarities(
            names, probabilities(features, texts, self.settings, fps), self.settings, fps, clock
        )

    def _text_vectors(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """(K, E) of the names, each of which is embedded once."""
        new = [name for name in names if name not in self._texts]
        if new:
            if len(self._texts) + len(new) > KEPT_NAMES:
                self._texts.clear()
                new = list(names)
            rows = embed(self.encoder, Vocabulary.from_names(new), self.settings.templates).classes
            self._texts.update(zip(new, rows, strict=True))
        return np.stack([self._texts[name] for name in names])


@dataclass(frozen=True)
class PreparedSimilarities:
    """The similarities (T, K) of a video to K names, from which `decode_similarity` makes labels."""

    names: tuple[str, ...]
    similarity: NDArray[np.float32]
    settings: TrainingFreeSettings
    fps: float
    clock: Clock

    @property
    def nbytes(self) -> int:
        """Main memory that it takes."""
        return self.similarity.nbytes

    def segmentation(self, adjust: Adjust) -> Segmentation:
        """The video cut into segments; transport knows neither a gamma nor a price of switching."""
        settings = self.settings
        if adjust.threshold is not None:
            settings = replace(settings, threshold=adjust.threshold)
        if adjust.shortest is not None:
            settings = replace(settings, shortest=adjust.shortest)
        labels, confidence = decode_similarity(self.similarity, settings, self.fps)
        background = () if settings.threshold is None else (settings.background,)
        names = [*self.names, *background]
        found = Segmentation.from_frames([names[label] for label in labels.tolist()], self.fps, confidence.tolist())
        return replace(self.clock.put_on(found), background=background)


def probabilities(
    features: NDArray[np.floating], texts: NDArray[np.float32], settings: TrainingFreeSettings, fps: float
) -> NDArray[np.float32]:
    """Softmax over K actions of the smoothed cosines: (T, D) and (K, D) in unit rows -> (T, K)."""
    return similarity_probabilities(features, texts, round(settings.smoothing * fps), settings.temperature)


def decode_similarity(
    similarity: NDArray[np.float32], settings: TrainingFreeSettings, fps: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels (T,) and confidence (T,) of similarities (T, K); with a threshold, label K is the background."""
    if settings.threshold is not None:
        similarity = raise_background(similarity, (), settings.threshold).astype(np.float32)
    share = transport(similarity, settings.transport) * np.float32(len(similarity))
    labels = absorb_short(share.argmax(axis=1), share, math.ceil(settings.shortest * fps - 1e-6))
    return labels, np.clip(share[np.arange(len(labels)), labels], 0, 1)
