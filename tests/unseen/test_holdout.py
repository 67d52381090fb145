"""Hold-outs: their files, what they hide, how new their classes are, and which to choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.config import DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets import havid
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.statistics import mean_transcript_length
from fact_clip.unseen.choice import (
    FactorSupport,
    Support,
    choose_validation_unseen,
    lost_factors,
    rank,
    resting_on_one,
    select,
)
from fact_clip.unseen.holdout import Holdout

from ..published import havid_tasks
from ..refusals import refused
from ..small import held_out, write_dataset

NAMES = ("rest", "cut ham", "cut egg", "hold ham", "hold egg")
# Runs of class indices of each video; the last one is the test.
VIDEOS = {
    "u": [(0, 3), (1, 4), (0, 2)],
    "v": [(2, 5), (4, 5)],
    "w": [(3, 6), (1, 1), (2, 4)],
    "x": [(1, 2), (2, 2), (3, 2), (4, 2)],
}


def frames_of(name: str) -> list[int]:
    return [label for label, length in VIDEOS[name] for _ in range(length)]


@pytest.mark.parametrize("mode", ["mask", "oracle"])
def test_clips_of_hidden_classes_alone_do_not_validate(tmp_path, mode):
    """No metric could be measured by them, and they would be preferred, since no seen class loses frames."""
    labels = {f"egg{number}": ["cut egg"] * 3 for number in range(6)}
    labels |= {f"ham{number}": ["cut ham"] * 3 for number in range(4)}
    features = {name: np.eye(3, dtype=np.float32) for name in labels}
    write_dataset(tmp_path, NAMES, labels, features, train=[*labels][:-1], test=["ham3"])
    config = DataConfig(root=str(tmp_path), layout="TD", validation=0.2, holdout=["cut egg"], holdout_mode=mode)
    dataset = Dataset.open(config)
    assert dataset.validation
    assert dataset.class_counts(dataset.validation).sum() == 3 * len(dataset.validation)


@pytest.fixture
def kitchen(tmp_path: Path) -> Callable[..., Dataset]:
    """Open a data set of four videos; keys of DataConfig as arguments."""
    labels = {name: [NAMES[label] for label in frames_of(name)] for name in VIDEOS}
    features = {name: np.eye(len(frames), 3, dtype=np.float32) for name, frames in labels.items()}
    write_dataset(tmp_path, NAMES, labels, features, train="uvw", test="x")
    common = {"root": str(tmp_path), "layout": "TD", "validation": 0.0, "background": ("rest",)}
    return lambda **keys: Dataset.open(DataConfig.model_validate({**common, **keys}))


class TestHoldout:
    def test_the_file_of_a_kscgr_setting(self, kscgr):
        holdout = Holdout.read(kscgr / "zero_shot" / "A.json")
        assert holdout.unseen[0] == "cut ham"
        assert holdout.validation_unseen == ("move frying pan", "cut hard-boiled egg", "move kinshi egg with knife")
        assert holdout.mode == "mask"
        assert (len(holdout.train_videos), len(holdout.test_videos)) == (21, 9)
        assert holdout.hidden == (*holdout.unseen, *holdout.validation_unseen)

    def test_lists_of_names(self, tmp_path):
        (tmp_path / "names.txt").write_text("cut ham\r\n\nhold egg\n")
        (tmp_path / "names.json").write_text('["cut ham", "hold egg"]')
        for name in ("names.txt", "names.json"):
            assert Holdout.read(tmp_path / name) == Holdout(("cut ham", "hold egg"))

    @pytest.mark.parametrize(
        "holdout", [Holdout(("cut jalapeño",)), Holdout(("a", "b"), ("c",), "drop", ("u", "v"), ("x",))]
    )
    def test_what_is_saved_is_read_back(self, holdout, tmp_path):
        assert Holdout.read(holdout.save_json(tmp_path / "holdout.json")) == holdout
        assert "train_videos" not in Holdout(("a",)).to_dict()

    @pytest.mark.parametrize(
        "text",
        [
            '{"unseen": "cut ham"}',
            '{"unseen": ["a"], "validation_unsen": ["b"]}',
            '{"unseen": ["a"], "mode": "hide"}',
            '{"unseen": ["a"], "validation_unseen": ["a"]}',
            '{"unseen": ["a"], "train_videos": ["v"], "test_videos": ["v"]}',
        ],
    )
    def test_faulty_files(self, text, tmp_path):
        (tmp_path / "holdout.json").write_text(text)
        with refused("holdout.json"):
            Holdout.read(tmp_path / "holdout.json")


class TestHeldOutClasses:
    def test_mask_hides_both_groups_in_training_and_none_in_test(self, kitchen):
        held = held_out(kitchen(), Holdout(("cut ham",), ("hold egg",)))
        assert (held.train, held.validation, held.test) == (("u", "v", "w"), (), ("x",))
        assert held.labels("u").tolist() == [0, 0, 0, -1, -1, -1, -1, 0, 0]
        assert held.labels("v").tolist() == [2] * 5 + [-1] * 5
        assert held.labels("x").tolist() == frames_of("x")
        assert (held.seen, held.unseen, held.validation_unseen) == ((0, 2, 3), (1,), (4,))
        with pytest.raises(ValueError, match="read-only"):
            held.labels("u")[0] = 1
        # the data set itself is as it was
        assert held_out(held, None).labels("u").tolist() == frames_of("u")

    def test_validation_hides_the_unseen_group_only(self, kitchen):
        held = held_out(kitchen(validation=0.3), Holdout(("cut egg",), ("hold egg",)))
        assert (set(held.train), held.validation) == ({"u", "w"}, ("v",))
        assert held.labels("v").tolist() == [-1] * 5 + [4] * 5
        assert held.labels("w").tolist() == [3] * 6 + [1] + [-1] * 4

    def test_drop_leaves_out_videos_and_hides_nothing_in_the_others(self, kitchen):
        held = held_out(kitchen(), Holdout(("cut ham",), (), "drop"))
        assert held.train == ("v",)
        assert held.labels("v").tolist() == frames_of("v")
        held.check()

    def test_classes_by_number(self, kitchen):
        assert kitchen(holdout=[2, "cut ham"]).unseen == (2, 1)
        with refused("data.holdout"):
            kitchen(holdout=[5])

    def test_drop_that_leaves_nothing(self, kitchen):
        with refused("holdout.mode"):
            held_out(kitchen(), Holdout(("cut ham",), ("cut egg",), "drop"))

    def test_oracle_hides_nothing_and_keeps_the_groups(self, kitchen):
        held = held_out(kitchen(validation=0.3), Holdout(("cut egg",), ("hold egg",), "oracle"))
        for name in (*held.train, *held.validation, *held.test):
            assert held.labels(name).tolist() == frames_of(name)
        assert (held.seen, held.unseen, held.validation_unseen) == ((0, 1, 3), (2,), (4,))
        assert (held.learned, held.hidden) == ((0, 1, 2, 3, 4), ())
        held.check()

    def test_statistics_count_seen_frames_only(self, kitchen):
        held = held_out(kitchen(), Holdout(("cut ham",), ("hold egg",)))
        assert held.training_counts.tolist() == [5, 0, 9, 6, 0]
        assert held.class_counts(held.test).tolist() == [0, 2, 2, 2, 2]
        # u: rest, rest again; v: cut egg; w: hold ham, cut egg
        assert mean_transcript_length(map(held.labels, held.train)) == pytest.approx(5 / 3)

    def test_videos_are_dealt_out_again(self, kitchen):
        held = held_out(kitchen(), Holdout(("cut ham",), train_videos=("x", "v"), test_videos=("u",)))
        assert (held.train, held.test) == (("x", "v"), ("u",))
        assert held.labels("x").tolist() == [-1, -1, 2, 2, 3, 3, 4, 4]
        assert held.labels("u").tolist() == frames_of("u")

    @pytest.mark.parametrize(
        ("videos", "place"),
        [
            ({"train_videos": ("u", "vv")}, "holdout.train_videos"),
            ({"test_videos": ("u",)}, "holdout.test_videos"),
            ({"train_videos": ("x",)}, "holdout.test_videos"),
        ],
    )
    def test_videos_that_do_not_fit(self, kitchen, videos, place):
        with refused(place):
            kitchen().videos_of(Holdout(("cut ham",), **videos))


def test_an_unlabelled_video_of_a_tested_person_is_not_trained_on(tmp_path):
    labels = {name: ["rest", "cut ham", "cut egg"] for name in ("p1", "p2", "p3a", "p3b")}
    labels["p3a"] = ["?"] * 3
    features = {name: np.eye(3, dtype=np.float32) for name in labels}
    write_dataset(tmp_path, NAMES, labels, features, train=["p1", "p2", "p3a"], test=["p3b"])
    config = DataConfig(root=str(tmp_path), layout="TD", groups=r"p(\d)", validation=0.3)
    with refused("data.groups"):
        held_out(Dataset.open(config), Holdout(("cut ham",), test_videos=("p3b",)))


@pytest.mark.parametrize("setting", ["A", "B", "new_word_ham", "new_word_baked_egg"])
def test_kscgr_settings_are_sound(kscgr, setting):
    path = kscgr / "zero_shot" / f"{setting}.json"
    held = Dataset.open(DataConfig(name="kscgr", root=str(kscgr), split=5, holdout=f"zero_shot/{setting}.json"))
    held.check()
    values = json.loads(path.read_text())
    assert sorted((*held.train, *held.validation)) == sorted(values["train_videos"])
    assert list(held.test) == values["test_videos"]
    assert len(held.validation) == 3
    # every validation-unseen class is there to choose by, and no unseen one
    counts = held.class_counts(held.validation)
    assert counts[list(held.validation_unseen)].min() > 0
    assert counts[list(held.unseen)].sum() == 0
    assert held.training_counts[[*held.unseen, *held.validation_unseen]].sum() == 0
    assert held.class_counts(held.test)[list(held.unseen)].min() > 0


COMPOSITIONAL = ["sntft", "sntn5", "sshc2", "sshc4", "sntsbwn"]
SCREWS = ("sshc1dh", "sshc2dh", "sshc3dh", "sshc4dh")
LOST = {
    **dict.fromkeys(SCREWS, (("tool", "hex screwdriver"),)),
    **dict.fromkeys(("sftg1", "sftg1ws"), (("target", "gear plate hole 1"),)),
    **dict.fromkeys(("sftg2", "sntn5wn"), ()),
    "iglft": (("object", "large gear"),),
    "isbn3": (("target", "general plate hole 3"),),
}


@pytest.fixture(scope="module")
def tasks() -> Vocabulary:
    """Return the vocabulary of the 75 primitive tasks of HA-ViD."""
    return Vocabulary.from_names(havid_tasks(), ("null",), havid.factors, havid.SLOTS)


def test_the_published_havid_holdout_is_not_compositional_and_the_later_one_is(tasks):
    assert lost_factors(tasks, list(LOST)) == LOST
    assert lost_factors(tasks, COMPOSITIONAL) == dict.fromkeys(COMPOSITIONAL, ())
    for code in SCREWS:  # each alone would be
        assert lost_factors(tasks, [code]) == {code: ()}


WORDS = ("cut ham", "cut egg", "cut roe", "hold ham", "hold egg", "hold jar", "rest")
KITCHEN = Vocabulary.from_names(
    WORDS, ("rest",), lambda name: (None, None) if name == "rest" else tuple(name.split()), ("verb", "object")
)


def test_a_class_without_training_frames_shows_nothing():
    assert lost_factors(KITCHEN, ["cut ham"]) == {"cut ham": ()}
    assert lost_factors(KITCHEN, ["cut ham"], [9, 9, 9, 0, 9, 9, 9]) == {"cut ham": (("object", "ham"),)}
    # an unseen class has none either, and is judged all the same
    assert lost_factors(KITCHEN, ["cut ham"], [0, 9, 9, 9, 9, 9, 9]) == {"cut ham": ()}


def test_rank_counts_the_other_classes_that_show_the_rarest_factor():
    supports = {support.name: support for support in rank(KITCHEN)}
    assert supports == {
        "cut ham": Support("cut ham", 1, ("object", "ham"), 1),
        "cut egg": Support("cut egg", 1, ("object", "egg"), 1),
        "hold ham": Support("hold ham", 1, ("object", "ham"), 1),
        "hold egg": Support("hold egg", 1, ("object", "egg"), 1),
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


def test_support_counts_well_filled_classes():
    rich, poor = [50] * 7, [50, 50, 50, 9, 50, 50, 50]  # "hold ham" has too few frames
    assert [row.well_filled for row in rank(KITCHEN, counts=poor, segments=rich) if row.name == "cut ham"] == [0]
    assert [row.well_filled for row in rank(KITCHEN, counts=rich, segments=poor) if row.name == "cut ham"] == [1]
    assert resting_on_one(KITCHEN, ["cut ham", "cut roe"], rich, rich) == {
        "cut ham": {("verb", "cut"): "cut egg", ("object", "ham"): "hold ham"},
        "cut roe": {("verb", "cut"): "cut egg"},  # no class has "roe"
    }
    assert resting_on_one(KITCHEN, ["cut egg"], poor, rich) == {"cut egg": {("object", "egg"): "hold egg"}}
    assert resting_on_one(KITCHEN, ["cut ham"], poor, rich) == {"cut ham": {("object", "ham"): "hold ham"}}


def test_factors_that_last_in_two_classes_are_preferred():
    names = [f"{verb} {noun}" for noun in ("a", "b", "c") for verb in ("cut", "hold", "wash")] + ["cut d", "hold d"]
    words = Vocabulary.from_names(names, factors=lambda name: tuple(name.split()), slots=("verb", "object"))
    for seed in range(5):
        chosen = select(words, 3, seed=seed).unseen  # one of each noun, so that two classes have each word
        assert {name.split()[1] for name in chosen} == {"a", "b", "c"}
        assert not any(resting_on_one(words, chosen).values())


def test_every_factor_that_would_rest_on_one_class_counts():
    """Without "cut ham" both its words rest on one class, without any other class one word does."""
    names = ("cut ham", "cut egg", "hold ham", "hold egg", "hold jar", "wash jar", "wash egg")
    words = Vocabulary.from_names(names, factors=lambda name: tuple(name.split()), slots=("verb", "object"))
    assert {name: FactorSupport(words, ()).missing([name], without=name) for name in names} == {
        "cut ham": 2, "cut egg": 1, "hold ham": 1, "hold egg": 0, "hold jar": 1, "wash jar": 2, "wash egg": 1,
    }  # fmt: skip
    assert {select(words, 1, seed=seed).unseen for seed in range(5)} == {("hold egg",)}


def test_a_class_that_takes_much_of_a_video_is_held_out_late():
    verbs, nouns = ("cut", "hold", "wash"), ("ham", "egg", "jar")
    names = [f"{verb} {noun}" for verb in verbs for noun in nouns]
    words = Vocabulary.from_names(names, factors=lambda name: tuple(name.split()), slots=("verb", "object"))
    videos = np.full((2, 9), 10)
    videos[1, :6] = 100  # each of six classes is a sixth of a video: one may be hidden, two may not
    large = set(names[:6])
    seeds = range(20)
    assert {len(large & set(select(words, 2, seed=seed, videos=videos).unseen)) for seed in seeds} == {1}
    assert {len(large & set(select(words, 2, seed=seed).unseen)) for seed in seeds} == {1, 2}


def test_a_class_with_a_twin_is_the_last_to_be_held_out():
    table = {"cut ham": ("cut", "ham"), "cut more ham": ("cut", "ham"), "cut egg": ("cut", "egg")}
    table |= {"hold egg": ("hold", "egg"), "hold ham": ("hold", "ham")}
    words = Vocabulary.from_names(list(table), factors=table, slots=("verb", "object"))
    for seed in range(9):
        assert not {"cut ham", "cut more ham"} & set(select(words, 1, seed=seed).unseen)


def test_any_class_can_be_taken():
    holdout = select(KITCHEN, 5, min_support=0)
    assert len(holdout.unseen) == 5
    assert any(lost_factors(KITCHEN, holdout.unseen).values())


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
    with refused("holdout"):
        select(KITCHEN, 3)


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
