"""Groups of videos, and splits that keep them whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import split_names
from fact_clip.datasets.splits import divide, guess_groups, in_order, write_splits
from fact_clip.unseen.groups import (
    SplitVideos,
    ValidationGroups,
    by_hash,
    carve_validation,
    read_groups,
    together,
    validation_size,
)
from fact_clip.unseen.holdout import Holdout
from fact_clip.unseen.roles import VideoRoles

from ..refusals import refused

NAMES = tuple(f"subj{person}_{take}" for person in (1, 2, 10) for take in ("egg", "ham"))


def test_groups_are_what_the_parentheses_find():
    groups = read_groups(NAMES, r"subj(\d+)")
    assert groups == {"subj1_egg": "1", "subj1_ham": "1", "subj2_egg": "2", "subj2_ham": "2", "subj10_egg": "10",
                      "subj10_ham": "10"}  # fmt: skip
    assert together(groups) == {"1": NAMES[:2], "2": NAMES[2:4], "10": NAMES[4:]}
    assert read_groups(("subj1_a", "subj01_b", "subj0"), r"subj(\d+)") == {
        "subj1_a": "1",
        "subj01_b": "1",
        "subj0": "0",
    }
    assert read_groups(("a", "b"), None) == {"a": "a", "b": "b"}


@pytest.mark.parametrize("pattern", [r"subj\d+", r"subj(\d+", "(" * 500 + ")" * 500, r"person(\d+)"])
def test_patterns_that_do_not_fit(pattern):
    with refused("data.groups"):
        read_groups(NAMES, pattern)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (NAMES, r"subj(\d+)"),
        (("a_Person-1_x", "b_Person-1_y", "c_Person-2_x"), r"Person\-(\d+)"),
        (("U0101_S0100", "U0101_S0200", "U0102_S0100"), r"^U(\d+)"),
        (("P03_cam01", "P03_cam02", "P04_cam01"), r"^P(\d+)"),
        (("subj1", "subj2", "subj3"), None),  # nobody twice
        (("subj1_a", "subj1_b"), None),  # nobody else
        (("subj1_a", "subj1_b", "other"), None),
        (("take1", "take2"), None),
        (("factor1_a", "factor1_b", "factor2_a"), None),
        (("factor1_actor1", "factor1_actor2", "factor2_actor1"), r"(?<![A-Za-z])actor(\d+)"),
    ],
)
def test_people_are_guessed_from_names(names, pattern):
    assert guess_groups(names) == pattern


def test_numbers_count_by_size():
    assert in_order(("b10", "b9", "a", "b9x")) == ["a", "b9", "b9x", "b10"]


def test_one_split_a_group():
    splits = divide(read_groups(NAMES, r"subj(\d+)"), "leave-out")
    assert [split.tested for split in splits] == [("1",), ("2",), ("10",)]
    assert splits[1].test == ("subj2_egg", "subj2_ham")
    assert splits[1].train == ("subj1_egg", "subj1_ham", "subj10_egg", "subj10_ham")


def test_folds_are_even_and_cover_all():
    groups = {
        f"{group}{number}": group
        for group, count in (("a", 4), ("b", 3), ("c", 2), ("d", 1))
        for number in range(count)
    }
    splits = divide(groups, "folds", 2)
    # 4 | 3, then 2 goes to the smaller, and 1 to the one with 4
    assert [split.tested for split in splits] == [("a", "d"), ("b", "c")]
    assert [len(split.test) for split in splits] == [5, 5]
    for split in splits:
        assert not set(split.train) & set(split.test)
        assert len(split.train) + len(split.test) == 10
    assert divide(dict(reversed(groups.items())), "folds", 2) == splits


def test_a_share_for_the_test():
    videos = {f"v{number}": f"v{number}" for number in range(10)}
    (split,) = divide(videos, "test", 0.2)
    # the two with the smallest sha256
    assert split.test == ("v0", "v8")
    assert split.train == tuple(f"v{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9))
    assert len(divide(videos, "test", 0.05)[0].test) == 1
    assert len(divide(videos, "test", 0.95)[0].train) == 1
    (people,) = divide(read_groups(NAMES, r"subj(\d+)"), "test", 0.3)
    assert len(people.tested) == 1
    assert len(people.test) == 2


def test_written_lists_replace_others_only_if_asked(tmp_path):
    groups = read_groups(NAMES, r"subj(\d+)")
    written = write_splits(tmp_path, divide(groups, "leave-out"))
    assert [path.name for path in written] == [
        f"{part}.split{number}.bundle" for number in (1, 2, 3) for part in ("train", "test")
    ]
    assert (tmp_path / "splits/test.split3.bundle").read_text() == "subj10_egg\nsubj10_ham\n"
    with refused("splits"):
        write_splits(tmp_path, divide(groups, "folds", 2))
    write_splits(tmp_path, divide(groups, "folds", 2), overwrite=True)
    assert sorted(path.name for path in (tmp_path / "splits").iterdir()) == [
        "test.split1.bundle", "test.split2.bundle", "train.split1.bundle", "train.split2.bundle",
    ]  # fmt: skip


def alone(names: Iterable[str]) -> ValidationGroups:
    """Each video as a group."""
    return ValidationGroups({name: name for name in names}, None, 10**9)


def whole(names: Iterable[str], pattern: str, largest_part: float = 10**9) -> ValidationGroups:
    """The groups that a pattern finds."""
    return ValidationGroups(read_groups(names, pattern), pattern, largest_part)


def parts_of(groups: ValidationGroups, n_groups: int, count: int, **roles: object) -> list[tuple[str, ...]]:
    """Parts of which no two share a group."""
    parts: list[tuple[str, ...]] = []
    taken: set[str] = set()
    for _ in range(count):
        part = carve_validation(groups, n_groups, taken=taken, **roles)
        taken |= {groups.of_video[name] for name in part}
        parts.append(part)
    return parts


class TestValidation:
    def test_depends_on_names_alone(self):
        names = [f"video{number}" for number in range(20)]
        # by sha256 of the name, recorded so that runs of other versions stay comparable
        assert carve_validation(alone(names), 3) == ("video0", "video8", "video12")
        assert set(carve_validation(alone(names[::-1]), 3)) == {"video0", "video8", "video12"}
        # one more video moves at most one place of the choice
        assert len({*carve_validation(alone([*names, "another"]), 3)} - {"video0", "video8", "video12"}) <= 1
        parts = parts_of(alone(names), 6, 3)
        assert len({name for part in parts for name in part}) == 18

    @pytest.mark.parametrize(("count", "share", "size"), [(1, 0.5, 0), (2, 0.01, 1), (3, 0.99, 2), (10, 0.0, 0)])
    def test_leaves_some_on_each_side(self, count, share, size):
        assert validation_size(count, share) == size

    def test_covers_validation_unseen_classes_first_then_spares_seen_ones(self):
        frames = {"a": {0: 9, 5: 1}, "b": {0: 9, 6: 2}, "c": {0: 9, 5: 3, 6: 1, 1: 1}, "d": {0: 9, 2: 1}, "e": {0: 9}}
        roles = {"frames": frames, "seen": {0, 1, 2}, "validation_unseen": {5, 6}}
        # c has both; then only d would take a seen class away; of a, b and e, b has most of the group
        chosen = [carve_validation(alone(frames), count, **roles) for count in (1, 2, 3, 4)]
        assert chosen[:3] == [("c",), ("b", "c"), ("a", "b", "c")]
        assert "d" not in chosen[3]

    def test_parts_are_disjoint_and_each_covers_what_is_left(self):
        frames = {"a": {5: 1}, "b": {5: 2}, "c": {5: 3, 6: 1}, "d": {6: 1}, "e": {0: 9}}
        roles = {"frames": frames, "seen": {0}, "validation_unseen": {5, 6}}
        # of a, d and e, left for the second part, a and d have the classes
        assert parts_of(alone(frames), 2, 2, **roles) == [("b", "c"), ("a", "d")]

    def test_whole_groups_validate_and_cover_classes(self):
        groups = whole(NAMES, r"subj(\d+)")
        parts = parts_of(groups, 1, 3)
        # of 1, 2 and 10 the sha256 of 10 is the smallest
        assert parts[0] == ("subj10_egg", "subj10_ham")
        assert sorted(name for part in parts for name in part) == sorted(NAMES)
        frames = {name: {0: 1} for name in NAMES} | {
            "subj1_ham": {0: 1, 5: 2},
            "subj2_egg": {5: 1},
            "subj2_ham": {6: 1},
        }
        roles = {"frames": frames, "seen": {0}, "validation_unseen": {5, 6}}
        # subject 2 has both classes, though each of its videos has one
        assert parts_of(groups, 1, 2, **roles) == [("subj2_egg", "subj2_ham"), ("subj1_egg", "subj1_ham")]
        # class 1 would be lost with subject 2
        frames["subj2_ham"] = {1: 1}
        roles = {"frames": frames, "seen": {0, 1}, "validation_unseen": {5}}
        assert carve_validation(groups, 1, **roles) == ("subj1_egg", "subj1_ham")

    def test_a_group_that_would_make_a_part_too_large_is_passed_over(self):
        names = ["p1_a", "p1_b", "p1_c", "p2_a", "p3_a"]
        order = by_hash(["1", "2", "3"])
        assert order[0] == "3"
        chosen = carve_validation(whole(names, r"p(\d)", largest_part=2), 2)
        assert chosen == ("p2_a", "p3_a")
        assert carve_validation(whole(names, r"p(\d)", largest_part=1), 2) == ("p3_a",)

    def test_many_videos_take_no_longer_each(self):
        names = [f"video{number}" for number in range(30_000)]
        frames = {name: {number % 7: 3} for number, name in enumerate(names)}
        began = time.process_time()
        roles = {"frames": frames, "seen": {0, 1, 2, 3, 4}, "validation_unseen": {5, 6}}
        assert len(carve_validation(alone(names), 6_000, **roles)) == 6_000
        assert time.process_time() - began < 5  # a second; quadratic, an hour


PEOPLE = {"alone": 1, "two": 2, "four": 4, "five": 5, "seven": 7}


@pytest.mark.parametrize("people", PEOPLE.values(), ids=PEOPLE)
def test_people_validate_as_a_whole_only_if_enough_remain(people):
    """Four of five people remain if one validates; of four people only three would."""
    names = [f"subj{person}_{take}" for person in range(people) for take in range(8)]
    config = DataConfig(validation=0.2, groups=r"subj(\d+)")
    groups = ValidationGroups.of(config, names)
    part = carve_validation(groups, validation_size(len({*groups.of_video.values()}), 0.2))
    in_both = {name[:5] for name in part} & {name[:5] for name in {*names} - {*part}}
    if people >= 5:
        assert (groups.pattern, groups.note, in_both) == (config.groups, "", set())
        assert len(part) == 8
    else:
        assert groups.pattern is None
        assert f"data.groups finds {people} group" in groups.note
        assert len(part) == round(0.2 * len(names))
        assert in_both


def test_a_person_with_more_than_a_quarter_of_the_videos_does_not_validate_as_a_whole():
    names = [f"subj{person}_{take}" for person in range(6) for take in range(4)]
    config = DataConfig(validation=0.2, groups=r"subj(\d+)")
    assert ValidationGroups.of(config, [*names, "subj0_5", "subj0_6"]).note == ""  # 6 of 26
    note = ValidationGroups.of(config, [*names, "subj0_5", "subj0_6", "subj0_7"]).note  # 7 of 27
    assert "group '0' of data.groups has 7 of 27 training videos" in note
    # a part of this size is asked for
    half = DataConfig(validation=0.3, groups=r"subj(\d+)")
    assert ValidationGroups.of(half, [*names, "subj0_5", "subj0_6", "subj0_7"]).note == ""


def test_groups_are_kept_if_no_video_validates():
    config = DataConfig(validation=0, groups=r"subj(\d+)")
    groups = ValidationGroups.of(config, NAMES)
    assert (groups.pattern, groups.note) == (config.groups, "")


def test_a_data_set_of_few_people_is_divided_by_videos(root, open_set):
    for old, new in (("a", "p1_a"), ("b", "p1_b"), ("c", "p2_c")):
        for folder, ending in (("groundTruth", "txt"), ("features", "npy")):
            (root / folder / f"{old}.{ending}").rename(root / folder / f"{new}.{ending}")
    (root / "splits/train.split1.bundle").write_text("p1_a\np1_b\np2_c\n")
    plain: Dataset = open_set(validation=0.1)
    assert len(plain.validation) == 1
    for pattern in (r"^(p\d)", "(p)"):
        grouped: Dataset = open_set(validation=0.1, groups=pattern)
        assert (grouped.train, grouped.validation) == (plain.train, plain.validation)
    assert open_set(validation=0.0, groups="(p)").validation == ()


def test_lists_of_either_place_are_replaced(tmp_path):
    for name in ("9", "split3", "mine"):
        (tmp_path / f"{name}.train").write_text("a\n")
        (tmp_path / f"{name}.test").write_text("b\n")
    (tmp_path / "lonely.train").write_text("a\n")
    splits = divide({name: name for name in "abc"}, "test", 0.3)
    with refused("splits"):
        write_splits(tmp_path, splits)
    write_splits(tmp_path, splits, overwrite=True)
    assert split_names(tmp_path) == ["1"]
    assert [path.name for path in tmp_path.iterdir()] == ["splits"]


def test_videos_without_a_label_show_the_group_that_validates():
    names = [f"p{person}_{take}" for person in range(5) for take in "ab"]
    frames = {name: Counter({-1: 9} if name.endswith("b") else {0: 9}) for name in names}

    def roles(test=(), **holdout):
        split = SplitVideos(tuple(names), test)
        config = DataConfig(validation=0.2, groups=r"(p\d)")
        chosen = Holdout(("b",), **holdout) if holdout else None
        return VideoRoles.decide(config, Vocabulary.from_names(["a", "b"]), split, chosen, lambda _: frames)

    (validating,) = roles().validation
    assert validating.endswith("a")
    assert roles().train == tuple(name for name in names if not name.startswith(validating[:2]))
    assert roles().all_learning == tuple(names)
    with refused("data.groups"):
        roles(test=("p3_c",), test_videos=("p3_c",))
