from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import (
    Holdout,
    Level,
    Support,
    choose_validation_unseen,
    levels,
    lost_factors,
    rank,
    select,
)
from fact_clip.text import havid

from ..refusals import refused

NOT_COMPOSITIONAL = [
    "sshc1dh",
    "sshc2dh",
    "sshc3dh",
    "sshc4dh",
    "sftg1",
    "sftg1ws",
    "sftg2",
    "sntn5wn",
    "iglft",
    "isbn3",
]
COMPOSITIONAL = ["sntft", "sntn5", "sshc2", "sshc4", "sntsbwn"]
LOST = {
    "sshc1dh": (("tool", "hex screwdriver"),),
    "sshc2dh": (("tool", "hex screwdriver"),),
    "sshc3dh": (("tool", "hex screwdriver"),),
    "sshc4dh": (("tool", "hex screwdriver"),),
    "sftg1": (("target", "gear plate hole 1"),),
    "sftg1ws": (("target", "gear plate hole 1"),),
    "sftg2": (),
    "sntn5wn": (),
    "iglft": (("object", "large gear"),),
    "isbn3": (("target", "general plate hole 3"),),
}


@pytest.fixture(scope="module")
def tasks(shared: Path) -> Vocabulary:
    """The 75 primitive tasks of HA-ViD."""
    lines = (shared / "labels" / "havid_primitive_tasks.txt").read_text().splitlines()
    return Vocabulary.from_names([line.split()[1] for line in lines], ("null",), havid.factors, havid.SLOTS)


def test_published_havid_holdout_is_not_compositional(tasks):
    assert lost_factors(tasks, NOT_COMPOSITIONAL) == LOST


def test_later_havid_holdout_is_compositional(tasks):
    assert lost_factors(tasks, COMPOSITIONAL) == dict.fromkeys(COMPOSITIONAL, ())


def test_alone_each_of_the_screws_would_be_compositional(tasks):
    for code in NOT_COMPOSITIONAL[:4]:
        assert lost_factors(tasks, [code]) == {code: ()}


def test_levels_name_the_new_word(tasks):
    # the validation group is as little seen as the other: together they lose the hex screwdriver
    found = levels(tasks, Holdout(tuple(NOT_COMPOSITIONAL[:3]), (NOT_COMPOSITIONAL[3], "sntn5")))
    assert found["sshc1dh"] == found["sshc4dh"] == Level((("tool", "hex screwdriver"),))
    assert found["sntn5"] == Level()
    assert (found["sshc1dh"].kind, found["sntn5"].kind) == ("new factor", "compositional")


WORDS = ("cut ham", "cut egg", "cut roe", "hold ham", "hold egg", "hold jar", "rest")
KITCHEN = Vocabulary.from_names(
    WORDS, ("rest",), lambda name: (None, None) if name == "rest" else tuple(name.split()), ("verb", "object")
)


def test_a_class_without_training_frames_shows_nothing():
    assert lost_factors(KITCHEN, ["cut ham"]) == {"cut ham": ()}
    assert lost_factors(KITCHEN, ["cut ham"], [9, 9, 9, 0, 9, 9, 9]) == {"cut ham": (("object", "ham"),)}
    # an unseen class has none either, and is judged all the same
    assert lost_factors(KITCHEN, ["cut ham"], [0, 9, 9, 9, 9, 9, 9]) == {"cut ham": ()}


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: lost_factors(KITCHEN, ["cut hem"]), "vocabulary"),
        (lambda: lost_factors(KITCHEN, ["cut hem"], np.ones(7)), "vocabulary"),
        (lambda: lost_factors(KITCHEN, ["cut ham"], [1, 2]), "counts"),
        (lambda: select(KITCHEN, 1, candidates=["cut hem"]), "vocabulary"),
        (lambda: select(KITCHEN, 3), "holdout"),
        (lambda: select(KITCHEN, 1, min_support=2), "holdout"),
        (lambda: select(KITCHEN, 1, candidates=["rest", "cut roe"]), "holdout"),
    ],
)
def test_bad_arguments(call, place):
    with refused(place):
        call()


