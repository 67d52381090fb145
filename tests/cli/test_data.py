"""The commands that look after data sets."""

from __future__ import annotations

import json
import re
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench

from ..refusals import refused_line


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """A clean data set: each class is trained in each split."""
    return write_workbench(tmp_path_factory.mktemp("clean") / "data", videos=18, persons=3, dim=8)


@pytest.fixture
def copy(clean, tmp_path) -> Path:
    """A copy of it, to break."""
    return shutil.copytree(clean, tmp_path / "my data")


def test_check_says_nothing_of_a_clean_set(fact_clip, recipe, copy, monkeypatch):
    """A folder, a recipe and an entry by name; what was looked at goes to stderr."""
    monkeypatch.setenv("FACT_CLIP_DATA", str(copy.parent))
    copy = copy.rename(copy.parent / "workbench")
    for arguments in ([copy], [recipe, f"data.root={copy}"], ["workbench"]):
        answer = fact_clip("data", "check", *arguments)
        assert (answer.code, answer.out) == (0, "")
        assert answer.err.endswith("workbench: 18 videos, 3 splits, 23 classes, 8 columns; no faults found\n")


def test_check_prints_one_line_a_finding(fact_clip, copy):
    (copy / "features" / "person1_video1.npy").unlink()
    features = np.load(copy / "features" / "person2_video1.npy")
    features[12, 3] = np.nan
    np.save(copy / "features" / "person2_video1.npy", features)
    text = fact_clip("data", "check", copy)
    assert text.code == 1
    lines = text.out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", "features"], ["error", "not finite"]]
    assert "/person1_video1.npy" in lines[0]
    assert "nan in frame 12, column 3" in lines[1]
    assert text.err.endswith("; 2 errors, 0 notes\n")
    tree = fact_clip("data", "check", copy, "--json")
    result = json.loads(tree.out)
    assert (tree.code, result["videos"], result["splits"], result["columns"]) == (1, 18, ["1", "2", "3"], 8)
    assert [finding["kind"] for finding in result["findings"]] == ["features", "not finite"]
    assert (result["errors"], result["notes"], result["findings"][0]["severity"]) == (2, 0, "error")
    assert result["findings"][1]["where"] == str(copy / "features" / "person2_video1.npy")


def test_notes_are_no_errors(fact_clip, copy):
    """A class that nobody has and a video in no split are told, errors first, and a note alone is exit code 0."""
    with (copy / "mapping.txt").open("a") as file:
        file.write("23 polish gear\n")
    (copy / "groundTruth/more.txt").write_text("no action\n")
    answer = fact_clip("data", "check", copy)
    assert answer.code == 0
    assert [line.split(": ")[:2] for line in answer.out.splitlines()] == [
        ["note", "coverage"], ["note", "never trained"],
    ]  # fmt: skip
    assert "'more'" in answer.out
    assert "polish gear" in answer.out
    assert answer.err.endswith("; 0 errors, 2 notes\n")
    for number in range(5):  # five more that are in no split
        (copy / f"groundTruth/more{number}.txt").write_text("no action\n")
    lines = fact_clip("data", "check", copy).out.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["coverage"] * 3 + ["never trained", "coverage"]
    assert lines[-1] == "note: coverage: and 3 more (--json has all)"
    with (copy / "splits/train.split1.bundle").open("a") as file:
        file.writelines(f"nobody{number}\n" for number in range(120))
    lines = fact_clip("data", "check", copy).out.splitlines()
    assert sum(line.startswith("error: labels") for line in lines) == 101
    path = copy / "splits/train.split1.bundle"
    path.write_text(path.read_text().partition("nobody")[0])
    for number in range(5):
        (copy / f"groundTruth/more{number}.txt").unlink()
    (copy / "groundTruth" / "person2_video1.txt").unlink()
    answer = fact_clip("data", "check", copy, "--json")
    result = json.loads(answer.out)
    assert answer.code == 1
    assert [finding["severity"] for finding in result["findings"]] == ["error", "note", "note"]
    assert (result["errors"], result["notes"]) == (1, 2)


