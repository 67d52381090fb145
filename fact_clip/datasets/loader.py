"""Padded batches of training videos, in an order that depends only on seed, epoch and names."""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from fact_clip.config import AugmentConfig
from fact_clip.core import InputError, Names
from fact_clip.core.frames import IGNORED
from fact_clip.core.launch import end_with_parent
from fact_clip.datasets import reader
from fact_clip.datasets.augmentation import change_speed, drop_channels, mask_time
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.labels import Labels

Key = tuple[int, str]  # epoch and name of a video


@dataclass(frozen=True)
class Item:
    """One training video as the model sees it."""

    name: str
    features: Tensor  # (T, D)
    labels: Labels  # (T,)
    frames: Labels  # (T,) number of the frame of the video that each row shows


@dataclass(frozen=True)
class Batch:
    """B videos padded to the longest. `to` converts float16 features to float32."""

    features: Tensor  # (B, T, D), zero at padding
    labels: Tensor  # (B, T) int64, on the host, -1 at padding and at ignored frames
    mask: Tensor  # (B, T) bool, true at real frames
    names: Names
    frames: Tensor  # (B, T) int64, on the host: the frame of each row, -1 at padding
    gain: float = 1.0  # factor for float16 features when they become float32
    share: float = 1.0  # fraction of the step's videos that are in this process's batch
    padded: bool = True  # whether some frames are padding

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with float32 features and mask on a device. Labels stay on the host.

        The host does not wait for copies from pinned memory to a GPU.
        """
        is_gpu = torch.device(device).type == "cuda"
        features = self.features.to(device, non_blocking=is_gpu)
        mask = self.mask.to(device, non_blocking=is_gpu)
        if features.dtype == torch.float16:
            features = features.float().mul_(self.gain)
        return replace(self, features=features, mask=mask, gain=1.0)

    def pin_memory(self) -> "Batch":
        """Return the batch with features and mask in pinned memory, for copies to a GPU."""
        features = self.features.pin_memory()
        return replace(self, features=features, mask=self.mask.pin_memory())

    def longer(self, frames: int) -> "Batch":
        """Return the batch with each video padded to `frames` frames."""
        missing = frames - self.mask.shape[1]
        return replace(
            self,
            features=pad(self.features, (0, 0, 0, missing)),
            labels=pad(self.labels, (0, missing), value=IGNORED),
            mask=pad(self.mask, (0, missing)),
            frames=pad(self.frames, (0, missing), value=-1),
            padded=True,
        )


def collate(items: Sequence[Item | InputError]) -> Batch | InputError:
    """Pad videos of one width to a batch, or return the first error of reading them."""
    videos: list[Item] = []
    for item in items:
        if isinstance(item, InputError):
            return item
        videos.append(item)

    labels = [torch.as_tensor(video.labels) for video in videos]
    frames = [torch.as_tensor(video.frames) for video in videos]
    masks = [torch.ones(len(video.labels), dtype=torch.bool) for video in videos]
    mask = pad_sequence(masks, batch_first=True)
    return Batch(
        features=pad_sequence([video.features for video in videos], batch_first=True),
        labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        mask=mask,
        frames=pad_sequence(frames, batch_first=True, padding_value=-1),
        names=tuple(video.name for video in videos),
        padded=not bool(mask.all()),
    )


def seed_of(purpose: str, seed: int, epoch: int, name: str) -> int:
    """Return a seed in [0, 2^63) that depends only on the arguments, for an exact resume."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{epoch}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, eq=False)
