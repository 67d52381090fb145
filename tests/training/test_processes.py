"""Processes of torchrun train, score and segment as one process does, and go on from what another number began."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.runs.run import Run
from fact_clip.runs.weights import read_weights
from fact_clip.training import ensemble as members
from fact_clip.training import evaluate, train, trainer
from fact_clip.training.plan import resolve

from ..launch import launched
from ..refusals import refused
from ..small import ZERO_SHOT
from .runs import RANDOM, ROOT, Cut, assert_same_runs, cut_at, log_of, weights
from .test_ensemble import wait_until

# Trains, notes the videos of each step, saves after each step, and kills its first process at step number CUT.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from fact_clip.config import Config
from fact_clip.training import train, trainer
recipe, out, cut, *more = sys.argv[1:]
step, rank, count = trainer.Trainer._step, os.environ.get("RANK", "0"), [0]
trainer.SAVE_SECONDS = -1
def noted(self, batch, truth):
    count[0] += 1
    if count[0] == int(cut) and rank == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    with Path(f"{out}.{rank}.txt").open("a") as file:
        file.write(f"{self.state.epoch} {self.state.step} {' '.join(batch.names) if batch.share else '-'}\\n")
    return step(self, batch, truth)
trainer.Trainer._step = noted
train(Config.load(recipe), out, resume="--resume" in more)
"""


@pytest.fixture(scope="module")
def config(tiny, tmp_path_factory) -> Config:
    """Five training videos and one to validate; two a step, so that the last step has one. Channels are dropped."""
    root = write_workbench(tmp_path_factory.mktemp("ten"), videos=10, persons=5, dim=8)
    data = {"root": str(root), "validation": 0.1}
    settings = {"batch_size": 1, "optimizer": "sgd", "lr": 0.05, "epochs": 2, "average": 0.5, "clip_norm": 0.5}
    return tiny(data=data, train=settings, augment={"channels": 0.3})


def of_size(config: Config, batch_size: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"batch_size": batch_size})})


def killed_under_torchrun(count: int, *words: str) -> None:
    """Run Python with these words in so many processes, which are killed."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launcher, *words]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert answer.returncode != 0


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory) -> Callable[..., Path]:
    """``trained(name, processes)``: the run of that name, trained by the script."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "recipe.yaml").write_text(config.to_yaml())

    def make(name: str, count: int, *more: str, cut: int = 0) -> Path:
        words = [folder / "train.py", folder / "recipe.yaml", folder / name, cut, *more]
        if cut:
            killed_under_torchrun(count, *map(str, words))
        else:
            answer = launched(count, *words)
            assert answer.code == 0, answer.err
        return folder / name

    return make


@pytest.fixture(scope="module")
def by_two(trained) -> Path:
    """A run of two processes that was not interrupted."""
    return trained("two", 2)


def assert_close(one: Path, other: Path) -> None:
    """Losses, validations and weights agree to 1e-5."""
    rows, expected = log_of(one), log_of(other)
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for row, right in zip(rows, expected, strict=True):
        assert row == pytest.approx(right, rel=1e-5, abs=1e-5)
    for name in ("model", "last"):
        torch.testing.assert_close(weights(one, name), weights(other, name), rtol=1e-5, atol=1e-5)


def order_of(run: Path) -> list[list[str]]:
    """The videos of each step, dealt to the processes in turn."""
    files = sorted(run.parent.glob(f"{run.name}.*.txt"))
    rows = zip(*(file.read_text().splitlines() for file in files), strict=True)
    return [[name for row in each for name in row.split()[2:] if name != "-"] for each in rows]


def test_two_processes_are_one_with_the_doubled_batch(config, by_two, tmp_path, monkeypatch):
    """Three steps an epoch, the last of which has a video for one process alone."""
    order, step = [], trainer.Trainer._step
    monkeypatch.setattr(
        trainer.Trainer, "_step", lambda self, batch, truth: (order.append([*batch.names]), step(self, batch, truth))[1]
    )
    train(of_size(config, 2), tmp_path / "one")
    assert [len(names) for names in order] == [2, 2, 1] * 2
    assert order_of(by_two) == order
    assert_close(by_two, tmp_path / "one")
    assert log_of(by_two)[1]["total"] < log_of(by_two)[0]["total"]


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_new_ones(config, by_two, trained):
    """As if nothing had happened, to the bit; and to 1e-5 in one process, which takes both videos of a step."""
    cut = 2  # inside an epoch
    same = trained("cut", 2, cut=cut)
    _, facts = read_weights(same / "last.safetensors")
    assert (facts["epoch"], facts["step"]) == divmod(cut - 1, 3)
    for file in same.parent.glob("cut.*.txt"):
        file.unlink()
    alone = same.parent / "alone"
    shutil.copytree(same, alone)
    for run, count in ((same, 2), (alone, 1)):
        trained(run.name, count, "--resume")
        assert order_of(run) == order_of(by_two)[cut - 1 :]
    assert_same_runs(same, by_two)
    assert_close(alone, by_two)


def test_a_run_of_one_process_goes_on_inside_an_epoch(tiny, tmp_path, monkeypatch):
    """With everything random that there is; the step before the cut counts in the log."""
    config = tiny(**RANDOM, train={"epochs": 2, "batch_size": 1, "average": 0.9})
    train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SAVE_SECONDS", -1)
        calls = cut_at(patch, 6)  # the last step of the second epoch
        with pytest.raises(Cut):
            train(config, tmp_path / "parts")
        train(config, tmp_path / "parts", resume=True)
    assert len(calls) == 7
    assert_same_runs(tmp_path / "parts", tmp_path / "whole")