def test_summary_prints_tables_or_json(fact_clip, copy):
    text = fact_clip("data", "summary", copy, "data.name=workbench")
    assert text.code == 0
    result = json.loads(fact_clip("data", "summary", copy, "data.name=workbench", "--json").out)
    labels = [line for path in (copy / "groundTruth").glob("*.txt") for line in path.read_text().splitlines()]
    assert (result["videos"], result["frames"], result["fps"]) == (18, len(labels), 15)
    assert text.out.startswith(f"{copy}: 18 videos, 23 classes, 3 splits\n")
    row = next(line for line in text.out.splitlines() if line.startswith("grasp hex screw "))
    assert row.split()[4] == str(labels.count("grasp hex screw"))
    first = result["transitions"][0]
    assert f"{first['from']}" in text.out.splitlines()[-16]
    some = fact_clip("data", "summary", copy, "data.unlabelled=[grasp nut]").out.splitlines()
    assert some[0] == f"{copy}: 18 videos, 22 classes, 3 splits"
    assert f", {labels.count('grasp nut')} unlabelled, " in some[1]


def test_init_writes_a_recipe_that_trains(fact_clip, copy, tmp_path):
    answer = fact_clip("data", "init", copy, "--fps", "15")
    assert answer.code == 0
    path = copy / "recipe.yaml"
    config = Config.load(path)
    trained = (copy / "splits/train.split1.bundle").read_text().split()
    labels = [(copy / f"groundTruth/{name.removesuffix('.txt')}.txt").read_text().splitlines() for name in trained]
    longest = max(sum(1 for _ in groupby(own)) for own in labels)
    assert config.data.root == str(copy)
    assert (config.data.layout, config.data.fps, config.data.split, config.data.stride) == ("TD", 15, 1, 1)
    assert config.data.background == ("no action",)
    assert config.evaluation.count_background is False
    assert config.model.tokens % 10 == 0
    assert 1.1 * longest <= config.model.tokens < 1.1 * longest + 10
    assert 1 <= config.train.epochs <= 300
    assert config.data.validation == 0
    assert len(answer.out.splitlines()) <= 25
    assert config.model.blocks == Config.load("own").model.blocks
    pattern = r"^training will take about .+ on one core of this machine, estimated from steps on 3 videos$"
    told = re.search(pattern, answer.out, re.M)
    assert told
    assert f"# T{told[0][1:]}." in path.read_text()
    # what is a guess is called one, on the screen and in the file
    assert '  data.background = ["no action"]  (GUESSED by its name)' in answer.out
    assert "# GUESSED by its name" in path.read_text()
    small = ["train.epochs=1", "model.input.hidden=48", "model.input.frame_dim=8", "model.input.frame_layers=2"]
    assert fact_clip("train", path, *small, "train.device=cpu", "--out", tmp_path / "run").code == 0
    before = path.read_text()
    again = fact_clip("data", "init", copy, "--background", "")
    refused_line(again, "recipe.yaml")
    assert path.read_text() == before
    assert fact_clip("data", "init", copy, "--background", "", "--overwrite").code == 0
    assert Config.load(path).data.background == ()


def test_init_keeps_to_a_time(fact_clip, copy):
    """One epoch at least, and the reason is in the file."""
    answer = fact_clip("data", "init", copy, "--minutes", "0.01")
    config = Config.load(copy / "recipe.yaml")
    assert 1 <= config.train.epochs < 300
    assert re.search(rf"train.epochs = {config.train.epochs}  \(.+ s an epoch, 0.01 minutes\)", answer.out)
    fact_clip("data", "init", copy, "--minutes", "600", "--overwrite")
    assert Config.load(copy / "recipe.yaml").train.members == 5


