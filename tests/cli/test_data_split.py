"""fact-clip data split: from names to lists."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset

from ..refusals import refused_line
from ..small import write_dataset


@pytest.fixture
def data(tmp_path):
    """Three people with two takes each; subject 2 alone stirs."""
    acts = {1: "pour", 2: "stir", 10: "pour"}
    labels = {f"subj{person}_{take}": ["idle"] * 10 + [act] * 10 for person, act in acts.items() for take in "ab"}
    write_dataset(tmp_path, ("idle", "pour", "stir"), labels, dict.fromkeys(labels, np.ones((20, 3))))
    (tmp_path / "splits").rmdir()
    return tmp_path


def test_a_split_for_each_subject(fact_clip, data):
    answer = fact_clip("data", "split", data, "--leave-out", "subject", "--pattern", r"subj(\d+)")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "split  train  test  tested_groups",
        "    1      4     2  1",
        "    2      4     2  2",
        "    3      4     2  10",
    ]
    assert answer.err.splitlines() == [
        f"written: train.splitN.bundle and test.splitN.bundle in {data}/splits, N up to 3",
        "put this into the recipe, so that validation uses whole groups if there are enough: "
        r'data: {groups: "subj(\\d+)"}',
    ]
    assert (data / "splits/test.split3.bundle").read_text() == "subj10_a\nsubj10_b\n"
    assert (data / "splits/train.split3.bundle").read_text() == "subj1_a\nsubj1_b\nsubj2_a\nsubj2_b\n"
    # the line for the recipe is one that it takes
    (data / "mine.yaml").write_text(
        "base: folder\n" + answer.err.split("enough: ")[1].replace("data: {", "data: {root: ., ")
    )
    dataset = Dataset.open(Config.load(data / "mine.yaml").data)
    assert dataset.config.groups == r"subj(\d+)"
    assert len(dataset.validation) == 1  # two groups are too few, so a single video is used


def test_a_word_does_not_find_groups(fact_clip, data):
    """`--leave-out day` of names that show subjects would leave out subjects."""
    answer = fact_clip("data", "split", data, "--leave-out", "day")
    assert r"as 'subj(\\d+)' for persons" in refused_line(answer, "--pattern")
    assert not (data / "splits").exists()


def test_splits_as_json(fact_clip, data):
    answer = fact_clip("data", "split", data, "--leave-out", "subject", "--pattern", r"subj(\d+)", "--json")
    result = json.loads(answer.out)
    assert result["groups"] == r"subj(\d+)"
    assert result["splits"]["2"] == {
        "train": ["subj1_a", "subj1_b", "subj10_a", "subj10_b"],
        "test": ["subj2_a", "subj2_b"],
        "tested_groups": ["2"],
    }


def test_folds_and_a_share(fact_clip, data):
    answer = fact_clip("data", "split", data, "--folds", 3)
    assert answer.code == 0
    assert "the names suggest 3 persons, who may be in both parts" in answer.err
    tested = [(data / f"splits/test.split{number}.bundle").read_text().split() for number in (1, 2, 3)]
    assert [len(names) for names in tested] == [2, 2, 2]
    assert len({name for names in tested for name in names}) == 6
    again = fact_clip("data", "split", data, "--test", 0.2)
    refused_line(again, "splits")
    (data / "features/subj10_b.npy").unlink()
    answer = fact_clip("data", "split", data, "--test", 0.2, "--pattern", r"(\d+)_", "--overwrite")
    assert answer.code == 0
    assert "left out, because they have no features: subj10_b" in answer.err
    assert sorted(path.name for path in (data / "splits").iterdir()) == ["test.split1.bundle", "train.split1.bundle"]
    # subject 10, with one video of five, is exactly a fifth; the hash of its number comes first
    assert (data / "splits/test.split1.bundle").read_text() == "subj10_a\n"


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--folds", 2, "--test", 0.5], "data split"),
        (["--folds", 9], "--folds"),
        (["--leave-out", "day", "--pattern", r"day(\d)"], "--pattern"),
    ],
)
def test_what_cannot_be_divided(arguments, place, fact_clip, data):
    answer = fact_clip("data", "split", data, *arguments)
    refused_line(answer, place)
    assert not (data / "splits").exists()
