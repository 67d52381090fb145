"""Scores without training: an image-text model compares pictures with action names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import names_of, number_of
from fact_clip.core.segments import Clock
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores
from fact_clip.decoding.similarity import similarity_probabilities
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.encoders.joint import ImageTextModel
from fact_clip.encoders.vectors import embed
from fact_clip.inference.candidates import KeptVectors, check_actions
from fact_clip.inference.scorer import FeatureSpec
from fact_clip.text.prompts import TEMPLATES


class SimilarityScorer:
    """Compares frames with the names of actions; used as a `Scorer` is, without having been trained on any.

    The list of actions has no order, and not all of them need to occur. A single action always has probability 1, so
    that with a background threshold such a list also needs names for what else happens. Arguments as of
    `load_training_free`; `fps` is the rate of features whose files do not say it.
    """

    run = calibration = confidence = None
    unlabelled = (UNLABELLED,)
    settings = DecodeSettings(shortest=1.0)
    adjustable = ("threshold", "shortest")
    window, frames_per_score = 0, 1

    def __init__(
        self,
        encoder: str,
        actions: Sequence[str],
        prompts: str = "ensemble",
        smoothing: float = 1.0,
        fps: float = 5.0,
        device: str = "auto",
    ) -> None:
        if prompts not in TEMPLATES:
            raise InputError("prompts", f"no wording {prompts!r} of names", f"choose one of {', '.join(TEMPLATES)}")
        self.prompts, self.smoothing = prompts, number_of(smoothing, "smoothing", "seconds, 0 or more", 0, 1e6)
        model = frame_encoder(encoder, Runtime(device))
        if not isinstance(model, ImageTextModel):
            fix = "use a model of images and texts, clip:... or transformers:..."
            raise InputError(f"frame encoder {encoder!r}", "no text side", fix)
        self.encoder, self.fps = model, fps
        self._vectors = KeptVectors(lambda names: embed(model, Vocabulary.from_names(names), prompts).classes)
        self.vocabulary = self.choose(actions).vocabulary

    @property
    def width(self) -> int:
        """Columns of the features."""
        return len(self._vectors(["something new"])[0])

    @property
    def needs(self) -> FeatureSpec:
        """The features of the model."""
        return FeatureSpec("the model needs", encoder=self.encoder.name, named=True)

    def load(self) -> None:
        """Load both sides of the model; an InputError says what is missing."""
        self.encoder.load()
        self._vectors(["something new"])

    def calibrated(self, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the scores (T,) of labels as confidences (T,)."""
        return shares.astype(np.float64)

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for some names; None: those that the scorer was made with."""
        if actions is None:
            return CandidateSet(self.vocabulary)
        names = names_of(actions, "actions", typed=True)
        check_actions(names)
        return CandidateSet(Vocabulary.from_names(names))

    def score(
        self,
        features: NDArray[np.floating],
        candidates: CandidateSet,
        clock: Clock | None = None,
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> Scores:
        """Return the probabilities (T, K) of raw features (T, D); arguments as for `Scorer.score`."""
        if transcript is not None:
            raise InputError("transcript", "nothing was trained to align one", "leave it out")
        clock = clock or Clock()
        rate, texts = clock.fps or self.fps, np.stack(self._vectors(candidates.vocabulary.names))
        table = similarity_probabilities(features, texts, round(self.smoothing * rate))
        return Scores(len(features), similarity=torch.from_numpy(table), rate=rate, clock=clock)
