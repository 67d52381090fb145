"""From videos to padded batches, and the masking of training inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fact_clip.config import AugmentConfig
from fact_clip.core import InputError, majority_stride
from fact_clip.datasets.dataset import IGNORED, Dataset
from fact_clip.datasets.features import FeatureTransform

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """B videos padded to the longest."""

    features: Tensor  # (B, T, D) float32, zero at padding
    mask: Tensor  # (B, T) bool, true at real frames
    labels: Tensor  # (B, T) int64, -1 at padding and at ignored frames
    names: tuple[str, ...]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.features.to(device), self.mask.to(device), self.labels.to(device), self.names)


def collate(items: Sequence[tuple[str, Tensor, Tensor | NDArray[np.int64]]]) -> Batch:
    """Pad (name, features (T, D), labels (T,)) to one batch; an InputError where widths or lengths disagree."""
    if not items:
        raise InputError("batch", "no videos", "at least one")
    names, features, labels = zip(*items, strict=True)
    width = features[0].shape[1]
    for name, own, own_labels in items:
        if own.shape[1] != width or len(own) != len(own_labels):
            found = f"features {tuple(own.shape)}, labels {tuple(own_labels.shape)}"
            raise InputError(f"video {name!r}", found, f"(T, {width}) and (T,)")
    return Batch(
        pad_sequence(list(features), batch_first=True),
        pad_sequence([torch.ones(len(own), dtype=torch.bool) for own in features], batch_first=True),
        pad_sequence([torch.as_tensor(own) for own in labels], batch_first=True, padding_value=IGNORED),
        names,
    )


def drop_channels(features: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set each channel of a video (T, D) to zero with `probability` and scale the rest by 1 / (1 - probability).

    Always a new tensor. Source: FACT, channel masking ratio.
    """
    kept = torch.rand(features.shape[1], generator=generator) >= probability
    return features * (kept.to(features.dtype) / (1.0 - probability))


def mask_time(features: Tensor, spans: int, length: int, share: float, generator: torch.Generator) -> Tensor:
    """Set up to `spans` spans of a video (T, D) to zero, in a new tensor.

    The length of a span is uniform in [0, `length`), at most floor(`share` * T); a span of length zero is the last.
    Spans may overlap. Source: FACT, time masking.
    """
    masked, n_frames = features.clone(), len(features)
    for _ in range(spans):
        span = min(int(torch.randint(length, (), generator=generator)), int(share * n_frames))
        if span == 0:
            break
        start = int(torch.randint(n_frames - span + 1, (), generator=generator))
        masked[start : start + span] = 0.0
    return masked


def change_speed(features: Tensor, labels: Labels, speed: float, generator: torch.Generator) -> tuple[Tensor, Labels]:
    """Play a video (T, D) and its labels (T,) faster or slower, log-uniform in [1 / (1 + speed), 1 + speed].

    Frames are resampled to the nearest one; factor f gives max(1, round(T / f)) frames.
    """
    factor = (1 + speed) ** (2 * float(torch.rand((), generator=generator)) - 1)
    n_frames = max(1, round(len(features) / factor))
    source = ((torch.arange(n_frames) + 0.5) * (len(features) / n_frames)).long()
    return features[source], labels[source.numpy()]


def _draw(purpose: str, seed: int, epoch: int, name: str) -> int:
    """A number in [0, 2^63) that depends only on its arguments, so that a resumed run is the same run."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{epoch}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def training_batches(
    dataset: Dataset,
    names: Sequence[str],
    transform: FeatureTransform,
    augment: AugmentConfig,
    batch_size: int,
    seed: int,
    epoch: int,
    stride: int = 1,
    interleave: bool = False,
) -> Iterator[Batch]:
    """One epoch in a new order, augmented; the last batch may be smaller.

    Order and augmentation depend only on (seed, epoch) and the name of each video. Every `stride`-th row of the
    transformed features is taken, with labels by majority; with `interleave` it starts at one of the first `stride`
    rows, drawn anew in each epoch, instead of at the first.
    """
    order = sorted(names, key=lambda name: (_draw("order", seed, epoch, name), name))
    for first in range(0, len(order), batch_size):
        items = []
        for name in order[first : first + batch_size]:
            generator = torch.Generator().manual_seed(_draw("augment", seed, epoch, name))
            labels = dataset.labels(name)
            first_row = int(torch.randint(min(stride, len(labels)), (), generator=generator)) if interleave else 0
            # a copy, because a tensor over the read-only cache could write into it
            features = torch.from_numpy(dataset.transformed(name, transform)[first_row::stride].copy())
            labels = majority_stride(labels[first_row:], stride, IGNORED)
            if augment.speed > 0:
                features, labels = change_speed(features, labels, augment.speed, generator)
            if augment.channels > 0:
                features = drop_channels(features, augment.channels, generator)
            if augment.time_spans > 0:
                features = mask_time(features, augment.time_spans, augment.time_length, augment.time_share, generator)
            items.append((name, features, labels))
        yield collate(items)
