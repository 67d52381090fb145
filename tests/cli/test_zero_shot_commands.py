"""What the commands say of actions that were never trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip import training
from fact_clip.cli.arguments import read_actions
from fact_clip.cli.evaluate import zero_shot_text
from fact_clip.config import Config

from ..refusals import refused, refused_line
from ..small import QUICK_DEMO, ZERO_SHOT


@pytest.fixture(scope="module")
def named(tiny, tmp_path_factory) -> Path:
    """A run that reads names, and its scores; tests copy it to write."""
    folder = tmp_path_factory.mktemp("named") / "run"
    training.train(tiny(**ZERO_SHOT), folder)
    training.evaluate(folder)
    return folder


@pytest.fixture(scope="module")
def named_recipe(tiny, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "named.yaml"
    path.write_text(tiny(**ZERO_SHOT).to_yaml())
    return path


@pytest.fixture
def video(workbench) -> Path:
    return workbench / "features" / "person1_video1.npy"


def test_evaluate_prints_the_zero_shot_figures(named, fact_clip, tmp_path):
    run = shutil.copytree(named, tmp_path / "run")
    answer = fact_clip("evaluate", run)
    assert (answer.code, answer.err) == (0, "")
    found = json.loads((run / "evaluation.json").read_text())["zero_shot"]
    lines = answer.out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.strip().startswith("in use"))
    rows = {line[:18].strip(): line[18:].split() for line in lines[start + 1 : start + 15]}
    f1 = [f"{group}F1@{overlap}" for group in ("", "seen ", "unseen ") for overlap in (10, 25, 50)]
    assert list(rows) == ["S", "U", "H", "frame accuracy", "edit", *f1]
    used = found["ways"]["in use"]
    keys = [name.lower().replace(" ", "_") if len(name) > 1 else name for name in rows]
    assert [row[0] for row in rows.values()] == [f"{used[key]:.1f}" for key in keys]
    assert f"AUSUC {found['ausuc']:.1f}; in use: gamma {found['gamma']:g}, prior weight" in answer.out
    assert f"unseen labels only {found['unseen_labels_only']:.1f}; chance 4.3" in answer.out
    assert f"H* {found['best_harmonic_mean']:.1f} (an oracle" in answer.out
    parts = found["diagnostics"]
    assert f"unseen against seen classes: {parts['auroc']:.1f}; wrong frames" in answer.out
    assert f"{parts['called_seen']:.1f} % are labelled as a seen class" in answer.out
    for name, figures in found["unseen"].items():
        line = next(line for line in lines if line.startswith(name))
        assert line.endswith("compositional")
        wrong = figures["called"]
        shown = "-" if wrong is None else f"{wrong['name']} ({wrong['share']:.0f} %)"
        assert f" {shown} " in line
        assert f" {figures['frames']} " in line
    assert [line.split()[0] for line in lines[-3:]] == ["verb", "object", "tool"]


def test_levels_are_printed_apart_where_both_occur(named):
    found = json.loads((named / "evaluation.json").read_text())["zero_shot"]
    assert "unseen: compositional" not in zero_shot_text(found)
    figures = found["by_level"]["compositional"]
    found["by_level"]["new factor"] = {**figures, "U": 12.345}
    empty = dict.fromkeys(("accuracy", "unseen_labels_only"))
    found["unseen"]["grasp jar"] = {"level": "new factor", "new": [["object", "jar"]], "frames": 0, **empty}
    text = zero_shot_text(found)
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if "unseen: compositional" in line)
    assert lines[start].split() == ["unseen:", "compositional", "unseen:", "new", "factor"]
    assert lines[start + 2].split() == ["U", f"{figures['U']:.1f}", "12.3"]
    jar = next(line for line in text.splitlines() if line.startswith("grasp jar"))
    assert jar.split()[2:] == ["0", "-", "-", "-", "new", "factor:", "object", "jar"]


def test_evaluate_with_other_candidates(named, fact_clip, tmp_path):
    run = shutil.copytree(named, tmp_path / "run")
    file = tmp_path / "few.txt"
    file.write_text("grasp nut\n\npolish nut\nscrew nut with wrench\n")
    answer = fact_clip("evaluate", run, "--actions-file", file)
    assert answer.code == 0
    found = json.loads((run / "evaluation_actions.json").read_text())["candidates"]
    share = found["frames_left_out"] / found["frames"]
    assert answer.out.splitlines()[1] == (
        "4 candidates, 1 of them new to the data set; 20 classes of the data set are not candidates, so their"
        f" {found['frames_left_out']} frames ({share:.1%}) count as errors"
    )


def segments(answer) -> set[str]:
    return {segment["label"] for segment in json.loads(answer.out)[0]["segments"]}


def test_segment_with_any_names(named, video, fact_clip, tmp_path):
    command = ["segment", "--run", named, video, "--out", tmp_path, "--overwrite", "--json"]
    only = fact_clip(*command, "--actions", "grasp nut, polish nut")
    assert only.code == 0
    assert segments(only) <= {"polish nut", "grasp nut", "no action"}
    (tmp_path / "mapping.txt").write_text("0 grasp nut\n1 polish nut\n")
    assert fact_clip(*command, "--actions-file", tmp_path / "mapping.txt").out == only.out
    # the classes of the run and one more: known ones, one after another, are what they are without it
    known = fact_clip(*command, "--more-actions", "grasp nut")
    [tree] = json.loads(known.out)
    # no training video shows a class of the run with this word
    assert {word["word"] for word in tree.pop("new_words")} == {"rotate"}
    assert [tree] == json.loads(fact_clip(*command).out)
    more = fact_clip(*command, "--more-actions", "polish nut")
    assert more.code == 0
    phrase = fact_clip(*command, "--more-actions", "polish")
    assert phrase.code == 0
    assert phrase.err.count("no trained class has these words") == 1
    assert "'polish' (read as a whole phrase, far from all; nearest " in phrase.err
    [found] = json.loads(phrase.out)
    words = [(each["action"], each["slot"], each["far"]) for each in found["new_words"] if each["word"] != "rotate"]
    assert words == [("polish", "phrase", True)]
    # with no other candidate it is in the table, too
    shown = fact_clip("segment", "--run", named, video, "--out", tmp_path, "--overwrite", "--actions", "polish")
    lines = [line.split("  ") for line in shown.out.splitlines()[1:]]
    assert lines[0][-1] == "words"
    assert {line[-1] for line in lines[1:] if "polish" in line} == {"far from training: polish"}


def test_segment_leaves_unsure_frames_open(named, video, fact_clip, tmp_path):
    command = ["segment", "--run", named, video, "--json", "--out"]
    plain, all_open = fact_clip(*command, tmp_path / "out"), fact_clip(*command, tmp_path / "open", "--reject", "1")
    assert (plain.code, all_open.code) == (0, 0)
    assert "none of these" not in segments(plain)
    [found] = json.loads(all_open.out)
    assert "none of these" in segments(all_open)
    assert "none of these" in found["background"]
    assert {row["confidence"] for row in found["segments"] if row["label"] == "none of these"} == {None}
    # another request, which needs another folder; asked again, it is there
    refused_line(fact_clip(*command, tmp_path / "out", "--reject", "1"), "person1_video1.npy")
    again = fact_clip(*command, tmp_path / "more", "--reject", "1", "--more-actions", "polish nut")
    assert fact_clip(*command, tmp_path / "more", "--reject", "1", "--more-actions", "polish nut").out == again.out
    assert {word["word"] for word in json.loads(again.out)[0]["new_words"]} == {"rotate", "polish"}


def test_evaluate_tells_the_calibration_error(named, tmp_path, fact_clip):
    run = shutil.copytree(named, tmp_path / "run")
    shown = fact_clip("evaluate", run)
    found = json.loads((run / "evaluation.json").read_text())["reliability"]
    before, after = found["before"]["ece"], found["after"]["ece"]
    assert f"calibration error: {before:.1f} raw, {after:.1f} calibrated" in shown.out
    (run / "confidence.json").unlink()
    assert f"calibration error: {before:.1f} raw" in fact_clip("evaluate", run).out


def test_names_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cut ham \n\nslice ham\n")
    assert read_actions(None, path) == ["cut ham", "slice ham"]
    assert read_actions(None, path) == ["cut ham", "slice ham"]
    assert read_actions("a, b", None) == ["a", "b"]
    assert read_actions(None, None) is None
    for mapping in ("1 cut ham\n0 slice ham\n", "1\tcut ham\n0\tslice ham\n"):
        path.write_text(mapping)
        assert read_actions(None, path) == ["cut ham", "slice ham"]
    path.write_text("0 3 eggs\n1 2 cups\n")
    assert read_actions(None, path) == ["3 eggs", "2 cups"]
    path.write_text("3 eggs\n2 cups\n")  # perhaps names, perhaps a part of a mapping
    with refused("names.txt"):
        read_actions(None, path)
    path.write_text("3 cut ham\nslice ham\n")  # no mapping: not every line has a number
    assert read_actions(None, path) == ["3 cut ham", "slice ham"]


def test_train_with_several_seeds(named_recipe, fact_clip, tmp_path):
    answer = fact_clip("train", named_recipe, "--sweep", "train.seed=0,1", "--out", tmp_path / "r")
    assert answer.code == 0
    told = [line for line in answer.err.splitlines() if not line.startswith("epoch ")]
    assert told == ["run 1 of 2: seed0", "run 2 of 2: seed1"]
    header, *rows = answer.out.splitlines()
    assert header.split()[:5] == ["run", "S", "U", "H", "AUSUC"]
    assert [row.split()[0] for row in rows] == ["seed0", "seed1", "mean", "sd"]
    results = [json.loads((tmp_path / f"r/seed{seed}/evaluation.json").read_text()) for seed in (0, 1)]
    both = [result["zero_shot"]["ausuc"] for result in results]
    expected = [*both, np.mean(both), np.std(both, ddof=1)]
    assert [row.split()[4] for row in rows] == [f"{value:.1f}" for value in expected]
    again = fact_clip("train", named_recipe, "--sweep", "train.seed=0,1", "--out", tmp_path / "r", "--resume")
    assert again.out == answer.out


def test_demo_shows_both_models_and_chance_and_replaces_only_an_earlier_demo(fact_clip, tmp_path, monkeypatch):
    quick = Config.load("demo", QUICK_DEMO)
    monkeypatch.setattr(Config, "load", lambda name: quick)
    answer = fact_clip("demo", "--out", tmp_path)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert "30 real recordings" in lines[0]
    assert any("cut ham, move baked egg with turner, move shell egg with chopstick" in line for line in lines)
    at = next(place for place, line in enumerate(lines) if line.startswith("model "))
    assert lines[at].split() == ["model", "S", "U", "H", "AUSUC", "frame", "accuracy", "edit"]
    for line, run in ((lines[at + 1], "run"), (lines[at + 2], "closed")):
        found = json.loads((tmp_path / run / "evaluation.json").read_text())["zero_shot"]
        used = found["ways"]["in use"]
        numbers = [used["S"], used["U"], used["H"], found["ausuc"], used["frame_accuracy"], used["edit"]]
        assert line.split()[2:] == [f"{number:.1f}" for number in numbers]
    assert lines[at + 3].split()[:4] == ["chance", "1.5", "1.5", "1.5"]  # one of 67
    assert (tmp_path / "timeline.png").is_file()

    (tmp_path / "notes.txt").write_text("mine")
    assert fact_clip("demo", "--out", tmp_path).out.splitlines()[at + 1] == lines[at + 1]
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "run/run.json").unlink()
    answer = fact_clip("demo", "--out", tmp_path)
    refused_line((answer.code, "", answer.err), "run")


def test_init_writes_a_recipe_for_unseen_classes(workbench, fact_clip, tmp_path):
    """The measures are those of an ordinary recipe, which the base `zero_shot` can be given, too."""
    plain, recipe, grammar = tmp_path / "plain.yaml", tmp_path / "recipe.yaml", "{verb} {object} [with {tool}]"
    words = ["data", "init", workbench, "--fps", "15", "--grammar", grammar, "--out"]
    assert fact_clip(*words, plain).code == 0
    answer = fact_clip(*words, recipe, "--zero-shot")
    assert answer.code == 0
    assert "4 videos to learn from" in answer.out
    assert "3 models of 300 epochs will take about" in answer.out
    assert "data.holdout=" in answer.out
    config = Config.load(recipe)
    assert (config.train.epochs, config.train.members, config.model.head) == (300, 3, "text")
    hidden = ["data.holdout=[grasp nut]", "train.epochs=1", "train.members=1"]
    assert Config.load(recipe, hidden) == Config.load(plain, ["base=zero_shot", *hidden])
    assert fact_clip("train", recipe, *hidden, "--out", tmp_path / "run").code == 0
    assert fact_clip("train", recipe, *hidden, "--out", tmp_path / "run", "--resume").code == 0