class TrainingVideos(torch.utils.data.Dataset[Any]):
    """Augmented training videos by (epoch, name), which with the seed determine the augmentation.

    Attributes:
        dataset: Data set.
        transform: Transform from features to the input of the model.
        augment: Settings of the augmentation.
        seed: Seed of the augmentation.
        stride: Distance of the selected rows. Their labels are decided by majority.
        interleave: Whether each epoch draws the first row. A row then has the label of its frame.
        label_map: Label in a batch for each class index, (C + 1,), with label -1 at the end, or
            None for no change.
        cache_bytes: Bytes of transformed features that a process keeps, or None for the default.
    """

    dataset: Dataset
    transform: FeatureTransform
    augment: AugmentConfig
    seed: int
    stride: int = 1
    interleave: bool = False
    label_map: Labels | None = None
    cache_bytes: int | None = None

    def __getitem__(self, key: Key) -> Item | InputError:
        """Return a video, or the InputError of reading it, so that a worker can pass it on."""
        try:
            return self._read(*key)
        except InputError as error:
            return error

    def _read(self, epoch: int, name: str) -> Item:
        seed = seed_of("augment", self.seed, epoch, name)
        generator = torch.Generator().manual_seed(seed)
        if self.interleave:
            n_starts = min(self.stride, self.dataset.length(name))
            first = int(torch.randint(n_starts, (), generator=generator))
            # A row has its own frame's label, because prediction reads the rows of all starts.
            labels = self.dataset.training_labels(name)[first :: self.stride].copy()
        else:
            first = 0
            labels = self.dataset.training_labels(name, self.stride)
        rows = self.dataset.transformed(name, self.transform, self.cache_bytes)
        # Copy, because a tensor on the read-only rows could write into them.
        features = torch.from_numpy(rows[first :: self.stride].copy(order="C"))
        frames = np.arange(first, self.dataset.length(name), self.stride)
        if self.label_map is not None:
            labels = self.label_map[labels]
        return self._augmented(Item(name, features, labels, frames), generator)

    def _augmented(self, video: Item, generator: torch.Generator) -> Item:
        """Return a video with random changes of speed and features. The order is fixed."""
        augment = self.augment
        features = video.features
        labels = video.labels
        frames = video.frames
        if augment.speed > 0:
            played = change_speed(len(features), augment.speed, generator)
            features = features.index_select(0, played)
            labels = labels[played.numpy()]
            frames = frames[played.numpy()]
        if augment.noise > 0:
            features = features.float()
            features = features + augment.noise * torch.randn(features.shape, generator=generator)
        if augment.channels > 0:
            features = drop_channels(features, augment.channels, generator)
        if augment.time_spans > 0:
            features = mask_time(
                features,
                spans=augment.time_spans,
                length=augment.time_length,
                share=augment.time_share,
                generator=generator,
            )
        return Item(video.name, features, labels, frames)


class TrainingLoader:
    """Batches of training videos by epoch, in the same order for any number of workers.

    The order depends only on (seed, epoch) and the names, even if an epoch is resumed.

    Args:
        videos: Training videos.
        names: Names of the videos.
        batch_size: Videos per step, over all processes.
        workers: Processes that read ahead, or 0 to read in this process.
        pin: Whether to put batches into pinned memory.
        rank: Index of this process.
        world: Number of processes.
    """

    def __init__(
        self,
        videos: TrainingVideos,
        names: Sequence[str],
        batch_size: int,
        *,
        workers: int = 0,
        pin: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if workers > 1:  # they share the cache size of one process
            videos = replace(videos, cache_bytes=reader.CACHE_BYTES // workers)
        self.videos = videos
        self.names = names
        self.batch_size = batch_size
        self.rank = rank
        self.world = world
        self.n_batches = math.ceil(len(names) / batch_size)
        # Sampler: each epoch refills this list, so that workers can outlive an epoch.
        self._keys: list[list[Key]] = []
        self._loader = torch.utils.data.DataLoader(
            videos,
            batch_sampler=self._keys,
            num_workers=workers,
            prefetch_factor=1 if workers else None,  # a batch of Breakfast takes 70 MB
            collate_fn=collate,
            pin_memory=pin,
            worker_init_fn=partial(_begin_worker, os.getpid()),
            persistent_workers=workers > 0,
            # Otherwise, the loader would draw from the global generator, which changes dropout.
            generator=torch.Generator(),
        )

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, starting with number `first`."""
        names_of_batches = self._names_of_batches(number)[first:]
        self._keys.clear()
        for names in names_of_batches:
            # A process without a video reads the first one, so that it can take part in the step.
            own_names = self._own_names(names) or names[:1]
            self._keys.append([(number, name) for name in own_names])

        # The factor that `drop_channels` leaves to `Batch.to`, also in float32.
        gain = float(torch.ones(()) / (1.0 - self.videos.augment.channels))
        for names, batch in zip(names_of_batches, self._loader, strict=True):
            if isinstance(batch, InputError):
                raise batch
            share = len(self._own_names(names)) / len(names)
            yield replace(batch, gain=gain, share=share)

    def _own_names(self, names: Sequence[str]) -> Sequence[str]:
        """Return the videos of a batch that this process reads, which may be none."""
        return names[self.rank :: self.world]

    def _names_of_batches(self, epoch: int) -> list[list[str]]:
        """Return the names in each batch of an epoch, over all processes."""
        size = self.batch_size
        seed = self.videos.seed
        order = sorted(self.names, key=lambda name: (seed_of("order", seed, epoch, name), name))
        return [order[start : start + size] for start in range(0, len(order), size)]


def _begin_worker(parent: int, worker: int) -> None:
    """End this worker together with the parent process."""
    end_with_parent(parent)
