"""Object columns: listed in a file, or found in the features."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from fact_clip.config import Config, ObjectData
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.object_detection import changes, correlation, detect, detect_sure, find_columns, name_objects
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.text.grammar import Grammar

from ..refusals import refused

KITCHEN = Vocabulary.from_names(
    ("rest", "cut ham with knife", "hold baked egg"),
    ("rest",),
    {"rest": (None,) * 3, "cut ham with knife": ("cut", "ham", "knife"), "hold baked egg": ("hold", "baked egg", None)},
    ("verb", "object", "tool"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "objects.txt").write_text("ham\nbaked_egg\n\nknife\r\nperson\n")
    return tmp_path


def read(root, **keys):
    return ObjectColumns.from_file(ObjectData(file="objects.txt", **keys), root, KITCHEN)


def test_blocks_by_hand(root):
    found = read(root, blocks=(1, 2), fixed=("person",))
    assert found.names == ("ham", "baked egg", "knife", "person")
    # 0-3 the first value of each object, 4-11 two values of each, object by object
    assert found.columns == ((0, 4, 5), (1, 6, 7), (2, 8, 9), (3, 10, 11))
    assert found.fixed == (2, 3)  # the knife is the word of a tool
    assert found.slot == 1
    assert found.check(12) is found
    assert found.kinds().tolist() == [0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 1, 2]
    with refused("data.objects.blocks"):
        found.check(10)


def test_names_of_objects_are_read_in_any_case(root):
    (root / "objects.txt").write_text("Ham\nbaked egg\nKnife\nPerson\n")
    found = read(root, blocks=(1, 2), fixed=("Person",))
    assert (found.names, found.fixed) == (("ham", "baked egg", "knife", "Person"), (2, 3))


def test_context_columns_stand_behind_as_whole_copies(root):
    found = read(root, blocks=(1, 1))
    assert found.columns[1] == (1, 5)
    assert found.with_context(3)[1] == (1, 5, 9, 13, 17, 21)  # the columns, their means, their deviations
    assert found.with_context(1) == found.columns
    # each object has the same kind of value in the same place
    columns = np.array(found.with_context(3))
    assert (np.diff(columns, axis=0) == 1).all()
    assert sorted(columns.ravel().tolist()) == list(range(24))


def test_kscgr(kscgr):
    config = ObjectData(file="objects.txt", blocks=(1, 1, 2, 2), fixed=("person",))
    names = ["no action", "cut ham with knife"]
    vocabulary = Vocabulary.from_names(
        names, names[:1], {names[0]: (None,) * 3, names[1]: ("cut", "ham", "knife")}, ("verb", "object", "tool")
    )
    found = ObjectColumns.from_file(config, kscgr, vocabulary)
    width = np.load(next((kscgr / "features").glob("*.npy")), mmap_mode="r").shape[1]
    assert found.check(width).kinds().shape == (width,)
    assert {found.names[at] for at in found.fixed} == {"person", "knife"}


def test_the_example_of_the_docs(tmp_path):
    """docs/names.md, 'Example of an object columns file'."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "names.md").read_text(encoding="utf-8")
    part = page.split("### Example of an object columns file")[1]
    names = re.search(r"`ROOT/objects.txt` contains (.*?), one per line", part, re.DOTALL)
    recipe = re.search(r"```yaml\n(.*?)```", part, re.DOTALL)
    assert names is not None
    assert recipe is not None
    (tmp_path / "objects.txt").write_text("\n".join(re.findall(r"`(\w+)`", names[1])))
    config = Config.from_tree({key: value for key, value in yaml.safe_load(recipe[1]).items() if key != "base"}, "docs")
    grammar = Grammar(str(config.data.grammar))
    vocabulary = Vocabulary.from_names(
        ["lift kettle", "open coffee jar", "stir cup with spoon"], (), grammar, grammar.slots
    )
    objects = ObjectColumns.from_file(config.data.objects, tmp_path, vocabulary)
    assert objects.names == ("cup", "kettle", "coffee jar", "spoon")
    assert objects.columns == ((0, 4, 5), (1, 6, 7), (2, 8, 9), (3, 10, 11))
    assert (objects.fixed, objects.width) == ((3,), 12)


# Three objects in the columns (0, 4, 5), (1, 6, 7) and (2, 8, 9): there or not, and two values; column 3 never changes,
# column 10 is other than zero exactly where the second object moves, column 11 is noise.
PLACES = ((0, 4, 5), (1, 6, 7), (2, 8, 9))


