"""The scripts of docs/batches.md, run by hand: SLURM with made-up variables, submitit with its local executor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fact_clip.video.frames import SUFFIXES
from fact_clip_batch import Inputs, Shard, batch_status

from .films import numbered, write_video
from .shell import commands

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[1] / "docs" / "batches.md"


def block(language: str, word: str) -> str:
    """The block of the page in this language with this word."""
    blocks = PAGE.read_text().split(f"```{language}\n")[1:]
    (found,) = [text for text in (each.partition("```")[0] for each in blocks) if word in text]
    return found


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """A folder instead of /shared, and an srun that runs its command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for number in range(3):
        path = tmp_path / "shared" / "videos" / f"day{number}" / "take.mp4"
        path.parent.mkdir(parents=True)
        write_video(path, numbered(30 + number))
    return tmp_path / "shared"


def placed(script: str, shared: Path) -> str:
    return script.replace("/shared", str(shared)).replace("clip:ViT-B-32/openai", "grid")


def run_task(script: str, task: int) -> str:
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
    answer = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_job_array_of_extract(shared):
    script = placed(block("bash", "--shard"), shared)
    inputs = Inputs([shared / "videos"], SUFFIXES)
    tasks = [task for task in range(50) if [*Shard(task, 50).items(inputs)]]
    lines = [run_task(script, task) for task in tasks]
    assert sum(int(line.partition(" videos: ")[2].split()[0]) for line in lines) == 3
    status = batch_status(shared / "features")
    assert (status.inputs, status.done, status.missing) == (3, 3, 0)


def test_submitit_on_this_machine(shared, monkeypatch):
    pytest.importorskip("submitit")
    script = placed(block("python", "submitit"), shared).replace("50", "2")
    monkeypatch.chdir(shared)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.defpath}")  # without srun
    exec(script, {"__name__": "jobs"})
    status = batch_status(shared / "features")
    assert (status.inputs, status.done, status.missing) == (3, 3, 0)