def test_rank_counts_the_other_classes_that_show_the_rarest_factor():
    supports = {support.name: support for support in rank(KITCHEN)}
    assert supports == {
        "cut ham": Support("cut ham", 1, ("object", "ham")),
        "cut egg": Support("cut egg", 1, ("object", "egg")),
        "hold ham": Support("hold ham", 1, ("object", "ham")),
        "hold egg": Support("hold egg", 1, ("object", "egg")),
        "cut roe": Support("cut roe", 0, ("object", "roe")),
        "hold jar": Support("hold jar", 0, ("object", "jar")),
    }
    assert {support.name for support in rank(KITCHEN)[4:]} == {"cut roe", "hold jar"}
    # what is held out supports nothing
    assert {s.name: s.classes for s in rank(KITCHEN, ["cut ham"])} == {
        "cut egg": 1, "hold egg": 1, "hold ham": 0, "cut roe": 0, "hold jar": 0,
    }  # fmt: skip
    # nor what was never trained
    assert next(s for s in rank(KITCHEN, counts=[1, 1, 1, 0, 1, 1, 1]) if s.name == "cut ham").classes == 0


@given(st.integers(0, 50))
def test_selected_sets_are_compositional_as_a_whole(seed):
    holdout = select(KITCHEN, 1, 1, seed=seed)
    assert not any(lost_factors(KITCHEN, holdout.hidden).values())
    # one ham and one egg: two hams would leave none
    assert {name.split()[1] for name in holdout.hidden} == {"ham", "egg"}
    assert select(KITCHEN, 1, 1, seed=seed) == holdout


def test_seeds_choose_differently():
    assert len({select(KITCHEN, 2, seed=seed).unseen for seed in range(20)}) > 1


def test_no_larger_set_is_possible_where_it_is_refused():
    """Every pair that is compositional, by looking at all: the refusal of three is not a fault of the greedy way."""
    actions = WORDS[:6]
    assert any(not any(lost_factors(KITCHEN, pair).values()) for pair in combinations(actions, 2))
    assert all(any(lost_factors(KITCHEN, triple).values()) for triple in combinations(actions, 3))


def test_selection_among_the_havid_tasks(tasks):
    holdout = select(tasks, 10, 5, seed=3, mode="drop")
    assert (len(holdout.unseen), len(holdout.validation_unseen), holdout.mode) == (10, 5, "drop")
    assert set(lost_factors(tasks, holdout.hidden).values()) == {()}
    # better than it has to be: every factor of every class is in two seen classes
    twice = select(tasks, 6, min_support=2)
    seen = [name for name in tasks if name not in twice.hidden]
    for name in twice.unseen:
        for place, factor in enumerate(havid.factors(name)):
            assert factor is None or sum(havid.factors(other)[place] == factor for other in seen) >= 2


def test_groups_are_dealt_out_in_turn(tasks):
    chosen = select(tasks, 9).unseen
    holdout = select(tasks, 6, 3)
    assert holdout.hidden == (*(n for n in chosen if n in holdout.unseen), *chosen[2::3])


def test_candidates_and_counts_limit_the_choice():
    holdout = select(KITCHEN, 1, counts=[9, 0, 9, 9, 9, 9, 9], candidates=["cut ham", "cut egg", "hold egg"])
    # cut egg has no frames, and without it hold egg would be the only egg
    assert holdout.unseen == ("cut ham",)


def test_remaining_of_kscgr(shared):
    root = shared / "data" / "kscgr"
    dataset = Dataset.open(DataConfig(name="kscgr", root=str(root), split=5))
    found = dataset.remaining(Holdout.read(root / "zero_shot" / "A.json"))
    # counted apart, line by line; no video of A is without an unseen frame
    assert found["all"] == {"videos": 21, "frames": 25408, "segments": 1214, "classes": 63}
    assert found["mask"] == {"videos": 21, "frames": 21593, "segments": 1105, "classes": 54}
    assert found["drop"] == {"videos": 0, "frames": 0, "segments": 0, "classes": 0}
    assert dataset.remaining(Holdout.read(root / "zero_shot" / "B.json"))["drop"]["videos"] == 1


def test_chosen_on_kscgr(shared):
    root = shared / "data" / "kscgr"
    dataset = Dataset.open(DataConfig(name="kscgr", root=str(root), split=5))
    counts = dataset.class_counts((*dataset.train, *dataset.validation))
    tested = [
        name for name, frames in zip(dataset.vocabulary, dataset.class_counts(dataset.test), strict=True) if frames
    ]
    holdout = select(dataset.vocabulary, 6, 3, counts=counts, candidates=tested)
    assert set(holdout.hidden) <= set(tested)
    assert {level.kind for level in levels(dataset.vocabulary, holdout, counts).values()} == {"compositional"}
    assert dataset.remaining(holdout)["mask"]["videos"] == len(dataset.train) + len(dataset.validation)


