"""A page that programs ask, behind a proxy, and in a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from starlette.testclient import TestClient

import fact_clip

from ..shell import commands
from ..test_readme import blocks
from .browsing import served
from .conftest import ADDRESS

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "container/Dockerfile").read_text(encoding="utf-8")


def test_a_program_sends_the_token_in_a_header(user):
    program, token = TestClient(user.client.app, base_url=ADDRESS), user.page.project.token
    for sent, status in (
        (f"Bearer {token}", 200),
        (f"bearer {token}", 200),
        ("Bearer x", 401),
        (f"Basic {token}", 401),
    ):
        assert program.get("/api/state", headers={"Authorization": sent}).status_code == status
    assert program.get("/health").json() == {"status": "ok"}


def test_a_proxy_serves_it_by_its_name(opened):
    user = opened(served_as=("films.example.org",))()
    program = TestClient(user.client.app, base_url="https://films.example.org")
    answer = program.get("/", params={"token": user.page.project.token})
    assert answer.status_code == 200
    assert "Secure" in answer.headers["set-cookie"]
    assert program.get("/health", headers={"Host": "evil.example"}).status_code == 403


def started(*command: str, **more: str) -> tuple[subprocess.Popen[str], str, str]:
    """A page in a process of its own: the process, its address and its token."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **more}
    )
    assert process.stdout is not None
    url, token = re.fullmatch(r"open (\S+)/\?token=(\S+)\n", process.stdout.readline()).groups()
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=3)
            break
        except OSError:
            time.sleep(0.1)
    return process, url, token


@pytest.mark.slow
def test_the_script_of_the_page_gets_what_segment_gives(text_run, rows, tmp_path):
    (code,) = (
        block.code for block in blocks((ROOT / "docs/serving.md").read_text("utf-8")) if block.language == "python"
    )
    assert sum(bool(line) for line in code.splitlines()) <= 12
    with served(tmp_path / "project", "--run", text_run) as address:
        words = [commands() / "python", "-c", code, *address.split("/?token="), rows]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    expected = fact_clip.load(text_run, "cpu").segment(rows)
    assert [part[2] for part in json.loads(answer.stdout)] == list(expected.transcript)
    assert np.all(np.diff([part[0] for part in json.loads(answer.stdout)]) > 0)


def test_the_requests_of_the_document_exist(user):
    """Each request in the tables of docs/serving.md has a route."""
    schema = user.ask("GET", "/api/openapi.json")["paths"]
    routes = set()
    for path, methods in schema.items():
        routes |= {(method.upper(), re.sub(r"\{\w+\}", "*", path)) for method in methods}
    text = (ROOT / "docs/serving.md").read_text("utf-8")
    requests = re.findall(r"`([A-Z]+) (/[^ `?]*)", text)
    assert len(requests) > 20
    for method, path in requests:
        sample = re.sub(r"\b(ID|T)\b", "*", path).replace("/undo", "/*").replace("ethogram.svg", "*.*")
        assert (method, sample) in routes, (method, path)


def test_a_wheel_has_all_files_of_the_page():
    folder = ROOT / "fact_clip_app"
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    packed = {path for pattern in options["package-data"]["fact_clip_app"] for path in folder.glob(pattern)}
    assert {path for path in (folder / "static").rglob("*") if path.is_file()} <= packed


def instructions() -> dict[str, list[str]]:
    """What the Dockerfile says, by keyword."""
    lines = [line.partition(" ") for line in DOCKERFILE.splitlines() if line and line[0] not in "# "]
    return {word: [text for keyword, _, text in lines if keyword == word] for word, *_ in lines}


def test_the_container_is_not_root_and_installs_what_the_lock_names():
    """Each dependency, and those of five extras, is in the lock with its hash, at a version that is allowed."""
    steps = instructions()
    assert steps["USER"] == ["user"]
    assert steps["ARG"] == ["TORCH=cpu"]
    assert any("--require-hashes -r container/requirements.lock" in step for step in steps["RUN"])
    lock = (ROOT / "container/requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = ("app", "text", "plots", "clip", "video", "annotation", "hub")  # app includes some of the others
    extras = [project["optional-dependencies"][name] for name in names]
    excluded = (ROOT / "container/excludes.txt").read_text().splitlines()
    for dependency in map(Requirement, [*project["dependencies"], *(line for lines in extras for line in lines)]):
        name = canonicalize_name(dependency.name)
        if name == "fact-clip":
            continue
        assert name in excluded or dependency.specifier.contains(locked[name]), f"{dependency}: run make lock"
    assert not locked.keys() & {*excluded}


@pytest.fixture
def installed(tmp_path) -> Path:
    """The folder of commands where what the Dockerfile copies was installed as it says, with the packages from here."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    (tmp_path / "src").mkdir()
    for name in kept:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / "src" / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "base.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    assert instructions()["RUN"][-2].endswith("pip install --no-deps .")
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python"), "install", "-q", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "."], cwd=tmp_path / "src", check=True)
    return tmp_path / "venv/bin"


@pytest.mark.slow
def test_the_container_serves(installed, tmp_path):
    """Built and run where docker is there; else what it would install, start and ask is, from here."""
    steps = instructions()
    command, check = [*json.loads(steps["ENTRYPOINT"][0]), *json.loads(steps["CMD"][0])], steps["HEALTHCHECK"][0]
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("docker"):
        build = ["docker", "build", "-f", "container/Dockerfile", "-t", "fact-clip-test", "."]
        subprocess.run(build, cwd=ROOT, check=True)
        command = ["docker", "run", "--rm", "-p", "127.0.0.1:8000:8000", "fact-clip-test"]
    else:
        command = [word.replace("/data/", f"{tmp_path}/") for word in command]
        command[0] = str(installed / command[0])
    process, url, _ = started(*command)
    try:
        assert url.endswith(":8000")
        assert b"<title>" in urllib.request.urlopen(f"{url}/static/index.html").read()  # the wheel has the page
        subprocess.run(["sh", "-c", check.removeprefix("CMD ")], check=True, env={**os.environ, "PATH": path})
    finally:
        process.terminate()
        process.wait(20)
