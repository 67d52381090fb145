"""The parts of the training videos that are used for validation, by one model or by several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.datasets.labels import IGNORED
from fact_clip.datasets.splits import ValidationGroups, carve_validation, validation_size
from fact_clip.unseen.choice import choose_validation_unseen
from fact_clip.unseen.holdout import Holdout

FrameCounts = Mapping[str, Counter[int]]
"""Video name -> class index -> frames, hidden classes included."""


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
        """Return the parts of the training videos that show a label which validation may see.

        Args:
            config: Share, part and groups.
            vocabulary: Classes of the data set.
            holdout: Held-out classes, or None.
            learning: Names of all training videos.
            frames: Frames of each class in each of them; not needed if no videos validate.

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
        """Return the number of groups in a part, small enough for a part for each member."""
        size = validation_size(self.n_groups, self.share)
        if size == 0:
            return 0
        return max(min(size, self.n_groups // n_members), 1)

    def count(self, n_members: int = 1) -> int:
        """Return the number of disjoint parts."""
        return max(self.n_groups // max(self.size(n_members), 1), 1)

    def hidden_groups(self, count: int) -> list[Names]:
        """Choose groups of validation-unseen classes, of which no two share a class.

        Args:
            count: Number of groups. The first one is that of the hold-out if it names some.

        Returns:
            Class names of each group; () if no class can be chosen.
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
        self, hidden: Sequence[Names], first: int = 0, chosen: Names | None = None
    ) -> list[Names]:
        """Choose the validation videos of each member.

        No video is in two parts, unless there are fewer groups of videos than members.

        Args:
            hidden: Names of the validation-unseen classes of each member.
            first: Part of the first member. The parts before it are taken last.
            chosen: Names of the validation videos of the first member, or None to choose them.

        Returns:
            Names of the validation videos of each member.
        """
        size = self.size(len(hidden))
        skipped: set[str] = set()
        if chosen is None:
            for _ in range(first):
                part = self._part(size, hidden[0], skipped)
                skipped |= self._groups_of(part)
        taken: set[str] = set()
        parts: list[Names] = []
        for number, names in enumerate(hidden):
            if number == 0 and chosen is not None:
                part = chosen
            else:
                if self.n_groups - len(skipped | taken) < size:
                    skipped = set()
                if self.n_groups - len(taken) < size:
                    taken = set()
                part = self._part(size, names, skipped | taken)
            taken |= self._groups_of(part)
            parts.append(part)
        return parts

    def _part(self, size: int, hidden: Names, taken: set[str]) -> Names:
        """Choose the videos of a part from the groups that are not taken."""
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
