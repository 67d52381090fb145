"""Training from clicks: borders move to where the model places them, in the same way after a break."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from fact_clip.core import runs
from fact_clip.datasets.dataset import Dataset
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train
from fact_clip.training.plan import resolve
from fact_clip.training.sweep import resolve_all

EPOCHS = 5


@pytest.fixture(scope="module")
def clicked(workbench, tmp_path_factory):
    """The workbench with one click, in a random frame, for each segment of the training videos."""
    root = tmp_path_factory.mktemp("clicks") / "data"
    shutil.copytree(workbench, root)
    rng = np.random.default_rng(0)
    (root / "clicks").mkdir()
    for name in (root / "splits/train.split1.bundle").read_text().split():
        path = root / "groundTruth" / f"{name.removesuffix('.txt')}.txt"
        lines = path.read_text().splitlines()
        names = sorted(set(lines))
        rows = ["frame,label"]
        for start, stop, label in runs(np.array([names.index(line) for line in lines])):
            rows.append(f"{rng.integers(start, stop)},{names[label]}")
        (root / "clicks" / f"{path.stem}.csv").write_text("\n".join(rows) + "\n")
        path.unlink()
    return root


@pytest.fixture(scope="module")
def config(tiny, clicked):
    return tiny(data={"root": str(clicked), "layout": "TD"}, train={"epochs": EPOCHS})


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("clicks-run") / "run"
    train(config, out)
    return out


def test_borders_move_between_their_clicks(run):
    history = json.loads((run / "clicks.json").read_text())
    assert [int(epoch) for epoch in history] == [1, 2, 3, 4]
    dataset = Dataset.open(Run.read(run).config.data)
    clicks = dataset.clicks(dataset.train)
    assert clicks.keys() == {*dataset.train}
    for gaps in history.values():
        for name, frames in clicks.items():
            assert len(gaps[name]) == len(frames) + 1
            for (start, stop), first, second in zip(gaps[name][1:], frames, frames[1:], strict=False):
                assert first < start <= stop <= second
    assert history["1"] != history["4"]
    assert evaluate(run).metrics["frame_accuracy"] >= 0  # the test videos have labels


def test_a_resumed_training_has_the_borders_of_its_epoch(config, run, tmp_path):
    out = tmp_path / "run"
    shorter = config.model_copy(update={"train": config.train.model_copy(update={"epochs": EPOCHS})})

    def stop_after_three(done, total, description):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(shorter, out, progress=stop_after_three)
    train(config, out, resume=True)
    weights = load_file(run / "model.safetensors")
    for name, values in load_file(out / "model.safetensors").items():
        np.testing.assert_array_equal(values, weights[name])


def test_a_plan_keeps_the_labels_of_its_data(config, run, tmp_path):
    plan = resolve(config)
    for out in ("first", "second"):
        train(plan, tmp_path / out)
        for key in ("lengths", "transitions", "visits", "mean_transcript_length"):
            assert getattr(Run.read(tmp_path / out), key) == getattr(Run.read(run), key)


def test_runs_of_a_sweep_have_clicks_at_their_own_rates(tiny, clicked, tmp_path):
    """A click at 2 s is at frame 30 with 15 frames a second, and at 20 with 10."""
    root = shutil.copytree(clicked, tmp_path / "data")
    data = {"root": str(root), "layout": "TD"}
    name = Dataset.open(tiny(data=data).data).train[0]
    path = root / "clicks" / f"{name}.csv"
    label = path.read_text().splitlines()[1].split(",")[1]
    path.write_text(f"time,label\n2.0,{label}\n")
    plans = resolve_all({str(rate): tiny(data={**data, "fps": rate}) for rate in (15, 10)})
    assert [plan.dataset.clicks([name])[name] for plan in plans.values()] == [[30], [20]]
