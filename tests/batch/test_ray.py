"""A batch on Ray with two workers, one of them killed; then finished without Ray."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

pytest.importorskip("ray")

import ray

from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings
from fact_clip_batch import BatchOptions, ExtractTask, Inputs, Limits, Outcome, batch_status, extract_batch, on_ray
from fact_clip_batch.records import read_failures
from fact_clip_batch.stores import Folder

from .test_batches import extracted
from .test_kills import below

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(s3_server):
    """Ray on this machine. Its processes know the S3 server."""
    variables = {"RAY_USAGE_STATS_ENABLED": "0", **s3_server}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        # Ray takes our word for the GPU.
        ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def extract_on_ray(inputs: Inputs, out: str) -> list[Outcome]:
    """The outcomes of two actors."""
    options = BatchOptions(limits=Limits(60, 2), actors=2, device="cpu")
    return list(on_ray(lambda: ExtractTask(frame_encoder("grid"), out, Settings(), options), inputs))


def workers() -> list[int]:
    """The numbers of the processes of Ray that run actors of the batch."""
    numbers = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::") and b"_Actor" in command:
            numbers.append(int(folder.name))
    return numbers


def test_two_workers_of_which_one_is_killed(cluster, library, tmp_path):
    root = library(*(f"day{number % 2}/take{number}.mp4" for number in range(40)))
    (root / "text.mp4").write_text("no video" * 99)
    whole, out = tmp_path / "whole", tmp_path / "out"
    killed = []

    def kill() -> None:
        while not killed and not stop.wait(0.05):
            if len(list(out.rglob("*.npy"))) >= 5:
                for number in workers()[:1]:
                    os.kill(number, signal.SIGKILL)
                    killed.append(number)

    stop = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    inputs = Inputs([root])
    results = extract_on_ray(inputs, str(out))
    stop.set()
    killer.join()
    assert killed
    assert sorted(result.item.id for result in results) == sorted(item.id for item in inputs)
    assert {result.item.id for result in results if result.state == "failed"} == {"text"}
    status = batch_status(out)
    assert (status.done, status.failed + status.set_aside) == (40, 1)

    removed = sorted(out.rglob("[!.]*.npy"))[:10]  # the kill may have left an unfinished file, with a dot
    for path in removed:
        path.unlink()
    states = extracted(root, out)  # without Ray
    assert sum(state == "extracted" for state in states.values()) == 10
    list(extract_batch(frame_encoder("grid"), inputs, whole))
    assert below(out) == below(whole)


def test_actors_that_write_to_another_store_lose_no_failure(cluster, s3, library):
    """Each actor has a file of failures there, because objects cannot be appended to."""
    root = library(*(f"take{number}.mp4" for number in range(3)))
    for number in range(5):
        (root / f"text{number}.mp4").write_text("no video" * 99)
    inputs = Inputs([root])
    for attempt in (1, 2):
        results = extract_on_ray(inputs, f"{s3}/out")
        assert len(results) == 8
        failed = [result for result in results if result.state == "failed"]
        assert sorted(result.item.id for result in failed) == [f"text{number}" for number in range(5)]
        failures = read_failures(Folder(f"{s3}/out"))
        attempts = {failure.id for failure in failures if failure.attempts == attempt}
        assert len(attempts) == 5
    status = batch_status(f"{s3}/out")
    assert (status.done, status.failed, status.missing) == (3, 5, 0)


def test_an_actor_gets_a_gpu_of_the_cluster(cluster, library, tmp_path):
    root = library("take.mp4")

    class Task(ExtractTask):
        def load(self, item):
            (tmp_path / "seen.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    options = BatchOptions(actors=1)

    def make_task():
        return Task(frame_encoder("grid"), tmp_path, Settings(), options)

    list(on_ray(make_task, Inputs([root])))
    assert (tmp_path / "seen.txt").read_text() == "0"


def test_segment_by_the_command(cluster, workbench, tiny_run, fact_clip_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["person1_video1", "person1_video2"]
    inputs = [workbench / "features" / f"{name}.npy" for name in names]
    how = ("segment", "--run", tiny_run, *inputs, "--device", "cpu", "--format", "csv", "--out")
    answer = fact_clip_command(*how, "ray", "--engine", "ray")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("2 inputs: 2 segmented, 0 already there, 0 failed; ")
    assert fact_clip_command(*how, tmp_path / "local").code == 0
    for name in names:
        assert (tmp_path / "ray" / f"{name}.csv").read_bytes() == (tmp_path / "local" / f"{name}.csv").read_bytes()
    again = fact_clip_command(*how, tmp_path / "ray")  # without Ray
    assert "2 inputs: 0 segmented, 2 already there" in again.out
