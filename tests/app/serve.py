"""A page of a run with small limits, in a process of its own: prints its port, and serves until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from fact_clip.app.engine import Engine
from fact_clip.app.page import Options
from fact_clip.app.protocol import Protocol
from fact_clip.app.server import make_app
from fact_clip.app.sessions import Limits
from fact_clip.inference.segmenter import load

TOKEN = "a-token-of-the-tests"

if __name__ == "__main__":
    run = Path(sys.argv[1])
    limits = Limits(file_bytes=2_000_000, label_bytes=200_000, session_bytes=30_000_000, patience=1.0, sessions=3)
    engine = Engine(load(run, "cpu"), lambda path: load(path, "cpu"), limits)
    page = make_app(engine, Options(TOKEN, "127.0.0.1", ("fact-clip", "segment"), None, run, limits))
    quiet = {"log_level": "warning", "access_log": False, "server_header": False}
    config = uvicorn.Config(page, "127.0.0.1", 0, http=Protocol, **quiet)
    listening = config.bind_socket()
    print(listening.getsockname()[1], flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listening])
