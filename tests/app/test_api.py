"""The API as programs see it: its description, a client generated from it, and segmenting without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

import fact_clip
from fact_clip.formats.json_file import as_dict
from fact_clip_app.workspace.uploads import Limits

ROWS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    np.save(tmp_path / "clip.npy", ROWS)
    return tmp_path / "clip.npy"


def stored(user: Any) -> list[Path]:
    """The files of a project, but for its database."""
    files = [path for path in user.page.project.folder.rglob("*") if path.is_file()]
    return [path for path in files if "project." not in path.name]


def operations(user: Any) -> dict[str, dict[str, Any]]:
    schema = user.ask("GET", "/api/openapi.json")
    assert (schema["info"]["version"], schema["info"]["title"]) == (fact_clip.__version__, "FACT-CLIP")
    assert {"type": "http", "scheme": "bearer"} in schema["components"]["securitySchemes"].values()
    return {each["operationId"]: each for path in schema["paths"].values() for each in path.values()}


def test_every_answer_is_described(user):
    for name, operation in operations(user).items():
        answers = operation["responses"]
        assert answers["200"]["content"], name
        for kind, content in answers["200"]["content"].items():
            assert kind != "application/json" or content["schema"] != {}, name
        assert "422" not in answers, name
        if name != "health":
            assert operation["security"] == [{"HTTPBearer": []}]
            assert {"400", "401", "403", "404", "409", "413", "503"} <= answers.keys()
    assert operations(user)["upload"]["requestBody"]["content"].keys() == {
        "application/octet-stream",
        "multipart/form-data",
    }


@pytest.mark.parametrize("how", ["raw", "form"])
def test_a_file_is_segmented_and_forgotten(how, user, features):
    expected = as_dict(user.page.engine.base.segment(features))
    before = stored(user)
    body: dict[str, Any] = {"content": features.read_bytes()}
    if how == "form":
        body = {"files": {"file": ("other.npy", features.read_bytes())}}
    answer = user.client.post("/api/segment", params={"name": "clip.npy"}, **body)
    assert (answer.status_code, answer.json()) == (200, {**expected, "fps": answer.json()["fps"]})
    assert stored(user) == before
    assert (user.page.files, user.page.segmentings) == ({}, {})
    assert user.ask("GET", "/api/state")["videos"] == []


def test_a_long_segmentation_is_a_job(user, features):
    gate = threading.Event()
    segment = user.page.engine.segment

    def wait(*values: Any) -> Any:
        gate.wait(10)
        return segment(*values)

    user.page.engine.segment = wait
    how = {"params": {"name": "clip.npy", "wait": 0}, "content": features.read_bytes()}
    answer = user.client.post("/api/segment", **how)
    job = answer.json()["job"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/segment/{job}")
    assert user.ask("GET", f"/api/segment/{job}", 202)["state"] in ("waiting", "running")
    gate.set()
    while (answer := user.client.get(f"/api/segment/{job}")).status_code == 202:
        pass
    assert answer.json()["n_frames"] == 40
    user.ask("GET", f"/api/segment/{job}", 404)  # it was told once
    gate.clear()
    job = user.client.post("/api/segment", **how).json()["job"]
    assert user.ask("DELETE", f"/api/segment/{job}") == {}
    gate.set()
    user.ask("DELETE", f"/api/segment/{job}", 404)


def test_what_cannot_be_segmented(user, opened, features, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((4, 9), np.float32))
    for name, body, status in (("wide.npy", (tmp_path / "wide.npy").read_bytes(), 400), ("a.exe", b"", 400)):
        answer = user.client.post("/api/segment", params={"name": name}, content=body)
        assert answer.status_code == status
        assert answer.json()["error"].startswith(name)
    for uri in ("file:///etc/passwd", "http://169.254.169.254/x.npy", str(features), "memory://b/../c.npy"):
        assert "uri" in user.ask("POST", "/api/segment", 400, params={"uri": uri})["error"]
    form = {"content": b"--x\r\n\r\nno form", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}
    assert user.client.post("/api/files", params={"name": "a.npy"}, **form).status_code == 400
    parts = [("file", ("a.npy", b"1")), ("file", ("b.npy", b"2"))]
    assert user.client.post("/api/files", params={"name": "a.npy"}, files=parts).status_code == 400
    named = user.client.post("/api/files", files={"file": ("ä.npy", features.read_bytes())})
    assert (named.status_code, named.json()["name"]) == (200, "ä.npy")
    assert named.json()["file"].endswith(".npy")
    assert user.client.post("/api/files", files={"file": ("a.exe", b"1")}).status_code == 400
    assert user.client.post("/api/files", content=b"1").status_code == 400
    (user.page.incoming / named.json()["file"]).unlink()
    small = opened(limits=Limits(file_bytes=100), project=tmp_path / "small")()
    answer = small.client.post("/api/files", params={"name": "a.npy"}, files={"file": ("a", bytes(200))})
    assert answer.status_code == 413
    assert stored(user) == []


def test_an_address_of_an_allowed_store(opened, features):
    import fsspec

    fsspec.filesystem("memory").pipe_file("/lab/clip.npy", features.read_bytes())
    user = opened(stores=("memory://lab/",))()
    answer = user.ask("POST", "/api/segment", params={"uri": "memory://lab/clip.npy"})
    assert answer["n_frames"] == 40
    user.ask("POST", "/api/segment", 400, params={"uri": "memory://lab2/clip.npy"})


CLIENT = """
import sys, time
from page_client import AuthenticatedClient
from page_client.api.default import segment, state
from page_client.models import Segmentation
from page_client.types import File

url, token, path = sys.argv[1:]
client = AuthenticatedClient(url, token, raise_on_unexpected_status=True)
with open(path, "rb") as content:
    found = segment.sync(client=client, name="clip.npy", body=File(content))
assert isinstance(found, Segmentation)
print(found.n_frames, found.segments[0].label, state.sync(client=client).project.name)
print(segment.sync(client=AuthenticatedClient(url, "x"), name="clip.npy", body=File(b"")).error)
"""


@pytest.mark.slow
def test_a_generated_client(user, features, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(user.ask("GET", "/api/openapi.json")))
    (tmp_path / "config.yaml").write_text("project_name_override: page-client\npost_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    command += ["--config", "config.yaml", "--fail-on-warning", "--meta", "none", "--output-path", "page_client"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    server = uvicorn.Server(uvicorn.Config(user.client.app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        pass
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    command = [sys.executable, "-c", CLIENT, url, user.page.project.token, str(features)]
    result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    server.should_exit = True
    thread.join()
    assert result.returncode == 0, result.stderr
    first = user.page.engine.base.segment(features).segments[0].label
    lines = result.stdout.splitlines()
    assert lines[0] == f"40 {first} {user.page.project.folder.name}"
    assert "not let in" in lines[1]
