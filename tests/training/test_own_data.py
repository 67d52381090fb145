"""The recipe `zero_shot` on a folder of one's own: what it leaves to the data, and what of that a run keeps."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import fact_clip
from fact_clip.config import Config
from fact_clip.datasets import object_detection
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.datasets.statistics import segment_lengths
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.devices.processes import Processes
from fact_clip.inference.candidates import CandidateReader
from fact_clip.runs.run import LoadedRun
from fact_clip.training import evaluate, sweep, train
from fact_clip.training.description import begin
from fact_clip.training.plan import resolve

sweep_module = import_module("fact_clip.training.sweep")  # the package has a function of that name

SIZES = ("hidden=32", "frame_dim=8", "frame_layers=2", "action_dim=8", "heads=2", "feedforward=8")
SMALL = [*(f"model.input.{size}" for size in SIZES), "model.update.frame_layers=1", "data.stride=4"]
SMALL += ["text.encoder=hash:32", "train.epochs=1", "train.members=1", "train.device=cpu"]
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


def test_names_say_background_parts_and_vectors(folder):
    plan = resolve(settings(folder))
    config = plan.config
    assert config.data.background == ("no action",)
    assert config.data.grammar == "{verb} {object} [with {tool}]"
    assert config.text.parts == ("sentence", "factors")
    assert len([note for note in plan.notes if "no action" in note.message]) == 1
    again = resolve(config)
    assert again.config == config
    assert not any("no action" in note.message for note in again.notes)
    given = settings(folder, "data.background=[]", "text.parts=[sentence]")
    assert (resolve(given).config.data.background, resolve(given).config.text.parts) == ((), ("sentence",))


def test_one_slot_has_the_sentence_alone(whole_names):
    config = Config.load("zero_shot", [f"data.root={whole_names}", "data.holdout=[graspnut]", *SMALL])
    config = resolve(config).config
    assert config.text.parts == ("sentence",)
    assert config.data.grammar is None


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
    assert dataset.training_counts[list(dataset.validation_unseen)].sum() == 0
    assert dataset.class_counts(dataset.validation)[list(dataset.validation_unseen)].min() > 0
    found = evaluate(run).details["zero_shot"]
    assert found["validation_unseen"] == chosen
    assert sorted(found["unseen"]) == sorted(UNSEEN)
    assert fact_clip.load(run).scorer.calibration is not None


def test_a_list_is_taken_as_it_is(folder):
    given = settings(folder, 'data.validation_unseen=["grasp nut"]')
    plan = resolve(given)
    assert [plan.dataset.vocabulary.names[label] for label in plan.dataset.validation_unseen] == ["grasp nut"]
    assert plan.config.data.validation_unseen == ("grasp nut",)
    assert resolve(settings(folder, "data.validation_unseen=[]")).dataset.validation_unseen == ()


def test_without_a_class_to_choose_there_is_a_warning(whole_names, tmp_path, told):
    config = Config.load("zero_shot", [f"data.root={whole_names}", "data.holdout=[graspnut]", *SMALL])
    train(config, tmp_path / "run")
    warnings = [text for level, text in told() if level == "WARNING"]
    assert len(warnings) == 1
    assert "no class can be validation-unseen" in warnings[0]
    assert "gamma" in warnings[0]
    assert Config.load(tmp_path / "run" / "config.yaml").data.validation_unseen == ()
    assert evaluate(tmp_path / "run").details["zero_shot"]["gamma"] >= 0


def test_other_recipes_warn_and_choose_nothing(folder):
    plan = resolve(settings(folder, "data.validation_unseen=null"))
    assert plan.dataset.validation_unseen == ()
    assert plan.config.data.validation_unseen is None
    assert any(note.level == logging.WARNING and "data.validation_unseen=auto" in note.message for note in plan.notes)


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


def test_objects_are_looked_for_in_the_columns(folder, monkeypatch):
    config = settings(folder)
    before = resolve(config)
    assert before.config.data.objects.file is None  # the workbench's columns are never zero
    names = before.dataset.vocabulary.slots
    seen = ObjectColumns(("nut",), ((0,),), (), names.index("object"), before.dataset.input_dim)
    monkeypatch.setattr(object_detection, "detect_sure", lambda _: seen)
    shown = resolve(config)
    assert (shown.config.data.objects.file, shown.objects) == ("find", seen)
    assert len(shown.notes) == len(before.notes) + 1
    assert resolve(settings(folder, "text.parts=[sentence]")).config.data.objects.file is None  # nothing reads words


def test_a_training_reads_each_list_and_label_once(folder, tmp_path, monkeypatch):
    """mapping.txt, the lists of the split and the labels; also a sweep, which has one data set."""
    counts = Counter[str]()
    read = Path.read_bytes

    def counted(path):
        counts[path.name] += path.is_relative_to(folder)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    for run in (
        lambda out: train(settings(folder), out),
        lambda out: sweep(settings(folder), out, {"train.seed": [0, 1]}),
    ):
        counts.clear()
        monkeypatch.setattr(
            sweep_module, "evaluate", lambda *_, **__: SimpleNamespace(details={"metrics": {"edit": 0.0}})
        )
        run(tmp_path / f"run{len(list(tmp_path.iterdir()))}")
        names = [name for name in counts if name.endswith((".txt", ".bundle"))]
        assert "mapping.txt" in names
        assert {name: counts[name] for name in names} == dict.fromkeys(names, 1)


def test_lengths_are_of_whole_segments(folder, tmp_path):
    """A segment ends where a hidden class begins, but may go on beside frames that nobody labelled."""
    root = shutil.copytree(folder, tmp_path / "data")
    config = settings(root, "decode.durations=1")
    plan = resolve(config)
    run, _ = begin(plan, tmp_path / "run", Processes("cpu"))
    dataset = plan.dataset
    lengths = segment_lengths(map(dataset.all_labels, dataset.train), len(dataset.vocabulary))
    for label in {*range(len(lengths))} - {*dataset.hidden}:
        if lengths[label]:
            assert run.lengths[label][0] == pytest.approx(np.log(lengths[label]).mean())

    for path in (root / "groundTruth").iterdir():
        names = path.read_text().splitlines()
        around = zip([None, *names], names, [*names[1:], None], strict=False)
        scattered = [name if before == name == after else "?" for before, name, after in around]
        path.write_text("\n".join(scattered) + "\n")
    run, parts = begin(resolve(config), tmp_path / "sparse", Processes("cpu"))
    assert run.lengths == ()
    loaded = LoadedRun(run, [parts.model])
    with pytest.warns(UserWarning, match=r"decode\.durations has no effect"):
        candidates = CandidateReader(loaded, torch.device("cpu"), trust_encoder=False).read()
    assert candidates.costs.durations is None
