"""200 videos in 4 shards, with kill -9 at random: a decoder, a driver, or all processes of the job."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from fact_clip.batch import batch_status, extract_all
from fact_clip.batch.failures import read_failures
from fact_clip.encoders import frame_encoder

from ..films import numbered, write_video
from ..training.test_ensemble import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory limits and /proc"),
]
ROOT = Path(__file__).parents[2]
BAD = {"crash": "crash", "greedy": "memory", "hang": "timeout"}
GOOD = 197
SHARDS = 4
DISTURBANCES = 9


def below(folder: Path) -> dict[str, bytes]:
    """The outputs of a batch; a name that starts with a dot is that of an unfinished file."""
    paths = [path for path in folder.rglob("*.*") if path.suffix in (".npy", ".json") and path.name[0] != "."]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def start(films: Path, out: Path) -> list[subprocess.Popen[bytes]]:
    """Start a process for each shard, as a job array does."""
    words = ["extract", str(films), "--encoder", "grid", "--out", str(out), "--timeout", "0.05", "--memory", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fact_clip", *words, "--shard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [
        subprocess.Popen([*command, f"{index}/{SHARDS}"], cwd=ROOT, env=environment, **quiet) for index in range(SHARDS)
    ]


def children(process: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def count(out: Path) -> int:
    return sum(1 for path in out.rglob("*.npy") if path.name[0] != ".")


def disturb(kind: str, jobs: Sequence[subprocess.Popen[bytes]], out: Path, rng: random.Random) -> None:
    """Kill processes a moment after some more outputs are there."""
    before = count(out)
    wait_until(lambda: count(out) >= before + 6 or all(job.poll() is not None for job in jobs), 120)
    time.sleep(rng.uniform(0, 1.0))
    drivers = [job.pid for job in jobs if job.poll() is None]
    decoders = [child for driver in drivers for child in children(driver)]
    victims = {"decoder": decoders[:1], "driver": drivers[-1:], "job": drivers}[kind]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def test_shards_that_are_killed_at_random(sabotage, tmp_path):
    films = tmp_path / "films"
    film = write_video(tmp_path / "film.mp4", numbered(300))
    content = film.read_bytes()
    for number in range(GOOD):
        path = films / f"day{number % 3}" / f"take{number // 3}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + bytes([number]))
    undisturbed = tmp_path / "undisturbed"
    assert len(extract_all([films], frame_encoder("grid"), undisturbed).written) == GOOD
    for name in BAD:
        shutil.copy(film, films / "day0" / f"{name}.mp4")

    out, rng = tmp_path / "out", random.Random(41)
    counts = []
    for number in range(DISTURBANCES):
        jobs = start(films, out)
        disturb(("decoder", "driver", "job")[number % 3], jobs, out, rng)
        if number % 3 == 2:
            [job.wait() for job in jobs]
        else:
            time.sleep(rng.uniform(0, 1.0))
            [(job.kill(), job.wait()) for job in jobs]
        partial = below(out)
        counts.append(count(out))
        expected = below(undisturbed)
        for name in partial:
            if name.endswith(".npy"):
                assert partial[name] == expected[name], name
    assert 0 < counts[2] < counts[3] < GOOD  # the first kills hit unfinished work
    codes = [1] * SHARDS
    rounds = 0
    while any(codes):
        codes = [job.wait() for job in start(films, out)]
        rounds += 1
        assert rounds <= 4  # three attempts, and one in which the bad ones are set aside

    assert below(out) == below(undisturbed)
    status = batch_status(out)
    assert (status.done, status.missing, status.failed, status.set_aside) == (GOOD, 0, 0, 3)
    last = {Path(failure.id).name: failure for failure in read_failures(out)}
    # A kill of the decoder counts as a crash of the video that it was at.
    kinds = {(Path(failure.id).name, failure.kind) for failure in read_failures(out)}
    assert kinds >= set(BAD.items())
    assert all(last[name].attempts == 3 for name in BAD)
