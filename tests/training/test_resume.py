"""A run that is cut off anywhere can be used, and goes on exactly as one that was not."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip import load
from fact_clip.runs import weights as weights_module
from fact_clip.runs.run import Run
from fact_clip.training import train, trainer
from fact_clip.training.callbacks import LOGGERS, Callback, EpochState, FileLog

from ..launch import begin
from ..refusals import refused
from .runs import RANDOM, Cut, assert_same, assert_same_runs, cut_at, log_of
from .runs import weights as weights_of


def cut_after(epoch: int):
    def progress(done: int, total: int, text: str) -> None:
        if done == epoch:
            raise Cut

    return progress


# --- resuming ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "average": 0.9, "precision": "bf16"},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
        {"optimizer": "sgd", "schedule": "step", "lr_decay": 2, "validate_every": 2},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_resuming_is_exact(settings, tiny, tmp_path):
    config = tiny(**RANDOM, train={"epochs": 3, **settings})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    for epoch in (1, 2):
        with pytest.raises(Cut):
            train(config, parts, resume=epoch > 1, progress=cut_after(epoch))
        assert load(parts).vocabulary.names  # whatever was cut off can be used
    result = train(config, parts, resume=True)
    assert result.epoch == 3
    assert_same_runs(parts, whole)


def test_epochs_differ_from_each_other_and_seeds_too(tiny, tmp_path):
    """Without this the exactness above could come from training that does nothing."""
    for name, groups in {"plain": {}, "random": RANDOM, "seed": {**RANDOM, "train": {"seed": 1}}}.items():
        train(tiny(**groups), tmp_path / name)
    plain, random, seed = (log_of(tmp_path / name) for name in ("plain", "random", "seed"))
    assert plain[1]["total"] < plain[0]["total"]
    assert len({plain[0]["total"], random[0]["total"], seed[0]["total"]}) == 3


def test_a_run_cut_off_in_its_first_epoch_begins_again(tiny, tmp_path, monkeypatch):
    config = tiny(train={"epochs": 1})
    train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        cut_at(patch, 1)
        with pytest.raises(Cut):
            train(config, tmp_path / "parts")
    assert Run.read(tmp_path / "parts").videos_a_step == 2
    train(config, tmp_path / "parts", resume=True)
    assert_same_runs(tmp_path / "parts", tmp_path / "whole")


def test_weights_without_a_training_are_not_trained_over(tiny, tiny_run, tmp_path):
    """A converted run has weights, but nothing to go on with."""
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for name in ("last.safetensors", "log.jsonl", "log.csv"):
        (run / name).unlink()
    with refused("last.safetensors"):
        train(Run.read(run).config, run, resume=True)


KILLED = """
import os, signal, sys
from fact_clip.config import Config
from fact_clip.training import train, trainer
step, count = trainer.Trainer._step, [0]
def killing(self, batch, truth):
    count[0] += 1
    if count[0] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, truth)
