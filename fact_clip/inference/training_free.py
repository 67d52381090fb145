"""Segmentation without training: an image-text model compares frames with action names."""

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
    """Scores frames by their similarity to action names, without training.

    The actions have no order, and not all of them need to occur. A single action always has
    probability 1, so if you use a background threshold, also list names for anything else that
    happens.

    Args:
        encoder: Image-text model, such as "clip:ViT-B-32/openai".
        actions: Names of the actions.
        prompts: Wording around the names: plain, person or ensemble.
        smoothing: Seconds over which similarities are averaged.
        fps: Rows per second of features without a rate. With None, the rate is unknown, and
            smoothing assumes 5.
        device: Device: auto, cpu, cuda, cuda:N or mps.
        precision: Precision of the encoder.
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
            raise InputError("prompts", f"no wording is called {prompts!r}", fix)
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
            InputError: Weights or packages are missing.
        """
        self.encoder.load()
        self._embeddings(["something new"])

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for names, or for the scorer's names if `actions` is None."""
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
            raise InputError("transcript", "a model without training cannot align it", "omit it")
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
