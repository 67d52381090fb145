"""Groups of videos (`data.groups`), and splits that keep groups together."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Literal

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Location, Names, library_errors
from fact_clip.core.messages import join_names
from fact_clip.core.paths import check_place, inside, is_file_name, write_lines
from fact_clip.datasets.layout import SPLIT_FILES, in_order, split_names

Way = Literal["leave-out", "folds", "test"]

# Persons in names of videos: subj3_boil, person1_video2, P03_cam01, U0209_S0500, S1_Cheese.
_PERSON_PATTERNS = (
    r"(?i)((?<![a-z])(?:subject|subj|sub|person|participant|user|actor|operator|volunteer)[-_ ]?)"
    r"(\d+)",
    r"^([PpUuSs])(\d+)",
)


def read_groups(
    names: Iterable[str], pattern: str | None, where: Location = "data.groups"
) -> dict[str, str]:
    """Return video -> its group.

    Args:
        names: the videos.
        pattern: a regular expression, whose first pair of parentheses matches the group in a name.
            None: each video is a group.
        where: location of the pattern, for errors.

    Raises:
        InputError: the pattern does not fit.
    """
    videos = tuple(names)
    if pattern is None:
        return dict(zip(videos, videos, strict=True))
    example = r"put the subject or recording in parentheses, as in 'subj(\d+)'"
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


LEAST_TRAINED_GROUPS = 4
"""Groups of several videos that must remain for training if whole groups are used for validation.

With fewer, a model would learn from too few people.
"""

LARGEST_PART = 0.25
"""Largest share of the training videos that whole groups may take for validation."""


@dataclass(frozen=True)
class ValidationGroups:
    """The groups of training videos that are used for validation together.

    Attributes:
        of_video: Training video -> its group.
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


def together(groups: Mapping[str, str]) -> dict[str, Names]:
    """Return group -> its videos, both in the order of `groups`."""
    videos: dict[str, list[str]] = {}
    for video, group in groups.items():
        videos.setdefault(group, []).append(video)
    return {group: tuple(names) for group, names in videos.items()}


def by_hash(names: Iterable[str]) -> list[str]:
    """Sort names in an order that depends neither on their previous order nor on a seed."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


@dataclass(frozen=True, order=True)
class ValidationCost:
    """Order in which groups of videos are taken for validation: the smallest comes first."""

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

    Groups are taken by the hash of their names, but so that the validation-unseen classes occur in
    them and few seen classes lose their last training video (docs/protocol.md, Validation).

    Args:
        groups: Groups of the training videos.
        n_groups: Number of groups to choose. There are fewer if more would exceed
            `groups.largest_part`.
        taken: Groups that are not chosen.
        frames: Video -> class index -> frames, or None without a holdout.
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
    training_groups = Counter[int]()  # of each class
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

    # Costs only rise while groups are taken, so that the first one with a current cost is the best.
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


def validation_size(count: int, share: float) -> int:
    """Return how many of some groups validate: at least one, and not all."""
    if share <= 0:
        return 0
    return min(max(round(share * count), 1), count - 1)


def guess_groups(names: Iterable[str]) -> str | None:
    """Return a pattern that matches a person in each name, or None without one that groups any."""
    videos = tuple(names)
    for pattern in _PERSON_PATTERNS:
        matches = [re.search(pattern, video) for video in videos]
        words = {match[1] for match in matches if match}
        persons = {match[2] for match in matches if match}
        if all(matches) and len(words) == 1 and 1 < len(persons) < len(videos):
            start = "^" if pattern.startswith("^") else ""
            guess = f"{start}{re.escape(words.pop())}(\\d+)"
            strict = f"(?<![A-Za-z]){guess}"  # where the word ends another one, too
            is_strict = read_groups(videos, guess) != read_groups(videos, strict)
            return strict if is_strict else guess
    return None


@dataclass(frozen=True)
class Split:
    """One split: its videos, and the groups of its test videos."""

    train: Names
    test: Names
    tested: Names


def divide(groups: Mapping[str, str], way: Way, amount: float = 0) -> tuple[Split, ...]:
    """Divide videos so that no group is in both parts. The same call gives the same splits.

    Args:
        groups: video -> its group.
        way: "leave-out" makes a split for each group, which is its test. "folds" makes `amount`
            even splits whose tests are together all videos. "test" makes one split, with a test of
            about `amount` (a share) of the videos.
        amount: see `way`.

    Returns:
        The splits.
    """
    sizes = Counter(groups.values())
    least = max(int(amount), 2) if way == "folds" else 2
    option = f"--{way}"
    if len(sizes) < least:
        problem = f"{len(groups)} videos of {len(sizes)} groups"
        raise InputError(option, problem, f"{least} or more are needed")
    if way == "test" and not 0.5 <= amount * len(groups) <= len(groups) - 0.5:
        problem = f"{amount:g} of {len(groups)} videos leaves nothing to test or to train"
        raise InputError(option, problem, "give a share of one video or more, below 1")

    if way == "leave-out":
        tests = [[group] for group in in_order(sizes)]
    elif way == "folds":
        tests = _folds(sizes, least)
    else:
        tests = [_share(sizes, amount)]
    splits = []
    for tested in tests:
        test_groups = set(tested)
        train = [video for video, group in groups.items() if group not in test_groups]
        test = [video for video, group in groups.items() if group in test_groups]
        split = Split(tuple(in_order(train)), tuple(in_order(test)), tuple(in_order(tested)))
        splits.append(split)
    return tuple(splits)


def _folds(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Deal out groups, the largest first, each to the fold with the fewest videos."""
    folds: list[list[str]] = [[] for _ in range(count)]
    n_videos = [0] * count
    for group in sorted(by_hash(sizes), key=lambda group: -sizes[group]):
        smallest = min(range(count), key=n_videos.__getitem__)
        folds[smallest].append(group)
        n_videos[smallest] += sizes[group]
    return folds


