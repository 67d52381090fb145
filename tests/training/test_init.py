"""train.init: a training that starts from the weights of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fact_clip.runs.run import Run
from fact_clip.training import train
from fact_clip.training.ensemble import member_config

from ..refusals import refused
from .runs import assert_same, log_of, weights

STANDING = {"epochs": 1, "lr": 1e-12}  # an epoch that moves no weight by more than 1e-10
TEXT = {"model": {"head": "text"}, "text": {"encoder": "hash:16"}}


@pytest.fixture(scope="module")
def start(tiny, tmp_path_factory) -> Path:
    """A run that reads names, on scaled features."""
    folder = tmp_path_factory.mktemp("start") / "run"
    train(tiny(**TEXT, data={"standardize": True}), folder)
    return folder


@pytest.fixture
def other_data(workbench, tmp_path) -> Path:
    """The workbench with one class more, whose frames were those of another, and other features."""
    root = shutil.copytree(workbench, tmp_path / "data")
    with (root / "mapping.txt").open("a") as file:
        file.write("23 peel apple\n")
    for path in (root / "groundTruth").glob("*.txt"):
        path.write_text(path.read_text().replace("grasp shaft\n", "peel apple\n"))
    for path in (root / "features").glob("*.npy"):
        np.save(path, 3 * np.load(path))
    return root


def test_the_weights_and_statistics_are_those_of_the_run(tiny, start, other_data, tmp_path):
    settings = {**STANDING, "init": str(start)}
    train(tiny(**TEXT, data={"standardize": True, "root": str(other_data)}, train=settings), tmp_path / "run")
    before, after = weights(start), weights(tmp_path / "run")
    text, new_text = before.pop("text_embeddings"), after.pop("text_embeddings")
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-9, rtol=0) for name in before)
    assert torch.equal(new_text[:23], text)
    assert new_text.shape[0] == 24
    old, new = Run.read(start), Run.read(tmp_path / "run")
    assert np.array_equal(old.transform.mean, new.transform.mean)
    assert np.array_equal(old.transform.std, new.transform.std)
    assert new.config.train.init == str(start.resolve())


def test_it_goes_on_where_the_run_stood(tiny, start, tmp_path):
    """On the same videos the first epoch is better than the first one of a new model."""
    for name, settings in (("new", {"epochs": 1}), ("on", {"epochs": 1, "init": str(start)})):
        train(tiny(**TEXT, data={"standardize": True}, train=settings), tmp_path / name)
    new, on = (log_of(tmp_path / name)[0]["total"] for name in ("new", "on"))
    assert on < log_of(start)[-1]["total"] < new


def test_a_closed_head_keeps_its_classes(tiny, tiny_run, other_data, tmp_path):
    same = {"data": {"standardize": True, "context": [5]}, "train": {**STANDING, "init": str(tiny_run)}}
    train(tiny(**same), tmp_path / "run")
    before, after = weights(tiny_run), weights(tmp_path / "run")
    assert all(torch.allclose(before[name], after[name], atol=1e-9, rtol=0) for name in before)
    mapping = (other_data / "mapping.txt").read_text()
    (other_data / "mapping.txt").write_text(mapping.replace("grasp shaft", "grasp nothing"))
    with refused("train.init"):
        train(tiny(**{**same, "data": {**same["data"], "root": str(other_data)}}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("place", [23, 0, 7])
def test_a_closed_head_learns_more_classes(tiny, tiny_run, other_data, tmp_path, place):
    """The scores of the first block are as they were, whatever number the new class has; other weights are kept."""
    names = [line.split(maxsplit=1)[1] for line in (other_data / "mapping.txt").read_text().splitlines()]
    names.insert(place, names.pop())
    (other_data / "mapping.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names)))
    data = {"standardize": True, "context": [5], "root": str(other_data)}
    train(tiny(data=data, train={**STANDING, "init": str(tiny_run)}), tmp_path / "run")
    old, new = Run.read(tiny_run), Run.read(tmp_path / "run")
    features = torch.randn(1, 50, old.transform.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (run.model().eval()(features).blocks[0] for run in (old, new))
    order = [new.vocabulary.index(name) for name in old.vocabulary]
    assert new.vocabulary.names.index("peel apple") == place
    assert torch.allclose(before.frame_logits, after.frame_logits[..., order], atol=1e-5)
    width, kept = old.config.model.input.hidden, weights(tiny_run)
    for name, weight in weights(tmp_path / "run").items():
        rows = [row for row in range(len(weight)) if len(weight) != width or row < width - 25] if weight.ndim else ...
        assert torch.allclose(weight[rows], kept[name][rows], atol=1e-9, rtol=0), name


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"tokens": 41}},
        {"model": {"input": {"hidden": 48}}},
        {"text": {"encoder": "hash:32"}},
        {"data": {"standardize": False}},
        {"data": {"context": [5]}},
        {"data": {"fps": 10.0}},
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tiny, start, tmp_path, change):
    groups = {**TEXT, "data": {"standardize": True}, "train": {"init": str(start)}}
    config = tiny(**{key: {**groups.get(key, {}), **change.get(key, {})} for key in groups | change})
    with refused("train.init"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_cut_off_goes_on_from_its_own_weights(tiny, start, tmp_path):
    settings = {"epochs": 2, "init": str(start)}
    whole = tiny(**TEXT, data={"standardize": True}, train=settings)
    train(whole, tmp_path / "whole")
    train(tiny(**TEXT, data={"standardize": True}, train={**settings, "epochs": 1}), tmp_path / "cut")
    train(whole, tmp_path / "cut", resume=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_members_start_from_the_members_of_the_run(tiny, tmp_path):
    (tmp_path / "members" / "2").mkdir(parents=True)
    config = tiny(train={"members": 3, "init": str(tmp_path)})
    assert member_config(config, 1).train.init == str(tmp_path / "members" / "2")
    assert member_config(config, 2).train.init == str(tmp_path)
    assert member_config(tiny(train={"members": 2}), 1).train.init is None
