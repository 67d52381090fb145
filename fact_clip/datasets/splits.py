"""Which videos go together (`data.groups`), and lists of videos to train and test on that keep them together."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fact_clip.core import CommandOption, InputError, Location, library_errors
from fact_clip.core.messages import join_names
from fact_clip.core.paths import check_place, inside, is_file_name, whole_file
from fact_clip.datasets.layout import SPLIT_FILES, split_names

Way = Literal["leave-out", "folds", "test"]

# How names of videos say who is in them: subj3_boil, person1_video2, P03_cam01, U0209_S0500, S1_Cheese.
_WHO = (
    r"(?i)((?:subject|subj|sub|person|participant|user|actor|operator|volunteer)[-_ ]?)(\d+)",
    r"^([PpUuSs])(\d+)",
)


def read_groups(
    names: Iterable[str], pattern: str | None, where: Location = "data.groups"
) -> dict[str, str]:
    """Return video -> its group: what the first pair of parentheses of a regular expression finds in its name.

    Without a pattern each video is a group of its own. A pattern that does not fit is an InputError.
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
    groups = {video: match[1] for video in videos if (match := compiled.search(video)) and match[1]}
    missing = [video for video in videos if video not in groups]
    if missing:
        raise InputError(
            where,
            f"{pattern!r} finds no group in {join_names(map(repr, missing))}",
            "change the pattern",
        )
    return groups


def together(groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return group -> its videos, both in the order of `groups`."""
    videos: dict[str, list[str]] = {}
    for video, group in groups.items():
        videos.setdefault(group, []).append(video)
    return {group: tuple(names) for group, names in videos.items()}


def by_hash(names: Iterable[str]) -> list[str]:
    """Sort names in an order that depends neither on their order before nor on a seed."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def carve_validation(
    groups: Mapping[str, str],
    share: float,
    part: int = 0,
    frames: Mapping[str, Mapping[int, int]] | None = None,
    seen: Set[int] = frozenset(),
    validation_unseen: Set[int] = frozenset(),
) -> tuple[str, ...]:
    """Choose the training videos (video -> group) that validate, whole groups, at least one and not all.

    Groups are taken by the hash of their names, but so that the validation-unseen classes occur in them and few seen
    classes lose their last training video, by `frames` (video -> class index -> frames; docs/protocol.md, Validation).
    Part 1, 2, ... are chosen so from the groups that no earlier part has; after the last complete one comes part 0.
    """
    sets, frames = together(groups), frames or {}
    shown = {
        group: sum((Counter(frames.get(name)) for name in names), Counter[int]())
        for group, names in sets.items()
    }
    count = validation_size(len(sets), share)
    part %= max(len(sets) // max(count, 1), 1)
    left, chosen = by_hash(sets), list[str]()
    for turn in range(count * (part + 1)):
        if turn % count == 0:
            chosen = []
        uncovered = validation_unseen - {index for group in chosen for index in shown[group]}
        holders = Counter(index for group in sets if group not in chosen for index in shown[group])
        last = {index for index in seen if holders[index] == 1}
        cost = {
            group: (
                -len(uncovered & shown[group].keys()),
                len(last & shown[group].keys()),
                -sum(shown[group][index] for index in validation_unseen),
            )
            for group in left
        }
        chosen.append(min(cost, key=cost.__getitem__))
        left.remove(chosen[-1])
    return tuple(video for video, group in groups.items() if group in chosen)


def validation_size(count: int, share: float) -> int:
    """Return how many of some groups validate: at least one, and not all."""
    return min(max(round(share * count), 1), count - 1) if share > 0 else 0


def guess_groups(names: Iterable[str]) -> str | None:
    """Return a pattern that finds a person in each name; None where none fits all, or none puts two together."""
    videos = tuple(names)
    for pattern in _WHO:
        matches = [
            match for match in (re.search(pattern, video) for video in videos) if match is not None
        ]
        words = {match[1] for match in matches}
        if (
            len(matches) == len(videos)
            and len(words) == 1
            and 1 < len({match[2] for match in matches}) < len(videos)
        ):
            start = "^" if pattern.startswith("^") else ""
            return f"{start}{re.escape(words.pop())}(\\d+)"
    return None


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names with their numbers in order of size: subj2 before subj10."""
    return sorted(
        names,
        key=lambda name: [
            (int(p), p) if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)
        ],
    )


@dataclass(frozen=True)
class Split:
    """One split: its videos, and the groups of its test videos."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    tested: tuple[str, ...]


def divide(groups: Mapping[str, str], way: Way, amount: float = 0) -> tuple[Split, ...]:
    """Divide videos (video -> group) so that no group is in both parts; the same call gives the same splits.

    "leave-out": a split for each group, which is its test. "folds": `amount` even splits whose tests are together all
    videos. "test": one split, with a test of about `amount` (a share) of the videos.
    """
    sizes = {group: len(videos) for group, videos in together(groups).items()}
    least, option = max(int(amount) if way == "folds" else 2, 2), f"--{way}"
    if len(sizes) < least:
        raise InputError(
            CommandOption(option),
            f"{len(groups)} videos of {len(sizes)} groups",
            f"{least} or more are needed",
        )
    if way == "test" and not 0.5 <= amount * len(groups) <= len(groups) - 0.5:
        raise InputError(
            CommandOption(option), f"{amount:g} is none or all of {len(groups)} videos"
        )
    if way == "leave-out":
        tests = [[group] for group in in_order(sizes)]
    else:
        tests = _folds(sizes, least) if way == "folds" else [_share(sizes, amount)]
    return tuple(
        Split(
            tuple(in_order(video for video, group in groups.items() if group not in test)),
            tuple(in_order(video for video, group in groups.items() if group in test)),
            tuple(in_order(test)),
        )
        for test in tests
    )


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
    """Take groups by hash while they bring the number of videos nearer to the share; one at least, and not all."""
    target, chosen, total = share * sum(sizes.values()), list[str](), 0
    for group in by_hash(sizes):
        if len(chosen) < len(sizes) - 1 and abs(total + sizes[group] - target) < abs(
            total - target
        ):
            chosen.append(group)
            total += sizes[group]
    return chosen or [min(by_hash(sizes), key=lambda group: sizes[group])]


def write_splits(root: Path, splits: Sequence[Split], *, overwrite: bool = False) -> list[Path]:
    """Write `root`/splits/train.splitN.bundle and test.splitN.bundle, all or none; existing ones need `overwrite`."""
    for video in (video for split in splits for video in (*split.train, *split.test)):
        if not is_file_name(video):
            raise InputError(
                root / "splits", f"the video {video!r} is not the name of a file in features"
            )
    existing = split_names(root)
    if existing and not overwrite:
        raise InputError(
            root / "splits",
            f"has the splits {', '.join(existing)}",
            "replace them with --overwrite",
        )
    written = {
        inside(root, *SPLIT_FILES[0].format(part=part, name=number).split("/")): videos
        for number, split in enumerate(splits, start=1)
        for part, videos in (("train", split.train), ("test", split.test))
    }
    before = [
        path for part in ("train", "test") for path in root.glob(f"splits/{part}.split*.bundle")
    ]
    for path in {*written, *before}:
        check_place(path)
    with ExitStack() as all_or_none:  # a disk may be full
        for path, videos in written.items():
            unfinished = all_or_none.enter_context(whole_file(path))
            unfinished.write_text("".join(f"{video}\n" for video in videos), encoding="utf-8")
    for path in set(before) - set(written):
        path.unlink()
    return list(written)
