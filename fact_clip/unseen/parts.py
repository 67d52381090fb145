"""The parts of the training videos that one or several models use for validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.core.frames import IGNORED
from fact_clip.unseen.choice import choose_validation_unseen
from fact_clip.unseen.groups import ValidationGroups, carve_validation, validation_size
from fact_clip.unseen.holdout import Holdout

FrameCounts = Mapping[str, Counter[int]]
"""Number of frames by video name and class index, including hidden classes."""


@dataclass(frozen=True)
class MemberPart:
    """What one member of an ensemble does not learn.

    Attributes:
        validation: Names of its validation videos.
        validation_unseen: Names of its validation-unseen classes.
    """

    validation: Names
    validation_unseen: Names


@dataclass(frozen=True)
class ValidationParts:
    """Divides the training videos of a split into parts for validation.

    Attributes:
        vocabulary: Classes of the data set.
        holdout: Held-out classes, or None.
        share: Share of the groups that one part has.
        groups: Groups of the labelled training videos.
        frames: Frames of each class in each training video.
    """

    vocabulary: Vocabulary
    holdout: Holdout | None
    share: float
    groups: ValidationGroups
    frames: FrameCounts

    @classmethod
    def of(
        cls,
        config: DataConfig,
        vocabulary: Vocabulary,
        holdout: Holdout | None,
        learning: Names,
        frames: FrameCounts,
    ) -> ValidationParts:
        """Return the parts of the training videos with a label that validation may see.

        Args:
            config: Configuration with share, part and groups.
            vocabulary: Classes of the data set.
            holdout: Held-out classes, or None.
            learning: Names of all training videos.
            frames: Frames of each class in each of them. Not needed without validation videos.

        Raises:
            InputError: The pattern of the groups does not fit, or there is no such part.
        """
        invisible = {IGNORED}
        if holdout is not None and holdout.mode != "oracle":
            invisible.update(vocabulary.encode(holdout.unseen).tolist())
        labelled = learning
        if config.validation > 0:
            labelled = tuple(name for name in learning if frames[name].keys() - invisible)
        groups = ValidationGroups.of(config, labelled)
        parts = cls(vocabulary, holdout, config.validation, groups, frames)
        if config.validation_part >= parts.count():
            problem = f"{config.validation_part} is not one of {parts.count()} parts, from 0 on"
            raise InputError("data.validation_part", problem)
        return parts

    @property
    def n_groups(self) -> int:
        """Return the number of groups of videos."""
        return len({*self.groups.of_video.values()})

    def size(self, n_members: int = 1) -> int:
        """Return the number of groups in a part, small enough for one part per member."""
        size = validation_size(self.n_groups, self.share)
        if size == 0:
            return 0
        return max(min(size, self.n_groups // n_members), 1)

    def count(self) -> int:
        """Return the number of disjoint parts of one model."""
        return max(self.n_groups // max(self.size(), 1), 1)

    def hidden_groups(self, count: int) -> list[Names]:
        """Choose groups of validation-unseen classes that have no class in common.

        Args:
            count: Number of groups. The first one is the hold-out's, if it names any.

        Returns:
            Class names of each group, or () if no class can be chosen.
        """
        assert self.holdout is not None
        names = self.holdout.validation_unseen
        hidden: list[Names] = []
        excluded: list[str] = []
        while len(hidden) < count:
            if not names:
                names = choose_validation_unseen(
                    self.vocabulary,
                    self.holdout.unseen,
                    frames=self.frames,
                    groups=self.groups.of_video,
                    excluded=excluded,
                )
            hidden.append(names)
            excluded += names
            names = ()
        return hidden

    def choose(
        self, hidden: Sequence[Names], first_part: int = 0, first_videos: Names | None = None
    ) -> list[Names]:
        """Choose the validation videos of each member.

        Parts have no video in common, unless there are too few groups of videos.

        Args:
            hidden: Names of the validation-unseen classes of each member.
            first_part: Number of the first member's part. Previous parts are used last.
            first_videos: Names of the first member's validation videos, or None to choose them.

        Returns:
            Names of the validation videos of each member.
        """
        size = self.size(len(hidden))
        skipped: set[str] = set()
        taken: set[str] = set()
        parts: list[Names] = []
        if first_videos is None:
            for _ in range(first_part):
                skipped |= self._groups_of(self._part(size, hidden[0], skipped))
        else:
            parts.append(first_videos)
            taken |= self._groups_of(first_videos)
            n_others = max(len(hidden) - 1, 1)
            size = max(min(size, (self.n_groups - len(taken)) // n_others), 1)
        for names in hidden[len(parts) :]:
            if self.n_groups - len(skipped | taken) < size:
                skipped = set()
            if self.n_groups - len(taken) < size:
                taken = set()
            part = self._part(size, names, skipped | taken)
            taken |= self._groups_of(part)
            parts.append(part)
        return parts

    def check(self, parts: Sequence[MemberPart]) -> Names:
        """Check that the members of an ensemble together learn all training videos.

        Args:
            parts: Videos and classes that each member excludes from training.

        Returns:
            Sentences about what the data do not allow.

        Raises:
            InputError: A member has no validation videos, or no member learns a video.
        """
        times = Counter(name for part in parts for name in part.validation)
        for name in self.groups.of_video:
            if times[name] == len(parts):
                problem = f"all {len(parts)} members use {name!r} for validation, so none learns it"
                raise InputError("train.member_parts", problem, "set it to false, or add videos")
        for part in parts:
            if not part.validation:
                problem = "a member without validation videos"
                raise InputError("train.member_parts", problem, "set it to false, or add videos")
        messages = []
        if max(times.values()) > 1:
            groups = (
                "videos" if self.groups.pattern is None else f"groups of {self.groups.pattern!r}"
            )
            messages.append(
                f"{len(parts)} members share validation videos, because there are only "
                f"{self.n_groups} {groups} with labels"
            )
        lost: dict[str, list[str]] = {}  # names of models by class
        for number, part in enumerate(parts, start=1):
            for class_name in self._lost_classes(part):
                lost.setdefault(class_name, []).append(f"model {number}")
        if lost:
            classes = "; ".join(f"{name!r} ({', '.join(models)})" for name, models in lost.items())
            messages.append(
                f"classes that occur only in a model's validation videos, so that it does not "
                f"learn them: {classes}"
            )
        return tuple(messages)

    def _lost_classes(self, part: MemberPart) -> Names:
        """Return the classes that a member scores, but that only its validation videos show."""
        hidden = {*part.validation_unseen}
        if self.holdout is not None:
            hidden.update(self.holdout.unseen)
        if self.holdout is not None and self.holdout.mode == "oracle":
            hidden = set()
        validating = self._groups_of(part.validation)
        learned: set[int] = set()
        validated: set[int] = set()
        for name, group in self.groups.of_video.items():
            classes = validated if group in validating else learned
            classes.update(self.frames[name])
        return tuple(
            name
            for index, name in enumerate(self.vocabulary.names)
            if index in validated - learned and name not in hidden
        )

    def _part(self, size: int, hidden: Names, taken: set[str]) -> Names:
        """Choose the videos of a part from the groups that have not been taken."""
        if self.holdout is None:
            return carve_validation(self.groups, size, taken=taken)
        validation_unseen = {*self.vocabulary.encode(hidden).tolist()}
        unseen = {*self.vocabulary.encode(self.holdout.unseen).tolist()}
        seen = {*range(len(self.vocabulary))} - unseen - validation_unseen
        return carve_validation(
            self.groups,
            size,
            taken=taken,
            frames=self.frames,
            seen=seen,
            validation_unseen=validation_unseen,
        )

    def _groups_of(self, videos: Names) -> set[str]:
        return {self.groups.of_video[name] for name in videos}
