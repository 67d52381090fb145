"""Training: validation chooses, the optimiser does as it is told, wrong settings are told first."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fact_clip.config import Config, TrainConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.runs.run import Run
from fact_clip.runs.weights import read_weights
from fact_clip.training import train, trainer

from ..refusals import refused
from .runs import log_of


def refuses(config: Config, out: Path, place: str | Path, **options: bool) -> None:
    """Bad input, and nothing written."""
    before = sorted(out.parent.rglob("*"))
    with refused(place):
        train(config, out, **options)
    assert sorted(out.parent.rglob("*")) == before


# --- validation -------------------------------------------------------------------------------------


def scripted_validation(monkeypatch, scores: list[float]) -> list[tuple[str, ...]]:
    """Let validations say these scores; the names that they were asked for are collected."""
    asked: list[tuple[str, ...]] = []

    def validate(segmenter, dataset, names, processes):
        asked.append(tuple(names))
        return {"score": scores[len(asked) - 1], "edit": 1.0}

    monkeypatch.setattr(trainer, "validate", validate)
    return asked


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_validation_picks_the_best_epoch(average, tiny, tmp_path, monkeypatch):
    config, run, kept = tiny(train={"epochs": 3, "average": average}), tmp_path / "run", {}
    dataset = Dataset.open(config.data)
    asked = scripted_validation(monkeypatch, [10.0, 30.0, 20.0])
    prefix = "average." if average else "model."

    def progress(done: int, total: int, text: str) -> None:
        tensors = load_file(run / "last.safetensors")
        kept[done] = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    result = train(config, run, progress=progress)
    assert result.best == 30.0
    weights, facts = read_weights(run / "model.safetensors")
    names = list(Run.read(run).vocabulary.names)
    assert facts == {"epoch": 2, "validation": {"score": 30.0, "edit": 1.0}, "classes": names}
    assert weights.keys() == kept[2].keys()
    assert all(torch.equal(weights[key], kept[2][key]) for key in weights)
    assert not all(torch.equal(weights[key], kept[3][key]) for key in weights)
    assert [row["validation score"] for row in log_of(run)] == [10.0, 30.0, 20.0]
    assert asked == [dataset.validation] * 3
    assert set(dataset.validation).isdisjoint({*dataset.train, *dataset.test})


def test_without_validation_videos_the_last_epoch_is_kept(tiny, tmp_path):
    result = train(tiny(data={"validation": 0.0}), tmp_path / "run")
    assert result.best is None
    weights, facts = read_weights(tmp_path / "run" / "model.safetensors")
    last = load_file(tmp_path / "run" / "last.safetensors")
    assert facts == {"epoch": 2, "classes": list(Run.read(tmp_path / "run").vocabulary.names)}
    assert all(torch.equal(value, last[f"model.{key}"]) for key, value in weights.items())


def test_the_average_is_that_of_the_weights_after_each_step(tiny, tmp_path):
    """One step per epoch: a1 = w1, a2 = (a1 + 9 w2) / 10, a3 = .15 a2 + .85 w3, since .15 is less than 2 / 11."""
    config = tiny(train={"epochs": 3, "batch_size": 3, "average": 0.15})
    seen = []
    train(config, tmp_path / "run", progress=lambda *_: seen.append(load_file(tmp_path / "run" / "last.safetensors")))
    for name in Run.read(tmp_path / "run").new_model().state_dict():
        first, second, third = (weights[f"model.{name}"] for weights in seen)
        average = 0.15 * (first + 9 * second) / 10 + 0.85 * third
        assert torch.equal(seen[0][f"average.{name}"], first), name
        assert torch.allclose(seen[2][f"average.{name}"], average, atol=1e-6), name


def test_validation_can_wait_for_the_later_epochs(tiny, tmp_path):
    """Every second epoch of 7, but none in the first half; the last one always."""
    train(tiny(train={"epochs": 7, "validate_every": 2, "validate_from": 0.5}), tmp_path / "run")
    rows = log_of(tmp_path / "run")
    assert [row["epoch"] for row in rows if "validation score" in row] == [4, 6, 7]


def test_test_videos_have_no_part_in_training(tiny, workbench, tmp_path, monkeypatch):
    """Other labels and features in the test videos give the same run; after the check they may even be gone."""
    config = tiny(data={"standardize": True})
    train(config, tmp_path / "one")
    copy = Path(shutil.copytree(workbench, tmp_path / "copy"))
    moved = tiny(data={"standardize": True, "root": str(copy)})
    test = Dataset.open(moved.data).test
    for name in test:
        labels = copy / "groundTruth" / f"{name}.txt"
        labels.write_text("no action\n" * len(labels.read_text().splitlines()))
        features = np.load(copy / "features" / f"{name}.npy")
        np.save(copy / "features" / f"{name}.npy", features[::-1] * 3)
    check, read = Dataset.check, Dataset.labels

    def check_then_delete(self):
        check(self)
        for name in test:
            (copy / "groundTruth" / f"{name}.txt").unlink()
            (copy / "features" / f"{name}.npy").unlink()

    def refusing(self, name):
        assert name not in test
        return read(self, name)

    monkeypatch.setattr(Dataset, "check", check_then_delete)
    monkeypatch.setattr(Dataset, "labels", refusing)
    train(moved, tmp_path / "other")
    assert log_of(tmp_path / "one") == log_of(tmp_path / "other")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


# --- optimisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, {0: 1, 57.3: 1}),
        ({"schedule": "step", "lr_decay": 80}, {0: 1, 79.9: 1, 80: 0.1, 159.5: 0.1, 160: 0.01}),
        # half a cosine wave: 45, 90 and 135 degrees
        ({"schedule": "cosine", "epochs": 100}, {0: 1, 25: 0.853553, 50: 0.5, 75: 0.146447, 100: 0}),
    ],
)
def test_schedules_by_hand(settings, expected):
    config = TrainConfig(**settings)
    for epoch, factor in expected.items():
        assert trainer.lr_factor(config, epoch) == pytest.approx(factor, abs=1e-6), epoch


def test_the_rate_changes_within_an_epoch(tiny, tmp_path):
    """Three batches an epoch, half a cosine over two epochs: epoch 1 ends in a step at 2/3, epoch 2 in one at 5/3."""
    train(tiny(train={"lr": 0.01, "schedule": "cosine", "epochs": 2, "batch_size": 1}), tmp_path / "run")
    expected = [0.005 * (1 + math.cos(math.pi * epoch / 2)) for epoch in (2 / 3, 5 / 3)]
    assert [row["lr"] for row in log_of(tmp_path / "run")] == pytest.approx(expected)


@pytest.mark.parametrize("clip_norm", [1e-3, 0.0])
def test_gradient_clipping(clip_norm, tiny, tmp_path):
    """One step of gradient descent at rate 1 is as long as the gradient, or as the norm to which it is clipped."""
    settings = {"epochs": 1, "batch_size": 3, "optimizer": "sgd", "lr": 1.0, "schedule": "constant"}
    train(tiny(train={**settings, "clip_norm": clip_norm}), tmp_path / "run")
    run = Run.read(tmp_path / "run")
    torch.manual_seed(0)
    start = run.new_model().state_dict()
    now = load_file(run.path / "model.safetensors")
    length = math.sqrt(sum(float((now[name] - start[name]).square().sum()) for name in start))
    if clip_norm:
        assert length == pytest.approx(clip_norm, rel=1e-3)
    else:
        assert length > 0.1


def test_a_loss_that_is_no_number_is_told_in_one_line(tiny, tmp_path):
    wild = {"epochs": 3, "optimizer": "sgd", "lr": 1e3, "schedule": "constant", "clip_norm": 0}
    with refused("train.lr"):
        train(tiny(train=wild), tmp_path / "run")


# --- wrong settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "place"),
    [
        ({"train": {"loggers": ["tensorbord"]}}, "train.loggers"),
        ({"train": {"device": "cuda:7"}}, "train.device"),
        ({"model": {"tokens": 3}}, "model.tokens"),
        ({"model": {"input": {"hidden": 20}}}, "head"),
        ({"model": {"input": {"heads": 3}}}, "model"),
        ({"augment": {"swap": 0.5}}, "augment.swap"),
        ({"data": {"split": "all"}}, "data.split"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_written(groups, place, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuses(tiny(**groups), tmp_path / "run", place)


def test_a_logger_that_is_not_installed_is_told_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("fact_clip.training.callbacks.find_spec", lambda name: None)
    refuses(tiny(train={"loggers": ["wandb"]}), tmp_path / "run", "train.loggers")


def test_a_folder_in_use_is_left_alone(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    refuses(tiny(), tmp_path / "run", tmp_path / "run")
    refuses(tiny(), tmp_path / "run" / "notes.txt", "notes.txt")
    refuses(tiny(), tmp_path / "none", tmp_path / "none", resume=True)