class TestChooseValidationUnseen:
    """Unseen is "cut ham"; which other classes are held out to choose settings by."""

    NAMES = ("rest", "cut ham", "cut egg", "cut leek", "hold ham", "hold egg", "hold leek", "fry egg", "wave")
    FACTORS = {name: (name.split()[0], name.split()[-1] if " " in name else None) for name in NAMES[1:]}
    KITCHEN = Vocabulary.from_names(NAMES, ["rest"], FACTORS, ("verb", "object"))

    def chosen(self, frames, groups=None, unseen=("cut ham",)):
        named = {
            video: {self.KITCHEN.index(name): count for name, count in own.items()} for video, own in frames.items()
        }
        return choose_validation_unseen(self.KITCHEN, unseen, named, groups)

    COUNTS = dict(zip(NAMES, (500, 40, 60, 30, 70, 50, 20, 300, 200), strict=True))

    def test_small_classes_of_which_every_word_stays(self):
        # "wave" and "fry" are in no other class, "hold ham" has the only "ham" left. "hold" and "egg" are each in two
        # other classes, which holds for no other name; one of seven is taken.
        assert self.chosen({"u": self.COUNTS, "v": self.COUNTS}) == ("hold egg",)

    def test_neither_order_nor_test_frames_count(self):
        counts = dict(reversed(self.COUNTS.items())) | {"cut ham": 9}
        assert self.chosen({"v": self.COUNTS, "u": counts}) == ("hold egg",)

    def test_frames_in_two_groups_are_needed(self):
        rare = self.COUNTS | {"hold egg": 0}
        # of "cut egg", "cut leek" and "hold leek" the smallest, as every rarest word is in one other class
        assert self.chosen({"u": self.COUNTS, "v": rare, "w": rare}) == ("hold leek",)
        assert self.chosen({"u": self.COUNTS, "v": self.COUNTS}, {"u": "ann", "v": "ann"}) == ()
        few = dict.fromkeys(self.NAMES, 1)
        assert self.chosen({"u": few, "v": few}) == ()

    def test_none_may_take_a_word_of_an_unseen_class(self):
        """With every other "hold" and "leek" out, "hold leek" is all that shows them."""
        frames = {"u": self.COUNTS, "v": self.COUNTS}
        assert self.chosen(frames, unseen=("cut leek", "hold egg", "hold ham")) in {("cut egg",), ()}
        whole = Vocabulary.from_names(("a", "b", "c"))
        assert choose_validation_unseen(whole, ["a"], {"u": {1: 90, 2: 90}, "v": {1: 90, 2: 90}}) == ()

    @given(st.lists(st.lists(st.integers(0, 80), min_size=9, max_size=9), min_size=1, max_size=4), st.integers(1, 8))
    def test_what_is_promised(self, table, unseen):
        frames = {str(place): dict(enumerate(row)) for place, row in enumerate(table)}
        name, vocabulary = self.NAMES[unseen], self.KITCHEN
        found = choose_validation_unseen(vocabulary, [name], frames)
        counts = np.array([0 if at == unseen else sum(row[at] for row in table) for at in range(9)])
        assert len(found) <= 2
        assert name not in found
        assert "rest" not in found
        left = [at for at in range(1, 9) if counts[at] and self.NAMES[at] not in found]
        words = {(slot, vocabulary.factors[at][slot]) for at in left for slot in (0, 1)}
        for one in found:
            at = vocabulary.index(one)
            assert {(0, vocabulary.factors[at][0]), (1, vocabulary.factors[at][1])} <= words
            assert sum(row[at] > 0 for row in table) >= 2
            assert counts[at] >= 10
        assert sum(counts[vocabulary.index(one)] for one in found) <= 0.15 * counts[1:].sum()
        before = {(slot, vocabulary.factors[at][slot]) for at in range(1, 9) if counts[at] for slot in (0, 1)}
        own = {(0, vocabulary.factors[unseen][0]), (1, vocabulary.factors[unseen][1])}
        assert own & before == own & words
