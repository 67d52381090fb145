"""fact-clip data holdout: sets that stay compositional, and what is left."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.unseen.holdout import Holdout

from ..refusals import refused_line
from ..small import write_dataset


def test_nothing_chosen_is_an_error(workbench, fact_clip):
    refused_line(fact_clip("data", "holdout", workbench, "data.name=workbench"), "data holdout")


def test_a_choice_is_written_and_can_be_trained_with(workbench, fact_clip, tmp_path):
    out = tmp_path / "mine.json"
    command = ["data", "holdout", workbench, "data.name=workbench", "--count", 2, "--validation-count", 1, "--out", out]
    answer = fact_clip(*command)
    assert answer.code == 0
    assert answer.err == f"written: {out}; train with data.holdout={out}\n"
    assert "all parts of the held-out names occur" in answer.out
    holdout = Holdout.read(out)
    assert (len(holdout.unseen), len(holdout.validation_unseen)) == (2, 1)
    # the same set, looked at again from its file
    again = json.loads(fact_clip(*command[:4], "--file", out, "--json").out)
    assert again["holdout"] == holdout.to_dict()
    assert again["compositional"] is True
    dropped = json.loads(fact_clip(*command[:4], "data.holdout_mode=drop", "--file", out, "--json").out)
    assert dropped["holdout"]["mode"] == "drop"
    assert dropped["remains"]["videos"] < again["remains"]["videos"]
    refused_line(fact_clip(*command, "--seed", 1), "mine.json")
    assert Holdout.read(out) == holdout


def test_classes_without_support_are_taken_where_that_is_said(tmp_path, fact_clip):
    names = ["cut ham", "cut egg", "hold ham", "hold jar"]
    labels = {video: [name for name in names for _ in range(5)] for video in "ab"}
    features = {video: np.arange(60.0).reshape(20, 3) for video in labels}
    root = write_dataset(tmp_path / "data", names, labels, features, train=("a",), test=("b",))
    command = ["data", "holdout", root, "data.grammar={verb} {object}", "data.layout=TD", "--count", 2, "--json"]
    refused_line(fact_clip(*command), "holdout")
    answer = fact_clip(*command, "--min-support", 0)
    result = json.loads(answer.out)
    assert (answer.code, len(result["classes"]), result["compositional"]) == (0, 2, False)
    assert answer.err.startswith("fact-clip: warning: ")
    rests = [rest for row in result["classes"] for rest in row["on_one_class"]]
    assert {"factor": ["verb", "cut"], "class": "cut egg"} in rests
    refused_line(fact_clip(*command[:5], "--min-support", 0), "--min-support")


def test_what_occurs_only_in_some_videos_is_held_out(tmp_path, fact_clip):
    names = ["stir soup", "cut ham", "fry egg", "cut egg"]
    labels = {"a_1": names[:2] * 5, "b_1": names[1:3] * 5, "a_2": [names[0], names[3]] * 5, "b_2": [names[2]] * 10}
    features = {name: np.arange(30.0).reshape(10, 3) for name in labels}
    root = write_dataset(tmp_path / "data", names, labels, features, train=("a_1", "b_1"), test=("a_2", "b_2"))
    out = tmp_path / "a.json"
    answer = fact_clip("data", "holdout", root, "data.layout=TD", "--only-in", "^a_", "--out", out)
    assert answer.code == 0, answer.err
    assert Holdout.read(out) == Holdout(("stir soup", "cut egg"), train_videos=("b_1",), test_videos=("a_2",))
    with_background = fact_clip(
        "data", "holdout", root, "data.layout=TD", "data.background=[stir soup]", "--only-in", "^a_", "--json"
    )
    assert json.loads(with_background.out)["holdout"]["unseen"] == ["cut egg"]
    refused_line(fact_clip("data", "holdout", root, "data.layout=TD", "--only-in", "^c_"), "--only-in")
    refused_line(fact_clip("data", "holdout", root, "data.layout=TD", "--only-in", "("), "--only-in")


def test_an_own_folder_is_read_as_a_known_set(workbench, fact_clip, tmp_path):
    """By its recipe, by a grammar on the command line, by factors.csv, or by a guess that is told."""
    choice = ("--count", 3, "--json")
    known = json.loads(fact_clip("data", "holdout", workbench, "data.name=workbench", *choice).out)["holdout"]
    guessed = fact_clip("data", "holdout", workbench, *choice)
    assert json.loads(guessed.out)["holdout"] == known
    assert guessed.err.splitlines() == [
        'guessed by the names: data.background=["no action"]',
        'guessed by the names: data.grammar="{verb} {object} [with {tool}]"',
    ]
    settings = ["data.grammar={verb} {object} [with {tool}]", 'data.background=["no action"]']
    told = fact_clip("data", "holdout", workbench, *settings, *choice)
    assert (json.loads(told.out)["holdout"], told.err) == (known, "")
    for part in ("features", "splits", "groundTruth", "mapping.txt"):
        (tmp_path / part).symlink_to(workbench / part)
    (tmp_path / "recipe.yaml").write_text(
        'base: folder\ndata: {grammar: "{verb} {object} [with {tool}]", background: [no action]}\n'
    )
    by_recipe = fact_clip("data", "holdout", tmp_path, *choice)
    assert (json.loads(by_recipe.out)["holdout"], by_recipe.err) == (known, "")


def test_a_file_under_the_root_of_the_data(kscgr, fact_clip, tmp_path):
    settings = ["data.name=kscgr", "data.split=5", "--file", "zero_shot/A.json"]
    result = json.loads(fact_clip("data", "holdout", kscgr, *settings, "--json").out)
    assert result["compositional"] is True
    # counted apart, line by line; no video of A is without an unseen frame
    assert result["remains"] == {"videos": 21, "frames": 21593, "segments": 1105, "classes": 54}
    for name, n_videos in (("A", 0), ("B", 1)):
        tree = json.loads((kscgr / f"zero_shot/{name}.json").read_text())
        (tmp_path / "drop.json").write_text(json.dumps({**tree, "mode": "drop"}))
        dropped = fact_clip("data", "holdout", kscgr, *settings[:3], tmp_path / "drop.json", "--json")
        result = json.loads(dropped.out)
        assert (result["holdout"]["mode"], result["remains"]["videos"]) == ("drop", n_videos)
    text = fact_clip("data", "holdout", kscgr, *settings).out
    assert "mask                      21   21593      1105       54" in text
    assert "\ncut ham  " in text
    ham = json.loads(fact_clip("data", "holdout", kscgr, *settings[:3], "zero_shot/new_word_ham.json", "--json").out)
    assert ["object", "ham"] in ham["lost_factors"]


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (["--unseen", "no action"], "holdout.unseen"),
        (["--unseen", "grasp nut", "--count", 2], "data holdout"),
        (["--count", 40], "holdout"),
    ],
)
def test_what_cannot_be_held_out(options, place, workbench, fact_clip):
    answer = fact_clip("data", "holdout", workbench, "data.name=workbench", *options)
    refused_line(answer, place)
