"""A page in this process, with a run that reads names and one that does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fact_clip
from fact_clip.inference.loading import load

pytest.importorskip("starlette")
pytest.importorskip("av")

from starlette.testclient import TestClient

from fact_clip_app.store.project import Label, Project
from fact_clip_app.web.server import make_app
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.uploads import Limits
from fact_clip_app.workspace.workspace import Options, Workspace

from ..shell import commands

ADDRESS = "http://127.0.0.1:8000"
UNSURE = {"order": "least sure"}  # asks the clips for the list of What next


def labels_of(project: Project, track: int) -> list[Label]:
    """The labels of a track in order of time."""
    tracks = [each for video in project.videos() for each in project.labelled_tracks(video.id)]
    return next(each.segments for each in tracks if each.id == track)


@dataclass
class User:
    """A browser of the page, which is let in."""

    client: TestClient
    page: Workspace

    def upload(self, path: Path, name: str | None = None) -> str:
        """Send a file; its key."""
        answer = self.client.post("/api/files", params={"name": name or path.name}, content=path.read_bytes())
        assert answer.status_code == 200, answer.text
        return answer.json()["file"]

    def add(self, *paths: Path, fps: float = 1) -> str:
        """A video from files; its id. Features alone that no model gives a rate have this one."""
        files = [self.upload(path) for path in paths]
        if [path.suffix for path in paths] == [".npy"] and self.page.engine.model() is None:
            facts = self.client.post(
                "/api/files", params={"name": f"{paths[0].stem}.json"}, content=b'{"fps": %g}' % fps
            )
            files.append(facts.json()["file"])
        answer = self.client.post("/api/videos", json={"files": files})
        assert answer.status_code == 200, answer.text
        return answer.json()["video"]

    def label(self, video: str, *segments: tuple[int, int, str], track: int = 0, status: int = 200) -> Any:
        """Give a track, by its place, these segments."""
        shown = self.ask("GET", f"/api/videos/{video}")
        body = {"track": shown["tracks"][track]["id"], "revision": shown["tracks"][track]["revision"]}
        body["segments"] = [{"start": start, "stop": stop, "label": label} for start, stop, label in segments]
        return self.ask("PUT", f"/api/videos/{video}/segments", status, json=body)

    def act(self, *names: str, **more: Any) -> Any:
        """Give the project these actions."""
        revision = self.ask("GET", "/api/state")["actions_revision"]
        body = {"actions": [{"name": name} for name in names], "revision": revision, **more}
        return self.ask("PUT", "/api/actions", json=body)

    def ask(self, method: str, path: str, status: int = 200, **how: Any) -> Any:
        """The JSON of an answer with the status that is expected."""
        answer = self.client.request(method, path, **how)
        assert answer.status_code == status, answer.text
        assert "\n" not in answer.text
        return answer.json()

    def settle(self) -> Any:
        """The state once nothing is waiting or running."""
        while True:
            state = self.ask("GET", "/api/state")
            jobs = [each["job"] for each in state["videos"]] + [state["training"]]
            if all(job is None or job["state"] in ("done", "failed") for job in jobs):
                return state
            time.sleep(0.2)


@pytest.fixture(scope="session")
def text_run(tiny: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head reads names, trained for an epoch; read only."""
    folder = tmp_path_factory.mktemp("app") / "text"
    fact_clip.training.train(tiny(model={"head": "text"}, text={"encoder": "hash:16"}), folder)
    return folder


@pytest.fixture
def opened(text_run: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``opened(run=..., limits=..., project=...)``: a function that lets one more browser in."""
    with ExitStack() as stack:

        def open_page(
            run: Path | None = text_run,
            limits: Limits | None = None,
            encoder: str | None = None,
            project: Path | None = None,
            served_as: tuple[str, ...] = (),
            stores: tuple[str, ...] = (),
        ) -> Callable[[], User]:
            chosen, store = limits or Limits(), Project(project or tmp_path / "project")
            base = None if run is None else load(run, "cpu", encoder=encoder)
            engine = Engine(store, base, lambda path: load(path, "cpu"), chosen)
            command = "fact-clip", "segment", "--run", str(run)
            options = Options("127.0.0.1", command, run, served_as, stores)
            app = make_app(engine, options)
            stack.enter_context(TestClient(app, base_url=ADDRESS))  # its lifespan

            def enter() -> User:
                client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
                assert client.get("/", params={"token": store.token}).status_code == 200
                return User(client, app.state.workspace)

            return enter

        yield open_page


@pytest.fixture
def user(opened: Callable[..., Any]) -> User:
    """One user of a page with `text_run`."""
    return opened()()


@pytest.fixture
def forked(monkeypatch):
    """Trainings of the page are forks of a process that has the libraries loaded."""
    monkeypatch.setattr(sys, "executable", str(commands() / "python"))


@pytest.fixture
def rows(workbench: Path) -> Path:
    """A feature file of the workbench."""
    return workbench / "features" / "person1_video1.npy"
