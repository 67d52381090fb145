"""Groups of videos, and splits that keep them whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import SplitVideos, split_names
from fact_clip.datasets.splits import (
    carve_validation,
    divide,
    guess_groups,
    in_order,
    read_groups,
    together,
    write_splits,
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


def alone(names: Iterable[str]) -> dict[str, str]:
    """Each video as a group."""
    return {name: name for name in names}


class TestValidation:
    def test_depends_on_names_alone(self):
        names = [f"video{number}" for number in range(20)]
        # by sha256 of the name, recorded so that runs of other versions stay comparable
        assert carve_validation(alone(names), 0.15) == ("video0", "video8", "video12")
        assert set(carve_validation(alone(names[::-1]), 0.15)) == {"video0", "video8", "video12"}
        # one more video moves at most one place of the choice
        assert len({*carve_validation(alone([*names, "another"]), 0.15)} - {"video0", "video8", "video12"}) <= 1
        parts = [carve_validation(alone(names), 0.3, part) for part in range(4)]
        assert len({name for part in parts[:3] for name in part}) == 18
        assert parts[3] == parts[0]  # three whole parts of 6 in 20 names

    @pytest.mark.parametrize(("count", "share", "chosen"), [(1, 0.5, 0), (2, 0.01, 1), (3, 0.99, 2), (10, 0.0, 0)])
    def test_leaves_some_on_each_side(self, count, share, chosen):
        assert len(carve_validation(alone(map(str, range(count))), share)) == chosen

    def test_covers_validation_unseen_classes_first_then_spares_seen_ones(self):
        frames = {"a": {0: 9, 5: 1}, "b": {0: 9, 6: 2}, "c": {0: 9, 5: 3, 6: 1, 1: 1}, "d": {0: 9, 2: 1}, "e": {0: 9}}
        # c has both; then only d would take a seen class away; of a, b and e, b has most of the group
        chosen = [
            carve_validation(alone(frames), share, 0, frames, {0, 1, 2}, {5, 6}) for share in (0.2, 0.4, 0.6, 0.8)
        ]
        assert chosen[:3] == [("c",), ("b", "c"), ("a", "b", "c")]
        assert "d" not in chosen[3]

    def test_parts_are_disjoint_and_each_covers_what_is_left(self):
        frames = {"a": {5: 1}, "b": {5: 2}, "c": {5: 3, 6: 1}, "d": {6: 1}, "e": {0: 9}}
        parts = [carve_validation(alone(frames), 0.4, part, frames, {0}, {5, 6}) for part in range(3)]
        # of a, d and e, left for part 1, a and d have the classes; there are two whole parts of two
        assert parts == [("b", "c"), ("a", "d"), ("b", "c")]

    def test_whole_groups_validate_and_cover_classes(self):
        groups = read_groups(NAMES, r"subj(\d+)")
        parts = [carve_validation(groups, 0.15, part) for part in range(4)]
        # one of three; of 1, 2 and 10 the sha256 of 10 is the smallest
        assert parts[0] == parts[3] == ("subj10_egg", "subj10_ham")
        assert sorted(name for part in parts[:3] for name in part) == sorted(NAMES)
        frames = {name: {0: 1} for name in NAMES} | {
            "subj1_ham": {0: 1, 5: 2},
            "subj2_egg": {5: 1},
            "subj2_ham": {6: 1},
        }
        # subject 2 has both classes, though each of its videos has one
        assert carve_validation(groups, 0.3, 0, frames, {0}, {5, 6}) == ("subj2_egg", "subj2_ham")
        assert carve_validation(groups, 0.3, 1, frames, {0}, {5, 6}) == ("subj1_egg", "subj1_ham")
        # class 1 would be lost with subject 2
        frames["subj2_ham"] = {1: 1}
        assert carve_validation(groups, 0.3, 0, frames, {0, 1}, {5}) == ("subj1_egg", "subj1_ham")

    def test_many_videos_take_no_longer_each(self):
        names = [f"video{number}" for number in range(30_000)]
        frames = {name: {number % 7: 3} for number, name in enumerate(names)}
        began = time.process_time()
        assert len(carve_validation(alone(names), 0.2, 0, frames, {0, 1, 2, 3, 4}, {5, 6})) == 6_000
        assert time.process_time() - began < 5  # a second; quadratic, an hour

    def test_nobody_is_in_both(self, root, open_set):
        for old, new in (("a", "p1_a"), ("b", "p1_b"), ("c", "p2_c")):
            for folder, ending in (("groundTruth", "txt"), ("features", "npy")):
                (root / folder / f"{old}.{ending}").rename(root / folder / f"{new}.{ending}")
        (root / "splits/train.split1.bundle").write_text("p1_a\np1_b\np2_c\n")
        for part in (0, 1):
            dataset: Dataset = open_set(validation=0.1, groups=r"^(p\d)", validation_part=part)
            assert {dataset.train, dataset.validation} == {("p1_a", "p1_b"), ("p2_c",)}
        assert len(open_set(validation=0.1).validation) == 1
        with refused("data.groups"):
            open_set(validation=0.1, groups="(p)")
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
    names = ("p1_a", "p1_b", "p2_a", "p2_b", "p3_a")
    frames = {name: Counter({-1: 9} if name in ("p1_b", "p2_b", "p3_a") else {0: 9}) for name in names}

    def roles(test=(), **holdout):
        split = SplitVideos(names, test)
        config = DataConfig(validation=0.5, groups=r"(p\d)")
        chosen = Holdout(("b",), **holdout) if holdout else None
        return VideoRoles.decide(config, Vocabulary.from_names(["a", "b"]), split, chosen, lambda _: frames)

    (validating,) = roles().validation
    group = validating[:2]
    assert roles().train == tuple(name for name in names if not name.startswith(group))
    with refused("data.groups"):
        roles(test=("p3_b",), test_videos=("p3_b",))
