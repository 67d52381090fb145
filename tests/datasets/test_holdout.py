from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import AugmentConfig, DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset, carve_covering
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.holdout import Holdout, check_leak
from fact_clip.datasets.loader import training_batches

from ..refusals import refused

NAMES = ("rest", "cut ham", "cut egg", "hold ham", "hold egg")
# Runs of class indices, and the part of the split, of each video.
VIDEOS = {
    "u": ([(0, 3), (1, 4), (0, 2)], "train"),
    "v": ([(2, 5), (4, 5)], "train"),
    "w": ([(3, 6), (1, 1), (2, 4)], "train"),
    "x": ([(1, 2), (2, 2), (3, 2), (4, 2)], "test"),
}


def frames_of(name: str) -> list[int]:
    return [label for label, length in VIDEOS[name][0] for _ in range(length)]


@pytest.fixture
def kitchen(tmp_path: Path) -> Callable[..., Dataset]:
    """Open a data set of four videos; keys of DataConfig as arguments."""
    for folder in ("groundTruth", "features", "splits"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(NAMES)))
    for name in VIDEOS:
        labels = frames_of(name)
        (tmp_path / "groundTruth" / f"{name}.txt").write_text("\n".join(NAMES[label] for label in labels))
        np.save(tmp_path / "features" / f"{name}.npy", np.eye(len(labels), 3, dtype=np.float32))
    for part in ("train", "test"):
        names = [name for name, (_, own) in VIDEOS.items() if own == part]
        (tmp_path / "splits" / f"{part}.split1.bundle").write_text("\n".join(names))
    common = {"root": str(tmp_path), "layout": "TD", "validation": 0.0, "background": ("rest",)}
    return lambda **keys: Dataset.open(DataConfig.model_validate({**common, **keys}))


class TestHoldout:
    def test_file_of_the_shared_settings(self, shared):
        holdout = Holdout.read(shared / "data" / "kscgr" / "zero_shot" / "A.json")
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
        "holdout",
        [
            Holdout(("cut jalapeño",)),
            Holdout(("a", "b"), ("c",), "drop", ("u", "v"), ("x",)),
        ],
    )
    def test_what_is_saved_is_read_back(self, holdout, tmp_path):
        assert Holdout.read(holdout.save_json(tmp_path / "holdout.json")) == holdout
        assert "train_videos" not in Holdout(("a",)).to_dict()

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("{", "holdout.json:1"),
            ("3", "holdout.json"),
            ('{"seen": []}', "holdout.json"),
            ('{"unseen": []}', "holdout.json"),
            ('{"unseen": "cut ham"}', "holdout.json"),
            ('{"unseen": [1]}', "holdout.json"),
            ('{"unseen": ["a"], "validation_unsen": ["b"]}', "holdout.json"),
            ('{"unseen": ["a"], "mode": "hide"}', "holdout.json"),
            (
                '{"unseen": ["a"], "mode": "show"}',
                "holdout.json",
            ),
            ('{"unseen": ["a", "a"]}', "holdout.json"),
            (
                '{"unseen": ["a"], "validation_unseen": ["a"]}',
                "holdout.json",
            ),
            (
                '{"unseen": ["a"], "train_videos": ["v"], "test_videos": ["v"]}',
                "holdout.json",
            ),
        ],
    )
    def test_faulty_files(self, text, place, tmp_path):
        (tmp_path / "holdout.json").write_text(text)
        with refused(place):
            Holdout.read(tmp_path / "holdout.json")
        with refused("none.json"):
            Holdout.read(tmp_path / "none.json")

    @pytest.mark.parametrize(
        ("holdout", "place"),
        [
            (Holdout(("cut hem",)), "holdout.unseen"),
            (Holdout(("cut ham",), ("egg",)), "holdout.validation_unseen"),
            (Holdout(("rest",)), "holdout.unseen"),
            (Holdout(NAMES[1:]), "holdout"),
        ],
    )
    def test_names_are_held_to_the_vocabulary(self, holdout, place):
        with refused(place):
            holdout.check(Vocabulary.from_names(NAMES, ("rest",)))


