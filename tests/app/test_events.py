"""Events, and people who edit while the server is killed: what was acknowledged is there exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import httpx
import numpy as np
import pytest

from fact_clip_app.store.history import History
from fact_clip_app.store.project import Project

from ..launch import serving
from ..training.test_ensemble import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def served(project: Path) -> Iterator[tuple[ForkServerProcess, httpx.Client]]:
    """`fact-clip app` in a process of its own, and a program that may ask it."""
    words = ["-m", "fact_clip", "app", project, "--port", 0]
    with serving(*words, ending=signal.SIGKILL) as (process, line):
        address, _, token = line.split()[1].partition("/?token=")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=10) as client:
            client.get("/health", timeout=60)  # the address comes before the page is loaded
            yield process, client


def new(folder: Path, n_videos: int = 1) -> list[str]:
    """A project with videos of 10,000 frames; their ids."""
    project = Project(folder)
    videos = [project.add_video(f"v{number}", None, None, np.arange(10_001) / 10) for number in range(n_videos)]
    project.close()
    return videos


def stamps(lines: Iterator[str]) -> Iterator[str]:
    """The stamps of a stream of events."""
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))["stamp"]


def test_events_come_at_each_change_by_whatever_process(tmp_path):
    (video,) = new(tmp_path / "p")
    with served(tmp_path / "p") as (_, client), client.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == "event: change"
        stream = stamps(lines)
        seen = [next(stream)]
        assert client.get("/api/state").json()["stamp"] == seen[0]
        body = {"track": 1, "removed": [], "added": [{"start": 0, "stop": 5, "label": "groom"}]}
        assert client.post(f"/api/videos/{video}/edits", json=body).status_code == 200
        seen.append(next(stream))
        other = Project(tmp_path / "p")
        History(other).replace(video, 1, [])
        other.close()
        seen.append(next(stream))
        assert len(set(seen)) == 3
        assert client.get("/api/state").json()["stamp"] == seen[2]  # to ask changes nothing


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_while_events_are_sent(tmp_path, number):
    new(tmp_path / "p")
    with served(tmp_path / "p") as (process, client):
        listening = []
        ended = []

        def listen():
            with suppress(httpx.HTTPError), client.stream("GET", "/api/events") as answer:
                for _ in answer.iter_lines():
                    listening.append(1)
            ended.append(1)

        threads = [threading.Thread(target=listen) for _ in range(5)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(listening) >= 5, 60)
        os.kill(process.pid, number)
        process.join(10)  # events would be sent for ever
        assert process.exitcode is not None
        for thread in threads:
            thread.join(5)
        assert len(ended) == 5


def test_edits_of_two_people_outlive_any_kill(tmp_path):
    """Each edit has an id and is sent again until it is acknowledged, also after the server was killed."""
    videos = new(tmp_path / "p", 2)
    rng = random.Random(0)
    stored: dict[str, tuple[str, int]] = {}  # edit -> video, start
    deleted = set[str]()
    counts = [0, 0]
    for _ in range(int(os.environ.get("KILLS", "6"))):
        with served(tmp_path / "p") as (process, client):
            stop = threading.Event()

            def person(number, client=client, stop=stop):
                """Resend what has no answer, which begins the next server, too."""
                browser = {"browser": f"b{number}", "annotator": f"person {number}"}
                chance = random.Random(counts[number])
                while not stop.is_set():
                    count = counts[number]
                    video, start = videos[count % 2], 2 * count + number
                    label = {"start": start, "stop": start + 1, "label": f"class {count % 5}", **browser}
                    del label["browser"]
                    key = f"{number} {count}"
                    track = 1 + count % 2
                    earlier = f"{number} {count - 2}"
                    removed = []
                    if count % 3 == 2 and earlier in stored:  # it removes the label before
                        removed = [
                            {**label, "start": start - 4, "stop": start - 3, "label": f"class {(count - 2) % 5}"}
                        ]
                    body = {"track": track, "removed": removed, "added": [label], "edit": key, **browser}
                    try:
                        answer = client.post(f"/api/videos/{video}/edits", json=body)
                    except httpx.HTTPError:
                        return
                    assert answer.status_code == 200, answer.text
                    if chance.random() < 0.1:  # an answer that was lost
                        assert client_again(client, video, body, stop) in (None, answer.json()["added"])
                    stored[key] = (video, start)
                    if removed:
                        deleted.add(earlier)
                    counts[number] += 1

            threads = [threading.Thread(target=person, args=(number,)) for number in range(2)]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.2, 0.8))
            os.kill(process.pid, signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join(15)
        project = Project(tmp_path / "p")
        assert project.rows("PRAGMA integrity_check") == [("ok",)]
        for video in videos:
            (track,) = project.labelled_tracks(video)
            starts = [label.start for label in track.segments]
            assert len(set(starts)) == len(starts)
            acknowledged = {key: start for key, (name, start) in stored.items() if name == video}
            expected = {start for key, start in acknowledged.items() if key not in deleted}
            # The edit of each person that was under way may be stored, and may have removed a label.
            assert len(set(starts) - expected) <= 2
            assert len(expected - set(starts)) <= 2
        project.close()
    assert min(counts) > 20
    project = Project(tmp_path / "p")
    edits = [edit for (edit,) in project.rows("SELECT edit FROM step")]
    assert set(stored) <= set(edits)
    assert len(set(edits)) == len(edits)
    project.close()


def client_again(client, video, body, stop):
    """What the answer to an edit that is sent again has added."""
    if stop.is_set():
        return None
    try:
        answer = client.post(f"/api/videos/{video}/edits", json=body)
    except httpx.HTTPError:
        return None
    return answer.json()["added"]
