"""What a run has seen: its videos with their roles, and the classes that it learned or did not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from fact_clip.core import Array, InputError, Location, Names
from fact_clip.core.messages import spelling_key
from fact_clip.datasets.dataset import Dataset

_N_ROWS = 64  # rows of a video that are hashed

Digest = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Role = Literal["trained", "validated"]

NO_RECORD = "the run has no record of what it has seen, so nothing was checked"


def features_digest(rows: Array) -> str:
    """Hash the shape and 64 evenly spaced rows of features.

    Args:
        rows: Features (T, D) of a video.

    Returns:
        32 hexadecimal digits, which do not depend on the name of the video.
    """
    digest = hashlib.blake2b(str(rows.shape).encode(), digest_size=16)
    indices = np.unique(np.linspace(0, len(rows) - 1, _N_ROWS).round().astype(np.int64))
    digest.update(np.ascontiguousarray(rows[indices], np.float32).tobytes())
    return digest.hexdigest()


def video_digest(dataset: Dataset, name: str) -> str:
    """Hash all stored features of a video, including rows beyond its labels."""
    return features_digest(dataset.folder.features(name, dataset.layout))


@dataclass(frozen=True)
class SeenVideo:
    """A video that a run has seen.

    Attributes:
        name: Name of the video in the data set.
        features: `features_digest` of its features.
        labels: Hash of its labels, in which hidden classes are -1.
        role: Whether weights ("trained") or settings ("validated") were learned on it.
    """

    name: str
    features: Digest
    labels: Digest
    role: Role

    @classmethod
    def of(cls, dataset: Dataset, name: str, role: Role) -> SeenVideo:
        """Return the record of a learning video of a data set."""
        labels = dataset.stored_labels(name)
        digest = hashlib.blake2b(labels.tobytes(), digest_size=16).hexdigest()
        return cls(name, video_digest(dataset, name), digest, role)


@dataclass(frozen=True)
class Seen:
    """What a run and the runs from which it started have seen.

    Attributes:
        videos: The learning videos.
        classes: Classes with training frames.
        n_own: Number of the run's own learning videos, which come first in `videos`.
        test: Names of the test videos, or digests of videos in memory.
        hidden: Classes that were hidden from this run.
        tuned: Hidden classes by which settings were chosen.
        named: Hidden or unlabelled classes that were learned from labels of a model.
        is_complete: False if the run started from a run without a record.
    """

    videos: tuple[SeenVideo, ...]
    classes: Names
    n_own: int = field(compare=False)
    test: Names = field(compare=False)
    hidden: Names = ()
    tuned: Names = ()
    named: Names = ()
    is_complete: bool = True

    @classmethod
    def of(cls, dataset: Dataset) -> Seen:
        """Return what training on a data set sees."""
        videos = [SeenVideo.of(dataset, name, "trained") for name in dataset.train]
        videos += [SeenVideo.of(dataset, name, "validated") for name in dataset.validation]
        labels = np.concatenate([dataset.stored_labels(name) for name in dataset.train])
        return cls(
            videos=tuple(videos),
            classes=dataset.names_of(np.unique(labels[labels >= 0]).tolist()),
            hidden=dataset.names_of(dataset.hidden),
            tuned=dataset.validation_unseen_names if dataset.hidden else (),
            n_own=len(videos),
            test=marks_of_test(dataset),
        )

    def joined(self, *records: Seen | None) -> Seen:
        """Return the record combined with the records of starting runs or members.

        A record that is None makes the result incomplete.
        """
        complete = [self, *(record for record in records if record is not None)]
        joined: dict[str, Any] = {}
        for key in ("videos", "classes", "tuned", "named"):
            parts = chain.from_iterable(getattr(record, key) for record in complete)
            joined[key] = tuple(dict.fromkeys(parts))  # without duplicates
        is_complete = len(complete) == 1 + len(records)
        is_complete = is_complete and all(record.is_complete for record in complete)
        return replace(self, **joined, is_complete=is_complete)

    @cached_property
    def _by_digest(self) -> dict[str, SeenVideo]:
        # Trained videos come last, so they replace validated ones with the same digest.
        videos = sorted(self.videos, key=lambda video: video.role == "trained")
        return {video.features: video for video in videos}

    def find(self, rows: Array) -> SeenVideo | None:
        """Return the record of the video with these features (T, D), regardless of its name."""
        return self._by_digest.get(features_digest(rows))

    def find_in(self, dataset: Dataset, names: Iterable[str]) -> list[tuple[str, SeenVideo]]:
        """Return the given videos that were seen, each with its record."""
        pairs = []
        for name in names:
            video = self._by_digest.get(video_digest(dataset, name))
            if video is not None:
                pairs.append((name, video))
        return pairs

    def check_videos(
        self, dataset: Dataset, names: Iterable[str], where: Location, role: Role | None = None
    ) -> None:
        """Raise an InputError if a given video of a data set was seen, in a role or in any role."""
        for name, video in self.find_in(dataset, names):
            if role in (None, video.role):
                known_as = "" if video.name == name else f" (as {video.name!r})"
                verb = "was trained on" if video.role == "trained" else "was tuned by"
                problem = f"the run {verb} the test video {name!r}{known_as}"
                raise InputError(where, problem, "score other videos, or train without these")

    def check_seen_classes(self, dataset: Dataset, where: Location) -> None:
        """Raise an InputError if a class that was hidden from the run is listed as seen."""
        seen = dataset.names_of(dataset.seen)
        learned = self.learned_classes(seen)
        hidden = {spelling_key(name) for name in self.hidden}
        for name in seen:
            if spelling_key(name) in hidden and name not in learned:
                problem = f"{name!r} is listed as seen, but was hidden from the run"
                raise InputError(where, problem, "train a run with this hold-out")

    def check_unseen_classes(self, dataset: Dataset, where: Location) -> None:
        """Raise an InputError if a test-unseen class was learned or was used to choose settings."""
        unseen = dataset.unseen_names
        self.check_unlearned(unseen, where)
        for name in _alike(unseen, self.tuned):
            problem = f"{name!r} cannot be test-unseen: it was used to choose settings of the run"
            raise InputError(where, problem, "train a run with this hold-out")

    def check_unlearned(self, names: Sequence[str], where: Location) -> None:
        """Raise an InputError if a given unseen class was learned."""
        for name in self.learned_classes(names):
            problem = f"{name!r} cannot be unseen: the run was trained on it"
            raise InputError(where, problem, "train a run with this hold-out")

    def learned_classes(self, names: Sequence[str]) -> Names:
        """Return the given classes that were learned, in any spelling."""
        return _alike(names, self.classes)

    def same_names(self, dataset: Dataset, names: Sequence[str]) -> Names:
        """Return the given videos that share a name, but not the features, with a seen video."""
        if dataset.root is None:
            return ()  # names of videos in memory are often only numbers
        digests = {video.name: video.features for video in self.videos}
        return tuple(
            name
            for name in names
            if name in digests and digests[name] != video_digest(dataset, name)
        )


def _alike(names: Sequence[str], other_names: Sequence[str]) -> Names:
    """Return the names that also occur in other names, ignoring case, underscores and blanks."""
    keys = {spelling_key(name) for name in other_names}
    return tuple(name for name in names if spelling_key(name) in keys)


def is_learned_from(dataset: Dataset, record: Seen | None) -> bool:
    """Return whether a data set has the learning videos of a record. True if there is no record."""
    if record is None:
        return True
    try:
        videos = Seen.of(dataset).videos
    except InputError:
        return False  # the data set has only test videos
    return {*videos} == {*record.videos[: record.n_own]}


def marks_of_test(dataset: Dataset) -> Names:
    """Return the names of the test videos, or digests of videos in memory."""
    if dataset.root is not None:
        return dataset.test
    return tuple(video_digest(dataset, name) for name in dataset.test)


def data_digest(dataset: Dataset, names: Iterable[str]) -> Digest:
    """Hash the names, features and labels of videos."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        labels = dataset.all_labels(name).tobytes()
        digest.update(f"{name}\n{video_digest(dataset, name)}\n".encode())
        digest.update(hashlib.blake2b(labels).digest())
    return digest.hexdigest()
