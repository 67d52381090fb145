"""The queue, and the limits on what waits and comes in."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import uvicorn
from starlette.testclient import TestClient

from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.inference.loading import load
from fact_clip.runs.run import Run
from fact_clip_app.store.project import Project
from fact_clip_app.teach.learning import continue_command
from fact_clip_app.web.guard import HttpProtocol
from fact_clip_app.web.server import make_app
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.jobs import BusyError, Job, Queue, Quick
from fact_clip_app.workspace.uploads import Limits
from fact_clip_app.workspace.workspace import Options

from ..films import numbered, write_video
from .conftest import ADDRESS, User


def run(function, *arguments) -> None:
    """Run a coroutine in a thread: playwright leaves an event loop in the main one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, function, *arguments).result()


def test_jobs_are_done_in_order_and_one_at_a_time():
    queue, free, seen = Queue(limit=3), threading.Event(), list[str]()

    def work(name):
        def wait(job):
            free.wait(10)
            seen.append(name)

        return wait

    jobs = [queue.add(Job("me", work("a")))]
    while jobs[0].state == "waiting":
        pass
    jobs += [queue.add(Job("me", work(name))) for name in "bcd"]
    assert [queue.position(job) for job in jobs] == [0, 2, 3, 4]
    with pytest.raises(BusyError):
        queue.add(Job("me", work("e")))
    queue.cancel(lambda job: job is jobs[2])
    assert queue.position(jobs[3]) == 3
    free.set()
    queue.add(last := Job("me", work("f")))
    while last.state in ("waiting", "running"):
        pass
    assert seen == ["a", "b", "d", "f"]
    queue.close()
    with pytest.raises(BusyError):
        queue.add(Job("me", work("g")))


def test_a_job_that_comes_and_goes_between_two_looks_is_seen():
    queue = Queue(limit=3)
    before = queue.stamp()
    queue.add(job := Job("me"))
    while queue.position(job) or not job.is_over or "me" in queue.stamp():
        pass
    assert queue.stamp() != before
    queue.close()


def test_a_job_that_fails_stops_no_other():
    queue = Queue(limit=9)

    def refuse(job):
        raise InputError("a.mp4", "not a video")

    def break_down(job):
        raise RuntimeError("secret")

    def stop(job):
        job.stop.set()
        job.report(1, 2)

    jobs = [queue.add(Job("me", work)) for work in (refuse, break_down, stop, lambda job: job.report(2, 2, "all"))]
    while jobs[-1].state in ("waiting", "running"):
        pass
    told = [(job.state, str(job.error)) for job in jobs]
    assert told[0] == ("failed", "a.mp4: not a video")
    assert told[1] == ("failed", "an internal error; the log of the server has it")
    assert told[2] == ("failed", "stopped")
    assert (told[3], jobs[3].done, jobs[3].note) == (("done", ""), 2, "all")
    queue.close()


def test_short_computations_wait_in_a_line_of_limited_length():
    quick, free, began = Quick(limit=1), threading.Event(), threading.Event()

    def block():
        began.set()
        free.wait(10)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(quick.run, block)
        assert began.wait(10)
        second = pool.submit(quick.run, lambda: 5)
        while quick._room._value > 0:
            pass
        with pytest.raises(BusyError) as error:
            quick.run(lambda: None)
        assert error.value.position == 2  # one runs, one waits
        free.set()
        assert (first.result(), second.result()) == (None, 5)


def test_a_stalled_upload_is_dropped(opened):
    user = opened(limits=Limits(patience=0.1))()
    key = user.client.cookies["fact_clip_8000"]
    answers = []

    async def receive(sent=[]):  # noqa: B006 - the list is the state
        if not sent:
            sent.append(1)
            return {"type": "http.request", "body": b"begin", "more_body": True}
        await anyio.sleep(60)
        raise AssertionError

    async def send(message):
        answers.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"cookie", f"fact_clip_8000={key}".encode())]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/api/files", "raw_path": b"/api/files",
        "query_string": b"name=a.mp4", "headers": headers, "server": ("127.0.0.1", 8000), "scheme": "http",
        "root_path": "",
    }  # fmt: skip
    run(user.client.app, scope, receive, send)
    assert answers[0]["status"] == 408
    assert answers[1]["body"] == b'{"error":"a.mp4: nothing came for 0.1 s"}'
    assert user.page.uploads.total() == 0
    assert list(user.page.incoming.iterdir()) == []