class TestHeldOutClasses:
    def test_mask_hides_both_groups_in_training_and_none_in_test(self, kitchen):
        held = kitchen().with_holdout(Holdout(("cut ham",), ("hold egg",)))
        assert (held.train, held.validation, held.test) == (("u", "v", "w"), (), ("x",))
        assert held.labels("u").tolist() == [0, 0, 0, -1, -1, -1, -1, 0, 0]
        assert held.labels("v").tolist() == [2] * 5 + [-1] * 5
        assert held.labels("x").tolist() == frames_of("x")
        assert (held.seen, held.unseen, held.validation_unseen) == ((0, 2, 3), (1,), (4,))
        with pytest.raises(ValueError, match="read-only"):
            held.labels("u")[0] = 1
        # the data set itself is as it was
        assert held.with_holdout(None).labels("u").tolist() == frames_of("u")

    def test_validation_hides_the_unseen_group_only(self, kitchen):
        held = kitchen(validation=0.3).with_holdout(Holdout(("cut egg",), ("hold egg",)))
        assert (set(held.train), held.validation) == ({"u", "w"}, ("v",))
        assert held.labels("v").tolist() == [-1] * 5 + [4] * 5
        assert held.labels("w").tolist() == [3] * 6 + [1] + [-1] * 4

    def test_drop_leaves_out_videos_and_hides_nothing_in_the_others(self, kitchen):
        held = kitchen().with_holdout(Holdout(("cut ham",), (), "drop"))
        assert held.train == ("v",)
        assert held.labels("v").tolist() == frames_of("v")
        held.check()

    def test_classes_by_number(self, kitchen):
        assert kitchen(holdout=[2, "cut ham"]).unseen == (2, 1)
        with refused("data.holdout"):
            kitchen(holdout=[5])

    def test_drop_that_leaves_nothing(self, kitchen):
        with refused("holdout.mode"):
            kitchen().with_holdout(Holdout(("cut ham",), ("cut egg",), "drop"))

    def test_oracle_hides_nothing_and_keeps_the_groups(self, kitchen):
        held = kitchen(validation=0.3).with_holdout(Holdout(("cut egg",), ("hold egg",), "oracle"))
        for name in (*held.train, *held.validation, *held.test):
            assert held.labels(name).tolist() == frames_of(name)
        assert (held.seen, held.unseen, held.validation_unseen) == ((0, 1, 3), (2,), (4,))
        assert (held.learned, held.hidden) == ((0, 1, 2, 3, 4), ())
        held.check()

    def test_statistics_count_seen_frames_only(self, kitchen):
        held = kitchen().with_holdout(Holdout(("cut ham",), ("hold egg",)))
        assert held.class_counts().tolist() == [5, 0, 9, 6, 0]
        assert held.class_counts(held.test).tolist() == [0, 2, 2, 2, 2]
        # u: rest, rest again; v: cut egg; w: hold ham, cut egg
        assert held.mean_transcript_length(held.train) == pytest.approx(5 / 3)
        with refused("videos"):
            held.mean_transcript_length([])

    def test_batches_ignore_what_is_masked(self, kitchen):
        held = kitchen().with_holdout(Holdout(("cut ham",), ("hold egg",)))
        transform = FeatureTransform.fit((held.features(name) for name in held.train), (), False)
        (batch,) = training_batches(held, held.train, transform, AugmentConfig(), 3, 0, 0, 1)
        assert set(batch.labels.unique().tolist()) == {-1, 0, 2, 3}

    def test_what_does_not_depend_on_classes_is_the_data_set_s(self, kitchen):
        dataset = kitchen(fps=7)
        held = dataset.with_holdout(Holdout(("cut ham",)))
        assert (held.root, held.fps, held.layout, held.input_dim) == (dataset.root, 7.0, "TD", 3)
        held.check()

    def test_videos_are_dealt_out_anew(self, kitchen):
        held = kitchen().with_holdout(Holdout(("cut ham",), train_videos=("x", "v"), test_videos=("u",)))
        assert (held.train, held.test) == (("x", "v"), ("u",))
        assert held.labels("x").tolist() == [-1, -1, 2, 2, 3, 3, 4, 4]
        assert held.labels("u").tolist() == frames_of("u")

    @pytest.mark.parametrize(
        ("videos", "place"),
        [
            ({"train_videos": ("u", "vv")}, "holdout.train_videos"),
            ({"test_videos": ("y",)}, "holdout.test_videos"),
            ({"test_videos": ("u",)}, "holdout.test_videos"),
            ({"train_videos": ("x",)}, "holdout.test_videos"),
        ],
    )
    def test_videos_that_do_not_fit(self, kitchen, videos, place):
        with refused(place):
            kitchen().videos_of(Holdout(("cut ham",), **videos))


