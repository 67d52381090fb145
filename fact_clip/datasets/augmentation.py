"""Augmentation of the features of a training video."""

import torch
from torch import Tensor


def drop_channels(features: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set each channel of a video (T, D) to zero with `probability`, and scale up the others.

    The factor is 1 / (1 - probability). `Batch.to` scales float16 features, to avoid rounding.
    Source: FACT, channel masking ratio.
    """
    keep = torch.rand(features.shape[1], generator=generator) >= probability
    if features.dtype == torch.float16:
        return features * keep
    return features * (keep.to(features.dtype) / (1.0 - probability))


def mask_time(
    features: Tensor, spans: int, length: int, share: float, generator: torch.Generator
) -> Tensor:
    """Set spans of a video (T, D) to zero, in a new tensor. Source: FACT, time masking.

    Args:
        features: Features (T, D).
        spans: Maximum number of spans. A span of length zero ends the masking.
        length: Upper bound of span lengths, which are uniform in [0, `length`).
        share: Share of the video that a span may cover: at most floor(`share` * T) frames.
        generator: Generator of random numbers.

    Returns:
        Masked features (T, D).
    """
    masked = features.clone()
    n_frames = len(features)
    for _ in range(spans):
        drawn = int(torch.randint(length, (), generator=generator))
        span = min(drawn, int(share * n_frames))
        if span == 0:
            break
        start = int(torch.randint(n_frames - span + 1, (), generator=generator))
        masked[start : start + span] = 0.0
    return masked


def change_speed(n_rows: int, speed: float, generator: torch.Generator) -> Tensor:
    """Return the rows (T',) that play a video of T rows faster or slower.

    The factor is log-uniform in [1 / (1 + speed), 1 + speed].
    """
    factor = (1 + speed) ** (2 * float(torch.rand((), generator=generator)) - 1)
    n_played = max(1, round(n_rows / factor))
    return ((torch.arange(n_played) + 0.5) * (n_rows / n_played)).long()
