"""100 videos in 4 shards, with kill -9 at random: a decoder, a driver, or all processes of the job.

KILLS=20 asks for more kills (`tests/training/test_kills.py`).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract
from fact_clip_batch import batch_status
from fact_clip_batch.records import read_failures
from fact_clip_batch.stores import Folder

from ..films import numbered, write_video
from ..launch import begin
from ..small import write_dataset
from ..training.test_ensemble import wait_until
from ..training.test_kills import KILLS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory limits and /proc"),
]
BAD = {"crash": "crash", "greedy": "memory", "hang": "timeout"}
GOOD = 97
SHARDS = 4
PAUSE = 0.3  # at most, before a kill
LIMITS = ("--timeout", "0.1", "--memory", "1")


@dataclass(frozen=True)
class Command:
    """A command over a folder of inputs; `suffix`: of its results."""

    words: tuple[str, ...]
    suffix: str
    pictures: int = 0


def start(command: Command, films: Path, out: Path, shards: int = SHARDS) -> list[ForkServerProcess]:
    """Start a process for each shard, as a job array does."""
    jobs = []
    for index in range(shards):
        words = ["-m", "fact_clip", command.words[0], films, *command.words[1:], *LIMITS, "--out", out]
        words += ["--shard", f"{index}/{shards}"]
        jobs.append(begin(*words))
    return jobs


def codes_of(jobs: Sequence[ForkServerProcess]) -> list[int | None]:
    """The exit codes of jobs, once they have ended."""
    [job.join(300) for job in jobs]
    return [job.exitcode for job in jobs]


def below(folder: Path) -> dict[str, bytes]:
    """The outputs of a batch; a name that starts with a dot is that of an unfinished file."""
    suffixes = (".npy", ".json", ".csv")
    paths = [path for path in folder.rglob("*.*") if path.suffix in suffixes and path.name[0] != "."]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def children(process: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def disturb(kind: str, jobs: Sequence[ForkServerProcess], count: object, pause: float) -> None:
    """Kill processes a moment after some more outputs are there."""
    before = count()
    wait_until(lambda: count() >= before + 6 or not any(job.is_alive() for job in jobs), 300)
    time.sleep(pause)
    drivers = [job.pid for job in jobs if job.is_alive()]
    decoders = [child for driver in drivers for child in children(driver)]
    victims = {"decoder": decoders[:1], "driver": drivers[-1:], "job": drivers}[kind]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


@pytest.fixture
def command(request, tiny, tmp_path) -> Command:
    """`extract`, or `segment` with a run on features of the grid."""
    if request.param == "extract":
        words = ("extract", "--encoder", "grid")
        return Command(words, suffix=".npy", pictures=300)
    root = tmp_path / "data"
    labels = dict.fromkeys(("one", "two", "three"), ["rest"] * 2 + ["wander"] * 3)
    write_dataset(root, ("rest", "wander"), labels, train=("one", "two"), test=("three",))
    for name in labels:
        film = write_video(root / f"{name}.mp4", numbered(30))
        extract(film, frame_encoder("grid"), root / "features", Settings(fps=5.0))
    data = {"name": "folder", "root": str(root), "fps": 5.0, "layout": "TD", "stride": 1}
    fact_clip.training.train(tiny(data=data, train={"epochs": 1}), root / "run")
    words = ("segment", "--run", str(root / "run"), "--encoder", "grid", "--device", "cpu", "--format", "csv")
    return Command(words, suffix=".csv", pictures=30)


@pytest.mark.parametrize("command", ["extract", "segment"], indirect=True)
def test_shards_that_are_killed_at_random(command, sabotage, tmp_path):
    films = tmp_path / "films"
    film = write_video(tmp_path / "film.mp4", numbered(command.pictures))
    content = film.read_bytes()
    for number in range(GOOD):
        path = films / f"day{number % 3}" / f"take{number // 3}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + bytes([number]))
    undisturbed = tmp_path / "undisturbed"
    assert codes_of(start(command, films, undisturbed, shards=1)) == [0]
    expected = below(undisturbed)
    assert len([name for name in expected if name.endswith(command.suffix)]) == GOOD
    for name in BAD:
        shutil.copy(film, films / "day0" / f"{name}.mp4")

    out, rng = tmp_path / "out", random.Random(41)

    def count() -> int:
        return sum(1 for path in out.rglob(f"*{command.suffix}") if path.name[0] != ".")

    counts = []
    for number in range(3 * KILLS):
        jobs = start(command, films, out)
        disturb(("decoder", "driver", "job")[number % 3], jobs, count, rng.uniform(0, PAUSE))
        if number % 3 < 2:
            time.sleep(rng.uniform(0, PAUSE))
            [job.kill() for job in jobs]
        codes_of(jobs)
        counts.append(count())
        for name, content in below(out).items():
            if name.endswith(command.suffix):
                assert content == expected[name], name
    assert 0 < counts[0] < counts[1] < GOOD  # the first kills hit unfinished work
    codes = [1] * SHARDS
    rounds = 0
    while any(codes):
        codes = codes_of(start(command, films, out))
        rounds += 1
        assert rounds <= 4  # three attempts, and one in which the bad ones are set aside

    assert below(out) == expected
    status = batch_status(out)
    assert (status.done, status.missing, status.failed, status.set_aside) == (GOOD, 0, 0, 3)
    last = {Path(failure.id).name: failure for failure in read_failures(Folder(out))}
    # A kill of the decoder counts as a crash of the video that it was at.
    kinds = {(Path(failure.id).name, failure.kind) for failure in read_failures(Folder(out))}
    assert kinds >= set(BAD.items())
    assert all(last[name].attempts == 3 for name in BAD)


@pytest.mark.parametrize("seed", range(KILLS))
def test_short_feature_files_that_are_killed_at_random(seed, tiny_run, tmp_path):
    """Files that go through the model together get the same bytes in each order of kills."""
    rng = random.Random(seed)
    values = np.random.default_rng(seed)
    width = fact_clip.load(tiny_run, "cpu").scorer.width
    files = tmp_path / "files"
    files.mkdir()
    for number in range(400):
        rows = values.normal(size=(rng.randint(300, 800), width)).astype(np.float32)
        np.save(files / f"clip{number:03}.npy", rows)
    words = ("segment", "--run", str(tiny_run), "--device", "cpu")
    command = Command(words, suffix=".csv")
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    assert codes_of(start(command, files, undisturbed)) == [0] * SHARDS
    expected = below(undisturbed)

    def count() -> int:
        return sum(1 for path in out.rglob("*.csv") if path.name[0] != ".")

    counts = []
    for number in range(6):
        jobs = start(command, files, out)
        disturb(("driver", "job")[number % 2], jobs, count, rng.uniform(0, 0.1))
        [job.kill() for job in jobs]
        codes_of(jobs)
        counts.append(count())
        for name, content in below(out).items():
            if name.endswith(".csv"):
                assert content == expected[name], name
    assert 0 < counts[0] < counts[1] < 400
    assert codes_of(start(command, files, out)) == [0] * SHARDS
    assert below(out) == expected
