"""fact-clip app: what it refuses before the page opens."""

from __future__ import annotations

import builtins
import socket
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from fact_clip.cli import main
from fact_clip_app.store.project import Project

from ..refusals import refused_line


def refuses(capsys, place: str | Path, *arguments: object) -> str:
    """The line on stderr of a command that is refused."""
    return refused_line((main(["app", *map(str, arguments)]), *capsys.readouterr()), place)


def test_one_model_at_most(capsys, tiny_run, tmp_path):
    refuses(capsys, "app", "--run", tiny_run, "--training-free")
    refuses(capsys, tmp_path, "--run", tmp_path)


def test_names_that_the_run_cannot_take_are_told_at_once(capsys, tiny_run):
    refuses(capsys, "vocabulary", "--run", tiny_run, "--actions", "peel apple")


@pytest.mark.parametrize("package", ["uvicorn", "fastapi"])
def test_the_extra_is_named_where_it_is_missing(capsys, tiny_run, monkeypatch, package):
    original = builtins.__import__

    def without(name, *more):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=package)
        return original(name, *more)

    for name in ("fact_clip_app.web.server", "fact_clip_app.web.guard", "fact_clip_app.api.request_bodies"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install -e '.[app]'" in refuses(capsys, "fact-clip app", "--run", tiny_run)


def test_a_host_of_every_address_prints_addresses_that_open(capsys, monkeypatch, tmp_path):
    uvicorn, requests = pytest.importorskip("uvicorn"), pytest.importorskip("starlette.testclient")
    answers = []

    def run(server, sockets):
        server.config.load()
        printed = capsys.readouterr()
        assert "not HTTPS" in printed.err
        for line in printed.out.splitlines():
            address = line.split()[1]
            socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), 5).close()
            client = requests.TestClient(server.config.app, base_url=address.partition("/?")[0])
            answers.append(client.get(address).status_code)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["app", str(tmp_path / "p"), "--host", "0.0.0.0", "--port", "0"]) == 0
    assert answers == [200] * len(answers) != []


@pytest.mark.parametrize(("is_terminal", "display"), [(True, ":0"), (False, ":0"), (True, None)])
def test_a_person_at_a_window_gets_a_browser(monkeypatch, is_terminal, display):
    from fact_clip_app.commands.app import _open_browser

    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: is_terminal))
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    _open_browser("0.0.0.0", 8000, "abc")
    assert opened == (["http://127.0.0.1:8000/?token=abc"] if is_terminal and display else [])


def test_the_longest_duration_is_a_setting_of_the_project(capsys, monkeypatch, tmp_path):
    uvicorn = pytest.importorskip("uvicorn")
    limits = []

    def run(server, sockets):
        page = server.config.app.state.workspace
        limits.append(page.engine.limits.minutes)
        page.close()  # as the end of the server does, else the project stays locked

    monkeypatch.setattr(uvicorn.Server, "run", run)
    for options in ((), ("--max-minutes", "720"), ()):
        assert main(["app", str(tmp_path / "p"), "--port", "0", "--no-browser", *options]) == 0
    assert limits == [120, 720, 720]
    assert capsys.readouterr().out.count("open http://127.0.0.1:") == 3


@pytest.mark.parametrize("option", ["--new-token", "--run"])
def test_a_full_disk_at_the_start_is_one_line(capsys, monkeypatch, tiny_run, tmp_path, option):
    folder = tmp_path / "p"
    Project(folder).close()

    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Project, "renew_token", fail)
    monkeypatch.setattr(Project, "add_actions", fail)
    options = [option, tiny_run] if option == "--run" else [option]
    code = main(["app", str(folder), "--port", "0", "--no-browser", *map(str, options)])
    line = capsys.readouterr().err.splitlines()[-1]
    assert (code, line) == (2, f"fact-clip: {folder}: cannot be written (database or disk is full)")
