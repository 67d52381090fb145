"""Segmenting without training: an image-text model compares frames with the names of actions."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from fact_clip.core import Clock, InputError, Location, Reals, Singles, Vocabulary
from fact_clip.core.arguments import names_of, number_of
from fact_clip.decoding import CandidateSet, DecodeSettings, ModelScores
from fact_clip.decoding.fusion import Voters
from fact_clip.devices.device import Precision
from fact_clip.encoders import FrameEncoder, ImageTextEncoder, Runtime, frame_encoder
from fact_clip.encoders.vectors import embed
from fact_clip.inference.candidates import check_actions
from fact_clip.inference.new_words import VectorCache
from fact_clip.inference.scorer import FeatureSpec, FrameScorer
from fact_clip.inference.similarity import similarity_probabilities
from fact_clip.text.prompts import TEMPLATES
from fact_clip.video.extract import Settings


class SimilarityScorer(FrameScorer):
    """Score frames by similarity to action names, without training.

    The list of actions has no order, and not all of them need to occur. A single action always has
    probability 1, so with a background threshold such a list also needs names for what else
    happens.

    Args:
        encoder: the image-text model, as "clip:ViT-B-32/openai".
        actions: names of the actions.
        prompts: wording around the names: plain, person or ensemble.
        smoothing: seconds over which similarities are averaged.
        fps: rows a second of features that do not say it; None: unknown, smoothed as at 5.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: in which the encoder computes.
    """

    settings = DecodeSettings(switch_penalty=4.0, shortest=1.0)  # experiments/joint_space.md
    adjustable = ("switch_penalty", "threshold", "shortest")

    def __init__(
        self,
        encoder: str | ImageTextEncoder,
        actions: Sequence[str],
        prompts: str = "ensemble",
        smoothing: float = 1.0,
        fps: float | None = None,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        if prompts not in TEMPLATES:
            fix = f"choose one of {', '.join(TEMPLATES)}"
            raise InputError("prompts", f"no wording {prompts!r} of names", fix)
        self.smoothing = number_of(smoothing, "smoothing", "seconds, 0 or more", 0, 1e6)
        model = frame_encoder(encoder, Runtime(device, precision))
        if not hasattr(model, "encode_texts"):
            fix = "use a model of images and texts, clip:MODEL/TAG"
            raise InputError(f"frame encoder {encoder!r}", "cannot read names", fix)
        self.encoder = cast(ImageTextEncoder, model)
        self.fps = fps
        self.prompts = prompts
        self._embeddings = VectorCache(self._embed)
        self.vocabulary = self.choose(actions).vocabulary

    def _embed(self, names: Sequence[str]) -> Singles:
        """Return the vectors of names, (N, E)."""
        return embed(self.encoder, Vocabulary.from_names(names), self.prompts).classes

    @property
    def width(self) -> int:
        """Return the number of feature columns."""
        return len(self._embeddings(["something new"])[0])

    @property
    def needs(self) -> FeatureSpec:
        """Return the features of the model."""
        return FeatureSpec("the model needs", encoder=self.encoder.name, named=True)

    def load(self) -> None:
        """Load the image and the text side of the model.

        Raises:
            InputError: weights or packages are missing.
        """
        self.encoder.load()
        self._embeddings(["something new"])

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for names; None: those that the scorer was made with."""
        if actions is None:
            return CandidateSet(self.vocabulary)
        names = names_of(actions, "actions", typed=True)
        check_actions(names)
        return CandidateSet(Vocabulary.from_names(names))

    def score_together(
        self,
        videos: Sequence[Reals],
        candidates: CandidateSet,
        clocks: Sequence[Clock],
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> list[ModelScores]:
        """Return the probabilities (T, K) of each video; see `FrameScorer.score_together`."""
        if transcript is not None:
            raise InputError("transcript", "nothing was trained to align one", "leave it out")
        texts = np.stack(self._embeddings(candidates.vocabulary.names))  # (K, E)
        results = []
        for features, clock in zip(videos, clocks, strict=True):
            rate = clock.rate or self.fps or Settings().fps
            table = similarity_probabilities(features, texts, round(self.smoothing * rate))
            frames = torch.from_numpy(table).unsqueeze(0)  # (1, T, K)
            voter = Voters(
                frames, tokens=None, has_token=torch.ones(1, len(table), dtype=torch.bool)
            )
            results.append(ModelScores(len(features), (voter,), rate=rate, clock=clock))
        return results

    def frame_encoder(self, video: Location, precision: Precision) -> FrameEncoder:
        """Return the image side of the model."""
        return self.encoder
