"""Many clients on one project, and any request that the schema allows: what was acknowledged is there, once.

CLIENTS=30 SECONDS=60 EXAMPLES=50 asks for more than CI does.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from fact_clip_app.store.project import Project

from ..launch import serving

CLIENTS, SECONDS = int(os.environ.get("CLIENTS", "15")), float(os.environ.get("SECONDS", "3"))
EXAMPLES = int(os.environ.get("EXAMPLES", "4"))

pytestmark = pytest.mark.slow


@pytest.fixture
def served(text_run, tmp_path):
    """The port and the project of a page in a process of its own."""
    words = ["-m", "tests.app.serve", text_run, tmp_path / "project"]
    with serving(*words, ending=signal.SIGKILL) as (_, line):
        port, token = line.split()
        yield f"http://127.0.0.1:{port}", token, tmp_path


def test_what_many_clients_were_told_is_stored_is_there_once(served, rows):
    address, token, folder = served
    width = np.load(rows).shape[1]
    until = time.monotonic() + SECONDS

    def client(number: int) -> list[tuple[str, str]]:
        """Videos that were added, by id, and their only action."""
        rng, added = np.random.default_rng(number), list[tuple[str, str]]()
        with httpx.Client(base_url=address, timeout=60) as browser:

            def ask(method, path, **how):
                while (answer := browser.request(method, path, **how)).status_code == 503:
                    time.sleep(0.1)
                assert answer.status_code == 200, answer.text
                return answer.json()

            assert browser.get("/", params={"token": token}).status_code == 200
            while time.monotonic() < until:
                path = folder / f"{number}.npy"
                np.save(path, rng.standard_normal((12, width)).astype(np.float32))
                key = ask("POST", "/api/files", params={"name": "video.npy"}, content=path.read_bytes())["file"]
                video = ask("POST", "/api/videos", json={"files": [key]})["video"]
                track = ask("GET", f"/api/videos/{video}")["tracks"][0]["id"]
                name = f"action {number} {len(added)}"
                segment = {"start": 0, "stop": 12, "label": name}
                ask("PUT", f"/api/videos/{video}/segments", json={"track": track, "revision": 0, "segments": [segment]})
                added.append((video, name))
        return added

    with ThreadPoolExecutor(CLIENTS) as pool:
        added = [entry for entries in pool.map(client, range(CLIENTS)) for entry in entries]
    assert len(added) >= CLIENTS
    assert len({name for name, _ in added}) == len(added)
    project = Project(folder / "project")
    stored = []
    for video in project.videos():
        for track in project.labelled_tracks(video.id):
            stored += [(video.id, label.label) for label in track.segments]
    assert sorted(stored) == sorted(added)


def test_no_request_of_the_schema_is_a_fault_of_the_server(opened, rows):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    user = opened()()
    video = user.add(rows)
    user.label(video, (0, 5, "grasp shaft"))
    schema = schemathesis.openapi.from_dict(user.ask("GET", "/api/openapi.json"))
    quiet = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}
    for operation in (result.ok() for result in schema.get_all_operations()):
        # They take minutes where they are valid, and events do not end.
        if operation.path.startswith(("/api/train", "/api/events")):
            continue

        @settings(max_examples=EXAMPLES, phases=[Phase.generate], **quiet)
        @given(case=operation.as_strategy())
        def ask(case):
            if "video" in (case.path_parameters or {}):
                case.path_parameters["video"] = video
            case.headers = {**(case.headers or {}), "host": "127.0.0.1:8000"}
            how = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
            how.pop("cookies", None)
            try:
                user.client.build_request(**how).read()
            except AttributeError:  # a number as the content of a file, which no client can send
                return
            answer = user.client.request(**how)
            assert answer.status_code < 500, (case.method, case.path, how, answer.text[:300])

        ask()
    user.client.post(f"/api/videos/{video}/restore")
    assert user.ask("GET", f"/api/videos/{video}")["id"] == video
