"""Several runs of one recipe: over seeds, splits, data sets, or any settings."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

from fact_clip.metrics.report import METRICS
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, sweep, train, trainer
from fact_clip.training.sweep import main_figures, read_axes

from ..refusals import refused
from ..small import ZERO_SHOT
from .runs import Cut, cut_at


def test_mean_and_deviation_of_each_figure(tiny, tmp_path):
    result = sweep(tiny(**ZERO_SHOT), tmp_path, {"train.seed": [3, 8]})
    assert list(result.runs) == ["seed3", "seed8"]
    for seed in (3, 8):
        assert Run.read(tmp_path / f"seed{seed}").config.train.seed == seed
        written = json.loads((tmp_path / f"seed{seed}" / "evaluation.json").read_text())
        used = written["zero_shot"]["ways"]["in use"]
        figures = result.runs[f"seed{seed}"]
        assert list(figures)[:4] == ["S", "U", "H", "AUSUC"]
        assert [figures[key] for key in ("S", "U", "H")] == [used[key] for key in ("S", "U", "H")]
        assert figures["AUSUC"] == written["zero_shot"]["ausuc"]
        assert figures["edit"] == written["metrics"]["edit"]
        assert figures["unseen_f1@10"] == used["unseen_f1@10"]
    for key, mean in result.metrics.items():
        first, second = (result.runs[f"seed{seed}"][key] for seed in (3, 8))
        assert mean == pytest.approx((first + second) / 2)
        assert result.sd[key] == pytest.approx(abs(first - second) / math.sqrt(2))
    assert json.loads((tmp_path / "evaluation.json").read_text()) == json.loads(json.dumps(result.to_dict()))


def test_no_metric_of_a_program_has_the_name_of_a_figure(tiny, tmp_path):
    train(tiny(**ZERO_SHOT), tmp_path / "run")
    figures = main_figures(evaluate(tmp_path / "run").details)
    assert {"S", "gamma", "called_seen", "edit"} <= figures.keys()
    for name in figures:
        with refused():
            METRICS.register(lambda truth, prediction: 0.0, name)


def test_with_seeds_and_splits_the_deviation_is_that_of_the_seeds(tiny, tmp_path):
    result = sweep(tiny(data={"split": "all"}, train={"epochs": 1}), tmp_path, {"train.seed": [0, 1]})
    labels = [f"seed{seed}/split{split}" for seed in (0, 1) for split in (1, 2, 3)]
    assert list(result.runs) == labels
    assert result.axes == {"train.seed": [0, 1], "data.split": ["1", "2", "3"]}
    edits = np.array([result.runs[label]["edit"] for label in labels]).reshape(2, 3)
    assert result.metrics["edit"] == pytest.approx(edits.mean())
    assert result.sd["edit"] == pytest.approx(edits.mean(1).std(ddof=1))
    for label in labels:
        config = Run.read(tmp_path / label).config
        assert label == f"seed{config.train.seed}/split{config.data.split}"
        written = json.loads((tmp_path / label / "evaluation.json").read_text())
        assert result.runs[label] == main_figures(written)


def test_any_setting_can_be_swept(tiny, tmp_path):
    axes = read_axes(["model.blocks=i,iu", "train.lr=0.001,0.01"])
    result = sweep(tiny(train={"epochs": 1}), tmp_path, axes)
    assert list(result.runs) == [f"blocks{blocks}/lr={lr}" for blocks in ("i", "iu") for lr in (0.001, 0.01)]
    accuracies = [figures["frame_accuracy"] for figures in result.runs.values()]
    assert result.sd["frame_accuracy"] == pytest.approx(np.std(accuracies, ddof=1))


def test_continues_where_it_was_cut_off(tiny, tmp_path, monkeypatch):
    """Cut in the first epoch of the second run, of which only the description is written by then."""
    config, axes = tiny(data={"split": "all"}, train={"epochs": 1}), {}
    whole = sweep(config, tmp_path / "whole", axes)
    with monkeypatch.context() as patch:
        cut_at(patch, 2, "train_epoch")
        with pytest.raises(Cut):
            sweep(config, tmp_path / "cut", axes)
    assert not (tmp_path / "cut/evaluation.json").exists()
    before = (tmp_path / "cut/split1/last.safetensors").read_bytes()
    resumed = sweep(config, tmp_path / "cut", axes, resume=True)
    assert resumed == whole
    assert (tmp_path / "cut/split1/last.safetensors").read_bytes() == before
    assert resumed.runs["split1"] == main_figures(evaluate(tmp_path / "cut/split1").details)


def test_a_sweep_that_is_done_is_only_scored_again(tiny, tmp_path, monkeypatch):
    config, out = tiny(data={"split": "all"}, train={"epochs": 1}), tmp_path / "all"
    result = sweep(config, out, {})

    def no_step(self, batch, truth):
        raise AssertionError("trained again")

    monkeypatch.setattr(trainer.Trainer, "_step", no_step)
    assert sweep(config, out, {}, resume=True) == result
    with refused("split1"):
        sweep(config, out, {})
    other = tiny(data={"split": "all"}, train={"epochs": 1, "lr": 0.5})
    with refused("train.lr"):
        sweep(other, out, {}, resume=True)


def test_one_run_has_no_deviation(tiny, tmp_path):
    result = sweep(tiny(train={"epochs": 1}), tmp_path, {"train.seed": [5]})
    assert set(result.sd.values()) == {0.0}
    assert result.metrics == result.runs["seed5"]
    assert "S" not in result.metrics


def test_a_data_set_that_is_missing_is_reported_before_anything_is_trained(tiny, workbench, tmp_path):
    shutil.copytree(workbench, tmp_path / "data/havid_view0_lh_pt")
    config = tiny(data={"root": str(tmp_path / "data")})
    with refused("data"):
        sweep(config, tmp_path / "runs", {"data.name": ["workbench", "havid_view1_lh_pt"]})
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["train.seed", "train.seed=", "train.seed=1,1", "train.seed=1,"])
def test_axes_that_make_no_sense(text):
    with refused("--sweep"):
        read_axes([text])


def test_axes_are_read_as_recipes_are():
    assert read_axes(["data.split=1,2", "data.name=a,b", "train.lr=1.0e-3,0.1"]) == {
        "data.split": [1, 2],
        "data.name": ["a", "b"],
        "train.lr": [0.001, 0.1],
    }
    with refused("--sweep"):
        read_axes(["train.seed=1", "train.seed=2"])
