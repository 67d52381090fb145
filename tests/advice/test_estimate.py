"""How long a training will take: the arithmetic by hand, and that it is measured on some videos alone."""

from __future__ import annotations

import dataclasses

import pytest

from fact_clip.advice.estimate import (
    Estimate,
    estimate,
    for_unseen_classes,
    spread,
    useful_epochs,
    with_time,
)
from fact_clip.advice.proposal import Setting, propose
from fact_clip.config import Config, DataConfig
from fact_clip.datasets.dataset import Dataset
from fact_clip.training import train

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

    monkeypatch.setattr("fact_clip.advice.estimate.timed", timed)
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


@pytest.mark.parametrize(("videos", "epochs"), [(3, 300), (14, 129), (46, 40), (2000, 20)])
def test_epochs_follow_from_the_videos(videos, epochs):
    assert useful_epochs(videos) == epochs


@pytest.fixture
def unmeasured(monkeypatch):
    took = Estimate(start=0.0, epoch=2.0, validation=0.0, videos=3)
    monkeypatch.setattr("fact_clip.advice.estimate.estimate", lambda config: took)


def test_a_recipe_for_unseen_classes_has_epochs_of_its_own(workbench, unmeasured):
    proposal, sentence = for_unseen_classes(propose(DataConfig(root=str(workbench), name="folder")))
    values = {setting.key: setting.value for setting in proposal.settings}
    assert (proposal.base, values["train.epochs"]) == ("zero_shot", 300)  # of four training videos
    assert sentence.startswith("3 models of 300 epochs will take about 10.0 minutes")


def test_only_a_recipe_of_known_classes_says_that_it_does_not_validate(workbench, unmeasured):
    """The base zero_shot validates on a fifth of the videos, however few there are."""
    proposal = propose(DataConfig(root=str(workbench), name="folder"))
    assert with_time(proposal, 1)[0].notes == (
        "no validation (4 training videos are too few): the averaged last epoch is kept",
    )
    assert for_unseen_classes(proposal)[0].notes == ()


def test_a_folder_that_is_taken_is_refused_before_the_data_are_read(workbench, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr("fact_clip.training.runs.resolve", lambda *_: pytest.fail("read"))
    with refused(str(tmp_path)):
        train("zero_shot", tmp_path, overrides=[f"data.root={workbench}"])


def test_the_time_names_a_teacher(workbench, unmeasured):
    proposal = propose(DataConfig(root=str(workbench), name="folder"))
    assert "teacher" not in with_time(proposal, 1)[1]
    taught = proposal.with_settings(Setting("train.self_training", True, ""))
    for sentence in (with_time(taught, 1)[1], for_unseen_classes(taught)[1]):
        assert sentence.endswith("; its teacher comes on top")


@pytest.mark.parametrize(("separability", "videos", "epochs"), [(0.9, 30, 25), (0.9, 40, 20), (0.5, 30, 60)])
def test_features_that_have_seen_the_labels_are_trained_shorter(separability, videos, epochs, workbench, unmeasured):
    proposal = propose(DataConfig(root=str(workbench), name="folder"))
    measures = dataclasses.replace(proposal.measures, is_separable=separability > 0.8, videos=videos)
    proposal, _ = with_time(dataclasses.replace(proposal, measures=measures), 60)
    values = {setting.key: setting.value for setting in proposal.settings}
    assert (values["train.epochs"], values["train.members"]) == (epochs, 5)
