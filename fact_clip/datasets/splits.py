"""Splits that keep groups of videos (`data.groups`) together, and a guess of the groups."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fact_clip.core import InputError, Names
from fact_clip.core.paths import check_place, inside, is_file_name, write_lines
from fact_clip.datasets.layout import SPLIT_FILES, in_order, split_names
from fact_clip.unseen.groups import by_hash, read_groups

Way = Literal["leave-out", "folds", "test"]

# Persons in video names: subj3_boil, person1_video2, P03_cam01, U0209_S0500, S1_Cheese.
_PERSON_PATTERNS = (
    r"(?i)((?<![a-z])(?:subject|subj|sub|person|participant|user|actor|operator|volunteer)[-_ ]?)"
    r"(\d+)",
    r"^([PpUuSs])(\d+)",
)


def guess_groups(names: Iterable[str]) -> str | None:
    """Return a pattern for the person in each name, or None if no pattern forms groups."""
    videos = tuple(names)
    for pattern in _PERSON_PATTERNS:
        matches = [re.search(pattern, video) for video in videos]
        words = {match[1] for match in matches if match}
        persons = {match[2] for match in matches if match}
        if all(matches) and len(words) == 1 and 1 < len(persons) < len(videos):
            start = "^" if pattern.startswith("^") else ""
            guess = f"{start}{re.escape(words.pop())}(\\d+)"
            strict = f"(?<![A-Za-z]){guess}"  # for a word that is also the end of a longer one
            is_strict = read_groups(videos, guess) != read_groups(videos, strict)
            return strict if is_strict else guess
    return None


@dataclass(frozen=True)
class Split:
    """One split, with its videos and the groups of its test videos."""

    train: Names
    test: Names
    tested: Names


def divide(groups: Mapping[str, str], way: Way, amount: float = 0) -> tuple[Split, ...]:
    """Divide videos so that no group is in both parts. The same call gives the same splits.

    Args:
        groups: Group of each video, by name.
        way: Kind of division. "leave-out" makes one split per group, with this group as its test.
            "folds" makes `amount` even splits, whose tests together contain all videos. "test"
            makes one split, whose test has about `amount` (a share) of the videos.
        amount: Number of folds or share of test videos.

    Returns:
        The splits.
    """
    sizes = Counter(groups.values())
    least = max(int(amount), 2) if way == "folds" else 2
    option = f"--{way}"
    if len(sizes) < least:
        problem = f"{len(groups)} videos in {len(sizes)} groups"
        raise InputError(option, problem, f"use at least {least} groups")
    if way == "test" and not 0.5 <= amount * len(groups) <= len(groups) - 0.5:
        problem = f"{amount:g} of {len(groups)} videos leaves nothing to test or to train"
        raise InputError(option, problem, "give a share below 1 with at least one video")

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
    """Distribute groups, the largest first, each to the fold with the fewest videos."""
    folds: list[list[str]] = [[] for _ in range(count)]
    n_videos = [0] * count
    for group in sorted(by_hash(sizes), key=lambda group: -sizes[group]):
        smallest = min(range(count), key=n_videos.__getitem__)
        folds[smallest].append(group)
        n_videos[smallest] += sizes[group]
    return folds


def _share(sizes: Mapping[str, int], share: float) -> list[str]:
    """Select groups by hash as long as the number of videos gets closer to the share.

    At least one group is selected, but not all.
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
        root: Folder of the data set.
        splits: Splits to write.
        overwrite: Whether to replace existing splits, including `root`/NAME.train.

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
        problem = f"the splits {', '.join(existing)} already exist"
        raise InputError(root / "splits", problem, "replace them with --overwrite")

    trained = root.glob("splits/train.split*.bundle")
    tested = root.glob("splits/test.split*.bundle")
    previous = {*trained, *tested}
    for path in root.glob("*.train"):  # lists outside this folder also define splits
        previous.update((path, path.with_suffix(".test")))
    for path in {*videos_of, *previous}:
        check_place(path)
    for path, videos in videos_of.items():
        write_lines(path, videos)
    for path in previous - set(videos_of):
        path.unlink(missing_ok=True)
    return list(videos_of)