trainer.Trainer._step = killing
train(Config.load(sys.argv[1]), sys.argv[2])
"""


def test_a_killed_run_can_be_used_and_resumed(tiny, workbench, tmp_path):
    config = tiny(**RANDOM)
    train(config, tmp_path / "whole")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(config.to_yaml())
    killed = begin("-c", KILLED, recipe, tmp_path / "parts")
    killed.join(300)
    assert killed.exitcode == -9
    features = workbench / "features" / "person1_video1.npy"
    assert load(tmp_path / "parts").segment(features).n_frames == len(np.load(features))
    train(config, tmp_path / "parts", resume=True)
    assert_same_runs(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("name", ["model.safetensors", "last.safetensors"])
def test_a_save_that_fails_leaves_the_file_before_it(name, tiny, tmp_path, monkeypatch):
    config, run = tiny(**RANDOM), tmp_path / "parts"
    train(config, tmp_path / "whole")
    scripted = [{"score": 1.0}, {"score": 2.0}]  # each validation is better, so each epoch saves the model
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "validate", lambda *_: scripted.pop(0))
        with pytest.raises(Cut):
            train(config, run, progress=cut_after(1))
        before = (run / name).read_bytes()
        write = weights_module.save_tensors

        def half_written(tensors, path, facts):
            write(tensors, path, facts)
            if name in path.name:
                path.write_bytes(path.read_bytes()[:1000])
                raise OSError(28, "No space left on device")

        patch.setattr(weights_module, "save_tensors", half_written)
        with refused(name):
            train(config, run, resume=True)
    assert (run / name).read_bytes() == before
    load(run)
    train(config, run, resume=True)
    assert [row["total"] for row in log_of(run)] == [row["total"] for row in log_of(tmp_path / "whole")]
    assert_same(weights_of(run, "last"), weights_of(tmp_path / "whole", "last"))


def test_more_epochs_may_be_asked_for_but_nothing_else(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny(train={"epochs": 1}), run)
    for other, place in (
        (tiny(train={"epochs": 2, "lr": 0.5}), "train.lr"),
        (tiny(loss={"smoothing": 0.5}), "loss.smoothing"),
    ):
        with refused(place) as refusal:
            train(other, run, resume=True)
        assert f"fact-clip train {run}/config.yaml --out {run} --resume" in refusal.message
    train(tiny(train={"epochs": 2}), run, resume=True)
    assert [row["epoch"] for row in log_of(run)] == [1, 2]
    assert Run.read(run).config.train.epochs == 2
    before = (run / "model.safetensors").read_bytes()
    assert train(tiny(train={"epochs": 2}), run, resume=True).epoch == 2  # it is done: nothing happens
    assert (run / "model.safetensors").read_bytes() == before


def test_a_run_with_other_factors_is_not_resumed(tiny, workbench, tmp_path):
    root = Path(shutil.copytree(workbench, tmp_path / "data"))
    data = {"root": str(root), "name": "folder", "background": ["no action"]}
    names = [line.split(" ", 1)[1] for line in (root / "mapping.txt").read_text().splitlines()]
    words = {name: name.split() for name in names if name != "no action"}

    def write_factors() -> None:
        rows = [f"{name},{verb},{noun}" for name, (verb, noun, *_) in words.items()]
        (root / "factors.csv").write_text("\n".join(["class,verb,object", *rows]))

    write_factors()
    train(tiny(data=data, train={"epochs": 1}), tmp_path / "run")
    train(tiny(data=data, train={"epochs": 2}), tmp_path / "run", resume=True)
    words[min(words)][0] = "place"
    write_factors()
    with refused(root) as refusal:
        train(tiny(data=data, train={"epochs": 3}), tmp_path / "run", resume=True)
    assert "or factors" in refusal.message


def test_a_state_of_another_training_is_refused(tiny, tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    config = Run.read(run).config
    more = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 99})})
    path = run / "last.safetensors"
    tensors, facts = weights_module.read_weights(path)
    unknown = {**tensors, "optimizer.9999.step": tensors["optimizer.0.step"].clone()}
    renamed = {name.replace("exp_avg_sq", "second"): tensor for name, tensor in tensors.items()}
    for state, stored, place in (
        (tensors, {}, "last.safetensors"),
        (tensors, facts | {"step": 7}, "last.safetensors"),
        (renamed, facts, "last.safetensors, optimizer.0"),
        (unknown, facts, "last.safetensors, optimizer.9999"),
    ):
        weights_module.save_weights(path, state, stored)
        with refused(place):
            train(more, run, resume=True)


# --- the log ----------------------------------------------------------------------------------------


def test_the_two_logs_agree(tiny, tmp_path):
    config = tiny(train={"epochs": 3, "validate_every": 2})
    with pytest.raises(Cut):
        train(config, tmp_path / "run", progress=cut_after(2))
    train(config, tmp_path / "run", resume=True)
    rows = log_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    # validated when due and after the last epoch
    assert ["validation score" in row for row in rows] == [False, True, True]
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in line.items() if value} for line in table] == rows
    assert {"lr", "total", "frame", "token", "f2a", "a2f", "smooth"} <= rows[0].keys()


def test_the_log_drops_rows_of_epochs_that_are_done_again(tmp_path):
    log = FileLog(tmp_path, 0)
    for epoch in (1, 2):
        log.on_epoch(state_of(tmp_path, epoch, {"epoch": epoch, "total": 0.5 * epoch}))
    again = FileLog(tmp_path, 1)
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,total", "1,0.5"]
    again.on_epoch(state_of(tmp_path, 2, {"epoch": 2, "total": 4.0, "validation score": 7.0}))
    assert log_of(tmp_path) == [{"epoch": 1, "total": 0.5}, {"epoch": 2, "total": 4.0, "validation score": 7.0}]
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,total,validation score", "1,0.5,", "2,4.0,7.0"]


def state_of(run, epoch, numbers):
    return EpochState(run, epoch, 9, None, numbers, model=None, optimizer=None, config=None)


def test_further_loggers_get_the_same_rows(tiny, tmp_path, monkeypatch):
    rows = []

    class Listener(Callback):
        def __init__(self, out, config):
            assert config["train"]["lr"] == 1e-3

        def on_epoch(self, state):
            rows.append(dict(state.numbers))

    monkeypatch.setitem(LOGGERS, "json", Listener)
    train(tiny(train={"loggers": ["json"]}), tmp_path / "run")
    assert rows == log_of(tmp_path / "run")
