"""Several seeds of one recipe."""

from __future__ import annotations

import json
import math

import pytest

from fact_clip import InputError, checkpoint
from fact_clip.training import evaluate, train_seeds, trainer
from fact_clip.training.sweep import main_figures

ZERO_SHOT = {
    "data": {"holdout": "zero_shot/A.json"},
    "model": {"head": "text", "key_width": 8},
    "text": {"encoder": "hash:32", "parts": ["factors"]},
    "train": {"epochs": 1},
}


def test_mean_and_deviation_of_each_figure(tiny, tmp_path):
    config = tiny(**ZERO_SHOT)
    result = train_seeds(config, tmp_path, [3, 8])
    assert list(result["seeds"]) == ["3", "8"]
    for seed in (3, 8):
        assert checkpoint.open_run(tmp_path / f"seed{seed}").config.train.seed == seed
        written = json.loads((tmp_path / f"seed{seed}" / "evaluation.json").read_text())
        used = written["zero_shot"]["ways"]["in use"]
        figures = result["seeds"][str(seed)]
        assert list(figures)[:4] == ["S", "U", "H", "AUSUC"]
        assert [figures[key] for key in ("S", "U", "H")] == [used[key] for key in ("S", "U", "H")]
        assert figures["AUSUC"] == written["zero_shot"]["ausuc"]
        assert figures["edit"] == written["metrics"]["edit"]
        assert figures["unseen_f1@10"] == used["unseen_f1@10"]
    for key, mean in result["mean"].items():
        first, second = (result["seeds"][seed][key] for seed in ("3", "8"))
        assert mean == pytest.approx((first + second) / 2)
        assert result["sd"][key] == pytest.approx(abs(first - second) / math.sqrt(2))
    together = json.loads((tmp_path / "evaluation.json").read_text())
    assert together == {"metrics": result["mean"], "sd": result["sd"], "seeds": result["seeds"]}


def test_goes_on_where_it_was_cut_off(tiny, tmp_path, monkeypatch):
    config, real = tiny(train={"epochs": 1}), trainer.train

    def cut_off(config, out, **options):
        if config.train.seed == 1:
            raise KeyboardInterrupt
        return real(config, out, **options)

    monkeypatch.setattr(trainer, "train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(config, tmp_path / "cut", [0, 1])
    weights = tmp_path / "cut/seed0/model.safetensors"
    written = weights.stat().st_mtime_ns
    monkeypatch.setattr(trainer, "train", real)
    resumed = train_seeds(config, tmp_path / "cut", [0, 1], resume=True)
    assert weights.stat().st_mtime_ns == written
    assert set(resumed["seeds"]) == {"0", "1"}
    assert resumed["seeds"]["0"] == main_figures(evaluate(tmp_path / "cut/seed0"))


def test_one_seed_has_no_deviation(tiny, tmp_path):
    result = train_seeds(tiny(train={"epochs": 1}), tmp_path, [5])
    assert set(result["sd"].values()) == {0.0}
    assert result["mean"] == result["seeds"]["5"]
    assert "S" not in result["mean"]


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_that_make_no_sense(tiny, tmp_path, seeds):
    with pytest.raises(InputError, match="--seeds"):
        train_seeds(tiny(), tmp_path / "none", seeds)
    assert not (tmp_path / "none").exists()
