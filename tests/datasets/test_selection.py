from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.holdout import Holdout, Level, Support, levels, lost_factors, rank, select
from fact_clip.text import havid

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
    ("call", "message"),
    [
        (lambda: lost_factors(KITCHEN, ["cut hem"]), "no class 'cut hem' among 7; the nearest is 'cut ham'"),
        (lambda: lost_factors(KITCHEN, ["cut hem"], np.ones(7)), "no class 'cut hem' among 7"),
        (lambda: lost_factors(KITCHEN, ["cut ham"], [1, 2]), "counts: an array of shape (2,); expected (7,)"),
        (lambda: select(KITCHEN, 1, candidates=["cut hem"]), "no class 'cut hem' among 7"),
        (lambda: select(KITCHEN, 3), "holdout: 2 classes can be held out together; expected 3"),
        (lambda: select(KITCHEN, 1, min_support=2), "holdout: 0 classes can be held out together"),
        (lambda: select(KITCHEN, 1, candidates=["rest", "cut roe"]), "0 classes can be held out"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
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
