"""The recipe `zero_shot` on a folder of one's own: what it leaves to the data, and what of that a run keeps."""

from __future__ import annotations

import json
import logging
import shutil

import pytest
import yaml

import fact_clip
from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.training import evaluate, train
from fact_clip.training.setup import by_names, with_choice, with_objects

SMALL = [
    "data.stride=4",
    "model.input.hidden=32",
    "model.input.frame_dim=8",
    "model.input.frame_layers=2",
    "model.input.action_dim=8",
    "model.input.heads=2",
    "model.input.feedforward=8",
    "model.update.frame_layers=1",
    "text.encoder=hash:32",
    "train.epochs=1",
    "train.device=cpu",
]
UNSEEN = ["insert bolt", "screw nut with wrench"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_workbench(tmp_path_factory.mktemp("own") / "data", videos=8, persons=4, dim=8)


@pytest.fixture(scope="module")
def whole_names(folder, tmp_path_factory):
    """The same videos, whose actions are called by one word."""
    own = shutil.copytree(folder, tmp_path_factory.mktemp("whole") / "data")
    for path in [own / "mapping.txt", *(own / "groundTruth").iterdir()]:
        lines = path.read_text().splitlines()
        head = [line.split(" ", 1)[0] + " " if path.name == "mapping.txt" else "" for line in lines]
        names = [line.removeprefix(start) for line, start in zip(lines, head, strict=True)]
        words = [name if name == "no action" else name.replace(" ", "") for name in names]
        path.write_text("\n".join(start + word for start, word in zip(head, words, strict=True)))
    return own


def settings(folder, *more) -> Config:
    names = json.dumps(UNSEEN)
    return Config.load("zero_shot", [f"data.root={folder}", f"data.holdout={names}", *SMALL, *more])


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, logger="fact_clip")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_names_say_background_parts_and_vectors(folder, told):
    config = by_names(settings(folder))
    assert config.data.background == ("no action",)
    assert config.data.grammar == "{verb} {object} [with {tool}]"
    assert config.text.parts == ("sentence", "factors")
    assert len(told()) == 1
    assert "no action" in told()[0][1]
    assert by_names(config) == config
    assert len(told()) == 1
    given = settings(folder, "data.background=[]", "text.parts=[sentence]")
    assert (by_names(given).data.background, by_names(given).text.parts) == ((), ("sentence",))


def test_one_slot_has_the_sentence_alone(whole_names, told):
    config = Config.load("zero_shot", [f"data.root={whole_names}", "data.holdout=[graspnut]", *SMALL])
    assert by_names(config).text.parts == ("sentence",)
    assert by_names(config).data.grammar is None


def test_chosen_classes_are_told_and_kept(folder, tmp_path, told):
    run = tmp_path / "run"
    train(settings(folder), run)
    kept = yaml.safe_load((run / "config.yaml").read_text())
    chosen = kept["data"]["validation_unseen"]
    dataset = Dataset.open(Config.load(run / "config.yaml").data)
    names = dataset.vocabulary.names
    assert chosen
    assert [names[label] for label in dataset.validation_unseen] == chosen
    assert not {*chosen} & {*UNSEEN}
    assert all(any(name in text for _, text in told()) for name in chosen)
    assert not any(level == "WARNING" for level, _ in told())
    # they are in no label that is trained, and in those of the validation videos
    assert dataset.class_counts(dataset.train)[list(dataset.validation_unseen)].sum() == 0
    assert dataset.class_counts(dataset.validation)[list(dataset.validation_unseen)].min() > 0
    found = evaluate(run)["zero_shot"]
    assert found["validation_unseen"] == chosen
    assert sorted(found["unseen"]) == sorted(UNSEEN)
    assert fact_clip.load(run).calibration is not None


def test_a_list_is_taken_as_it_is(folder):
    given = settings(folder, 'data.validation_unseen=["grasp nut"]')
    dataset = Dataset.open(by_names(given).data)
    assert [dataset.vocabulary.names[label] for label in dataset.validation_unseen] == ["grasp nut"]
    assert with_choice(given, dataset) == given
    assert Dataset.open(by_names(settings(folder, "data.validation_unseen=[]")).data).validation_unseen == ()


def test_oracle_mode_has_the_same_groups(folder):
    config = by_names(settings(folder))
    oracle = config.data.model_copy(update={"holdout_mode": "oracle"})
    hidden, shown = Dataset.open(config.data), Dataset.open(oracle)
    assert hidden.validation_unseen == shown.validation_unseen
    assert (hidden.validation, hidden.test) == (shown.validation, shown.test)


def test_without_a_class_to_choose_there_is_a_warning(whole_names, tmp_path, told):
    config = Config.load("zero_shot", [f"data.root={whole_names}", "data.holdout=[graspnut]", *SMALL])
    train(config, tmp_path / "run")
    warnings = [text for level, text in told() if level == "WARNING"]
    assert len(warnings) == 1
    assert "no class can be validation-unseen" in warnings[0]
    assert "gamma" in warnings[0]
    assert Config.load(tmp_path / "run" / "config.yaml").data.validation_unseen == ()
    assert evaluate(tmp_path / "run")["zero_shot"]["gamma"] >= 0


def test_other_recipes_warn_and_choose_nothing(folder, told):
    config = settings(folder, "data.validation_unseen=null")
    dataset = Dataset.open(by_names(config).data)
    assert dataset.validation_unseen == ()
    assert with_choice(config, dataset) == config
    assert any(level == "WARNING" and "data.validation_unseen=auto" in text for level, text in told())


def test_the_recipe_of_init_takes_it_as_its_base(folder, tmp_path):
    own = folder / "recipe.yaml"
    own.write_text("base: folder\ndata: {root: ., fps: 15, background: [no action]}\ntrain: {epochs: 7}\n")
    config = Config.load(own, ["base=zero_shot", 'data.holdout=["grasp nut"]'])
    plain = Config.load("zero_shot", [])
    assert config.model == plain.model
    assert config.decode == plain.decode
    assert (config.data.fps, config.data.background, config.train.epochs) == (15, ("no action",), 7)
    assert config.data.validation_unseen == "auto"
    assert config.data.root == str(folder.resolve())


def test_objects_are_looked_for_in_the_columns(folder, monkeypatch, told):
    config = by_names(settings(folder))
    dataset = Dataset.open(config.data)
    assert with_objects(config, dataset).data.objects.find is False  # the workbench's columns are never zero
    before = len(told())
    monkeypatch.setattr("fact_clip.training.setup.ObjectColumns.show", lambda *_: True)
    assert with_objects(config, dataset).data.objects.find is True
    assert len(told()) == before + 1
    assert "data.objects.find" in told()[-1][1]
    sentence = config.model_copy(update={"text": config.text.model_copy(update={"parts": ("sentence",)})})
    assert with_objects(sentence, dataset).data.objects.find is False  # nothing would read the words
