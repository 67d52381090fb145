"""Decoding settings that validation videos choose."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import fact_clip
from fact_clip.core import runs
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.evaluation import decoding_choice as choice
from fact_clip.evaluation.scored_videos import validation_videos
from fact_clip.runs.facts import DecodingChoice
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train

from ..refusals import refused

RECIPE = {"switch_penalty": 4.0, "order": 1.0}
UNCHANGED = DecodingChoice(recipe=RECIPE, settings=RECIPE, videos=0, gain=0.0, error=0.0, reason="")


def trial(penalty, distance, *figures):
    return choice._Trial({"switch_penalty": penalty, "order": 1.0}, distance, np.array(figures))


def test_a_sure_gain_is_taken_and_a_doubtful_one_is_not():
    recipe = trial(4.0, 0.0, 50, 60, 70, 60)
    better = trial(2.0, 0.7, 55, 66, 74, 65)
    found = choice._chosen(UNCHANGED, [recipe, better])
    assert found.settings == better.settings
    assert found.recipe == RECIPE
    # gains of 5, 6, 4 and 5: a standard deviation of 0.82 over the root of 4
    assert (found.videos, found.gain) == (4, 5.0)
    assert found.error == pytest.approx(np.sqrt(2 / 3) / 2)
    assert str(found) == (
        "decoding with switch_penalty 2 (the recipe has 4), order 1: "
        "the best settings gain 5.0 ± 0.4 points over 4 validation videos"
    )
    doubtful = trial(2.0, 0.7, 80, 40, 70, 60)
    assert choice._chosen(UNCHANGED, [recipe, doubtful]).settings == RECIPE


def test_among_settings_as_good_as_the_best_the_nearest_is_chosen():
    recipe = trial(4.0, 0.0, 50, 50, 50, 50)
    near = trial(3.0, 0.3, 60, 59, 61, 60)
    best = trial(1.0, 1.4, 60, 61, 62, 59)
    assert choice._chosen(UNCHANGED, [recipe, near, best]).settings == near.settings


@pytest.fixture(scope="module")
def chosen_run(tiny, tmp_path_factory):
    """A run with eight validation videos, of which each penalty below that of the recipe is better."""
    folder = tmp_path_factory.mktemp("choice")
    root = write_workbench(folder / "data", videos=24, persons=3, dim=8)
    config = tiny(
        data={"root": str(root), "validation": 0.5},
        decode={"switch_penalty": 4.0, "order": 1.0, "choose": True},
        train={"epochs": 1},
    )

    def figures(videos, penalty, order, evaluation):
        assert penalty in (1.4, 2, 2.8, 4, 5.6, 8)
        assert order in (0, 1)
        assert videos.decode(videos.candidates)[0].shape == videos.truth[0].shape
        return np.arange(len(videos.truth)) - penalty - 0.1 * order

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "_figures", figures)
        train(config, folder / "run")
    return folder / "run"


def test_the_choice_is_stored_and_used(chosen_run):
    stored = json.loads((chosen_run / "decoding.json").read_text())
    assert stored["recipe"] == RECIPE
    assert stored["settings"] == {"switch_penalty": 1.4, "order": 0.0}
    assert (stored["videos"], stored["gain"]) == (8, pytest.approx(2.7))
    decode = Run.read(chosen_run).config.decode
    assert (decode.switch_penalty, decode.order) == (1.4, 0)
    assert Run.read(chosen_run, ["decode.switch_penalty=7"]).config.decode.switch_penalty == 7
    assert Run.read(chosen_run, ["decode.choose=false"]).config.decode.switch_penalty == 4
    segmenter = fact_clip.load(chosen_run)
    assert segmenter.scorer.settings.switch_penalty == 1.4
    assert segmenter.scorer.choose().costs.transitions is None


def test_a_report_says_what_was_chosen_and_how_sure_that_is(chosen_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(chosen_run, run)
    fact_clip.evaluate(run, device="cpu")
    page = fact_clip.report.write(run).read_text(encoding="utf-8")
    assert (
        "decoding with switch_penalty 1.4 (the recipe has 4), order 0 (the recipe has 1): the best settings gain 2.7"
        in page
    )


def test_a_resumed_training_chooses_again(chosen_run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(chosen_run, out)
    train(out / "config.yaml", out, overrides=["train.epochs=2"], resume=True)
    stored = json.loads((out / "decoding.json").read_text())
    assert stored["recipe"] == RECIPE
    assert stored["gain"] != pytest.approx(2.7)


def test_a_refused_resume_leaves_the_choice(chosen_run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(chosen_run, out)
    with refused("train.lr"):
        train(out / "config.yaml", out, overrides=["train.epochs=2", "train.lr=0.5"], resume=True)
    assert (out / "decoding.json").read_bytes() == (chosen_run / "decoding.json").read_bytes()
    run = Run.read(out)
    assert run.without_choice().config.decode.switch_penalty == 4
    assert run.without_choice().without_choice() == run.without_choice()


def test_a_figure_by_hand(chosen_run):
    """Mean of accuracy, edit and F1@50 of each video, decoded with a penalty that allows one class."""
    run = Run.read(chosen_run)
    (videos,) = validation_videos(run, run.models(), Dataset.open(run.config.data), "cpu")
    found = choice._figures(videos, 1e6, 0.0, run.config.evaluation)
    labels = videos.decode(videos.candidates, DecodeSettings(switch_penalty=1e6))
    for figure, truth, predicted in zip(found, videos.truth, labels, strict=True):
        assert len(set(predicted.tolist())) == 1
        accuracy = 100 * (truth == predicted).mean()
        n_segments = len(runs(truth))
        edit = 100 / n_segments * (predicted[0] in truth)
        assert figure == pytest.approx((accuracy + edit) / 3)


def test_few_videos_leave_the_formula(tiny, tmp_path):
    decode = {"switch_penalty": 4.0, "order": 1.0, "choose": True}
    train(tiny(data={"validation": 0.1}, decode=decode, train={"epochs": 1}), tmp_path / "run")
    stored = json.loads((tmp_path / "run/decoding.json").read_text())
    assert stored["settings"] == stored["recipe"] == RECIPE
    assert "too few videos" in stored["reason"]


def test_a_run_that_chose_nothing_is_not_asked_to(tiny_run):
    with refused("decode.choose"):
        evaluate(tiny_run, overrides=["decode.choose=true"])