def _share(sizes: Mapping[str, int], share: float) -> list[str]:
    """Take groups by hash while they bring the number of videos nearer to the share.

    At least one group is taken, and not all.
    """
    target = share * sum(sizes.values())
    selected: list[str] = []
    total = 0
    for group in by_hash(sizes):
        is_nearer = abs(total + sizes[group] - target) < abs(total - target)
        if len(selected) < len(sizes) - 1 and is_nearer:
            selected.append(group)
            total += sizes[group]
    return selected or [min(by_hash(sizes), key=lambda group: sizes[group])]


def write_splits(root: Path, splits: Sequence[Split], *, overwrite: bool = False) -> list[Path]:
    """Write `root`/splits/train.splitN.bundle and test.splitN.bundle.

    Args:
        root: the folder of the data set.
        splits: the splits.
        overwrite: whether existing splits are replaced, including `root`/NAME.train.

    Returns:
        The files.
    """
    existing = split_names(root)
    videos_of: dict[Path, Names] = {}
    for number, split in enumerate(splits, start=1):
        for part, videos in (("train", split.train), ("test", split.test)):
            for video in videos:
                if not is_file_name(video):
                    problem = f"the video {video!r} is not the name of a file in features"
                    raise InputError(root / "splits", problem)
            list_path = SPLIT_FILES[0].format(part=part, name=number)
            videos_of[inside(root, *list_path.split("/"))] = videos
    if existing and not overwrite:
        problem = f"has the splits {', '.join(existing)}"
        raise InputError(root / "splits", problem, "replace them with --overwrite")

    trained = root.glob("splits/train.split*.bundle")
    tested = root.glob("splits/test.split*.bundle")
    previous = {*trained, *tested}
    for path in root.glob("*.train"):  # lists beside the folder are splits, too
        previous.update((path, path.with_suffix(".test")))
    for path in {*videos_of, *previous}:
        check_place(path)
    for path, videos in videos_of.items():
        write_lines(path, videos)
    for path in previous - set(videos_of):
        path.unlink(missing_ok=True)
    return list(videos_of)