def test_the_videos_of_a_step_stay_those_the_run_began_with(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny(train={"epochs": 1}), run)
    with refused("train.batch_size"):
        train(tiny(train={"batch_size": 3}), run, resume=True)
    train(tiny(), run, resume=True)
    assert Run.read(run).videos_a_step == 2


@pytest.mark.slow
def test_two_processes_score_as_one(by_two):
    """Same figures; what is printed, is printed once."""
    expected = evaluate(by_two).details
    (by_two / "evaluation.json").unlink()
    answer = launched(2, "-m", "fact_clip", "evaluate", by_two, "--json")
    assert json.loads(answer.out) == json.loads(json.dumps(expected))
    assert json.loads((by_two / "evaluation.json").read_text()) == json.loads(json.dumps(expected))


@pytest.mark.slow
def test_two_processes_score_unseen_classes_as_one(tiny, tmp_path):
    """What the model says of each video is gathered, and decoded with every gamma."""
    train(tiny(**ZERO_SHOT), tmp_path / "run")
    expected = json.loads(json.dumps(evaluate(tmp_path / "run").to_dict()))
    answer = launched(2, "-m", "fact_clip", "evaluate", tmp_path / "run", "--json")
    assert json.loads(answer.out) == expected
    assert expected["zero_shot"]["ausuc"] >= 0


def test_a_process_reads_only_the_labels_that_it_needs(tiny, workbench, tmp_path):
    """The first process has checked the others, those of the test videos among them."""
    root = Path(shutil.copytree(workbench, tmp_path / "data"))
    config = tiny(data={"root": str(root)})
    test_video = Dataset.open(config.data).test[0]
    (root / "groundTruth" / f"{test_video}.txt").unlink()
    with refused(f"{test_video}.txt"):
        resolve(config)
    plan = resolve(config, is_checked=True)
    train(plan, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.fixture(scope="module")
def ensemble(tiny, tmp_path_factory) -> Path:
    """A recipe with three members that hide other classes, and its run in one process."""
    folder = tmp_path_factory.mktemp("ensemble")
    members = {"epochs": 6, "members": 3, "member_parts": True, "batch_size": 2, "optimizer": "sgd", "lr": 0.005}
    recipe = tiny(**ZERO_SHOT).model_dump(mode="json")
    recipe["train"] |= members
    recipe["data"] |= {"validation": 0.3, "validation_unseen": "auto"}
    (folder / "recipe.yaml").write_text(Config.from_tree(recipe, "tests").to_yaml())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(Config.load(folder / "recipe.yaml"), folder / "one")
    torch.set_num_threads(threads)
    return folder


def assert_same_ensembles(one: Path, other: Path) -> None:
    for member in (".", "members/2", "members/3"):
        assert_close(one / member, other / member)
    for name in ("calibration", "confidence"):
        expected, figures = (json.loads((run / f"{name}.json").read_text()) for run in (one, other))
        assert figures.keys() == expected.keys()
        for key, value in expected.items():
            is_measured = isinstance(value, float) or (isinstance(value, list) and isinstance(value[0], float))
            assert figures[key] == (pytest.approx(value, rel=1e-3) if is_measured else value), key


@pytest.mark.slow
def test_two_processes_train_three_members_in_turn_and_go_on_after_a_kill(ensemble):
    """Each member has the doubled batch, as in one process; a process is killed while the second member trains."""
    recipe = Config.load(ensemble / "recipe.yaml")
    assert recipe.train.batch_size == 2
    (ensemble / "half.yaml").write_text(of_size(recipe, 1).to_yaml())
    command = ["train", str(ensemble / "half.yaml"), "--out", str(ensemble / "two")]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*launcher, "-m", "--", "fact_clip", *command], cwd=ROOT, env=environment, **quiet)
    try:
        wait_until(lambda: (ensemble / "two/members/2/last.safetensors").is_file(), 300)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait(300) != 0
    finally:
        process.kill()
    assert not (ensemble / "two/members/3/run.json").is_file()
    answer = launched(2, "-m", "fact_clip", *command, "--resume")
    assert answer.code == 0, answer.err
    assert_same_ensembles(ensemble / "two", ensemble / "one")


@pytest.mark.slow
def test_a_launch_that_was_killed_before_its_first_member_began_goes_on(ensemble):
    """Jobs may have trained the other members, which are kept."""
    cut = ensemble / "cut"
    shutil.copytree(ensemble / "one/members", cut / "members")
    trained = (cut / "members/3/last.safetensors").stat().st_mtime_ns
    answer = launched(2, "-m", "fact_clip", "train", ensemble / "half.yaml", "--out", cut, "--resume")
    assert answer.code == 0, answer.err
    assert (cut / "members/3/last.safetensors").stat().st_mtime_ns == trained
    assert_same_ensembles(cut, ensemble / "one")


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [
        ("auto", 3, ["auto", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
        ("cuda", 2, ["cuda", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 1, ["auto"] * 5),
        ("cuda:1", 4, ["cuda:1"] * 5),
        ("cpu", 4, ["cpu"] * 5),
    ],
)
def test_members_take_the_gpus_in_turn(asked, gpus, expected):
    """The first member is the run itself, which "auto" and "cuda" put on the first GPU."""
    assert [asked, *(members.member_device(asked, number, gpus) for number in range(1, 5))] == expected
