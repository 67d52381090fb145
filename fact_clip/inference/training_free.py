"""Segmentation without training: frame-text similarities of an image-text model, and transport decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary, runs
from fact_clip.datasets.features import check_finite, load_features, read_clock
from fact_clip.decoding import TransportSettings, transport
from fact_clip.encoders import Runtime, pick_device
from fact_clip.encoders.cache import embed
from fact_clip.encoders.frame import FrameEncoder, frame_encoder
from fact_clip.encoders.sentence import TextEncoder, text_encoder
from fact_clip.inference.segmenter import SegmentsMany
from fact_clip.video.extract import Progress, Settings, describe, extracted

TEXT_SIDES = {"clip": "open_clip", "transformers": "transformers"}
"""Prefix of a frame encoder -> prefix of the text encoder that shares its space."""


_ROWS = 4096  # looked at together, so that a long file is never held at once


@dataclass(frozen=True)
class TrainingFreeSettings:
    """How similarities become segments.

    Args:
        templates: entry of `text.prompts.TEMPLATES`, how names are put into sentences.
        background: name of what is no action; it takes part only with a threshold.
        threshold: similarity in [0, 1] that the background has in every frame, beside the actions' probabilities, which
            sum to 1 (a list of one action leaves nothing to it: name what else happens); None: every frame is one of
            the actions.
        temperature: what cosines are divided by before the softmax over actions; CLIP was trained at 0.01.
        smoothing: seconds over which similarities are averaged.
        shortest: seconds; shorter segments go to a neighbour.
        transport: settings of the decoder.

    Raises:
        InputError: a value out of range.
    """

    templates: str = "ensemble"
    background: str = "background"
    threshold: float | None = None
    temperature: float = 0.01
    smoothing: float = 1.0
    shortest: float = 1.0
    transport: TransportSettings = field(default_factory=TransportSettings)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError("threshold", str(self.threshold), "a probability, 0 to 1")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError("temperature", str(self.temperature), "more than 0")
        for name in ("smoothing", "shortest"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(name, str(getattr(self, name)), "seconds, 0 or more")


class TrainingFree(SegmentsMany):
    """Cuts videos into named actions without having been trained on any.

    The list of actions has no order, and need not all occur. `vocabulary`, `fps` and `segment` are as of a `Segmenter`.

    Args:
        encoder: frame encoder with a text side, as "clip:ViT-B-32/openai" or "transformers:FOLDER".
        actions: their names.
        settings: see there; None: the defaults.
        extraction: how videos are read; feature files bring their own rate.
        device: where the model runs: auto, cpu, cuda, cuda:N or mps.

    Raises:
        InputError: an encoder without a text side or that cannot be, or no actions.
    """

    def __init__(
        self,
        encoder: str,
        actions: Sequence[str],
        settings: TrainingFreeSettings | None = None,
        extraction: Settings | None = None,
        device: str = "auto",
    ) -> None:
        prefix, _, rest = encoder.partition(":")
        self.encoder: FrameEncoder = frame_encoder(encoder, Runtime(str(pick_device(device, "device"))))
        if prefix not in TEXT_SIDES:
            sides = ", ".join(f"{each}:..." for each in TEXT_SIDES)
            raise InputError(f"frame encoder {encoder!r}", "no text side", f"a model of images and texts, {sides}")
        self._text: TextEncoder = text_encoder(f"{TEXT_SIDES[prefix]}:{rest}")
        self.settings, self.extraction = settings or TrainingFreeSettings(), extraction or Settings()
        self.fps: float = self.extraction.fps
        self.vocabulary = self._vocabulary(actions)

    def _vocabulary(self, actions: Sequence[str]) -> Vocabulary:
        if not actions:
            raise InputError("actions", "none", "at least one name")
        if self.settings.threshold is None:
            return Vocabulary.from_names(actions)
        return Vocabulary.from_names([*actions, self.settings.background], [self.settings.background])

    def segment(
        self, source: str | Path, actions: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            source: a video, or features (.npy) that `extract` made with this encoder.
            actions: other names than those given at first.
            progress: told (rows done, rows expected, name of the video) while a video is encoded.

        Returns:
            A segmentation in rows of the frame rate, with the mean soft assignment as a segment's confidence, the path
            of the video, and frame times where they are not those of the rate.

        Raises:
            InputError: a faulty video or feature file, features of another encoder, or a model that does not load.
        """
        vocabulary = self.vocabulary if actions is None else self._vocabulary(actions)
        if Path(source).suffix.lower() == ".npy":
            return self._segment(Path(source), vocabulary)
        with extracted(source, self.encoder, self.extraction, progress) as features:
            return self._segment(features, vocabulary)

    def _segment(self, source: Path, vocabulary: Vocabulary) -> Segmentation:
        features, fps = self._features(source)
        names = [name for name in vocabulary if name not in vocabulary.background]
        texts = embed(self._text, Vocabulary.from_names(names), self.settings.templates).classes
        if texts.shape[1] != features.shape[1]:
            expected = f"{texts.shape[1]}, as {self._text.name} gives"
            raise InputError(source, f"{features.shape[1]} columns", expected)
        labels, confidence = decode_similarity(probabilities(features, texts, self.settings, fps), self.settings, fps)
        found = Segmentation.from_frames(vocabulary.decode(labels), fps, confidence.tolist())
        return read_clock(source, layout="TD").put_on(found)

    def _features(self, source: Path) -> tuple[NDArray[np.floating], float]:
        features = load_features(source, "TD")
        facts = describe(source)
        if facts["encoder"] != self.encoder.name:
            found = f"features by {facts['encoder']}"
            raise InputError(source, found, self.encoder.name, "give the encoder that they were made with")
        check_finite(source, features)
        return features, float(facts["fps"])


