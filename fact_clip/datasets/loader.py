"""From videos to padded batches with their true segments, and the masking of training inputs."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from fact_clip.config import AugmentConfig
from fact_clip.core import InputError, majority_stride
from fact_clip.core.distributed import end_with_parent
from fact_clip.datasets.dataset import IGNORED, Dataset
from fact_clip.datasets.features import FeatureTransform

Labels = NDArray[np.int64]
Key = tuple[int, str]  # epoch and name of a video
Item = tuple[str, Tensor, Tensor | Labels]  # name, features (T, D), labels (T,)

_BUCKET = 16  # batches whose videos are sorted together: of similar length, and still others in each epoch


@dataclass(frozen=True)
class Truth:
    """Frame labels of B videos and their runs of equal label, cut once on the CPU; ignored frames are no segments."""

    labels: Tensor  # (B, T) int64, -1 at padding and at ignored frames
    segment: Tensor  # (B, T) int64, the number of each frame's segment in its video; S, a spare one, at label -1
    classes: Tensor  # (B, S) int64, the class of each segment in order, -1 at padding
    transcripts: tuple[Labels, ...]  # the same without padding, on the CPU

    @classmethod
    def of(cls, labels: Tensor) -> Truth:
        """Cut the labels (B, T) of a batch into segments; on their device."""
        device, labels = labels.device, labels.cpu()
        labelled = labels >= 0
        starts = labelled.clone()
        starts[:, 1:] &= labels[:, 1:] != labels[:, :-1]
        transcripts = [row[first] for row, first in zip(labels, starts, strict=True)]
        classes = pad_sequence(transcripts, batch_first=True, padding_value=IGNORED)
        segment = torch.where(labelled, starts.cumsum(1) - 1, classes.shape[1])
        return cls(labels, segment, classes, tuple(row.numpy() for row in transcripts)).map(
            lambda tensor: tensor.to(device)
        )

    def longer(self, frames: int) -> Truth:
        """Return the same with `frames` frames a video; the new ones are padding."""
        more, spare = (0, frames - self.labels.shape[1]), self.classes.shape[1]
        labels, segment = (
            pad(self.labels, more, value=IGNORED),
            pad(self.segment, more, value=spare),
        )
        return Truth(labels, segment, self.classes, self.transcripts)

    def map(self, change: Callable[[Tensor], Tensor]) -> Truth:
        """Return the same with each tensor changed."""
        return Truth(
            change(self.labels), change(self.segment), change(self.classes), self.transcripts
        )


@dataclass(frozen=True)
class Batch:
    """B videos padded to the longest; float16 features are made float32 by `to`."""

    features: Tensor  # (B, T, D) zero at padding
    mask: Tensor  # (B, T) bool, true at real frames
    truth: Truth  # labels are -1 at padding and at ignored frames
    names: tuple[str, ...]
    gain: float = 1.0  # float16 features are multiplied by it when they become float32
    share: float = (
        1.0  # of the videos of this step that are in this batch; less where processes share a step
    )
    padded: bool = True  # some frames are padding

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device, in float32; with pinned memory the caller does not wait for the copy."""
        later = torch.device(device).type == "cuda"
        features, mask = (
            tensor.to(device, non_blocking=later) for tensor in (self.features, self.mask)
        )
        truth = self.truth.map(lambda tensor: tensor.to(device, non_blocking=later))
        if features.dtype == torch.float16:
            features = features.float().mul_(self.gain)
        return replace(self, features=features, mask=mask, truth=truth, gain=1.0)

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU reads by itself."""
        truth = self.truth.map(Tensor.pin_memory)
        return replace(
            self, features=self.features.pin_memory(), mask=self.mask.pin_memory(), truth=truth
        )

    def longer(self, frames: int) -> Batch:
        """Return the same with `frames` frames a video; the new ones are padding."""
        more = frames - self.mask.shape[1]
        features, mask = pad(self.features, (0, 0, 0, more)), pad(self.mask, (0, more))
        return replace(
            self, features=features, mask=mask, truth=self.truth.longer(frames), padded=True
        )


def collate(items: Sequence[Item | InputError]) -> Batch | InputError:
    """Pad (name, features (T, D), labels (T,)) of one width to one batch; or return the first error in reading them."""
    for item in items:
        if isinstance(item, InputError):
            return item
    names, features, labels = zip(*items, strict=True)
    padded = pad_sequence(
        [torch.as_tensor(indices) for indices in labels], batch_first=True, padding_value=IGNORED
    )
    return Batch(
        pad_sequence(list(features), batch_first=True),
        pad_sequence(
            [torch.ones(len(rows), dtype=torch.bool) for rows in features], batch_first=True
        ),
        Truth.of(padded),
        names,
        padded=any(len(rows) < padded.shape[1] for rows in features),
    )


def drop_channels(features: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set each channel of a video (T, D) to zero with `probability` and scale the rest by 1 / (1 - probability).

    float16 features are scaled in `Batch.to`, without rounding. Source: FACT, channel masking ratio.
    """
    keep = torch.rand(features.shape[1], generator=generator) >= probability
    if features.dtype == torch.float16:
        return features * keep
    return features * (keep.to(features.dtype) / (1.0 - probability))


