"""Every hostile request is answered in one plain line, soon, and changes nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("uvicorn")

from ..training.test_ensemble import wait_until
from .hostile import ASKS, Ask

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 5.0
MEGABYTES = 300  # above what the page takes at first
CANARY = "canary-of-the-tests"


@dataclass
class Served:
    """A page in a process of its own, and what a user of it has."""

    process: subprocess.Popen[bytes]
    port: int
    known: dict[str, str]
    folder: Path
    log: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, cookie: str = "", body: bytes | None = None) -> http.client.HTTPResponse:
        """An honest request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Cookie": cookie, "Content-Type": "application/json"})
        return connection.getresponse()

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS):
            return True
        return False

    def enter(self) -> str:
        """The cookie of a new session."""
        answer = self.ask("GET", f"/?token={self.known['token']}")
        return str(answer.getheader("set-cookie")).partition(";")[0]

    def told(self, ask: Ask) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of the answer to a hostile request; status 0 where there was none."""
        raw = ask.sent(self.host, self.known)
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS + ask.pause) as line:
            with contextlib.suppress(OSError):  # it may have answered, and hung up, before it had read all
                if ask.pause:
                    line.sendall(raw[:-1])
                    time.sleep(ask.pause)
                    line.sendall(raw[-1:])
                else:
                    line.sendall(raw)
            answer = http.client.HTTPResponse(line)
            try:
                answer.begin()
                content = answer.read()
            except (http.client.BadStatusLine, ConnectionError):
                return 0, {}, ""
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, content.decode("utf-8", "replace")

    @property
    def megabytes(self) -> float:
        """Main memory that it has taken so far, at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


@pytest.fixture(scope="module")
def served(text_run: Path, workbench: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    log = folder / "log.txt"
    (folder / "tmp").mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.serve", str(text_run), str(folder / "project")],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=environment,
        )
    assert process.stdout is not None
    try:
        port, token = process.stdout.readline().decode().split()
        page = Served(process, int(port), {"token": token}, folder, log)
        wait_until(page.listens, 60)
        cookie = page.enter()
        rows = (workbench / "features/person1_video1.npy").read_bytes()
        keys = [
            json.load(page.ask("POST", f"/api/files?name={quote('a.npy')}", cookie, rows))["file"] for _ in range(2)
        ]
        asked = json.dumps({"files": keys[:1]}).encode()
        video = json.load(page.ask("POST", "/api/videos", cookie, asked))["video"]
        page.known.update(cookie=cookie, video=video, file=keys[1], port=str(page.port))
        page.known.update(host=page.host, canary=CANARY)
        json.load(page.ask("GET", f"/api/videos/{video}", cookie))
        yield page
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def before(served: Served) -> dict[str, object]:
    return {"video": _seen(served), "megabytes": served.megabytes}


def _seen(served: Served) -> str:
    """What the user sees of the video."""
    answer = served.ask("GET", f"/api/videos/{served.known['video']}", served.known["cookie"])
    assert answer.status == 200
    return answer.read().decode()


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_a_hostile_request(ask: Ask, served: Served, before: dict[str, object]) -> None:
    read, began = served.log.stat().st_size, time.monotonic()
    status, headers, text = served.told(ask)
    took = time.monotonic() - began
    assert status in ask.status, text[:300]
    assert took < SECONDS + ask.pause
    assert not any(mark in text for mark in ("Traceback", "root:x", "import torch", str(served.folder), str(ROOT)))
    if status >= 400 and headers.get("content-type", "").startswith("application/json"):
        assert next(iter(json.loads(text))) == "error"
        assert "\n" not in text
        assert len(text) < 5000
        assert headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in headers
    said = served.log.read_text(errors="replace")[read:]
    assert "Traceback" not in said, said[-1500:]


def test_nothing_has_changed(served: Served, before: dict[str, object]) -> None:
    """After all of the above: the video, the names on the disk, the memory."""
    assert _seen(served) == before["video"]
    assert served.megabytes < float(str(before["megabytes"])) + MEGABYTES
    found = [
        path
        for path in served.folder.rglob("*")
        if CANARY in path.name or path.suffix not in ("", ".npy", ".txt", ".sqlite", ".sqlite-wal", ".sqlite-shm")
    ]
    assert found == []
    assert not list(Path("/etc").glob(f"{CANARY}*"))
    assert len(list(served.folder.rglob("*.npy"))) == len(ASKS_THAT_STAY) + 2


ASKS_THAT_STAY = [ask for ask in ASKS if ask.status == (200,) and ask.method == "POST"]