def test_check_reads_the_recipe_in_the_folder(fact_clip, copy):
    """Names that the recipe's grammar does not read are errors, unless `data.name` says what the folder is."""
    (copy / "recipe.yaml").write_text('base: folder\ndata: {grammar: "{verb} the {object}", background: [no action]}\n')
    answer = fact_clip("data", "check", copy)
    assert answer.code == 1
    assert "mapping.txt, " in answer.out
    assert fact_clip("data", "check", copy, "data.name=workbench").code == 0
    assert fact_clip("data", "check", copy, "data.grammar={verb} {object} [with {tool}]").code == 0


def test_the_folder_of_a_recipe_can_move(fact_clip, copy, tmp_path):
    fact_clip("data", "init", copy, "--fps", 15)
    assert '  root: "."  # from this file\'s folder' in (copy / "recipe.yaml").read_text()
    moved = copy.rename(tmp_path / "moved")
    assert Config.load(moved / "recipe.yaml").data.root == str(moved)
    assert fact_clip("data", "check", moved / "recipe.yaml").code == 0
    above, aside = tmp_path / "above.yaml", tmp_path / "aside" / "recipe.yaml"
    fact_clip("data", "init", moved, "--out", above)
    assert '  root: "moved"' in above.read_text()
    fact_clip("data", "init", moved, "--out", aside)
    assert f'  root: "{moved}"' in aside.read_text()


def test_init_proposes_groups_where_names_show_people(fact_clip, copy, tmp_path):
    answer = fact_clip("data", "init", copy)
    assert "note: no validation (12 training videos are too few): " in answer.out
    assert "persons by their names; too few to validate apart" in answer.out
    assert Config.load(copy / "recipe.yaml").data.groups == r"person(\d+)"  # for a base that validates
    many = write_workbench(tmp_path / "many", videos=60, persons=15, dim=8)
    answer = fact_clip("data", "init", many)
    assert r'data.groups = "person(\\d+)"  (GUESSED: 10 persons by their names; no two parts share one' in answer.out
    config = Config.load(many / "recipe.yaml").data
    assert config.groups == r"person(\d+)"
    # one of ten persons, with four videos
    assert len(Dataset.open(config).validation) == 4


def test_init_takes_what_a_person_knows(fact_clip, copy, tmp_path):
    out = tmp_path / "mine.yaml"
    fact_clip("data", "init", copy, "--out", out, "--background", "", "--split", "2", "--layout", "TD")
    config = Config.load(out)
    assert (config.data.background, config.data.split, config.data.fps) == ((), 2, None)
    assert config.evaluation.count_background is True
    other = tmp_path / "other.yaml"
    fact_clip("data", "init", copy, "--out", other, "--background", "grasp nut, no action")
    assert Config.load(other).data.background == ("grasp nut", "no action")


def test_init_says_how_it_reads_names(fact_clip, copy, tmp_path):
    answer = fact_clip("data", "init", copy, "--out", tmp_path / "a.yaml")
    reason = "GUESSED: all 22 actions fit; if they have no such parts, use --grammar none"
    guess = f'  data.grammar = "{{verb}} {{object}} [with {{tool}}]"  ({reason})'
    assert guess in answer.out
    rows = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert "name verb object tool" in rows
    assert "tap shaft with mallet tap shaft mallet" in rows
    assert "\nand 20 more names\n" in answer.out
    data = Config.load(tmp_path / "a.yaml").data
    assert (data.grammar, data.unlabelled) == ("{verb} {object} [with {tool}]", ())
    command = ("data", "init", copy, "--out", tmp_path / "b.yaml")
    fact_clip(*command, "--grammar", "{what}", "--unlabelled", "tap gear with mallet")
    data = Config.load(tmp_path / "b.yaml").data
    assert (data.grammar, data.unlabelled) == ("{what}", ("tap gear with mallet",))
    refused = fact_clip("data", "init", copy, "--out", tmp_path / "c.yaml", "--grammar", "{verb} the {object}")
    refused_line(refused, "class 'grasp shaft'")
