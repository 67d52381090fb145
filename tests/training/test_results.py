"""What train, evaluate and sweep return: attributes, tables, and what a notebook shows."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from fact_clip.training import Evaluation, Sweep, Training, evaluate, sweep, train

from ..refusals import refused


def test_a_training_and_its_evaluation(tiny, tmp_path):
    trained = train(tiny(train={"epochs": 1}), tmp_path / "run")
    assert isinstance(trained, Training)
    assert dataclasses.is_dataclass(trained)
    assert trained.epoch == 1
    assert trained.parameters > 0
    assert trained.to_dict()["best"] == trained.best

    result = evaluate(tmp_path / "run")
    assert isinstance(result, Evaluation)
    assert all(isinstance(value, float) for value in result.metrics.values())
    assert result.metrics["edit"] == result.details["metrics"]["edit"]
    assert (result.split, len(result.videos), result.per_class) == ("test", 2, result.details["per_class"])
    written = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert json.loads(json.dumps(result.to_dict())) == written
    assert "zero_shot" not in result.details
    assert "details" not in repr(result)


def test_tables_of_pandas(monkeypatch):
    pytest.importorskip("pandas")
    rows = [{"name": "<b>", "class": 0, "accuracy": 50.0}, {"name": "stir", "class": 1, "accuracy": 100.0}]
    result = Evaluation("run", "test", ["a"], {"edit": 50.0}, rows, {"metrics": {"edit": 50.0}})
    table = result.to_dataframe()
    assert (table.index.tolist(), table["accuracy"].tolist()) == (["<b>", "stir"], [50, 100])
    swept = Sweep(
        {"edit": 2.0}, {"edit": 1.0}, {"train.seed": [0, 1]}, {"seed0": {"edit": 1.0}, "seed1": {"edit": 3.0}}
    )
    assert swept.to_dataframe()["edit"].to_dict() == {"seed0": 1, "seed1": 3, "mean": 2, "sd": 1}
    assert Training(3, None, 1.5, 7).to_dataframe()["parameters"].tolist() == [7]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with refused("to_dataframe"):
        swept.to_dataframe()


def test_a_sweep(tiny, tmp_path):
    result = sweep(tiny(train={"epochs": 1}), tmp_path / "out", {"train.seed": [0]})
    assert isinstance(result, Sweep)
    assert result.metrics == result.runs["seed0"]
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == json.loads(json.dumps(result.to_dict()))