def probabilities(
    features: NDArray[np.floating], texts: NDArray[np.float32], settings: TrainingFreeSettings, fps: float
) -> NDArray[np.float32]:
    """Softmax over K actions of the smoothed cosines, (T, D) and (K, E) in unit rows -> (T, K)."""
    cosines = np.empty((len(features), len(texts)), dtype=np.float32)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float32)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
        cosines[start : start + _ROWS] = rows @ texts.T
    share = smoothed(cosines, round(settings.smoothing * fps)) / settings.temperature
    share -= share.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    found: NDArray[np.float32] = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def smoothed(values: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Centred mean of (T, K) over `window` rows, made odd; near an end over those that there are."""
    half, n = max(window, 1) // 2, len(values)
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    start, stop = np.maximum(np.arange(n) - half, 0), np.minimum(np.arange(n) + half + 1, n)
    mean: NDArray[np.float64] = (total[stop] - total[start]) / (stop - start)[:, None]
    return mean


def decode_similarity(
    similarity: NDArray[np.float32], settings: TrainingFreeSettings, fps: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels (T,) and confidence (T,) of similarities (T, K); label K is the background, where there is a threshold."""
    if settings.threshold is not None:
        column = np.full((len(similarity), 1), settings.threshold, dtype=np.float32)
        similarity = np.concatenate([similarity, column], axis=1)
    share = transport(similarity, settings.transport) * np.float32(len(similarity))
    labels = absorb_short(share.argmax(axis=1), share, math.ceil(settings.shortest * fps - 1e-6))
    return labels, np.clip(share[np.arange(len(labels)), labels], 0, 1)


def absorb_short(labels: NDArray[np.int64], scores: NDArray[np.floating], least: int) -> NDArray[np.int64]:
    """Give segments under `least` frames, the shortest first, to the neighbour that scores higher over their frames.

    Args:
        labels: (T,).
        scores: (T, K) of every label.
        least: frames.
    """
    labels = labels.copy()
    while True:
        segments = runs(labels)
        start, stop, _ = segments[place := min(range(len(segments)), key=lambda i: segments[i][1] - segments[i][0])]
        if stop - start >= least or len(segments) == 1:
            return labels
        beside = [segments[i][2] for i in (place - 1, place + 1) if 0 <= i < len(segments)]
        labels[start:stop] = max(beside, key=lambda label: float(scores[start:stop, label].mean()))
