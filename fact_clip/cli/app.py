"""fact-clip app."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from fact_clip.cli.console import note
from fact_clip.cli.options import ModelOptions, names, option, refuse, with_options
from fact_clip.core.errors import InputError
from fact_clip.core.paths import whole_file

_PROJECT = "Folder of the project; unset: one in the data folder of the user."
_TRAINING_SET = "Folder in the common layout that labelled videos may be added to."
_HOST = "Address to listen on; other than the default, others can reach it."
_SERVED_AS = "Host names, with commas, under which a proxy serves the page."


@with_options
def app(
    project: Annotated[Path | None, typer.Argument(metavar="PROJECT", help=_PROJECT)] = None,
    *,
    model: ModelOptions,
    training_set: Annotated[Path | None, option(_TRAINING_SET)] = None,
    host: Annotated[str, option(_HOST)] = "127.0.0.1",
    served_as: Annotated[str | None, option(_SERVED_AS)] = None,
    port: Annotated[int, option("Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    max_megabytes: Annotated[float, option("Size of a file, at most.", min=1, max=1e6)] = 2000,
    max_minutes: Annotated[float, option("Duration of a video, at most.", min=0.1, max=1e5)] = 120,
) -> None:
    """Open a page to label videos, train on the labels, and correct what a model predicts.

    Prints the address, which holds a token, and serves until Ctrl-C. All that is done is stored in PROJECT at once.
    Without a model (--run, or --training-free) the page labels, and trains one. Needs the extra 'app'. See docs/app.md.

    \b
    Example:
      fact-clip app my_project
      fact-clip app my_project --run runs/k5
      fact-clip app --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    try:
        import uvicorn

        from fact_clip.app.engine import Engine
        from fact_clip.app.guard import Protocol
        from fact_clip.app.learn import TrainingSet
        from fact_clip.app.page import Options
        from fact_clip.app.project import Project
        from fact_clip.app.requests import Limits
        from fact_clip.app.server import make_app
    except ModuleNotFoundError as error:
        raise InputError("fact-clip app", f"{error.name} is not installed", "pip install 'fact-clip[app]'") from None
    from fact_clip.inference.segmenter import load

    run, base, actions = model.run, None, model.names()
    proxied = tuple(names(served_as, "--served-as") or ())
    limits = Limits(file_bytes=round(max_megabytes * 1e6), minutes=max_minutes)
    if run is not None or model.training_free or model.encoder is not None:
        model.check("app")
        waiting = ["something"] if run is None and model.encoder is not None else None  # the page waits for names
        base, _ = model.open(actions or waiting)
        logging.getLogger("fact_clip.inference").setLevel(logging.ERROR)  # the page itself shows new words
        base.scorer.load()  # what is missing is an error before the page opens
    # Faults of a training set, and a port in use, are errors before the project is made.
    growing = None
    if training_set is not None:
        if training_set.exists() and not _can_grow(training_set):
            problem = f"{training_set} is a folder or file of something else"
            raise refuse("--training-set", problem, "name a data set, or a new folder")
        growing = TrainingSet(training_set, None if base is None else base.scorer.run)
    listening = _listening(host, port)
    folder, recent = _opened(project)
    store = Project(folder)
    listed = actions or ([] if run is None or store.actions() or base is None else base.vocabulary.names)
    store.add_actions(name for name in listed if base is None or name not in base.vocabulary.background)
    engine = Engine(store, base, lambda path: load(path, model.device, precision=model.precision), limits)
    page = make_app(engine, Options(host, model.command(), growing, run, limits, recent, proxied))
    config = uvicorn.Config(
        page, host, port, http=Protocol, log_level="warning", server_header=False, timeout_graceful_shutdown=2,
        access_log=False,  # the address holds the token
    )  # fmt: skip
    for number, name in enumerate(_reachable(host)):
        address = f"{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}"
        print(f"{'or' if number else 'open'} http://{address}/?token={store.token}", flush=True)
    for name in proxied:
        print(f"or https://{name}/?token={store.token}", flush=True)
    if host not in ("127.0.0.1", "::1", "localhost"):
        note("others on the network can read what is sent, since this is not HTTPS")
    note(f"project {folder}; Ctrl-C ends the page, and everything stays there")
    if hasattr(signal, "SIGHUP"):  # a terminal that is closed ends the page as Ctrl-C does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _opened(project: Path | None) -> tuple[Path, list[str]]:
    """The folder of a project, and those that were opened before, the latest first."""
    import platformdirs

    home = platformdirs.user_data_path("fact-clip")
    folder, path = (home / "project" if project is None else project).absolute(), home / "recent.json"
    try:
        recent = [str(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):  # it is a convenience alone
        recent = []
    recent = [entry for entry in recent if entry != str(folder) and Path(entry).is_dir()][:10]
    with suppress(OSError, InputError), whole_file(path) as unfinished:
        unfinished.write_text(json.dumps([str(folder), *recent]), encoding="utf-8")
    return folder, recent


def _can_grow(folder: Path) -> bool:
    """Whether a folder can be a training set: it is one, or empty."""
    parts = ("mapping.txt", "groundTruth", "features")
    return folder.is_dir() and (any((folder / part).exists() for part in parts) or not any(folder.iterdir()))


def _reachable(host: str) -> list[str]:
    """Return the names and addresses under which a page on this host can be opened, from this machine first."""
    from fact_clip.app.guard import WILDCARDS

    if host not in WILDCARDS:
        return [host]
    addresses = ["127.0.0.1" if host == "0.0.0.0" else "::1", socket.gethostname().lower()]
    with suppress(OSError):
        addresses += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    return list(dict.fromkeys(address for address in addresses if "%" not in address))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; an InputError where this machine has no such address, or the port is taken."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such address"
        fix = "name another --port, or 0 for a free one" if port else "name an address of this machine"
        raise refuse("--host", f"{host}, port {port} ({reason})", fix) from None
