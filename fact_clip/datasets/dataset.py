"""A data set in the common layout: names of videos, their labels and their memory-mapped features."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import Clock, ConfigKey, InputError, Vocabulary, runs
from fact_clip.core.arguments import validated
from fact_clip.core.messages import suggest
from fact_clip.datasets import features
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.holdout import Holdout, check_leak, choose_validation_unseen, find_holdout
from fact_clip.datasets.layout import WRITE_SPLITS, DataFolder, find_root, overlaps, split_names
from fact_clip.datasets.splits import carve_validation, read_groups, validation_size

IGNORED = -1  # label of frames that no loss and no metric looks at, and of padding
CACHE_BYTES = (
    384 << 20
)  # Transformed features stay in memory while their total is under this; the rest is read again
Run = tuple[int, int, int]  # start, stop and class of a segment


class Dataset:
    """One split of a data set, with the classes of a holdout hidden where there is one. Made by `Dataset.open`.

    `train`, `validation` and `test` are names of videos; `seen`, `unseen` and `validation_unseen` class indices of each
    group (without a holdout all are seen). Training may see the classes in `learned`, but not those in `hidden`; which
    labels are hidden depends on the role of a video (docs/protocol.md, Masking). Labels and features are read when
    asked for; a holdout reads all training labels.
    """

    def __init__(
        self,
        config: DataConfig,
        folder: DataFolder,
        vocabulary: Vocabulary,
        holdout: Holdout | None = None,
    ) -> None:
        self.config, self.folder, self.vocabulary = config, folder, vocabulary
        self.root, benchmark = folder.root, folder.benchmark
        self.fps: float | None = config.fps if config.fps is not None else benchmark.fps
        self._known_layout: Layout | None = config.layout or benchmark.layout

        if str(config.split) == "all":
            raise InputError(
                ConfigKey("data.split"), "'all' is not one split", "open one split at a time"
            )
        lists = [folder.videos(part, str(config.split)) for part in ("train", "test")]
        for error in overlaps(*lists):
            raise error
        self._split = tuple(lists[0]), tuple(lists[1])
        self._sources = lists[0] | lists[1]  # video -> the line that names it

        self._labels = folder.labels(config, vocabulary.names)
        self._lengths: dict[str, int] = {}  # to which labels and features are cut
        self._checked: set[str] = set()
        self._transform: FeatureTransform | None = None
        self._transformed: dict[str, NDArray[Any]] = {}  # by `_transform`
        self.readers = 1  # processes that keep transformed features, a copy of this object each

        learning, self.test = (
            self._split if holdout is None else self.videos_of(holdout.check(vocabulary))
        )
        frames = {} if holdout is None else self._frames(learning)
        groups = self._groups(learning)
        self.validation_parts = self._parts(groups)
        if holdout is not None and config.validation_unseen == "auto" and config.validation > 0:
            holdout = replace(holdout, validation_unseen=self.validation_unseen_group(holdout, 0))
        self.holdout, mode = holdout, "oracle" if holdout is None else holdout.mode
        self.unseen = tuple(vocabulary.encode(holdout.unseen if holdout else ()).tolist())
        self.validation_unseen = tuple(
            vocabulary.encode(holdout.validation_unseen if holdout else ()).tolist()
        )
        both = {*self.unseen, *self.validation_unseen}
        self.seen = tuple(index for index in range(len(vocabulary)) if index not in both)
        self.learned = tuple(range(len(vocabulary))) if mode == "oracle" else self.seen
        self.hidden = () if mode == "oracle" else tuple(sorted(both))
        self._hidden_in = dict.fromkeys(self.test, tuple[int, ...]())  # where it is not `hidden`

        share, part, cover = config.validation, config.validation_part, set(self.validation_unseen)
        self.validation = carve_validation(groups, share, part, frames, set(self.seen), cover)
        if self.hidden:
            self._hidden_in |= dict.fromkeys(self.validation, self.unseen)
        dropped = (
            {name for name in learning if both & frames[name].keys()} if mode == "drop" else set()
        )
        self.train = tuple(
            name for name in learning if name not in self.validation and name not in dropped
        )
        if not self.train:
            raise InputError(
                "holdout.mode", f"'drop' leaves none of {len(learning)} training videos", "use mask"
            )

    def validation_unseen_group(self, holdout: Holdout, number: int) -> tuple[str, ...]:
        """Return validation-unseen classes: group 0 is that of the holdout, if it names some, else chosen.

        Group 1, 2, ..., for members of an ensemble, are of classes that no earlier one has; () if none can be chosen.
        """
        learning, chosen, group = self.videos_of(holdout)[0], list[str](), holdout.validation_unseen
        frames, groups = self._frames(learning), self._groups(learning)
        for turn in range(number + 1):
            if turn or not group:
                group = choose_validation_unseen(
                    self.vocabulary, holdout.unseen, frames, groups, chosen
                )
            chosen += group
        return group

    def _frames(self, learning: Sequence[str]) -> dict[str, Counter[int]]:
        """Return video -> class index -> frames, hidden classes included."""
        return {name: Counter(self._cut_labels(name).tolist()) for name in learning}

    def _parts(self, groups: Mapping[str, str]) -> int:
        """Return how many parts of the training videos can validate in turn."""
        share, part, n_sets = (
            self.config.validation,
            self.config.validation_part,
            len(set(groups.values())),
        )
        parts = max(n_sets // max(validation_size(n_sets, share), 1), 1) if share else 1
        if part >= parts:
            raise InputError(
                ConfigKey("data.validation_part"), f"{part} is not one of {parts} parts, from 0 on"
            )
        return parts

    def _groups(self, learning: Sequence[str]) -> dict[str, str]:
        groups = read_groups(learning, self.config.groups)
        if (
            self.config.groups is not None
            and self.config.validation > 0
            and len(set(groups.values())) == 1
        ):
            fix = "set data.groups=null, or data.validation=0"
            raise InputError(ConfigKey("data.groups"), "all training videos are of one group", fix)
        return groups

    @classmethod
    @validated()
    def open(cls, config: DataConfig, folder: DataFolder | None = None) -> Dataset:
        """Open the split of a configuration; what `folder` has read is not read again."""
        folder = folder or DataFolder(config)
        vocabulary = folder.vocabulary(config)
        return cls(config, folder, vocabulary, find_holdout(config, folder.root, vocabulary))

    def with_holdout(self, holdout: Holdout | None) -> Dataset:
        """Return the same split with other classes held out, or none."""
        return Dataset(self.config, self.folder, self.vocabulary, holdout)

    @property
    def learning(self) -> tuple[str, ...]:
        """Return the training videos, then the validation videos."""
        return (*self.train, *self.validation)

    @property
    def digest(self) -> str:
        """Return a hash of which videos train, and which validate."""
        return hashlib.sha256("\n".join([*self.train, "", *self.validation]).encode()).hexdigest()[
            :16
        ]

    def videos_of(self, holdout: Holdout) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the videos to learn from and to test on: the holdout's, else those of the split."""
        listed = (*self._split[0], *self._split[1])
        for field in ("train_videos", "test_videos"):
            for name in getattr(holdout, field) or ():
                if name not in listed:
                    raise InputError(
                        f"holdout.{field}",
                        f"no video {name!r} in this split",
                        suggest(name, listed),
                    )
        learning, test = (
            holdout.train_videos or self._split[0],
            holdout.test_videos or self._split[1],
        )
        for name in test:
            if name in learning:
                raise InputError(
                    "holdout.test_videos",
                    f"{name!r} is a training video too",
                    "remove it from one list",
                )
        return learning, test

    @staticmethod
    def splits(config: DataConfig) -> list[str]:
        """Return the names of the splits in the folder of the data set; an InputError where there are none."""
        root = find_root(config)
        names = split_names(root)
        if not names:
            raise InputError(root, "no splits", WRITE_SPLITS)
        return names

    @cached_property
    def layout(self) -> Layout:
        """Return the orientation of the feature files: known, or by the first video whose labels fit one side only."""
        if self._known_layout is not None:
            return self._known_layout
        for name in self._sources:
            path, stored = (
                self.folder.feature_path(name),
                self.folder.features(name, "TD"),
            )  # as it lies in the file
            layout = features.read_layout(
                path, stored.shape, len(self._labels.checked(name)), self.config
            )
            if layout is not None:
                return layout
        raise features.unclear_layout(self.folder.features_path)

    @cached_property
    def encoder(self) -> str | None:
        """Return the frame encoder that made the training features, where the JSON files beside them name it."""
        encoders = (
            features.read_sidecar(path).encoder for path in self.folder.described(self.train)
        )
        return next(filter(None, encoders), None)

    @cached_property
    def input_dim(self) -> int:
        """Return D, the columns of the feature files: those of the first training video; all others must agree."""
        return self.folder.features(self._split[0][0], self.layout).shape[1]

    def features(self, name: str) -> NDArray[Any]:
        """Return the raw features (T, D) of a video: read-only, memory-mapped, in the type of the file.

        Where labels and features differ in length within the tolerance, both are cut to the shorter, with a warning.
        Values are checked for NaN and infinities the first time; any fault of the file is an InputError.
        """
        rows = self._mapped(name)
        if name not in self._checked:
            features.check_finite(self.folder.feature_path(name), rows)
            self._checked.add(name)
        return rows

    def _mapped(self, name: str) -> NDArray[Any]:
        """Return `features` of which only the header has been read."""
        path, n_labels = self.folder.feature_path(name), len(self._labels.checked(name))
        rows = self.folder.features(name, self.layout)
        features.check_length(path, rows, self.layout, n_labels, self.config)
        features.check_width(path, rows, self.input_dim, self._split[0][0])
        length = min(len(rows), n_labels)
        if name not in self._lengths and len(rows) != n_labels:
            warnings.warn(
                f"{path}: {len(rows)} feature rows for {n_labels} labels; cut to {length}",
                stacklevel=2,
            )
        self._lengths[name] = length
        return rows[:length]

    def times(self, name: str) -> NDArray[np.float64] | None:
        """Return the seconds at the start of each of T frames and at the end, (T + 1,); None if unknown."""
        path = next(iter(self.folder.described([name])), None)
        clock = (
            Clock(None, self.fps)
            if path is None
            else features.read_clock(path, self.fps, self.layout)
        )
        count = len(self._cut_labels(name))
        if clock.times is not None:
            return clock.times[: count + 1]
        return None if clock.fps is None else np.arange(count + 1) / clock.fps

    def _cut_labels(self, name: str) -> NDArray[np.int64]:
        """Return all labels of a video, as long as its features."""
        if name not in self._lengths:
            self._mapped(name)
        return self._labels.checked(name)[: self._lengths[name]]

    def labels(self, name: str) -> NDArray[np.int64]:
        """Return the class indices (T,) of a video, read-only; -1 where the label is unknown or the class hidden."""
        labels, hidden = self._cut_labels(name), self._hidden_in.get(name, self.hidden)
        if not hidden:
            return labels
        masked = np.where(np.isin(labels, hidden), IGNORED, labels)
        masked.flags.writeable = False
        return masked

    def transformed(
        self, name: str, transform: FeatureTransform
    ) -> NDArray[np.float32 | np.float16]:
        """Return the input of a model, (T, width), read-only; cached while the total stays under `CACHE_BYTES`.

        It is float16 where the file is and the transform changes nothing, else float32.
        """
        if transform is not self._transform:
            self._transform, self._transformed = transform, {}
        if name in self._transformed:
            return self._transformed[name]
        raw = self.features(name)
        is_plain = transform.mean is None and raw.shape[1] == transform.input_dim == transform.width
        unchanged = is_plain and raw.dtype in (np.float32, np.float16)
        rows: NDArray[Any] = raw if unchanged else transform(raw)
        if (
            sum(array.nbytes for array in self._transformed.values()) + rows.nbytes
            < CACHE_BYTES // self.readers
        ):
            rows = self._transformed[name] = np.array(rows, order="C") if unchanged else rows
        rows.flags.writeable = False
        return rows

    def check(self) -> None:
        """Check the files of this split, all labels and the headers of all features, and look for leaks.

        The first fault is an InputError. Feature values are checked when a video is first read.
        """
        config = self.config
        for name in self._sources:
            self._mapped(name)
        self.check_descriptions(self._sources)
        longest, window = (
            max(self._lengths[name] for name in self.train),
            max(config.context, default=0),
        )
        warn = partial(warnings.warn, stacklevel=2)
        if config.validation > 0 and not self.validation:
            warn(f"only {len(self.train)} training video: no validation, so the last epoch is kept")
        if 1 < config.stride >= longest:
            warn(
                f"data.stride={config.stride} leaves one row of each video; the longest has {longest} frames"
            )
        if window > longest:
            warn(f"data.context has a window of {window} frames; the longest video has {longest}")
        unused = [name for name in config.unlabelled if name not in self.folder.class_names]
        if unused and not any((self._labels.checked(name) < 0).any() for name in self._sources):
            warn(f"data.unlabelled names no label of this split: {', '.join(unused)}")
        if all(
            features.is_constant(self._mapped(name)) for name in self.train
        ):  # mostly ends at the first one
            raise InputError(
                self.folder.features_path,
                "all frames have the same values",
                "extract the features again",
            )
        if not self.class_counts().any():
            raise InputError(self.root, "no frame of the training videos has a label", "label some")
        if self.hidden:
            check_leak(
                {name: self.labels(name) for name in self.train}, self.vocabulary, self.hidden
            )

    def check_descriptions(self, names: Iterable[str]) -> None:
        """Raise the first of the `sidecar_faults` of these videos."""
        for error in features.sidecar_faults(self.folder.described(names), self.fps, self.layout):
            raise error

    def mean_transcript_length(self, names: Sequence[str]) -> float:
        """Return the mean number of segments per video, without ignored ones."""
        return sum(len(labelled(runs(self.labels(name)))) for name in names) / len(names)

    def median_frames(self, names: Sequence[str]) -> float:
        """Return the median number of frames of some videos."""
        return median(len(self.labels(name)) for name in names)

    def transitions(self, names: Iterable[str]) -> tuple[tuple[int, int, int], ...]:
        """Return (class, next class, times) of neighbouring segments of some videos, in order of the classes."""
        pairs = count_transitions(runs(self.labels(name)) for name in names)
        return tuple((*pair, times) for pair, times in sorted(pairs.items()))

    def remaining(self, holdout: Holdout) -> dict[str, dict[str, int]]:
        """Count what there is to train on without a holdout ("all"), and with it in the modes "mask" and "drop".

        For a data set opened without a holdout: "videos" with a frame to learn from, "frames", "segments", "classes".
        """
        hidden = self.vocabulary.encode(holdout.check(self.vocabulary).hidden)
        segments = [labelled(runs(self.labels(name))) for name in self.videos_of(holdout)[0]]
        masked = [[run for run in video if run[2] not in hidden] for video in segments]
        unchanged = [video for video, rest in zip(segments, masked, strict=True) if video == rest]
        return {
            mode: {
                "videos": sum(map(bool, videos)),
                "frames": sum(stop - start for video in videos for start, stop, _ in video),
                "segments": sum(map(len, videos)),
                "classes": len({label for video in videos for _, _, label in video}),
            }
            for mode, videos in (("all", segments), ("mask", masked), ("drop", unchanged))
        }

    def class_counts(self, names: Iterable[str] | None = None) -> NDArray[np.int64]:
        """Count the frames of each class, (C,), in some videos (None: the training videos), without ignored ones."""
        return self._count(self.labels(name) for name in (self.train if names is None else names))

    def segment_counts(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Count the segments of each class, (C,), in some videos, without ignored ones."""
        return self._count(
            np.array([label for _, _, label in runs(self.labels(name))]) for name in names
        )

    def _count(self, videos: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for labels in videos:
            counts += np.bincount(labels[labels != IGNORED], minlength=len(counts))
        return counts


def labelled(video: Iterable[Run]) -> list[Run]:
    """Return the segments of a video without those that are ignored."""
    return [run for run in video if run[2] != IGNORED]


def count_transitions(videos: Iterable[Sequence[Run]]) -> Counter[tuple[int, int]]:
    """Count (class, next class) of neighbouring segments, none of which is ignored."""
    pairs = Counter((first[2], second[2]) for video in videos for first, second in pairwise(video))
    return Counter({pair: count for pair, count in pairs.items() if IGNORED not in pair})
