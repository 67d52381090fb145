"""How long a training will take: the arithmetic by hand, and that it is measured on some videos alone."""

from __future__ import annotations

import inspect

import pytest

from fact_clip.cli.data_init import init
from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.training import train
from fact_clip.training.estimate import MINUTES, Estimate, estimate, load_config, spread

from ..refusals import refused


def config_of(**train: object) -> Config:
    return Config.from_tree({"train": train}, "test")


def test_a_total_is_epochs_and_validations():
    took = Estimate(start=3.0, epoch=2.0, validation=1.0, videos=3)
    # validations after epochs 6, 8 and 10
    assert took.total(10, config_of(validate_every=2, validate_from=0.5)) == 3 + 20 + 3
    # after epochs 3, 6, 9 and 10
    assert took.total(10, config_of(validate_every=3)) == 3 + 20 + 4


def test_epochs_that_fit_a_time():
    took = Estimate(start=3.0, epoch=2.0, validation=0.0, videos=3)
    config = config_of(epochs=50)
    assert [took.epochs_in(seconds, config) for seconds in (1, 7, 24, 1000)] == [1, 2, 10, 50]


def test_videos_from_the_shortest_to_the_longest():
    frames = {"a": 9, "b": 1, "c": 5, "d": 7, "e": 3}
    assert spread("abcde", frames, 3) == ("b", "c", "a")
    assert spread("ab", frames, 3) == ("b", "a")


def test_three_videos_stand_for_all(tiny, monkeypatch):
    """A second an epoch and half of one a validation, as if measured, for each of two members."""
    seen = {}

    def timed(plan, trainer):
        seen["train"], seen["validation"] = trainer.dataset.train, trainer.dataset.validation
        return 1.0, 0.5

    monkeypatch.setattr("fact_clip.training.estimate.timed", timed)
    config = tiny(train={"members": 2})
    found = estimate(config)
    dataset = Dataset.open(config.data)
    frames = {name: len(dataset.labels(name)) for name in dataset.learning}
    some = sum(frames[name] for name in seen["train"])
    assert seen["train"] == spread(dataset.train, frames, 3)
    assert found.epoch == pytest.approx(2 * sum(frames[name] for name in dataset.train) / some)
    validated = sum(frames[name] for name in dataset.validation) / frames[seen["validation"][0]]
    assert found.validation == pytest.approx(2 * 0.5 * validated)
    assert found.videos == 3


def test_the_command_and_the_recipe_take_the_same_time():
    assert inspect.signature(init).parameters["minutes"].default == MINUTES


def test_epochs_are_not_measured_in_several_processes(workbench, monkeypatch):
    """Each would have its own time, and so its own number of epochs."""
    launcher = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    where = [f"data.root={workbench}", "data.fps=15", "data.holdout=[grasp nut]"]
    with refused("train.epochs"):
        load_config("zero_shot", where)
    assert load_config("zero_shot", [*where, "train.epochs=2"]).train.epochs == 2


def test_a_folder_that_is_taken_is_refused_before_the_data_are_measured(workbench, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr("fact_clip.training.runs.load_config", lambda *_: pytest.fail("measured"))
    with refused(str(tmp_path)):
        train("zero_shot", tmp_path, overrides=[f"data.root={workbench}"])
