"""A page of a run with small limits, in a process of its own: prints its port, and serves until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from fact_clip.inference.loading import load
from fact_clip_app.store.project import Project
from fact_clip_app.web.guard import HttpProtocol
from fact_clip_app.web.server import make_app
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.uploads import Limits
from fact_clip_app.workspace.workspace import Options

if __name__ == "__main__":
    run = Path(sys.argv[1])
    limits = Limits(file_bytes=2_000_000, label_bytes=200_000, patience=1.0)
    store, base = Project(Path(sys.argv[2])), load(run, "cpu")
    engine = Engine(store, base, lambda path: load(path, "cpu"), limits)
    page = make_app(engine, Options("127.0.0.1", ("fact-clip", "segment"), run))
    quiet = {"log_level": "warning", "access_log": False, "server_header": False}
    config = uvicorn.Config(page, "127.0.0.1", 0, http=HttpProtocol, **quiet)
    listening = config.bind_socket()
    print(listening.getsockname()[1], store.token, flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listening])
