"""Class prototypes from unlabelled videos (docs/protocol.md, 'Transductive')."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import normalize

from fact_clip.decoding.fusion import Voters, safe_log

WEIGHT = 3.0
"""Nats that a frame in the direction of a prototype gains (experiments/zero_shot.md)."""


@dataclass(frozen=True)
class Prototypes:
    """Directions of the classes among the frame features of a model.

    Attributes:
        mean: (H,) features of a mean frame.
        directions: (C, H) unit vectors from the mean frame to the frames of each class.
    """

    mean: Tensor
    directions: Tensor

    @classmethod
    def of(cls, features: Tensor, posteriors: Tensor) -> Prototypes:
        """Compute the prototypes of unlabelled frames.

        Args:
            features: (T, H) of the frames of all videos.
            posteriors: (T, C) class probabilities, with which a frame counts for each class.
        """
        mean = features.mean(0)
        units = normalize(features - mean, dim=-1)  # (T, H)
        return cls(mean, normalize(posteriors.T @ units, dim=-1))

    def added_to(self, voters: Voters) -> Voters:
        """Return the voters of a video with similarity to the prototypes as evidence."""
        assert voters.features is not None
        features = voters.features.float()  # (B, T, H)
        units = normalize(features - self.mean.to(features), dim=-1)
        evidence = WEIGHT * units @ self.directions.to(features).T  # (B, T, C)
        frames = (safe_log(voters.frames) + evidence).softmax(-1)
        tokens = None
        if voters.tokens is not None:
            tokens = voters.tokens + evidence
        return replace(voters, frames=frames, tokens=tokens)
