"""Groups of videos (`data.groups`), and the groups that are used for validation."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Location, Names, library_errors
from fact_clip.core.messages import join_names

LEAST_TRAINED_GROUPS = 4
"""Groups of several videos that must remain for training if whole groups are used for validation.

With fewer, a model would learn from too few people.
"""

LARGEST_PART = 0.25
"""Largest share of the training videos that whole groups may take for validation."""


class SplitVideos(NamedTuple):
    """The videos of a split."""

    learning: Names  # videos for training and validation
    test: Names


def read_groups(
    names: Iterable[str], pattern: str | None, where: Location = "data.groups"
) -> dict[str, str]:
    """Return the group of each video, by name.

    Args:
        names: Names of the videos.
        pattern: Regular expression whose first pair of parentheses matches the group in a name, or
            None if each video is a group.
        where: Location of the pattern, for errors.

    Raises:
        InputError: The pattern does not match a name.
    """
    videos = tuple(names)
    if pattern is None:
        return dict(zip(videos, videos, strict=True))
    example = r"put the subject or recording in parentheses, such as 'subj(\d+)'"
    kinds = re.error, RecursionError, OverflowError
    with library_errors(where, f"{pattern!r} is not a regular expression", *kinds, fix=example):
        compiled = re.compile(pattern)
    if not compiled.groups:
        raise InputError(where, f"{pattern!r} has no parentheses", example)

    groups = {}
    missing = []
    for video in videos:
        match = compiled.search(video)
        if match and match[1]:
            groups[video] = re.sub(r"^0+(?=\d)", "", match[1])  # subj01 is subj1
        else:
            missing.append(repr(video))
    if missing:
        problem = f"{pattern!r} finds no group in {join_names(missing)}"
        raise InputError(where, problem, "change the pattern")
    return groups


def together(groups: Mapping[str, str]) -> dict[str, Names]:
    """Return the videos of each group. Groups and videos are in the order of `groups`."""
    videos: dict[str, list[str]] = {}
    for video, group in groups.items():
        videos.setdefault(group, []).append(video)
    return {group: tuple(names) for group, names in videos.items()}


def by_hash(names: Iterable[str]) -> list[str]:
    """Sort names in an order that depends neither on their previous order nor on a seed."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


@dataclass(frozen=True)
class ValidationGroups:
    """The groups of training videos that are used for validation together.

    Attributes:
        of_video: Group of each training video, by name.
        pattern: Pattern that finds the groups in the names, or None if each video is a group.
        largest_part: Largest number of videos that are used for validation together.
        note: Reason why people are not kept apart, or "".
    """

    of_video: Mapping[str, str]
    pattern: str | None
    largest_part: float
    note: str = ""

    @classmethod
    def of(cls, config: DataConfig, videos: Sequence[str]) -> "ValidationGroups":
        """Return the groups of the training videos that have a label.

        Whole groups are used only if enough of them remain for training.

        Args:
            config: Configuration with the pattern and the share of validation videos.
            videos: Names of the videos.

        Returns:
            The groups by the pattern of the configuration, or each video as a group.
        """
        groups = read_groups(videos, config.groups)
        single = cls(read_groups(videos, None), None, len(videos))
        if config.groups is None:
            return single
        largest_part = max(LARGEST_PART, config.validation) * len(videos)
        by_pattern = cls(groups, config.groups, largest_part)
        sizes = Counter(groups.values())
        n_trained = len(sizes) - validation_size(len(sizes), config.validation)
        if config.validation == 0:
            return by_pattern
        if n_trained < LEAST_TRAINED_GROUPS:
            plural = "" if len(sizes) == 1 else "s"
            reason = (
                f"data.groups finds {len(sizes)} group{plural} in the training videos, and "
                f"{LEAST_TRAINED_GROUPS} or more must remain for training"
            )
        elif max(sizes.values()) > largest_part:
            largest = max(sizes, key=lambda group: sizes[group])
            reason = (
                f"group {largest!r} of data.groups has {sizes[largest]} of {len(videos)} training "
                "videos"
            )
        else:
            return by_pattern
        note = f"validation shares people with training, because {reason}"
        return replace(single, note=note)


def validation_size(count: int, share: float) -> int:
    """Return the number of groups for validation, which is at least one and not all."""
    if share <= 0:
        return 0
    return min(max(round(share * count), 1), count - 1)


@dataclass(frozen=True, order=True)
class ValidationCost:
    """Order in which groups of videos are chosen for validation. The smallest comes first."""

    minus_new_unseen: int  # minus the number of validation-unseen classes that the group adds
    last_seen: int  # seen classes that would lose their last group for training
    minus_unseen_frames: int  # minus the group's frames of validation-unseen classes
    order: int  # position of the group in the order by hash


def carve_validation(
    groups: ValidationGroups,
    n_groups: int,
    *,
    taken: Set[str] = frozenset(),
    frames: Mapping[str, Mapping[int, int]] | None = None,
    seen: Set[int] = frozenset(),
    validation_unseen: Set[int] = frozenset(),
) -> Names:
    """Choose training videos for validation, in whole groups.

    Groups are chosen by the hash of their names, but so that the validation-unseen classes occur in
    them and few seen classes lose their last training video (docs/protocol.md, Validation).

    Args:
        groups: Groups of the training videos.
        n_groups: Number of groups to choose. There are fewer if more would exceed
            `groups.largest_part`.
        taken: Groups that are not chosen.
        frames: Number of frames of each class in each video, or None without a hold-out.
        seen: Indices of the seen classes.
        validation_unseen: Indices of the validation-unseen classes.

    Returns:
        The videos.
    """
    of_video = groups.of_video
    counts: dict[str, Counter[int]] = {group: Counter() for group in of_video.values()}
    for video, group in of_video.items():
        counts[group] += Counter((frames or {}).get(video))
    sizes = Counter(of_video.values())
    uncovered = set(validation_unseen)
    available = [group for group in by_hash(counts) if group not in taken]
    training_groups = Counter[int]()  # number of groups with each class
    for classes in counts.values():
        training_groups.update(classes.keys())

    def cost(order: int) -> ValidationCost:
        classes = counts[available[order]]
        last = [index for index in classes.keys() & seen if training_groups[index] == 1]
        return ValidationCost(
            minus_new_unseen=-len(uncovered & classes.keys()),
            last_seen=len(last),
            minus_unseen_frames=-sum(classes[index] for index in validation_unseen),
            order=order,
        )

    # Costs only rise as groups are chosen, so the first group with a current cost is the best.
    queue = [cost(order) for order in range(len(available))]
    heapify(queue)
    selected: set[str] = set()
    n_videos = 0
    while queue and len(selected) < n_groups:
        best = queue[0]
        current = cost(best.order)
        if current > best:
            heapreplace(queue, current)
            continue
        heappop(queue)
        group = available[best.order]
        if n_videos + sizes[group] > groups.largest_part:
            continue
        selected.add(group)
        n_videos += sizes[group]
        uncovered -= counts[group].keys()
        training_groups.subtract(counts[group].keys())
    return tuple(video for video, group in of_video.items() if group in selected)
