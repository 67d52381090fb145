"""A run folder: it comes back as it was, strictly, and damage is told in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file

import fact_clip
from fact_clip import Vocabulary
from fact_clip.config import Config
from fact_clip.core.io import write_value
from fact_clip.datasets.features import FeatureTransform
from fact_clip.models import Classes
from fact_clip.runs.facts import FORMAT, classes_of
from fact_clip.runs.run import Run, check_classes
from fact_clip.runs.weights import read_weights, save_weights

from ..refusals import refused


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy, to be broken."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def load(path: Path) -> torch.nn.Module:
    return Run.read(path).model()


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# --- round trip -------------------------------------------------------------------------------------


def test_description_comes_back(tiny, tmp_path):
    names = ("idle", "cut onion", "cut leek", "stir onion")
    factors = {"cut onion": ("cut", "onion"), "cut leek": ("cut", "leek"), "stir onion": ("stir", "onion")}
    vocabulary = Vocabulary.from_names(names, background=["idle"], factors=factors, slots=("verb", "noun"))
    config = tiny(model={"head": "verb-noun"}, data={"context": [3, 7], "standardize": True})
    rng = np.random.default_rng(0)
    transform = FeatureTransform.fit([rng.standard_normal((30, 5))], (3, 7))
    classes = classes_of(vocabulary, "verb-noun")
    written = Run(
        classes, "DT", 12.5, 7.25, path=tmp_path / "run", config=config, vocabulary=vocabulary, transform=transform
    )
    written.write()
    read = Run.read(tmp_path / "run")
    assert replace(read, transform=written.transform) == written
    assert read.transform.context == (3, 7)
    assert np.array_equal(read.transform.mean, transform.mean)
    assert np.array_equal(read.transform.std, transform.std)
    assert read.new_model().state_dict().keys() == written.new_model().state_dict().keys()
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["format"] == FORMAT
    assert {"fact_clip", "torch"} <= facts.keys()
    assert Config.load(tmp_path / "run" / "config.yaml") == config


def test_verb_noun_classes_by_hand():
    """A class without factors, here the background, gets a verb and a noun of its own, behind the others."""
    names = ("cut onion", "idle", "cut leek", "stir onion")
    factors = {"cut onion": ("cut", "onion"), "cut leek": ("cut", "leek"), "stir onion": ("stir", "onion")}
    vocabulary = Vocabulary.from_names(names, background=["idle"], factors=factors, slots=("verb", "noun"))
    assert classes_of(vocabulary, "verb-noun") == Classes(4, (0, 2, 0, 1), (0, 2, 1, 0), 3, 3)
    assert classes_of(vocabulary, "closed") == Classes(4)
    without = vocabulary.subset(["cut onion", "cut leek"])
    assert classes_of(without, "verb-noun") == Classes(2, (0, 0), (0, 1), 1, 2)


def test_classes_that_a_verb_noun_head_cannot_tell_apart_are_named():
    names = ("cut onion", "start", "slice onion", "stir onion", "end")
    factors = {"cut onion": ("cut", "onion"), "slice onion": ("cut", "onion"), "stir onion": ("stir", "onion")}
    vocabulary = Vocabulary.from_names(names, background=["start", "end"], factors=factors, slots=("verb", "noun"))
    with pytest.warns(UserWarning, match="'slice onion', 'end'") as warned:
        classes_of(vocabulary, "verb-noun")
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classes_of(vocabulary, "closed")
        classes_of(vocabulary.subset(["cut onion", "stir onion", "end"]), "verb-noun")


def test_the_umask_decides_who_may_read_a_run(tiny, tmp_path):
    """safetensors makes files that only their owner may read."""
    before = os.umask(0o027)
    try:
        fact_clip.training.train(tiny(train={"epochs": 1}), tmp_path / "run")
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "run").iterdir()}
    assert {"model.safetensors", "last.safetensors", "features.safetensors", "run.json", "log.csv"} <= modes.keys()
    assert set(modes.values()) == {"0o640"}


def test_weights_come_back(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3.5), "c": torch.tensor([1])}
    facts = {"epoch": 3, "best": float("-inf"), "text": "é"}
    save_weights(tmp_path / "w.safetensors", tensors, facts)
    read, told = read_weights(tmp_path / "w.safetensors")
    assert told == facts
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]  # no half-written file is left


def test_model_comes_back_ready_to_predict(tiny_run):
    model, stored = load(tiny_run), load_file(tiny_run / "model.safetensors")
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_a_run_folder_holds_text_and_safetensors_alone(tiny_run):
    """Nothing in it can be executed: no pickle, under whatever name."""
    files = [path for path in tiny_run.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".yaml", ".json", ".jsonl", ".csv", ".safetensors"}
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            assert header
        else:
            content.decode("utf-8")


def test_a_pickle_in_place_of_weights_is_not_executed(run, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    for name in ("model.safetensors", "features.safetensors"):
        copy = Path(shutil.copytree(run, tmp_path / name))
        (copy / name).write_bytes(pickle.dumps(Bomb()))
        with refused(name):
            load(copy)
    (run / "config.yaml").write_text(f"data: !!python/object/apply:os.mkdir ['{tmp_path}/executed']\n")
    with refused("config.yaml"):
        load(run)
    assert not (tmp_path / "executed").exists()


# --- strictness -------------------------------------------------------------------------------------


def test_statistics_of_another_run(run):
    ones = np.ones(8, dtype=np.float32)
    for transform in (FeatureTransform((5,), None, None, 8), FeatureTransform((), ones, ones, 8)):
        save_arrays(transform.to_arrays(), run / "features.safetensors")
        with refused("features.safetensors"):
            load(run)


def test_another_vocabulary(run, tmp_path):
    description = Run.read(run)
    ours = description.vocabulary
    check_classes(description, ours.names, "data")
    swapped = ours.subset([ours.names[1], ours.names[0], *ours.names[2:]])
    shorter = ours.subset(ours.names[:-1])
    for other in (swapped, shorter):
        with refused("data"):
            check_classes(description, other.names, "data")
    edit_json(run / "vocabulary.json", **shorter.to_dict())
    with refused("vocabulary.json"):
        load(run)


@pytest.mark.parametrize(
    "change",
    [lambda names: names[:2], lambda names: [names[1], names[0], *names[2:]], lambda names: [*names[:-1], "else"]],
    ids=["two", "swapped", "another"],
)
def test_weights_of_other_classes_than_the_run_names(change, run):
    """What a closed-set head cannot tell by its shapes: vocabulary.json and run.json agree, and the weights do not."""
    tree = json.loads((run / "vocabulary.json").read_text())
    names = change(tree["names"])
    tree.update(names=names, background=names[:1], slots=["action"], factors=[[name] for name in names])
    (run / "vocabulary.json").write_text(json.dumps(tree))
    classes = json.loads((run / "run.json").read_text())["classes"] | {"count": len(names)}
    edit_json(run / "run.json", classes=classes, transitions=[], lengths=[], visits=[])
    with refused("model.safetensors"):
        load(run)


# --- damage -----------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_file_before_it(tmp_path, monkeypatch):
    path = tmp_path / "facts.json"
    write_value(path, {"a": 1})
    with pytest.raises(TypeError):
        write_value(path, {"a": object()})

    def half(self, text, encoding):
        self.write_bytes(text.encode()[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with refused("facts.json"):
        write_value(path, {"a": 2})
    assert json.loads(path.read_bytes()) == {"a": 1}