def scene(frames: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (T, 12), and the object that moves in each frame (-1: none); one moves at a time, all can rest."""
    random = np.random.default_rng(seed)
    features, mover = np.zeros((frames, 12), dtype=np.float32), np.repeat(random.integers(-1, 3, frames // 10), 10)
    features[:, 3], features[:, 11] = 7, random.integers(0, 2, frames)
    for number, (seen, x, y) in enumerate(PLACES):
        there = np.repeat(random.random(frames // 20) < 0.7, 20) | (mover == number)
        place = 1 + np.cumsum(random.random((frames, 2)) * (mover == number)[:, None], axis=0)
        features[:, [seen]] = there[:, None]
        features[:, [x, y]] = there[:, None] * place
        if number == 1:
            features[1:, 10] = (mover[1:] == 1) & there[:-1]
    return features, mover


def test_correlation_is_that_of_all_frames_together():
    random = np.random.default_rng(1)
    one, two = random.normal(size=(30, 3)), random.normal(size=(30, 2))
    two[:, 0] += one[:, 1]
    found = correlation([(one[:12], two[:12]), (one[12:], two[12:])])
    np.testing.assert_allclose(found, np.corrcoef(one.T, two.T)[:3, 3:], atol=1e-12)
    assert correlation([(np.ones((4, 1)), two[:4])]).tolist() == [[0.0, 0.0]]  # a constant goes with nothing


def test_changes_by_hand():
    features = np.array([[0, 1, 5], [0, 1, 5], [2, 1, 5], [2, 0, 5]], dtype=np.float16)
    assert changes(features, ((0, 1), (2,))).tolist() == [[False, False], [False, False], [True, False], [True, False]]


def test_columns_that_come_and_go_together_are_one_object():
    videos = [scene(seed=seed)[0] for seed in range(3)]
    # The column that tells the second object's motion joins it; then three columns are still the commonest number.
    assert find_columns(lambda: iter(videos)) == (PLACES[0], PLACES[2])
    without = [np.delete(video, 10, axis=1) for video in videos]
    assert find_columns(lambda: iter(without)) == PLACES
    assert find_columns(lambda: iter([np.random.default_rng(0).normal(size=(50, 6))])) == ()


def test_an_object_has_the_word_in_whose_frames_it_moves():
    words = ("nobody", "third", "first", "second")
    videos = []
    for seed in range(3):
        features, mover = scene(seed=seed)
        said = np.stack([mover == 9, mover == 2, mover == 0, mover == 1], axis=1)
        labelled = np.ones(len(mover), dtype=bool)
        # What is ignored has no say: here the words are wrong.
        labelled[:100] = False
        said[:100] = said[:100, ::-1]
        videos.append((features, said, labelled))
    assert name_objects(PLACES, iter(videos), words)[0] == ("first", "second", "third")
    unsaid = [(features, said & np.array([True, True, True, False]), labelled) for features, said, labelled in videos]
    assert name_objects(PLACES, iter(unsaid), words)[0] == ("first", "", "third")


class _Videos:
    vocabulary = Vocabulary.from_names(
        ("rest", "move a", "move b with a"),
        ("rest",),
        {"rest": (None,) * 3, "move a": ("move", "a", None), "move b with a": ("move", "b", "a")},
        ("verb", "object", "tool"),
    )
    train, learning, input_dim = ("u", "v"), ("u", "v", "w"), 11

    def __init__(self) -> None:
        self._scenes = {name: scene(seed=seed) for seed, name in enumerate("uvw")}

    def features(self, name):
        return np.delete(self._scenes[name][0], 10, axis=1)

    def labels(self, name):
        # The third object moves unlabelled; the validation video's labels are not asked for.
        assert name in self.train
        return np.array([0, 1, 2, -1])[self._scenes[name][1] + 1]

    @property
    def training_videos(self):
        return ((self.features(name), self.labels(name)) for name in self.train)

    @property
    def training_counts(self):
        labels = np.concatenate([self.labels(name) for name in self.train])
        return np.bincount(labels[labels >= 0], minlength=3)


def test_columns_are_found_and_named():
    found = detect(_Videos())
    assert (found.names, found.columns) == (("a", "b", ""), PLACES)
    assert found.fixed == (0, 2)  # a is a tool too, and nobody knows the third
    assert (found.slot, found.width) == (1, 11)
    assert found.check(11) is found
    # columns of no object are kinds of their own
    assert found.kinds().tolist() == [0, 0, 0, 6, 1, 2, 1, 2, 1, 2, 13]
    assert found.with_context(2)[1] == (1, 6, 7, 12, 17, 18)


class Dense(_Videos):
    """Columns that are never zero."""

    def features(self, name):
        return np.random.default_rng(0).normal(size=(400, 11))


class Unrelated(_Videos):
    """Objects that move at other times than the labels say."""

    def labels(self, name):
        return np.random.default_rng(0).integers(0, 3, 400)


def test_objects_show_where_words_surely_go_with_them():
    assert detect_sure(_Videos()) == detect(_Videos())
    assert detect_sure(Dense()) is None
    assert detect_sure(Unrelated()) is None


def test_features_without_objects_are_refused():
    with refused("data.objects.file"):
        detect(Dense())


@pytest.mark.parametrize("setting", ["A", "B"])
def test_the_objects_of_kscgr(kscgr, setting):
    """Of each word that training shows the object found is the one that the data's own list has."""
    config = Config.load("kscgr_zero_shot_plain", [f"data.root={kscgr}", f"data.holdout=zero_shot/{setting}.json"])
    dataset = Dataset.open(config.data)
    found = detect(dataset)
    listed = [line.replace("_", " ") for line in (kscgr / "objects.txt").read_text().split()]
    # column 0 to 29: there or not, in the order of the list; table and stove are always there
    assert [row[0] for row in found.columns] == list(range(28))
    assert [len(row) for row in found.columns] == [6] * 28
    named = [(name, listed[row[0]]) for name, row in zip(found.names, found.columns, strict=True) if name]
    assert all(name == true for name, true in named)
    counts, slot = dataset.training_counts, dataset.vocabulary.slots.index("object")
    shown = {entry[slot] for entry, count in zip(dataset.vocabulary.factors, counts, strict=True) if count} - {None}
    assert {name for name, _ in named} == shown
