"""What callbacks are told, and trackers: several runs in one process, resumed ones, and all closed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import accelerate.tracking
import pytest
import torch

from fact_clip.models import FACT
from fact_clip.training import Callback, EpochState, train


class Diary(Callback):
    """Notes what it is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self.states: list[EpochState] = []
        self.error = error

    def on_train_start(self, state):
        self.calls.append("start")
        self.states.append(state)

    def on_step(self, state):
        self.calls.append(f"step {state.epoch}.{state.step}")
        self.states.append(state)

    def on_epoch(self, state):
        self.calls.append(f"epoch {state.epoch}")
        if self.error is not None:
            raise self.error

    def on_train_end(self, state):
        self.calls.append("end")

    def on_exception(self, state, error):
        self.calls.append(repr(error))


def test_callbacks_see_the_steps_the_model_and_the_end(tiny, tmp_path):
    diary = Diary()
    config = tiny(train={"epochs": 2})
    train(config, tmp_path / "run", callbacks=[diary])
    n_steps = diary.states[-1].step
    steps = [[f"step {epoch}.{step + 1}" for step in range(n_steps)] for epoch in range(2)]
    assert diary.calls == ["start", *steps[0], "epoch 1", *steps[1], "epoch 2", "end"]
    first = diary.states[1]
    assert isinstance(first.model, FACT)
    assert isinstance(first.optimizer, torch.optim.Optimizer)
    assert first.config.train == config.train
    assert {"total", "frame", "token"} <= first.terms.keys()
    assert first.terms["total"].shape == ()


def test_callbacks_are_told_of_an_exception_and_not_of_the_end(tiny, tmp_path):
    diary = Diary(KeyboardInterrupt("x"))
    with pytest.raises(KeyboardInterrupt):
        train(tiny(train={"epochs": 2}), tmp_path / "run", callbacks=[diary])
    assert diary.calls[-2:] == ["epoch 1", "KeyboardInterrupt('x')"]


class FakeTracker:
    """A tracker of accelerate in memory, as that of wandb."""

    runs: list[FakeTracker]

    def __init__(self, project: str, **options: Any) -> None:
        self.project, self.options = project, options
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.settings: dict[str, Any] | None = None
        self.is_finished = False
        self.tracker = self
        FakeTracker.runs.append(self)

    def start(self) -> None:
        self.id = self.options.get("id") or f"id{len(FakeTracker.runs)}"

    def store_init_configuration(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def log(self, values: dict[str, float], step: int) -> None:
        self.rows.append((step, values))

    def finish(self) -> None:
        self.is_finished = True


def test_trackers_are_runs_of_their_own_and_resumed_ones_go_on(tiny, tmp_path, monkeypatch):
    FakeTracker.runs = []
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "wandb", FakeTracker)
    module = ModuleType("wandb")
    module.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "wandb", module)
    short, long = (tiny(train={"epochs": epochs, "loggers": ["wandb"]}) for epochs in (1, 2))
    train(short, tmp_path / "a")
    train(short, tmp_path / "b")
    train(long, tmp_path / "a", resume=True)
    with pytest.raises(RuntimeError):
        train(short, tmp_path / "c", callbacks=[Diary(RuntimeError("x"))])
    first, second, third, fourth = FakeTracker.runs
    assert [each.project for each in FakeTracker.runs] == ["fact-clip"] * 4
    assert [each.options["name"] for each in FakeTracker.runs] == ["a", "b", "a", "c"]
    assert (first.id, second.id, third.id) == ("id1", "id2", "id1")
    assert [step for step, _ in first.rows + third.rows] == [1, 2]
    assert first.settings["train.epochs"] == 1
    assert first.settings["data.background"] == str(short.model_dump(mode="json")["data"]["background"])
    assert third.settings is None  # they are those of the first part
    assert all(each.is_finished for each in (first, second, third, fourth))


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_real_trackers(name, tiny, tmp_path, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'mlruns'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    for epochs, resume in ((1, False), (2, True)):
        train(tiny(train={"epochs": epochs, "loggers": [name]}), tmp_path / "run", resume=resume)
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "run/tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("total")] == [1, 2]
        return
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("fact-clip")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "total")] == [1, 2]
    assert run.data.params["train.epochs"] == "1"
    assert run.info.status == "FINISHED"
    assert mlflow.active_run() is None

    pruned = Diary(RuntimeError("pruned"))
    with mlflow.start_run(run_name="of the caller") as outer, pytest.raises(RuntimeError):
        train(tiny(train={"epochs": 1, "loggers": [name]}), tmp_path / "pruned", callbacks=[pruned])
    statuses = {
        run.data.tags["mlflow.runName"]: run.info.status for run in client.search_runs([experiment.experiment_id])
    }
    assert statuses["pruned"] == "FAILED"
    assert client.get_run(outer.info.run_id).info.status == "FINISHED"
