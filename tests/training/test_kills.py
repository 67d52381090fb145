"""Trainings that are killed, started twice, or resumed beside a live one. KILLS=20 asks for more kills.

Kills come at random times, so that no two runs of this file are alike; the seed is printed where one fails.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from fact_clip.core import InputError
from fact_clip.runs.weights import read_weights
from fact_clip.training import train

from ..launch import begin
from .runs import RANDOM, assert_same_runs, log_of
from .test_ensemble import members_of, wait_until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "1"))
# The command line, but the state is saved after each step, so that a run goes on inside an epoch.
OFTEN = """
import sys
from fact_clip.cli import main
from fact_clip.training import trainer
trainer.SAVE_SECONDS = -1
sys.exit(main())
"""
EPOCHS = 12


class Training:
    """`fact-clip train` in a process of its own; `often`: saved after each step."""

    def __init__(self, recipe: Path, run: Path, *more: str, often: bool = False) -> None:
        program = ("-c", OFTEN) if often else ("-m", "fact_clip")
        self.stderr = Path(tempfile.mkdtemp(dir=run.parent), "stderr")
        self.process = begin(*program, "train", recipe, *more, "--out", run, err=self.stderr)

    def kill(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        """Send a signal; the exit code and what was on stderr."""
        os.kill(self.process.pid, number)
        return self.end()

    def end(self, seconds: float = 300) -> tuple[int, str]:
        self.process.join(seconds)
        assert self.process.exitcode is not None
        return self.process.exitcode, self.stderr.read_text()


@pytest.fixture
def started(tmp_path) -> Iterator[Callable[..., Training]]:
    """Start trainings of a recipe; at the end of the test none is left."""
    running: list[Training] = []

    def start(*args, **how) -> Training:
        running.append(Training(*args, **how))
        return running[-1]

    yield start
    for each in running:
        if each.process.is_alive():
            each.kill()


@pytest.fixture(scope="module")
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[1, 2], ids=["single", "two members"])
def whole(request, threads, tiny, tmp_path_factory) -> tuple[Path, Path]:
    """A recipe, and its run that was never interrupted; three steps an epoch."""
    folder = tmp_path_factory.mktemp("whole")
    config = tiny(**RANDOM, train={"epochs": EPOCHS, "batch_size": 1, "members": request.param})
    (folder / "recipe.yaml").write_text(config.to_yaml())
    train(config, folder / "run")
    return folder / "recipe.yaml", folder / "run"


def same(one: Path, other: Path) -> None:
    """Weights, optimiser, facts and log of two run folders, and of their members, bit for bit."""
    folders = [path.parent.relative_to(one) for path in one.rglob("last.safetensors")]
    assert folders == [path.parent.relative_to(other) for path in other.rglob("last.safetensors")]
    for folder in folders:
        assert_same_runs(one / folder, other / folder)


def saved(run: Path) -> bool:
    """Whether each model of the run has been saved."""
    return all((folder / "last.safetensors").is_file() for folder in (run, *run.glob("members/[0-9]")))


def inside_epoch(run: Path, epoch: int) -> bool:
    """Whether the saved state lies inside an epoch, this one or a later one."""
    try:
        facts = read_weights(run / "last.safetensors")[1]
    except InputError:  # replaced while it was read
        return False
    return facts["epoch"] >= epoch and facts["step"] > 0


def children_of(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_training_goes_on_bit_for_bit_and_leaves_no_orphan(number, whole, started, tmp_path):
    """Half of them saved after each step and killed inside an epoch."""
    recipe, reference = whole
    run, seed = tmp_path / "run", random.randrange(1 << 30)
    chance = random.Random(seed)
    pause, often = chance.uniform(0, 3), number % 2 == 0
    training = started(recipe, run, often=often)
    wait_until(lambda: (run / "last.safetensors").is_file(), 300)
    if often:
        epoch = chance.randrange(EPOCHS // 2)  # well before the last, so that one is always seen
        wait_until(lambda: inside_epoch(run, epoch), 300)
    else:
        time.sleep(pause)
    with suppress(ProcessLookupError):  # it was done before
        os.kill(training.process.pid, signal.SIGKILL)
    code, said = training.end()
    assert code in (-signal.SIGKILL, 0), said
    facts = read_weights(run / "last.safetensors")[1]
    print(f"seed {seed}: killed after {pause:.2f} s, state of epoch {facts['epoch']} step {facts['step']}")  # noqa: T201
    again = started(recipe, run, "--resume")  # at once: whoever was left would be in its way
    wait_until(lambda: len(members_of(tmp_path)) <= 1, 5)
    code, said = again.end()
    assert code == 0, said
    assert members_of(tmp_path) == []
    same(run, reference)
    assert not list(run.rglob(".*"))


def test_a_member_that_still_imports_ends_with_its_parent(tiny, started, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(tiny(train={"epochs": 1_000_000, "members": 2}).to_yaml())
    training = started(recipe, tmp_path / "run")
    wait_until(lambda: bool(members_of(tmp_path)), 300)
    training.process.kill()
    training.end()
    wait_until(lambda: not members_of(tmp_path), 1)  # the imports of torch take longer


@pytest.mark.parametrize(
    ("number", "code", "members"),
    [
        (signal.SIGTERM, 143, 1),
        (signal.SIGHUP, 129, 1),
        (signal.SIGINT, 130, 1),
        (signal.SIGTERM, 143, 2),
        (signal.SIGINT, 130, 2),
    ],
)
def test_a_signal_ends_a_training_with_one_line(number, code, members, tiny, started, tmp_path):
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(tiny(train={"epochs": 1_000_000, "members": members}).to_yaml())
    training = started(recipe, run)
    wait_until(lambda: (run / "last.safetensors").is_file(), 300)
    began = time.monotonic()
    answered, said = training.kill(number)
    print(f"ended after {time.monotonic() - began:.1f} s")  # noqa: T201
    lines = [line for line in said.splitlines() if not line.startswith("epoch ")]
    assert answered == code, said
    assert lines == [f"fact-clip: interrupted; continue with: fact-clip train {recipe} --out {run} --resume"]
    assert members_of(tmp_path) == []
    _, facts = read_weights(run / "last.safetensors")
    rows = log_of(run)
    assert facts["step"] == 0  # the last whole epoch
    assert len(rows) - facts["epoch"] in (0, 1)  # its row is written before it counts


def test_a_resume_beside_a_live_training_is_refused(tiny, started, tmp_path):
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(tiny(train={"epochs": 1_000_000}).to_yaml())
    started(recipe, run)
    wait_until(lambda: (run / "last.safetensors").is_file(), 300)
    code, said = started(recipe, run, "--resume").end()
    assert (code, said.count("\n")) == (2, 1)
    assert f"{run}: a training run is already active here" in said
    epochs = [row["epoch"] for row in log_of(run)]
    assert epochs == sorted(set(epochs))


def test_two_sweeps_into_one_folder_are_refused(tiny, started, tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(tiny(train={"epochs": 1_000_000}).to_yaml())
    started(recipe, out, "--sweep", "train.seed=0,1")
    wait_until(lambda: (out / "seed0" / "last.safetensors").is_file(), 300)
    for more in (("--sweep", "train.seed=0,1", "--resume"), ("--sweep", "train.seed=1,0", "--resume")):
        code, said = started(recipe, out, *more).end()
        assert (code, said.count("\n")) == (2, 1)
        assert f"{out}: a training run is already active here" in said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_that_read_videos_end_with_the_training(number, tiny, started, tmp_path):
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(tiny(train={"epochs": 1_000_000, "workers": 2}).to_yaml())
    training = started(recipe, run)
    wait_until(lambda: (run / "last.safetensors").is_file(), 300)
    readers = children_of(training.process.pid)
    assert len(readers) == 2
    training.kill(number)
    wait_until(lambda: not any(Path(f"/proc/{reader}/cmdline").is_file() for reader in readers), 5)
