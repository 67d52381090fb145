"""The features and labels of single videos, checked and cut to the same length."""

import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import Array, Clock, Floats, InputError, Names
from fact_clip.datasets import features
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.labels import Labels
from fact_clip.datasets.layout import DataStore

CACHE_BYTES = 384 << 20  # transformed features in memory, over all processes

Input = NDArray[np.float32 | np.float16]  # (T, width), the input of a model for one video


class VideoReader:
    """Reads the features and labels of the videos of a split.

    Args:
        config: Configuration with the layout and the rate.
        folder: Folder of the data set, or its data in memory.
        class_names: Classes.
    """

    def __init__(self, config: DataConfig, folder: DataStore, class_names: Names) -> None:
        self.config = config
        self.folder = folder
        self.split = folder.split(config)
        self.videos = (*self.split.learning, *self.split.test)  # all have the first one's width
        self.label_reader = folder.labels(config, class_names)
        self._lengths: dict[str, int] = {}  # length to which labels and features are cut
        self._uncut: dict[str, tuple[int, int]] = {}  # numbers of rows and labels of cut videos
        self._finite: set[str] = set()  # videos whose values have been checked
        self._own_labels: dict[str, Labels] = {}  # from `set_labels`; the label reader is shared
        self._cache_inputs_of(None)

    @cached_property
    def fps(self) -> float | None:
        """Return the feature rows per second, by default the first rate in a JSON file."""
        return self.folder.rate(self.config, self.videos)

    @cached_property
    def layout(self) -> Layout:
        """Return the layout of the feature files, by default from the first clear video."""
        layout = self.config.layout or self.folder.benchmark.layout
        if layout is not None:
            return layout
        for name in self.videos:
            stored = self.folder.features(name, "TD")
            n_labels = len(self.label_reader.indices(name))
            location = self.folder.feature_location(name)
            layout = features.read_layout(location, stored.shape, n_labels)
            if layout is not None:
                return layout
        raise features.unclear_layout(self.folder.features_location)

    @cached_property
    def input_dim(self) -> int:
        """Return D, the number of columns in the feature file of the first video."""
        return self.folder.features(self.videos[0], self.layout).shape[1]

    @cached_property
    def are_all_float16(self) -> bool:
        """Return whether the features of all training videos, and so all batches, are float16."""
        for name in self.split.learning:
            with suppress(InputError):  # files may be missing if a run is only tested
                if self.folder.features(name, self.layout).dtype != np.float16:
                    return False
        return True

    def open_features(self, name: str) -> Array:
        """Open the features (T, D) of a video, memory-mapped. Only the header is checked.

        If the lengths of labels and features differ within the tolerance, both are cut to the
        shorter one, with a warning.
        """
        location = self.folder.feature_location(name)
        n_labels = len(self.label_reader.indices(name))
        rows = self.folder.features(name, self.layout)
        features.check_length(location, rows, self.layout, n_labels)
        features.check_width(location, rows, self.input_dim, self.videos[0])

        length = min(len(rows), n_labels)
        if name not in self._lengths and len(rows) != n_labels:
            cut = features.describe_cut(len(rows), n_labels)
            warnings.warn(f"{location}: {cut}", stacklevel=2)
            self._uncut[name] = (len(rows), n_labels)
        self._lengths[name] = length
        return rows[:length]

    def features(self, name: str) -> Array:
        """Return the raw features of a video.

        Args:
            name: Name of the video.

        Returns:
            Features (T, D), read-only, memory-mapped, in the type of the file. If the lengths of
            labels and features differ within the tolerance, both are cut to the shorter one, with a
            warning.

        Raises:
            InputError: The file is faulty. Values are checked on first use.
        """
        rows = self.open_features(name)
        if name not in self._finite:
            features.check_finite(self.folder.feature_location(name), rows)
            self._finite.add(name)
        return rows

    def length(self, name: str) -> int:
        """Return the number of frames of a video."""
        if name not in self._lengths:
            self.open_features(name)
        return self._lengths[name]

    def all_labels(self, name: str) -> Labels:
        """Return the class indices (T,) of a video, read-only, without hiding classes."""
        length = self.length(name)
        if name in self._own_labels:
            return self._own_labels[name]
        return self.label_reader.indices(name)[:length]

    def count_frames(self, names: Sequence[str]) -> dict[str, Counter[int]]:
        """Return the number of frames by video and class index."""
        return {name: Counter(self.all_labels(name).tolist()) for name in names}

    def set_labels(self, name: str, labels: Labels) -> None:
        """Replace the labels of a video with clicks.

        Args:
            name: Name of the video.
            labels: Class indices (T,), -1 for ignored frames.
        """
        labels.flags.writeable = False
        self._own_labels[name] = labels

    def times(self, name: str) -> Floats | None:
        """Return the start of each frame and the end in seconds, (T + 1,), or None if unknown."""
        clock = Clock(fps=self.fps)
        for path in self.folder.feature_files([name]):
            clock = features.read_clock(path, self.fps, self.layout)

        return clock.starts(self.length(name) + 1)

    def check_sidecars(self, names: Sequence[str]) -> None:
        """Raise the first fault of the JSON files next to the features, or of different rates."""
        features.check_one_rate(self.folder.features_location, self._uncut.values())
        paths = self.folder.feature_files(names)
        for error in features.sidecar_faults(paths, self.fps, self.layout):
            raise error

    def _cache_inputs_of(self, transform: FeatureTransform | None) -> None:
        """Start an empty cache of the inputs that a transform computes."""
        self._transform = transform
        self._inputs: dict[str, Input] = {}
        self._cached_bytes = 0

    def transformed(
        self, name: str, transform: FeatureTransform, cache_bytes: int | None = None
    ) -> Input:
        """Return the input of a model, (T, width), read-only.

        It is float16 if the files are and the transform changes nothing, otherwise float32. Results
        are cached while their total is below `cache_bytes`, by default `CACHE_BYTES`.
        """
        if transform is not self._transform:
            self._cache_inputs_of(transform)
        if name in self._inputs:
            return self._inputs[name]

        raw = self.features(name)
        is_plain = transform.changes_nothing and raw.shape[1] == transform.input_dim
        is_half = is_plain and raw.dtype == np.float16 and self.are_all_float16
        is_unchanged = is_half or (is_plain and raw.dtype == np.float32)
        rows: Input = raw if is_unchanged else transform(raw)
        if self._cached_bytes + rows.nbytes < (CACHE_BYTES if cache_bytes is None else cache_bytes):
            if is_unchanged:
                rows = np.array(rows, order="C")  # read the file only once
            self._inputs[name] = rows
            self._cached_bytes += rows.nbytes
        rows.flags.writeable = False
        return rows