def test_a_leak_names_video_and_frame(kitchen):
    dataset = kitchen()
    labels = {name: dataset.labels(name) for name in dataset.train}
    with refused("training video 'v'"):
        check_leak(labels, dataset.vocabulary, (2, 4))
    check_leak({"u": labels["u"]}, dataset.vocabulary, (2, 4))
    with refused("training video 'w'"):
        check_leak({name: labels[name] for name in "vw"}, dataset.vocabulary, (1,))


class TestCarving:
    def test_covers_validation_unseen_classes_first_then_spares_seen_ones(self):
        frames = {
            "a": {0: 9, 5: 1},
            "b": {0: 9, 6: 2},
            "c": {0: 9, 5: 3, 6: 1, 1: 1},
            "d": {0: 9, 2: 1},
            "e": {0: 9},
        }
        names = tuple(frames)
        # c has both; then only d would take a seen class away; of a, b and e, b has most of the group
        assert carve_covering(names, 0.2, frames, {0, 1, 2}, {5, 6}) == ("c",)
        assert carve_covering(names, 0.4, frames, {0, 1, 2}, {5, 6}) == ("b", "c")
        assert carve_covering(names, 0.6, frames, {0, 1, 2}, {5, 6}) == ("a", "b", "c")
        assert "d" not in carve_covering(names, 0.8, frames, {0, 1, 2}, {5, 6})

    def test_depends_on_neither_order_nor_a_seed(self):
        frames = {name: {0: 1} for name in "abcdefgh"}
        forward = carve_covering(tuple("abcdefgh"), 0.25, frames, {0}, set())
        assert len(forward) == 2
        assert set(carve_covering(tuple("hgfedcba"), 0.25, frames, {0}, set())) == set(forward)

    def test_parts_are_disjoint_and_each_covers_what_is_left(self):
        frames = {"a": {5: 1}, "b": {5: 2}, "c": {5: 3, 6: 1}, "d": {6: 1}, "e": {0: 9}}
        parts = [carve_covering(tuple(frames), 0.4, frames, {0}, {5, 6}, part) for part in range(3)]
        # of a, d and e, left for part 1, a and d have the classes; there are two whole parts of two
        assert parts == [("b", "c"), ("a", "d"), ("b", "c")]
        assert carve_covering(tuple(frames), 0.0, frames, {0}, {5, 6}, 1) == ()

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.01, 1), (0.5, 1), (0.99, 1)])
    def test_leaves_one_to_train(self, share, expected):
        assert len(carve_covering(("a", "b"), share, {"a": {0: 1}, "b": {0: 1}}, {0}, set())) == expected


@pytest.mark.parametrize("setting", ["A", "B", "new_word_ham", "new_word_baked_egg"])
def test_kscgr_settings_are_sound(shared, setting):
    root = shared / "data" / "kscgr"
    path = root / "zero_shot" / f"{setting}.json"
    held = Dataset.open(DataConfig(name="kscgr", root=str(root), split=5, holdout=f"zero_shot/{setting}.json"))
    held.check()
    values = json.loads(path.read_text())
    assert sorted((*held.train, *held.validation)) == sorted(values["train_videos"])
    assert list(held.test) == values["test_videos"]
    assert len(held.validation) == 3
    # every validation-unseen class is there to choose by, and no unseen one
    counts = held.class_counts(held.validation)
    assert counts[list(held.validation_unseen)].min() > 0
    assert counts[list(held.unseen)].sum() == 0
    assert held.class_counts()[[*held.unseen, *held.validation_unseen]].sum() == 0
    assert held.class_counts(held.test)[list(held.unseen)].min() > 0