def test_an_upload_that_drips_is_dropped(opened):
    user = opened(limits=Limits(patience=0.05, upload_rate=1e6))()

    def drops():
        for _ in range(100):
            time.sleep(0.02)
            yield b"x"

    answer = user.ask("POST", "/api/files", 408, params={"name": "a.mp4"}, content=drops())
    assert answer["error"].startswith("a.mp4: too slow")


def test_a_client_has_few_uploads_at_once_and_so_have_all(opened):
    user = opened(limits=Limits(uploads_each=2, uploads=3))()
    how = {"params": {"name": "a.npy"}, "content": b"x"}
    for under_way, status in (({"testclient": 2}, 503), ({"other": 2}, 200), ({"other": 2, "more": 1}, 503)):
        user.page.uploads.clear()
        user.page.uploads.update(under_way)
        assert user.client.post("/api/files", **how).status_code == status


def test_a_full_disk_has_a_reason(user, monkeypatch):
    async def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fact_clip_app.web.received_files.receive_file", full)
    answer = user.ask("POST", "/api/files", 507, params={"name": "a.mp4"}, content=b"x")
    assert answer["error"].startswith("a.mp4: ")


def test_headers_must_come_soon(monkeypatch):
    """Of two connections that never say all, the silent one and the one in the middle of its headers are closed."""

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        monkeypatch.setattr("fact_clip_app.web.guard.HEADER_SECONDS", 0.2)
        server = uvicorn.Server(uvicorn.Config(answer, port=0, http=HttpProtocol, lifespan="off", log_level="error"))
        listening = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listening]))
        ends = []
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(sent)
            ends.append(await asyncio.wait_for(reader.read(), 10))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        ends.append((await asyncio.wait_for(reader.read(), 10))[:15])
        server.should_exit = True
        await task
        return ends

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, main()).result() == [b"", b"", b"HTTP/1.1 200 OK"]


def test_without_training(open_clip_folder, tmp_path):
    """Names are compared with pictures; before there are any the page asks for them."""
    model = load(f"clip:local-dir:{open_clip_folder}", "cpu", actions=["something"])
    store = Project(tmp_path / "project")
    engine = Engine(store, model, lambda path: model, Limits())
    app = make_app(engine, Options("127.0.0.1", ("fact-clip", "segment", "--training-free")))
    path = write_video(tmp_path / "a.mp4", numbered(60), rate=15)
    with TestClient(app, base_url=ADDRESS) as client:
        client.get("/", params={"token": store.token})
        user = User(client, app.state.workspace)
        video = user.add(path)
        state = user.settle()
        assert (state["actions"], state["adjustable"]) == ([], ["switch_penalty", "threshold", "shortest"])
        assert user.ask("GET", f"/api/videos/{video}")["drafts"] == []
        names = ["pour milk", "stir, slowly"]
        user.act(*names)
        shown = user.ask("GET", f"/api/videos/{video}")
        expected = model.segment(path, actions=names)
        assert [(each["start"], each["stop"], each["label"]) for each in shown["drafts"]] == [
            (3 * each.start, 3 * each.stop, each.label) for each in expected
        ]
        assert shown["unseen"] == []
        assert shown["command"] == """fact-clip segment a.mp4 --training-free --actions 'pour milk,"stir, slowly"'"""
        user.ask("POST", "/api/settings", json={"adjust": {"threshold": 1.0}})
        expected = model.segment(path, actions=names, settings=DecodeSettings(threshold=1.0))
        assert "background" in expected.transcript
        shown = user.ask("GET", f"/api/videos/{video}")
        assert [each["label"] for each in shown["drafts"]] == list(expected.transcript)


def test_the_command_that_continues(text_run, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mapping.txt").write_text("0 a\n")
    found = continue_command(Run.read(text_run), tmp_path / "set", tmp_path / "out", 7)
    assert found[:3] == ["fact-clip", "train", str(text_run / "config.yaml")]
    assert {f'data.root="{tmp_path / "set"}"', 'data.split="1"', "data.holdout=null", "train.epochs=7"} <= set(found)
    assert {"data.holdout_mode=null", "data.validation_unseen=null", "data.validation_videos=null"} <= set(found)
    assert f'train.init="{text_run}"' in found
    assert found[-2:] == ["--out", str(tmp_path / "out")]
