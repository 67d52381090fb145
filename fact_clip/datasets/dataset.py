"""One split of a data set, with its videos, classes, labels and features.

`Dataset` gets most of its methods from two base classes. `VideoReader` in `reader.py` reads
features, all labels and times of a video. `LabelledVideos` in `readings.py` reads labels without
hidden classes, drafts and clicks. This file adds the roles of videos and classes, checks, and
statistics over videos.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import (
    Array,
    InputError,
    Integers,
    Names,
    Vocabulary,
)
from fact_clip.core.arguments import validated
from fact_clip.core.frames import IGNORED
from fact_clip.datasets import features, statistics
from fact_clip.datasets.benchmarks import find_root
from fact_clip.datasets.clicks import likely_lengths
from fact_clip.datasets.labels import Labels
from fact_clip.datasets.layout import (
    WRITE_SPLITS,
    DataFolder,
    DataStore,
    split_names,
)
from fact_clip.datasets.readings import LabelledVideos
from fact_clip.unseen.groups import SplitVideos
from fact_clip.unseen.holdout import Holdout, find_holdout
from fact_clip.unseen.roles import VideoRoles, holdout_videos


class Dataset(LabelledVideos):
    """One split of a data set, with the classes of a hold-out hidden. Create it by `Dataset.open`.

    Attributes:
        config: Configuration.
        folder: Folder of the data set, or its data in memory.
        vocabulary: Classes.
        split: Videos of the split.
        roles: Roles of videos and classes.
        root: Folder of the data set, or None for data in memory.
        location: Location of the data set, for errors.
        fps: Feature rows per second, or None if unknown.
        train: Names of the training videos.
        validation: Names of the validation videos.
        test: Names of the test videos.
        learning: Names of the training videos, followed by the validation videos.
        all_learning: Names of all learning videos of the split, whether this model uses them or
            not.
        holdout: Held-out classes, or None.
        seen: Indices of the classes that are not held out.
        unseen: Indices of the test-unseen classes.
        validation_unseen: Indices of the held-out classes that are used to tune settings.
        learned: Indices of the classes that training scores.
        hidden: Indices of the classes whose labels training must not see.
    """

    def __init__(
        self,
        config: DataConfig,
        folder: DataStore,
        vocabulary: Vocabulary,
        holdout: Holdout | None = None,
    ) -> None:
        super().__init__(config, folder, vocabulary.names)
        self.vocabulary = vocabulary
        self.root = folder.root
        self.location = folder.location
        roles = VideoRoles.decide(config, vocabulary, self.split, holdout, self.count_frames)
        self._set_roles(roles)
        for name, frames in self.clicks(self.validation).items():
            # The labels between clicks are guesses, so they must not influence settings.
            labels = np.full(self.length(name), IGNORED)
            labels[frames] = self.all_labels(name)[frames]
            self.set_labels(name, labels)

    def _set_roles(self, roles: VideoRoles) -> None:
        self.roles = roles
        self.train = roles.train
        self.validation = roles.validation
        self.test = roles.test
        self.learning = (*roles.train, *roles.validation)
        self.all_learning = roles.all_learning
        self.holdout = roles.holdout
        classes = roles.classes
        self.seen = classes.seen
        self.unseen = classes.unseen
        self.validation_unseen = classes.validation_unseen
        self.learned = classes.learned
        self.hidden = classes.hidden

    @classmethod
    @validated()
    def open(
        cls,
        config: DataConfig,
        folder: DataStore | None = None,
        trained: Vocabulary | None = None,
    ) -> "Dataset":
        """Open the split of a configuration.

        Args:
            config: Location of the data set, and settings for reading it.
            folder: Data set, if already open. It is not read again.
            trained: Classes of a run, whose factors are used if the data set has the same names.

        Returns:
            The data set. Features are read when they are used.

        Raises:
            InputError: The mapping, the lists or the hold-out are faulty.
        """
        folder = folder or DataFolder(config)
        vocabulary = folder.vocabulary(config)
        if trained is not None and trained.names == vocabulary.names:
            vocabulary = replace(trained, background=vocabulary.background)
        holdout = find_holdout(config, folder.root, vocabulary, folder.class_names)
        return cls(config, folder, vocabulary, holdout)

    def with_videos(self, train: Names, validation: Names) -> "Dataset":
        """Return a copy with different training and validation videos and its own cache."""
        dataset = copy(self)
        dataset._cache_inputs_of(None)
        dataset._own_labels = dict(self._own_labels)
        dataset._set_roles(replace(self.roles, train=train, validation=validation))
        return dataset

    @staticmethod
    def splits(config: DataConfig) -> list[str]:
        """Return the names of the splits in a data set's folder. Without splits, raise an error."""
        root = find_root(config)
        names = split_names(root)
        if not names:
            raise InputError(root, "no splits", WRITE_SPLITS)
        return names

    @property
    def encoder(self) -> str | None:
        """Return the frame encoder that made the training features, or None if unknown."""
        return self.encoder_of(self.train)

    def encoder_of(self, names: Names) -> str | None:
        """Return the frame encoder that made the features of videos, or None if unknown."""
        for path in self.folder.feature_files(names):
            encoder = features.read_sidecar(path).encoder
            if encoder:
                return encoder
        return None

    def videos_of(self, holdout: Holdout) -> SplitVideos:
        """Return the videos to learn from and to test on, from the hold-out or the split."""
        return holdout_videos(self.split, holdout)

    def names_of(self, classes: Iterable[int]) -> Names:
        """Return the names of some classes."""
        return tuple(self.vocabulary.names[label] for label in classes)

    @property
    def unseen_names(self) -> Names:
        """Return the names of the test-unseen classes."""
        return self.names_of(self.unseen)

    @property
    def validation_unseen_names(self) -> Names:
        """Return the names of the held-out classes that are used to tune settings."""
        return self.names_of(self.validation_unseen)

    # --- Checks and statistics ---

    def segment_lengths(
        self, videos: Mapping[str, Labels], whole_only: bool = False
    ) -> list[list[int]]:
        """Return the lengths in frames of the segments of each class.

        For a video with clicks, these are the lengths that its clicks suggest
        (`clicks.likely_lengths`).

        Args:
            videos: Labels (T,) of each video, by name.
            whole_only: Whether to exclude segments next to an unlabelled frame.
        """
        clicks = self.clicks(videos)
        if max(map(len, clicks.values()), default=0) < 2:
            clicks = {}  # a single click labels its whole video
        labels = [labels for name, labels in videos.items() if name not in clicks]
        n_classes = len(self.vocabulary)
        lengths = statistics.segment_lengths(labels, n_classes, whole_only)
        if clicks:
            labels = [self.stored_labels(name)[frames] for name, frames in clicks.items()]
            likely = likely_lengths([*clicks.values()], labels, n_classes)
            lengths = [
                labelled + clicked for labelled, clicked in zip(lengths, likely, strict=True)
            ]
        return lengths

    def check(self) -> None:
        """Check all labels of this split and the headers of all features.

        Feature values are checked when a video is first read.

        Raises:
            InputError: There is a fault. The first fault is raised.
        """
        for name in self.videos:
            self.open_features(name)  # also reads the labels, to compare the lengths
        self.check_sidecars(self.videos)
        self._warn_about_settings()

        # This loop usually ends at the first video.
        if all(features.is_constant(self.open_features(name)) for name in self.train):
            location = self.folder.features_location
            problem = "all frames have the same values"
            raise InputError(location, problem, "extract the features again")
        if not self.training_counts.any():
            problem = "the training videos have no labelled frame"
            raise InputError(self.location, problem, "label some frames")

    def _warn_about_settings(self) -> None:
        config = self.config
        warn = partial(warnings.warn, stacklevel=3)
        if config.validation > 0 and not self.validation:
            warn("only one labelled training video: no validation, so the last epoch is kept")

        unused = [name for name in config.unlabelled if name not in self.folder.class_names]
        if unused and not any(map(self._has_unlabelled_frames, self.videos)):
            warn(f"data.unlabelled lists labels that this split lacks: {', '.join(unused)}")

    def _has_unlabelled_frames(self, name: str) -> bool:
        return bool((self.label_reader.indices(name) == IGNORED).any())

    def class_counts(self, names: Iterable[str]) -> Integers:
        """Count the frames of each class in some videos, (C,)."""
        return self._counted(map(self.labels, names))

    def _counted(self, videos: Iterable[Labels]) -> Integers:
        counts = np.zeros(len(self.vocabulary), dtype=np.int64)
        for labels in videos:
            counts += np.bincount(labels[labels != IGNORED], minlength=len(counts))
        return counts

    @property
    def training_videos(self) -> Iterator[tuple[Array, Labels]]:
        """Yield features (T, D) and labels (T,) of the training videos."""
        for name in self.train:
            yield self.features(name), self.labels(name)

    @property
    def training_counts(self) -> Integers:
        """Return the number of frames of each class in the training videos, (C,)."""
        return self.class_counts(self.train)

    @property
    def learned_counts(self) -> Integers:
        """Return the number of training frames of each class including drafts, (C,)."""
        return self._counted(map(self.training_labels, self.train))

    def segment_counts(self, names: Iterable[str]) -> Integers:
        """Count the segments of each class in some videos, (C,)."""
        return statistics.segment_counts(map(self.labels, names), len(self.vocabulary))