def mask_time(
    features: Tensor, spans: int, length: int, share: float, generator: torch.Generator
) -> Tensor:
    """Set up to `spans` spans of a video (T, D) to zero, in a new tensor.

    The length of a span is uniform in [0, `length`), at most floor(`share` * T); one of length zero is the last.
    Source: FACT, time masking.
    """
    masked, n_frames = features.clone(), len(features)
    for _ in range(spans):
        span = min(int(torch.randint(length, (), generator=generator)), int(share * n_frames))
        if span == 0:
            break
        start = int(torch.randint(n_frames - span + 1, (), generator=generator))
        masked[start : start + span] = 0.0
    return masked


def change_speed(
    features: Tensor, labels: Labels, speed: float, generator: torch.Generator
) -> tuple[Tensor, Labels]:
    """Play a video (T, D) and its labels (T,) faster or slower, log-uniform in [1 / (1 + speed), 1 + speed]."""
    factor = (1 + speed) ** (2 * float(torch.rand((), generator=generator)) - 1)
    n_frames = max(1, round(len(features) / factor))
    source = ((torch.arange(n_frames) + 0.5) * (len(features) / n_frames)).long()
    return features.index_select(0, source), labels[source.numpy()]


def draw(purpose: str, seed: int, epoch: int, name: str) -> int:
    """Draw a number in [0, 2^63) that depends only on its arguments, so that a resumed run is the same run."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{epoch}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, eq=False)
class TrainingVideos(torch.utils.data.Dataset[Any]):
    """Training videos by (epoch, name), augmented; what one looks like depends on these and the seed alone.

    Every `stride`-th row is taken, with labels by majority; with `interleave` from a first row that each epoch draws.
    """

    dataset: Dataset
    transform: FeatureTransform
    augment: AugmentConfig
    seed: int
    stride: int = 1
    interleave: bool = False
    label_map: Labels | None = (
        None  # (C + 1,) class index -> label in a batch, the last one that of -1; None: the same
    )

    def __getitem__(self, key: Key) -> Item | InputError:
        """Return (name, features (T, D), labels (T,)); an InputError is returned, to pass from another process."""
        try:
            return self._item(*key)
        except InputError as error:
            return error

    def _item(self, epoch: int, name: str) -> Item:
        generator = torch.Generator().manual_seed(draw("augment", self.seed, epoch, name))
        labels, augment = self.dataset.labels(name), self.augment
        first = (
            int(torch.randint(min(self.stride, len(labels)), (), generator=generator))
            if self.interleave
            else 0
        )
        # a copy, because a tensor over the read-only rows could write into them
        rows = self.dataset.transformed(name, self.transform)[first :: self.stride].copy(order="C")
        features, labels = (
            torch.from_numpy(rows),
            majority_stride(labels[first:], self.stride, IGNORED),
        )
        labels = labels if self.label_map is None else self.label_map[labels]
        if augment.speed > 0:
            features, labels = change_speed(features, labels, augment.speed, generator)
        if augment.noise > 0:
            features = features.float()
            features = features + augment.noise * torch.randn(features.shape, generator=generator)
        if augment.channels > 0:
            features = drop_channels(features, augment.channels, generator)
        if augment.time_spans > 0:
            features = mask_time(
                features, augment.time_spans, augment.time_length, augment.time_share, generator
            )
        return name, features, labels


class TrainingLoader:
    """Batches of training videos, epoch by epoch, read ahead by other processes where `workers` is above 0.

    The order depends on (seed, epoch) and the names alone, augmentation on (seed, epoch, name): not on the number of
    workers, and not on where an epoch is resumed. `batch_size` counts over all `world` processes, of which this one is
    `rank`; with `similar_lengths` complete batches are drawn.
    """

    def __init__(
        self,
        videos: TrainingVideos,
        names: Sequence[str],
        batch_size: int,
        *,
        workers: int = 0,
        similar_lengths: bool = False,
        pin: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.videos, self.names, self.batch_size, self.similar_lengths = (
            videos,
            names,
            batch_size,
            similar_lengths,
        )
        self.rank, self.world, self.n_batches = rank, world, math.ceil(len(names) / batch_size)
        self._keys: list[list[Key]] = []  # of the batches that are to come
        self._loader = torch.utils.data.DataLoader(
            videos,
            batch_sampler=self._keys,
            num_workers=workers,
            prefetch_factor=1 if workers else None,  # a batch of Breakfast has 70 MB
            collate_fn=collate,
            pin_memory=pin,
            worker_init_fn=partial(_begin_worker, os.getpid()),
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # torch's own would lose a number an epoch, and dropout change
        )

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from the `first` one on."""
        batches = self._draw(number)[first:]
        shares = [names[self.rank :: self.world] for names in batches]
        # a process without a video of its own gets the batch's first one, so that it can take part in the step
        self._keys[:] = [
            [(number, name) for name in share or names[:1]]
            for share, names in zip(shares, batches, strict=True)
        ]
        gain = float(
            torch.ones(()) / (1.0 - self.videos.augment.channels)
        )  # what `drop_channels` leaves to `Batch.to`
        for share, names, batch in zip(shares, batches, self._loader, strict=True):
            if isinstance(batch, InputError):
                raise batch
            yield replace(batch, gain=gain, share=len(share) / len(names))

    def _draw(self, epoch: int) -> list[list[str]]:
        """Draw the names in each batch of an epoch, of all processes together; the last batch may be smaller."""
        seed, size = self.videos.seed, self.batch_size
        order = sorted(self.names, key=lambda name: (draw("order", seed, epoch, name), name))
        if not self.similar_lengths:
            return _in_batches(order, size)
        lengths = {name: len(self.videos.dataset.labels(name)) for name in self.names}
        buckets = [
            sorted(bucket, key=lambda name: -lengths[name])
            for bucket in _in_batches(order, _BUCKET * size)
        ]
        batches = [names for bucket in buckets for names in _in_batches(bucket, size)]
        full, rest = (
            [names for names in batches if (len(names) == size) == is_full]
            for is_full in (True, False)
        )
        return sorted(full, key=lambda names: draw("batch", seed, epoch, names[0])) + rest


def _in_batches(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def _begin_worker(parent: int, worker: int) -> None:
    """End this process with the training, and give it its part of the cache of one process."""
    end_with_parent(parent)
    info = torch.utils.data.get_worker_info()
    if info is not None and isinstance(info.dataset, TrainingVideos):
        info.dataset.dataset.readers = info.num_workers
